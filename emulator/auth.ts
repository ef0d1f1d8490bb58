import type { IncomingHttpHeaders } from 'node:http'
import { Failure } from '../shared/base/failure.ts'
import type { Holder } from './identity.ts'
import type { AuthProblem } from './service.ts'
import { parseAuthorization, parseSignatureDate, type SignedRequest, verifySignature } from './signature.ts'
import type { World } from './world.ts'

/** Who calls, and what they may do. */
export interface Principal extends Holder {
  kind: 'token' | 'key'
  name: string
  /** Undefined for a token without project scope. */
  projectId: string | undefined
}

/** The principal of a request, or what is wrong with its credentials. */
export function authenticate(
  world: World,
  request: SignedRequest,
): { principal: Principal } | { problem: AuthProblem } {
  const token = single(request.headers, 'x-auth-token')
  if (token !== undefined && token !== '') return byToken(world, token)
  const authorization = single(request.headers, 'authorization')
  if (authorization === undefined) return { problem: 'missing' }
  return bySignature(world, request, authorization)
}

function byToken(world: World, value: string): { principal: Principal } | { problem: AuthProblem } {
  const token = world.tokens.get(value)
  if (token === undefined) return { problem: 'unknown-token' }
  if (token.expiresAt <= world.clock.now()) return { problem: 'expired-token' }
  const { userName: name, projectId, actions, agencyId } = token
  return { principal: { kind: 'token', name, projectId, actions, agencyId } }
}

function bySignature(
  world: World,
  request: SignedRequest,
  authorization: string,
): { principal: Principal } | { problem: AuthProblem } {
  const problem = { problem: 'bad-signature' } as const
  const parts = parseAuthorization(authorization)
  const date = parseSignatureDate(request.headers)
  if (parts === undefined || date === undefined) return problem
  const now = world.clock.now().getTime()
  if (Math.abs(now - date.getTime()) > world.rules.signatureToleranceMs) return problem
  const key = world.accessKeys.get(parts.accessKeyId)
  if (key === undefined || !verifySignature(request, parts, key.secret)) return problem
  if (key.securityToken !== undefined) {
    const signed = parts.signedHeaders.includes('x-security-token')
    if (!signed || single(request.headers, 'x-security-token') !== key.securityToken) return problem
  }
  if (key.expiresAt !== undefined && key.expiresAt.getTime() <= now) return problem
  const projectHeader = single(request.headers, 'x-project-id')
  if (projectHeader !== undefined && projectHeader !== world.project.id) return { problem: 'other-project' }
  return {
    principal: {
      kind: 'key',
      name: key.id,
      projectId: world.project.id,
      actions: key.actions,
      agencyId: key.agencyId,
    },
  }
}

function single(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

/** For admin routes and seeds: one sentence about what was wrong with the input. */
export function badInput(what: string, next = 'The emulator/README.md describes the format.'): Failure {
  return new Failure({ code: 'emulator.bad-input', kind: 'never', message: what, next })
}
