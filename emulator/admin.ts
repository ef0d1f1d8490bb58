import { z } from 'zod'
import { Failure } from '../shared/base/failure.ts'
import { badInput } from './auth.ts'
import type { Calls } from './calls.ts'
import type { FaultRequest, Faults } from './faults.ts'
import { looked } from './host-name.ts'
import { stateOf } from './report.ts'
import { rulesPatchSchema } from './rules.ts'
import { resolveInstant, sentenceOf } from './seed.ts'
import type { Reply } from './service.ts'
import type { Domain, Flavour, Instance, World } from './world.ts'

/** What the admin routes act on. */
export interface AdminParts {
  world(): World
  calls: Calls
  faults: Faults
  /** Starts over with this seed, or with the one before. */
  reset(seed: unknown): Promise<void>
}

type Handler = (parts: AdminParts, body: unknown, url: URL) => unknown

const clockBody = z.union([
  z.strictObject({ advanceMs: z.number().int() }),
  z.strictObject({ now: z.string() }),
])
const bindBody = z.strictObject({
  host: z.string(),
  instanceId: z.string().optional(),
  certificateId: z.string().nullable(),
  clientVerification: z.boolean().optional(),
})
const domainBody = z.strictObject({
  host: z.string(),
  instanceId: z.string().optional(),
  groupId: z.string().optional(),
})
const issueBody = z.strictObject({
  names: z.array(z.string()),
  commonName: z.string().optional(),
  notBefore: z.string().optional(),
  notAfter: z.string().optional(),
  key: z.enum(['RSA-2048', 'RSA-3072', 'P-256', 'P-384', 'Ed25519']).optional(),
})

const routes: Record<string, Handler> = {
  'GET /state': ({ world }) => stateOf(world()),
  'GET /calls': ({ calls }) => ({ calls: calls.list() }),
  'DELETE /calls': ({ calls }) => calls.clear(),
  'GET /rules': ({ world }) => world().rules,
  'PATCH /rules': ({ world }, body) => {
    const patch = checked(rulesPatchSchema, body)
    Object.assign(
      world().rules,
      Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== undefined)),
    )
    return world().rules
  },
  'GET /faults': ({ faults }) => ({ faults: faults.list() }),
  'POST /faults': ({ faults }, body) => {
    try {
      return faults.add(body as FaultRequest)
    } catch (error) {
      if (error instanceof z.ZodError) throw badInput(`The fault is not valid: ${sentenceOf(error)}`)
      throw error
    }
  },
  'DELETE /faults': ({ faults }, _body, url) => {
    const id = url.searchParams.get('id')
    if (!faults.clear(id === null ? undefined : Number(id))) throw notFound(`There is no fault ${id}`)
  },
  'GET /clock': ({ world }) => ({ now: world().clock.now().toISOString() }),
  'POST /clock': ({ world }, body) => {
    const wanted = checked(clockBody, body)
    const { clock } = world()
    if ('advanceMs' in wanted) clock.advance(wanted.advanceMs)
    else clock.set(instantOf(wanted.now, clock.now()))
    return { now: clock.now().toISOString() }
  },
  'POST /tokens/expire': ({ world }) => {
    const now = world().clock.now()
    for (const token of world().tokens.values()) token.expiresAt = now
    return { expired: world().tokens.size }
  },
  'POST /reset': async ({ reset, world }, body) => {
    const { seed } = checked(z.strictObject({ seed: z.unknown().optional() }), body ?? {})
    await reset(seed)
    return stateOf(world())
  },
  'POST /bind': ({ world }, body) => {
    const wanted = checked(bindBody, body)
    const domain = findDomain(world(), wanted.host, wanted.instanceId)
    bindByHand(world(), domain, wanted.certificateId, wanted.clientVerification)
    return { host: domain.host, certificates: domain.certificates.map((one) => one.id) }
  },
  'POST /domains': ({ world }, body) => {
    const { host, instanceId, groupId } = checked(domainBody, body)
    const instance = findInstance(world(), instanceId)
    const groups = [...instance.groups.values()]
    const group = groups.find((one) => (groupId === undefined ? true : one.id === groupId))
    if (group === undefined) throw notFound(`The instance ${instance.id} has no such API group`)
    const domain = world().addDomain(group, { host })
    return { id: domain.id, host: domain.host, groupId: group.id, instanceId: instance.id }
  },
  'DELETE /domains': ({ world }, _body, url) => {
    const host = url.searchParams.get('host') ?? ''
    world().removeDomain(findDomain(world(), host, url.searchParams.get('instanceId') ?? undefined))
  },
  'DELETE /certificates': ({ world }, _body, url) => {
    const id = url.searchParams.get('id') ?? ''
    const flavours: Flavour[] = ['apig', 'roma']
    const found = flavours
      .map((flavour) => world().certificates[flavour].get(id))
      .find((one) => one !== undefined)
    if (found === undefined) throw notFound(`There is no certificate ${id}`)
    for (const domain of world().boundDomains(found)) world().unbind(domain, found)
    world().removeCertificate(found)
  },
  'POST /issue': async ({ world }, body) => {
    const { notBefore, notAfter, ...request } = checked(issueBody, body)
    const now = world().clock.now()
    const issued = await world().intermediate.issue({
      names: request.names,
      ...(request.commonName === undefined ? {} : { commonName: request.commonName }),
      ...(request.key === undefined ? {} : { key: request.key }),
      notBefore: instantOf(notBefore ?? '-1h', now),
      notAfter: instantOf(notAfter ?? '+90d', now),
    })
    return { ...issued, caPem: world().root.certificatePem }
  },
}

/** Answers `/__emulator/…`. Not authenticated: the port listens on loopback only. */
export async function administer(parts: AdminParts, method: string, url: URL, body: Buffer): Promise<Reply> {
  const path = url.pathname.replace(/^\/__emulator/, '')
  const handler = routes[`${method} ${path}`]
  if (handler === undefined) {
    const known = Object.keys(routes).map((route) => route.replace(' ', ' /__emulator'))
    return { status: 404, body: { error: `The emulator has no ${method} ${url.pathname}`, routes: known } }
  }
  try {
    const result = await handler(parts, parseBody(body), url)
    return result === undefined ? { status: 204 } : { status: 200, body: result }
  } catch (error) {
    if (!(error instanceof Failure)) throw error
    return {
      status: error.facts.status === 404 ? 404 : 400,
      body: { error: error.message, next: error.next },
    }
  }
}

/** Somebody changes a binding in the console: the given certificate alone, or none. */
export function bindByHand(world: World, domain: Domain, certificateId: string | null, flag?: boolean): void {
  const certificate =
    certificateId === null ? undefined : world.certificates[domain.flavour].get(certificateId)
  if (certificateId !== null && certificate === undefined)
    throw notFound(`There is no certificate ${certificateId}`)
  if (certificate !== undefined) {
    world.bind(domain, certificate, certificate.trustedRootCaPem !== undefined && (flag ?? true))
  }
  for (const other of domain.certificates.filter((one) => one !== certificate)) world.unbind(domain, other)
}

/** The domain of that name; where several instances have it, the instance must be named. */
export function findDomain(world: World, host: string, instanceId: string | undefined): Domain {
  const found = [...world.domains()].filter(
    (domain) =>
      domain.looked === looked(host) && (instanceId === undefined || domain.instanceId === instanceId),
  )
  if (found.length === 0) throw notFound(`There is no domain ${host}`)
  const asWritten = found.filter((domain) => domain.host === host)
  if (asWritten.length === 1) return asWritten[0]!
  if (found.length > 1) throw badInput(`Several instances have the domain ${host}: name the instanceId`)
  return found[0]!
}

function findInstance(world: World, id: string | undefined): Instance {
  const instance = id === undefined ? [...world.instances.values()][0] : world.instances.get(id)
  if (instance === undefined) throw notFound(`There is no instance ${id ?? ''}`)
  return instance
}

function checked<T extends z.ZodType>(schema: T, body: unknown): z.output<T> {
  const result = schema.safeParse(body)
  if (result.success) return result.data
  throw badInput(`The request is not valid: ${sentenceOf(result.error)}`)
}

function instantOf(text: string, now: Date): Date {
  const instant = resolveInstant(text, now)
  if (Number.isNaN(instant.getTime())) throw badInput(`${JSON.stringify(text)} is not an instant`)
  return instant
}

function parseBody(body: Buffer): unknown {
  if (body.length === 0) return undefined
  try {
    return JSON.parse(body.toString('utf8')) as unknown
  } catch {
    throw badInput('The body is not JSON')
  }
}

function notFound(message: string): Failure {
  return new Failure({
    code: 'emulator.not-found',
    kind: 'never',
    message,
    next: 'GET /__emulator/state lists what is there.',
    facts: { status: 404 },
  })
}
