import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { flavours } from '../../shared/gateway/flavours.ts'
import { createGateway } from '../../shared/gateway/http.ts'
import type { Flavour, Gateway, Scope } from '../../shared/gateway/port.ts'
import { tokenCredentials } from '../../shared/http/auth.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import type { Loopback, Recorded, Seen } from '../http/loopback.ts'
import { startLoopback, steppingClock } from '../http/loopback.ts'

const dispatcher = createDispatcher()
afterAll(() => dispatcher.destroy())
let server: Loopback
afterEach(() => server.close())

const instance = 'f0fa1789-3b76-433b-a787-9892951c620e'
const certificateId = 'a27be832f2e9441c8127fe48e3b5ac67'
const ref = { groupId: 'c77f5e81d9cb4424bf704ef2b0ac7600', domainId: 'f6bb84ccf1c34035878aa51b7253b21c' }
const material = { certificatePem: 'LEAF\nCHAIN\n', privateKey: new Secret('KEY') }

/** As the API page "Creating an SSL Certificate" shows it, with the fields that the live API adds. */
const shown = {
  id: certificateId,
  name: 'cert_demo',
  type: 'instance',
  instance_id: instance,
  project_id: 'p',
  common_name: 'apigtest.example.com',
  san: ['apigtest.example.com', '*.San.com'],
  version: 3,
  organization: ['XX'],
  not_before: '2019-06-01T00:00:00Z',
  not_after: '2031-08-16T06:36:13Z',
  serial_number: '13010',
  issuer: ['XXSSL Inc'],
  signature_algorithm: 'SHA256-RSA',
  create_time: '2021-08-20T02:03:53.147Z',
  update_time: '2021-08-20T02:03:53Z',
  is_has_trusted_root_ca: true,
  algorithm_type: 'ECC',
}

async function gatewayFor(
  replies: Recorded[] | ((request: Seen) => Recorded),
  options: { flavour?: Flavour; scope?: Scope } = {},
): Promise<Gateway> {
  server = await startLoopback(replies)
  const flavour = options.flavour ?? 'apig'
  return createGateway({
    flavour,
    instanceId: instance,
    scope: options.scope ?? 'instance',
    projectId: 'p',
    http: createHttpClient({
      service: flavours[flavour].service,
      endpoint: server.url,
      credentials: tokenCredentials(new Secret('token')),
      clock: steppingClock(),
      timeoutMs: 2_000,
      dispatcher,
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

const refusal = (status: number, error_code: string, error_msg = 'text'): Recorded => ({
  status,
  body: { error_code, error_msg },
})

describe.each([
  ['apig', '/v2/p/apigw'],
  ['roma', '/v2/p/apic'],
] as const)('the documented calls of %s', (flavour, prefix) => {
  const domainPath = `${prefix}/instances/${instance}/api-groups/${ref.groupId}/domains/${ref.domainId}`

  it('creates a certificate of the instance, with its trusted root CA', async () => {
    const gateway = await gatewayFor([{ status: 200, body: shown }], { flavour })
    expect(await gateway.create('cert_demo', { ...material, trustedRootCaPem: 'CA' })).toEqual({
      id: certificateId,
    })
    expect(server.seen[0]).toMatchObject({ method: 'POST', path: `${prefix}/certificates` })
    expect(server.seen[0]?.body).toEqual({
      name: 'cert_demo',
      cert_content: 'LEAF\nCHAIN\n',
      private_key: 'KEY',
      type: 'instance',
      instance_id: instance,
      trusted_root_ca: 'CA',
    })
  })

  it('creates a global certificate, which cannot carry a CA', async () => {
    const gateway = await gatewayFor(
      [{ status: 200, body: { ...shown, type: 'global', instance_id: 'common' } }],
      { flavour, scope: 'global' },
    )
    await gateway.create('cert_demo', material)
    expect(server.seen[0]?.body).toEqual({
      name: 'cert_demo',
      cert_content: 'LEAF\nCHAIN\n',
      private_key: 'KEY',
      type: 'global',
    })
    const failure = await failureOf(gateway.create('cert_demo', { ...material, trustedRootCaPem: 'CA' }))
    expect(failure).toMatchObject({ code: 'gateway.refused', kind: 'never' })
    expect(server.seen).toHaveLength(1)
  })

  it.each([200, 204])('attaches with the client verification flag and takes %i', async (status) => {
    const gateway = await gatewayFor([{ status }], { flavour })
    await gateway.attach(ref, certificateId, true)
    await gateway.attach(ref, certificateId, false)
    expect(server.seen[0]).toMatchObject({ method: 'POST', path: `${domainPath}/certificates/attach` })
    expect(server.seen.map(({ body }) => body)).toEqual([
      { certificate_ids: [certificateId], verified_client_certificate_enabled: true },
      { certificate_ids: [certificateId], verified_client_certificate_enabled: false },
    ])
  })

  it.each([200, 204])('detaches exactly one certificate and takes %i', async (status) => {
    const gateway = await gatewayFor([{ status }], { flavour })
    await gateway.detach(ref, certificateId)
    expect(server.seen[0]).toMatchObject({ method: 'POST', path: `${domainPath}/certificates/detach` })
    expect(server.seen[0]?.body).toEqual({ certificate_ids: [certificateId] })
  })

  it('adds a certificate to a domain and reads its id from ssl_id', async () => {
    const reply = {
      ssl_name: 'cert_demo',
      url_domain: 'www.example.com',
      ssl_id: ` ${certificateId}`,
      id: ` ${ref.domainId}`,
      status: 3,
    }
    const gateway = await gatewayFor([{ status: 201, body: reply }], { flavour })
    expect(await gateway.add(ref, 'cert_demo', material)).toEqual({ id: certificateId })
    expect(server.seen[0]).toMatchObject({ method: 'POST', path: `${domainPath}/certificate` })
    const plain = { name: 'cert_demo', cert_content: 'LEAF\nCHAIN\n', private_key: 'KEY' }
    expect(server.seen[0]?.body).toEqual(
      flavour === 'roma' ? { ...plain, type: 'instance', instance_id: instance } : plain,
    )
  })

  it('updates in place with the scope that the certificate has', async () => {
    const gateway = await gatewayFor(
      (request) => ({
        status: 200,
        body: { ...shown, type: 'global', instance_id: 'common', method: request.method },
      }),
      { flavour },
    )
    await gateway.update(certificateId, 'cert_new', material)
    expect(server.seen.map(({ method, path }) => `${method} ${path}`)).toEqual([
      `GET ${prefix}/certificates/${certificateId}`,
      `PUT ${prefix}/certificates/${certificateId}`,
    ])
    expect(server.seen[1]?.body).toEqual({
      name: 'cert_new',
      cert_content: 'LEAF\nCHAIN\n',
      private_key: 'KEY',
      type: 'global',
    })
  })

  it('reads domains with their certificates, whichever field names them', async () => {
    const groups = [
      {
        id: 'g1',
        url_domains: [
          {
            id: 'd1',
            domain: 'API.shop.example',
            cname_status: 1,
            ssl_id: 'rsa',
            ssl_name: 'cert_rsa',
            verified_client_certificate_enabled: true,
            is_has_trusted_root_ca: true,
            ssl_infos: [
              { ssl_id: 'rsa', ssl_name: 'cert_rsa', algorithm_type: 'RSA', type: 1 },
              { ssl_id: 'ecc', ssl_name: 'cert_ecc', algorithm_type: 'ECC', type: 'global' },
            ],
          },
          {
            id: 'd2',
            domain: 'ecc.shop.example',
            ssl_id: '',
            ssl_name: '',
            ssl_infos: [{ ssl_id: 'ecc', ssl_name: 'cert_ecc', algorithm_type: 'ECC' }],
          },
          { id: 'd3', domain: 'only.shop.example', ssl_id: 'any', ssl_name: 'cert_any' },
        ],
      },
      { id: 'g2', url_domains: [{ id: 'd4', domain: '*.shop.example', ssl_infos: null }] },
      { id: 'g3' },
    ]
    const gateway = await gatewayFor([{ status: 200, body: { size: 3, total: 3, groups } }], { flavour })
    expect(await gateway.domains()).toEqual([
      {
        groupId: 'g1',
        domainId: 'd1',
        host: 'api.shop.example',
        certificates: [
          { id: 'rsa', name: 'cert_rsa', algorithm: 'RSA' },
          { id: 'ecc', name: 'cert_ecc', algorithm: 'ECC' },
        ],
        clientVerification: true,
        hasTrustedRootCa: true,
      },
      {
        groupId: 'g1',
        domainId: 'd2',
        host: 'ecc.shop.example',
        certificates: [{ id: 'ecc', name: 'cert_ecc', algorithm: 'ECC' }],
        clientVerification: false,
        hasTrustedRootCa: false,
      },
      {
        groupId: 'g1',
        domainId: 'd3',
        host: 'only.shop.example',
        certificates: [{ id: 'any', name: 'cert_any', ...(flavour === 'apig' ? { algorithm: 'RSA' } : {}) }],
        clientVerification: false,
        hasTrustedRootCa: false,
      },
      {
        groupId: 'g2',
        domainId: 'd4',
        host: '*.shop.example',
        certificates: [],
        clientVerification: false,
        hasTrustedRootCa: false,
      },
    ])
    expect(server.seen[0]?.path).toBe(`${prefix}/instances/${instance}/api-groups`)
    expect(server.seen[0]?.query.get('limit')).toBe('500')
  })
})

describe('look-ups', () => {
  it('take a name on several ports for one domain, whose every id is found', async () => {
    const group = {
      id: 'g',
      url_domains: [
        { id: 'd443', domain: 'a.example', ssl_id: 'c', ssl_name: 'n' },
        {
          id: 'd8443',
          domain: 'a.example',
          ingress_https_port: 8443,
          ssl_id: 'c',
          ssl_name: 'n',
          verified_client_certificate_enabled: true,
        },
      ],
    }
    const gateway = await gatewayFor((request) => ({
      status: 200,
      body: request.path.endsWith('/g') ? group : { total: 1, groups: [group] },
    }))
    expect(await gateway.domains()).toHaveLength(1)
    expect(await gateway.domain({ groupId: 'g', domainId: 'd8443' })).toMatchObject({
      domainId: 'd8443',
      host: 'a.example',
      clientVerification: true,
      certificates: [{ id: 'c' }],
    })
    expect(await gateway.domain({ groupId: 'g', domainId: 'gone' })).toBeUndefined()
  })

  it('read a certificate with its serial number as hex', async () => {
    const gateway = await gatewayFor([
      { status: 200, body: shown },
      {
        status: 200,
        body: {
          ...shown,
          type: undefined,
          instance_id: 'common',
          serial_number: '340282366920938463463374607431768211455',
        },
      },
    ])
    expect(await gateway.certificate(certificateId)).toEqual({
      id: certificateId,
      name: 'cert_demo',
      scope: 'instance',
      instanceId: instance,
      commonName: 'apigtest.example.com',
      names: ['apigtest.example.com', '*.san.com'],
      notBefore: new Date('2019-06-01T00:00:00Z'),
      notAfter: new Date('2031-08-16T06:36:13Z'),
      createdAt: new Date('2021-08-20T02:03:53.147Z'),
      algorithm: 'ECC',
      hasTrustedRootCa: true,
      serial: '32d2',
    })
    const other = await gateway.certificate(certificateId)
    expect(other).toMatchObject({ scope: 'global', serial: 'f'.repeat(32) })
    expect(other).not.toHaveProperty('instanceId')
  })

  it('find certificates by exact name, own and global ones, newest first', async () => {
    const row = (id: string, change: object) => ({ ...shown, id, serial_number: undefined, ...change })
    const certs = [
      row('1', { create_time: '2026-01-01T00:00:00Z' }),
      row('2', { create_time: '2026-03-01T00:00:00.123456Z', type: 'global', instance_id: 'common' }),
      row('3', { create_time: '2026-02-01T00:00:00Z' }),
      row('4', { name: 'cert_demo_2' }),
      row('5', { instance_id: 'another' }),
    ]
    const gateway = await gatewayFor([{ status: 200, body: { size: 5, total: 5, certs } }])
    expect((await gateway.certificates({ name: 'cert_demo' })).map(({ id }) => id)).toEqual(['2', '3', '1'])
    expect(Object.fromEntries(server.seen[0]?.query ?? [])).toEqual({
      instance_id: instance,
      name: 'cert_demo',
      limit: '500',
      offset: '0',
    })
    expect(await gateway.certificates()).toHaveLength(4)
  })

  it.each([
    ['full pages and a total', 500, true, [0, 500, 1000]],
    ['full pages and no total', 500, false, [0, 500, 1000]],
    ['smaller pages than asked for and a total', 200, true, [0, 200, 400, 600, 800, 1000]],
  ])('page through %s', async (_name, size, withTotal, offsets) => {
    const all = Array.from({ length: 1_200 }, (_, index) => ({ ...shown, id: `c${index}` }))
    const gateway = await gatewayFor((request) => {
      const offset = Number(request.query.get('offset'))
      const certs = all.slice(offset, offset + size)
      return { status: 200, body: { size: certs.length, ...(withTotal ? { total: all.length } : {}), certs } }
    })
    expect(await gateway.certificates()).toHaveLength(1_200)
    expect(server.seen.map(({ query }) => Number(query.get('offset')))).toEqual(offsets)
  })

  it('end when a server ignores the offset', async () => {
    const certs = Array.from({ length: 500 }, (_, index) => ({ ...shown, id: `c${index}` }))
    const gateway = await gatewayFor([{ status: 200, body: { total: 99_999, certs } }])
    expect(await gateway.certificates()).toHaveLength(500)
    expect(server.seen).toHaveLength(2)
  })

  it('list the attached domains once per name', async () => {
    const bound_domains = [
      {
        url_domain: 'A.example',
        id: 'd1',
        status: 1,
        api_group_id: 'g',
        instance_id: '',
        verified_client_certificate_enabled: true,
      },
      { url_domain: 'a.example', id: 'd2', status: 1, api_group_id: 'g', instance_id: '' },
    ]
    const gateway = await gatewayFor([{ status: 200, body: { size: 2, total: 2, bound_domains } }])
    expect(await gateway.attachedDomains(certificateId)).toEqual([
      { host: 'a.example', domainId: 'd1', groupId: 'g', clientVerification: true },
    ])
    expect(server.seen[0]?.path).toBe(`/v2/p/apigw/certificates/${certificateId}/attached-domains`)
  })

  it('say "not there" where something is missing, but not where the instance is', async () => {
    const gateway = await gatewayFor([refusal(404, 'APIG.3021')])
    expect(await gateway.certificate(certificateId)).toBeUndefined()
    expect(await gateway.attachedDomains(certificateId)).toEqual([])
    expect(await gateway.domain(ref)).toBeUndefined()
    await server.close()
    const other = await gatewayFor([refusal(404, 'APIG.3030', `The instance does not exist;id:${instance}`)])
    for (const lookUp of [other.domains(), other.domain(ref), other.certificates()]) {
      const failure = await failureOf(lookUp)
      expect(failure).toMatchObject({ code: 'gateway.unknown-instance', kind: 'never' })
      expect(failure.message).toContain(instance)
      expect(failure.next).toContain('gateways[].instanceId')
    }
  })

  it.each([
    [{ total: 1, certs: 'none' }, 'certs is not a list'],
    [{ total: 1, certs: [null] }, 'an entry of certs is not an object'],
    [{ total: 1, certs: [{ name: 'x' }] }, 'id of an entry of certs is missing'],
    [
      { total: 1, certs: [{ ...shown, not_after: 'soon' }] },
      `not_after of certificate ${certificateId} is not an instant`,
    ],
    [[], 'the reply is not an object'],
  ])('name what is wrong with the reply %j', async (body, problem) => {
    const failure = await failureOf((await gatewayFor([{ status: 200, body }])).certificates())
    expect(failure).toMatchObject({ code: 'gateway.broken-reply', kind: 'again', effect: 'none' })
    expect(failure.message).toContain(problem)
  })

  it('take missing and unknown fields as they come', async () => {
    const gateway = await gatewayFor([
      {
        status: 200,
        body: { id: 'x', name: 'cert', not_after: '2027-01-01T00:00:00Z', something: { new: 1 } },
      },
    ])
    expect(await gateway.certificate('x')).toEqual({
      id: 'x',
      name: 'cert',
      scope: 'instance',
      commonName: '',
      names: [],
      notAfter: new Date('2027-01-01T00:00:00Z'),
      hasTrustedRootCa: false,
    })
  })
})

describe('refusals', () => {
  type Act = (gateway: Gateway) => Promise<unknown>
  const create: Act = (gateway) => gateway.create('cert', material)
  const attach: Act = (gateway) => gateway.attach(ref, certificateId, false)
  const detach: Act = (gateway) => gateway.detach(ref, certificateId)
  const cases: [string, Act, Recorded, string, string][] = [
    ['attach over another certificate', attach, refusal(400, 'APIG.2051'), 'gateway.occupied', 'never'],
    [
      'attach of a certificate for other names',
      attach,
      refusal(400, 'APIG.2103'),
      'gateway.refused',
      'never',
    ],
    ['attach to a domain that is gone', attach, refusal(404, 'APIG.3020'), 'gateway.not-found', 'never'],
    ['detach of what is not bound', detach, refusal(404, 'APIG.3097'), 'gateway.not-bound', 'never'],
    [
      'detach with no valid domain name',
      detach,
      refusal(400, 'APIG.2000', 'no valid domain name'),
      'gateway.not-bound',
      'never',
    ],
    ['detach of a certificate that is gone', detach, refusal(404, 'APIG.3021'), 'gateway.not-bound', 'never'],
    ['detach from a domain that is gone', detach, refusal(404, 'APIG.3020'), 'gateway.not-found', 'never'],
    [
      'detach from an instance that is gone',
      detach,
      refusal(404, 'APIG.3030'),
      'gateway.unknown-instance',
      'never',
    ],
    ['detach of nonsense', detach, refusal(400, 'APIG.2012'), 'gateway.refused', 'never'],
    ['create over the quota', create, refusal(403, 'APIG.3100'), 'gateway.quota', 'never'],
    ['create with an encrypted key', create, refusal(400, 'APIG.2105'), 'gateway.refused', 'never'],
    ['create without permission', create, refusal(403, 'APIG.1005'), 'gateway.forbidden', 'later'],
    ['create while throttled', create, refusal(500, 'APIG.9008'), 'gateway.throttled', 'again'],
    ['create during another task', create, refusal(409, 'APIG.3718'), 'gateway.conflict', 'later'],
  ]
  it.each(cases)('%s', async (_name, act, reply, code, kind) => {
    const failure = await failureOf(act(await gatewayFor([reply])))
    expect(failure).toMatchObject({ code, kind })
    expect(failure.facts.errorCode).toBe((reply.body as { error_code: string }).error_code)
    expect(failure.next).not.toBe('')
    expect(server.seen).toHaveLength(1)
  })

  it('name the IAM action that is missing', async () => {
    const gateway = await gatewayFor([refusal(403, 'APIG.1005')])
    expect((await failureOf(create(gateway))).next).toContain('apig:certificate:create')
    expect((await failureOf(detach(gateway))).next).toContain('apig:domains:unbindCertificate')
  })
})

describe('deletion', () => {
  it('succeeds, also where there is nothing to delete', async () => {
    const gateway = await gatewayFor([{ status: 204 }, refusal(404, 'APIG.3093')])
    await gateway.remove(certificateId)
    await gateway.remove(certificateId)
    expect(server.seen[0]).toMatchObject({
      method: 'DELETE',
      path: `/v2/p/apigw/certificates/${certificateId}`,
    })
  })

  it.each([400, 403, 409])(
    'of a bound certificate is refused with %i as in use, by looking',
    async (status) => {
      const gateway = await gatewayFor((request) =>
        request.method === 'DELETE'
          ? refusal(status, 'APIG.2000')
          : {
              status: 200,
              body: { total: 1, bound_domains: [{ url_domain: 'a.example', id: 'd', api_group_id: 'g' }] },
            },
      )
      expect(await failureOf(gateway.remove(certificateId))).toMatchObject({
        code: 'gateway.in-use',
        kind: 'never',
        facts: { domains: ['a.example'], errorCode: 'APIG.2000' },
      })
    },
  )

  it('that is refused for another reason stays what it is', async () => {
    const gateway = await gatewayFor((request) =>
      request.method === 'DELETE'
        ? refusal(403, 'APIG.1005')
        : { status: 200, body: { total: 0, bound_domains: [] } },
    )
    expect((await failureOf(gateway.remove(certificateId))).code).toBe('gateway.forbidden')
  })
})
