import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { accessKeyCredentials } from '../../shared/http/auth.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import type { Manager } from '../../shared/manager/port.ts'
import { createManager } from '../../shared/manager/scm.ts'
import type { Loopback, Recorded, Seen } from '../http/loopback.ts'
import { startLoopback, steppingClock } from '../http/loopback.ts'

const dispatcher = createDispatcher()
afterAll(() => dispatcher.destroy())
let server: Loopback
afterEach(() => server.close())

const id = 'scs1600313391074'
const pem = (text: string) => `-----BEGIN CERTIFICATE-----\n${text}\n-----END CERTIFICATE-----\n`
const material = { certificatePem: pem('LEAF') + pem('ISSUER') + pem('UPPER'), privateKey: new Secret('KEY') }

async function managerFor(replies: Recorded[] | ((request: Seen) => Recorded)): Promise<Manager> {
  server = await startLoopback(replies)
  const clock = steppingClock()
  return createManager({
    http: createHttpClient({
      service: 'scm',
      endpoint: server.url,
      credentials: accessKeyCredentials({ id: 'AK', secret: new Secret('SK') }, clock),
      clock,
      timeoutMs: 2_000,
      dispatcher,
      domainId: 'domain-1',
      random: () => 0,
    }),
  })
}

async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (thrown instanceof Failure) return thrown
  throw new Error(`expected a Failure, got ${String(thrown)}`)
}

const refusal = (status: number, error_code: string): Recorded => ({
  status,
  body: { error_code, error_msg: 'text' },
})

/** The reply of "Querying Deployed Resources" in the shape of the SDK's models. */
const deployed = (
  ...services: { service: string; regions: { region_id: string; is_error?: boolean; count: number }[] }[]
): Recorded => ({
  status: 200,
  body: {
    results: [
      {
        certificate_id: id,
        total_num: 1,
        deployed_resources: services.map(({ service, regions }) => ({
          service,
          resource_num: regions.reduce((sum, { count }) => sum + count, 0),
          resource_location: regions.some(({ region_id }) => region_id === 'global') ? 'global' : 'region',
          region_resources: regions.map(({ region_id, is_error = false, count }) => ({
            region_id,
            is_error,
            resources: Array.from({ length: count }, (_, index) => ({
              resource_id: `r${index}`,
              resource_name: 'n',
            })),
          })),
        })),
      },
    ],
  },
})

describe('import', () => {
  it('sends leaf, chain and key apart, signs the domain along and reads the id', async () => {
    const manager = await managerFor([{ status: 200, body: { certificate_id: id } }])
    expect(await manager.import('cr_shop', material)).toEqual({ id, name: 'cr_shop' })
    expect(server.seen[0]).toMatchObject({ method: 'POST', path: '/v3/scm/certificates/import' })
    expect(server.seen[0]?.body).toEqual({
      name: 'cr_shop',
      certificate: pem('LEAF'),
      certificate_chain: pem('ISSUER') + pem('UPPER'),
      private_key: 'KEY',
    })
    expect(server.seen[0]?.headers['x-domain-id']).toBe('domain-1')
    expect(server.seen[0]?.headers.authorization).toContain('x-domain-id')
    expect(server.seen[0]?.headers['x-project-id']).toBeUndefined()
  })

  it('sends no chain where there is none', async () => {
    const manager = await managerFor([{ status: 200, body: { certificate_id: id } }])
    await manager.import('cr_shop', { ...material, certificatePem: pem('LEAF') })
    expect(server.seen[0]?.body).not.toHaveProperty('certificate_chain')
  })

  it('does not take a reply without an id', async () => {
    const failure = await failureOf(
      (await managerFor([{ status: 200, body: {} }])).import('cr_shop', material),
    )
    expect(failure).toMatchObject({ code: 'manager.broken-reply', effect: 'unknown' })
    expect(failure.message).toContain('certificate_id')
  })
})

describe('find', () => {
  it('pages by fifty, takes exact names only, and gives the oldest first', async () => {
    const all = Array.from({ length: 120 }, (_, index) => ({
      id: `scs${1_700_000_000_000 - index}`,
      name: index % 60 === 0 ? 'cr_shop' : `cr_shop_${index}`,
      status: 'UPLOAD',
      expire_time: '2027-05-27 16:46:25.0',
    }))
    const manager = await managerFor((request) => {
      const offset = Number(request.query.get('offset'))
      return { status: 200, body: { certificates: all.slice(offset, offset + 50), total_count: all.length } }
    })
    expect(await manager.find('cr_shop')).toEqual([
      { id: 'scs1699999999940', name: 'cr_shop' },
      { id: 'scs1700000000000', name: 'cr_shop' },
    ])
    expect(server.seen.map(({ path, query }) => `${path}?${query}`)).toEqual(
      [0, 50, 100].map((offset) => `/v3/scm/certificates?limit=50&offset=${offset}&content=cr_shop`),
    )
  })

  it('finds nothing in an empty list', async () => {
    expect(
      await (await managerFor([{ status: 200, body: { certificates: null, total_count: 0 } }])).find('x'),
    ).toEqual([])
  })
})

describe('push', () => {
  it('names project and service', async () => {
    const manager = await managerFor([{ status: 204 }])
    await manager.push(id, { service: 'ELB', project: 'eu-de' })
    expect(server.seen[0]).toMatchObject({
      method: 'POST',
      path: `/v3/scm/certificates/${id}/push`,
      body: { target_project: 'eu-de', target_service: 'ELB' },
    })
  })

  it('is never repeated, and its effect is unknown after a lost reply', async () => {
    const manager = await managerFor([{ status: 204, drop: true }])
    expect(await failureOf(manager.push(id, { service: 'ELB', project: 'eu-de' }))).toMatchObject({
      code: 'manager.unreachable',
      effect: 'unknown',
    })
    expect(server.seen).toHaveLength(1)
  })

  it('can be looked up by service and region', async () => {
    const manager = await managerFor([
      deployed(
        {
          service: 'ELB',
          regions: [
            { region_id: 'eu-de', count: 2 },
            { region_id: 'eu-nl', count: 0 },
          ],
        },
        { service: 'CDN', regions: [{ region_id: 'global', count: 1 }] },
        { service: 'WAF', regions: [{ region_id: 'eu-de', count: 1 }] },
        { service: 'LIVE', regions: [{ region_id: 'eu-de', count: 1 }] },
      ),
    ])
    expect(await manager.pushed(id, ['ELB', 'CDN'])).toEqual([
      { service: 'ELB', project: 'eu-de' },
      { service: 'CDN', project: 'global' },
    ])
    expect(server.seen[0]).toMatchObject({
      path: '/v3/scm/deployed-resources',
      body: { certificate_ids: [id], service_names: ['ELB', 'CDN'] },
    })
    expect(await manager.pushed(id, [])).toEqual([])
    expect(server.seen).toHaveLength(1)
  })

  it('is not taken for undone where SCM itself does not know', async () => {
    const manager = await managerFor([
      deployed({ service: 'ELB', regions: [{ region_id: 'eu-de', is_error: true, count: 0 }] }),
    ])
    const failure = await failureOf(manager.pushed(id, ['ELB']))
    expect(failure).toMatchObject({ code: 'manager.unavailable', kind: 'again', facts: { region: 'eu-de' } })
  })

  it('is looked up again after a fault, since asking changes nothing', async () => {
    const manager = await managerFor([
      { status: 503, body: {} },
      { status: 200, body: { results: [] } },
    ])
    expect(await manager.pushed(id, ['ELB'])).toEqual([])
    expect(server.seen).toHaveLength(2)
  })
})

describe('deletion', () => {
  it.each([{ status: 204 }, refusal(404, 'SCM.0020'), refusal(400, 'SCM.0020')])(
    'succeeds with %j',
    async (reply) => {
      const manager = await managerFor([reply])
      await manager.remove(id)
      expect(server.seen[0]).toMatchObject({ method: 'DELETE', path: `/v3/scm/certificates/${id}` })
    },
  )

  it('is refused as in use where a service still uses it, by looking', async () => {
    const manager = await managerFor((request) =>
      request.method === 'DELETE'
        ? refusal(400, 'SCM.0010')
        : deployed({ service: 'ELB', regions: [{ region_id: 'eu-de', count: 1 }] }),
    )
    expect(await failureOf(manager.remove(id))).toMatchObject({
      code: 'manager.in-use',
      facts: { usedBy: ['ELB eu-de'], errorCode: 'SCM.0010' },
    })
  })

  it('that is refused for another reason stays refused', async () => {
    const manager = await managerFor((request) =>
      request.method === 'DELETE' ? refusal(400, 'SCM.0010') : deployed(),
    )
    expect((await failureOf(manager.remove(id))).code).toBe('manager.refused')
  })
})

describe('refusals', () => {
  it.each([
    [refusal(400, 'SCM.0003'), 'manager.forbidden', 'later'],
    [refusal(400, 'SCM.0030'), 'manager.refused', 'never'],
    [refusal(401, 'SCM.XXX'), 'manager.unauthorized', 'later'],
    [refusal(403, 'SCM.XXX'), 'manager.forbidden', 'later'],
    [refusal(404, 'SCM.XXX'), 'manager.not-found', 'never'],
    [refusal(429, 'APIGW.0308'), 'manager.throttled', 'again'],
    [refusal(500, 'SCM.XXX'), 'manager.unavailable', 'again'],
  ])('%j is %s, %s', async (reply, code, kind) => {
    expect(
      await failureOf((await managerFor([reply])).push(id, { service: 'ELB', project: 'x' })),
    ).toMatchObject({ code, kind })
  })
})
