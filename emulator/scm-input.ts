import { SCM_ID } from './ids.ts'
import { ApiError, type RequestContext } from './service.ts'
import type { ScmCertificate } from './world.ts'

export function parameter(name: string): ApiError {
  return new ApiError(400, 'SCM.0005', `Invalid request parameters: ${name}`)
}

export function fields(context: RequestContext, known: string[]): Record<string, unknown> {
  const body = context.body
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw parameter('body')
  const unknown = Object.keys(body).find((name) => !known.includes(name))
  if (unknown !== undefined && context.world.rules.unknownFields === 'refuse') throw parameter(unknown)
  return body as Record<string, unknown>
}

export function text(body: Record<string, unknown>, name: string): string | undefined {
  const value = body[name]
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw parameter(name)
  return value
}

export function requiredText(body: Record<string, unknown>, name: string, code = 'SCM.0005'): string {
  const value = text(body, name)
  if (value === undefined) throw new ApiError(400, code, `Invalid request parameters: ${name} is missing`)
  return value
}

export function requireScm({ world, params }: RequestContext): ScmCertificate {
  const id = params.certificate_id!
  if (!SCM_ID.test(id)) throw new ApiError(400, 'SCM.0008', 'The certificate ID is abnormal')
  const certificate = world.scm.get(id)
  if (certificate === undefined) {
    throw new ApiError(world.rules.scmMissing, 'SCM.0020', 'The certificate ID is incorrect')
  }
  return certificate
}
