import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createAuthority, type Issued, type KeyKind } from '../../emulator/authority.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import {
  APIG,
  apic,
  apigw,
  call,
  DOMAIN,
  domainPath,
  GROUP,
  outcome,
  PROJECT,
  ROMA,
  seed,
  TOKEN,
} from './support.ts'

let emulator: Emulator
let next: Issued
let rsa: Issued

const form = (issued: Issued, more: Record<string, unknown> = {}) => ({
  name: 'cert_demo',
  cert_content: issued.fullchainPem,
  private_key: issued.privateKeyPem,
  ...more,
})
const get = (path: string) => call(emulator, 'GET', path)
const post = (path: string, body: unknown) => call(emulator, 'POST', path, body)
const put = (path: string, body: unknown) => call(emulator, 'PUT', path, body)
const remove = (path: string) => call(emulator, 'DELETE', path)
const issue = (names: string[], key: KeyKind = 'P-256', more = {}) =>
  emulator.intermediate.issue({ names, key, ...more })
const create = async (issued: Issued, more = {}) =>
  String((await post(`${apigw}/certificates`, form(issued, more))).body.id)
const old = () => emulator.ready.seed.certificates.old![0]!.id

beforeAll(async () => {
  emulator = await startEmulator({ seed: seed() })
  next = await issue(['api.example.com', '*.example.com'])
  rsa = await issue(['api.example.com'], 'RSA-2048')
})
afterAll(() => emulator.close())
beforeEach(() => emulator.reset(seed()))

describe('creating a certificate', () => {
  it('answers 200 with the documented fields, decimal serial and instance_id "common", and no key', async () => {
    const answer = await post(`${apigw}/certificates`, form(next))
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({
      name: 'cert_demo',
      type: 'global',
      instance_id: 'common',
      project_id: PROJECT,
      common_name: 'api.example.com',
      san: ['api.example.com', '*.example.com'],
      version: 3,
      signature_algorithm: 'ECDSA-SHA256',
      is_has_trusted_root_ca: false,
      algorithm_type: 'ECC',
      serial_number: BigInt(`0x${next.serial}`).toString(),
    })
    expect(answer.body.id).toMatch(/^[0-9a-f]{32}$/)
    expect(answer.body.not_after).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/)
    expect(answer.text).not.toContain('PRIVATE KEY')
    expect(answer.text).not.toContain('BEGIN CERTIFICATE')
    expect(answer.headers.get('x-request-id')).toMatch(/^[0-9a-f]{32}$/)
  })

  it('refuses what the tables refuse, with their codes', async () => {
    const other = await createAuthority({ commonName: 'Other' })
    const cases: [string, Record<string, unknown>][] = [
      ['400 APIG.2001', { name: undefined }],
      ['400 APIG.2012', { name: 'abc' }],
      ['400 APIG.2012', { name: 'with-hyphen' }],
      ['400 APIG.2012', { name: '1digit' }],
      ['400 APIG.2012', { name: 'x'.repeat(51) }],
      ['400 APIG.2012', { type: 'local' }],
      ['400 APIG.2001', { type: 'instance' }],
      ['404 APIG.3030', { type: 'instance', instance_id: `${APIG}c` }],
      ['404 APIG.3030', { type: 'instance', instance_id: ROMA }],
      ['400 APIG.2012', { trusted_root_ca: other.certificatePem }],
      ['400 APIG.2012', { cert_contents: 'x' }],
      [
        '400 APIG.2105',
        { private_key: '-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIIE\n-----END ENCRYPTED PRIVATE KEY-----\n' },
      ],
      ['400 APIG.2106', { cert_content: 'hello' }],
      ['400 APIG.2106', { private_key: 'hello' }],
      ['400 APIG.2106', { cert_content: `'${next.fullchainPem}'` }],
      ['400 APIG.2101', { private_key: rsa.privateKeyPem }],
      ['400 APIG.2104', { cert_content: next.certificatePem + other.certificatePem }],
    ]
    for (const [expected, change] of cases) {
      const answer = await post(`${apigw}/certificates`, form(next, change))
      expect(outcome(answer), JSON.stringify(change).slice(0, 80)).toBe(expected)
    }
    const ed25519 = await issue(['api.example.com'], 'Ed25519')
    expect(outcome(await post(`${apigw}/certificates`, form(ed25519)))).toBe('400 APIG.2106')
    const expired = await issue(['api.example.com'], 'P-256', {
      notBefore: new Date('2020-01-01'),
      notAfter: new Date('2020-02-01'),
    })
    expect(outcome(await post(`${apigw}/certificates`, form(expired)))).toBe('400 APIG.2102')
    const late = await issue(['api.example.com'], 'P-256', { notAfter: new Date('2038-01-19T03:14:08Z') })
    expect(outcome(await post(`${apigw}/certificates`, form(late)))).toBe('400 APIG.3148')
    const lastSecond = await issue(['api.example.com'], 'P-256', {
      notAfter: new Date('2038-01-19T03:14:07Z'),
    })
    expect(outcome(await post(`${apigw}/certificates`, form(lastSecond)))).toBe('200')
    const nameless = await issue([], 'P-256', { commonName: 'api.example.com' })
    expect(outcome(await post(`${apigw}/certificates`, form(nameless)))).toBe('400 APIG.2109')
    expect(
      outcome(
        await call(emulator, 'POST', `${apigw}/certificates`, 'name=x', {
          'x-auth-token': TOKEN,
          'content-type': 'application/x-www-form-urlencoded',
        }),
      ),
    ).toBe('400 APIG.2000')
    expect(
      outcome(
        await call(emulator, 'POST', `${apigw}/certificates`, '{"name"', {
          'x-auth-token': TOKEN,
          'content-type': 'application/json',
        }),
      ),
    ).toBe('400 APIG.2000')
  })

  it('names the parameter that is wrong', async () => {
    const answer = await post(`${apigw}/certificates`, form(next, { name: 'a-b-c-d' }))
    expect(answer.body.error_msg).toBe(
      'Invalid parameter value,parameterName:name. Please refer to the support documentation',
    )
  })

  it('judges in the order authentication, permission, instance, syntax, content, limit', async () => {
    emulator.setRules({ certificateQuota: 0 })
    const bad = { type: 'instance', instance_id: 'nowhere', name: '-' }
    const expired = await issue(['api.example.com'], 'P-256', {
      notBefore: new Date('2020-01-01'),
      notAfter: new Date('2020-02-01'),
    })
    expect(outcome(await call(emulator, 'POST', `${apigw}/certificates`, form(expired, bad), {}))).toBe(
      '401 APIG.1000',
    )
    expect(outcome(await post(`${apigw}/certificates`, form(expired, bad)))).toBe('404 APIG.3030')
    expect(outcome(await post(`${apigw}/certificates`, form(expired, { name: '-' })))).toBe('400 APIG.2012')
    expect(outcome(await post(`${apigw}/certificates`, form(expired)))).toBe('400 APIG.2102')
    expect(outcome(await post(`${apigw}/certificates`, form(next)))).toBe('403 APIG.3100')
  })

  it('takes or refuses a second certificate of the same name by rule', async () => {
    expect(outcome(await post(`${apigw}/certificates`, form(next)))).toBe('200')
    expect(outcome(await post(`${apigw}/certificates`, form(next)))).toBe('200')
    emulator.setRules({ duplicateName: 'refuse' })
    expect(outcome(await post(`${apigw}/certificates`, form(next)))).toBe('400 APIG.3325')
  })
})

describe('listing certificates', () => {
  const list = (query: string) => get(`${apigw}/certificates?${query}`)

  it('insists on instance_id, and shows no serial number', async () => {
    expect(outcome(await get(`${apigw}/certificates`))).toBe('400 APIG.2001')
    const answer = await list(`instance_id=${APIG}`)
    expect(answer.body).toMatchObject({ size: 1, total: 1 })
    const first = (answer.body.certs as Record<string, unknown>[])[0]!
    expect(first).not.toHaveProperty('serial_number')
    expect(first).not.toHaveProperty('not_before')
    expect(first.create_time).toMatch(/\.\d{6}Z$/)
  })

  it('pages by 20 unless told otherwise, never more than 500, and puts odd numbers right', async () => {
    for (let n = 0; n < 24; n += 1) await create(next, { name: `cert_${n}` })
    const sizes = async (query: string) => (await list(`instance_id=${APIG}&${query}`)).body.size
    expect(await sizes('')).toBe(20)
    expect(await sizes('offset=20')).toBe(5)
    expect(await sizes('offset=-3&limit=7')).toBe(7)
    expect(await sizes('limit=0')).toBe(20)
    expect(await sizes('limit=-1')).toBe(20)
    expect(await sizes('limit=501')).toBe(25)
    expect(await sizes('offset=100')).toBe(0)
    expect(outcome(await list(`instance_id=${APIG}&limit=ten`))).toBe('400 APIG.2012')
    const pages = [
      await list(`instance_id=${APIG}&limit=13`),
      await list(`instance_id=${APIG}&limit=13&offset=13`),
    ]
    const ids = pages.flatMap((page) => (page.body.certs as { id: string }[]).map((one) => one.id))
    expect(new Set(ids).size).toBe(25)
  })

  it('filters names by a part of them, and by type', async () => {
    await create(next, { name: 'shop_one' })
    await create(next, { name: 'shop_one_more', type: 'instance', instance_id: APIG })
    const names = async (query: string) =>
      ((await list(`instance_id=${APIG}&${query}`)).body.certs as { name: string }[])
        .map((one) => one.name)
        .sort()
    expect(await names('name=shop_one')).toEqual(['shop_one', 'shop_one_more'])
    expect(await names('type=instance')).toEqual(['shop_one_more'])
    emulator.setRules({ nameFilter: 'exact' })
    expect(await names('name=shop_one')).toEqual(['shop_one'])
  })

  it('keeps the certificates of APIG and ROMA apart', async () => {
    await create(next)
    const answer = await get(`${apic}/certificates?instance_id=${ROMA}`)
    expect(answer.body.total).toBe(0)
  })
})

describe('binding', () => {
  const attach = (id: string, more = {}) =>
    post(`${domainPath}/certificates/attach`, { certificate_ids: [id], ...more })
  const detach = (id: string) => post(`${domainPath}/certificates/detach`, { certificate_ids: [id] })
  const bound = () => emulator.state().bindings.find((one) => one.host === 'api.example.com')!

  it('detaches and attaches with 204 and no body, and measures the gap between them', async () => {
    const id = await create(next)
    expect((await detach(old())).status).toBe(204)
    expect(emulator.state().domainsWithoutCertificate).toEqual([
      { host: 'api.example.com', instanceId: APIG },
    ])
    expect(emulator.state().gaps).toMatchObject([{ host: 'api.example.com', to: null, durationMs: null }])
    emulator.clock.advance(1500)
    const answer = await attach(id)
    expect([answer.status, answer.text]).toEqual([204, ''])
    expect(bound().certificates.map((one) => one.id)).toEqual([id])
    const [gap] = emulator.state().gaps
    expect(gap!.durationMs).toBeGreaterThanOrEqual(1500)
    expect(emulator.state().domainsWithoutCertificate).toEqual([])
  })

  it('refuses a second certificate of the same algorithm with 2051, or lets it replace the first by rule', async () => {
    const id = await create(next)
    expect(outcome(await attach(id))).toBe('400 APIG.2051')
    emulator.setRules({ attachOverOther: 'replace' })
    expect(outcome(await attach(id))).toBe('204')
    expect(bound().certificates.map((one) => one.id)).toEqual([id])
    expect(emulator.state().gaps).toEqual([])
  })

  it('keeps both by rule, serves the older until it is detached, and shows both', async () => {
    emulator.setRules({ attachOverOther: 'keep-both', visibilityDelayMs: 0 })
    const id = await create(next)
    expect(outcome(await attach(id))).toBe('204')
    expect(bound().certificates.map((one) => one.id)).toEqual([old(), id])
    const served = () => emulator.state().bindings[0]!.served.fingerprints
    expect(served()).toEqual([bound().certificates[0]!.fingerprint])
    // Again with another flag it is still one binding each.
    expect(outcome(await attach(id))).toBe('204')
    expect(bound().certificates).toHaveLength(2)
    expect(outcome(await detach(old()))).toBe('204')
    expect(bound().certificates.map((one) => one.id)).toEqual([id])
    expect(served()).toEqual([next.fingerprint])
    expect(emulator.state().gaps).toEqual([])
  })

  it('refuses what has expired, bound already or not, unless the rule accepts it', async () => {
    const ended = { names: ['api.example.com'], notBefore: '-90d', notAfter: '-1d' }
    await emulator.reset({ ...seed(), certificates: [{ ref: 'old', generate: ended }] })
    expect(outcome(await attach(old()))).toBe('400 APIG.2102')
    emulator.setRules({ attachExpired: 'accept' })
    expect(outcome(await attach(old()))).toBe('204')
  })

  it('refuses by rule what is attached already', async () => {
    emulator.setRules({ attachAgain: 'roma-refuses' })
    expect(outcome(await attach(old()))).toBe('204')
    emulator.setRules({ attachAgain: 'refuse' })
    expect(outcome(await attach(old()))).toBe('400 APIG.3309')
  })

  it('takes one certificate per algorithm, and shows ssl_id for RSA only', async () => {
    const group = async () =>
      (
        (await get(`${apigw}/instances/${APIG}/api-groups/${GROUP}`)).body.url_domains as Record<
          string,
          unknown
        >[]
      )[0]!
    expect(await group()).toMatchObject({
      domain: 'api.example.com',
      cname_status: 3,
      ssl_id: '',
      ssl_name: '',
    })
    const id = await create(rsa)
    expect(outcome(await attach(id))).toBe('204')
    const shown = await group()
    expect(shown).toMatchObject({ ssl_id: id, ssl_name: 'cert_demo' })
    expect(shown.ssl_infos).toMatchObject([
      { ssl_id: old(), algorithm_type: 'ECC', type: 2 },
      { ssl_id: id, algorithm_type: 'RSA', type: 2 },
    ])
  })

  it('succeeds for what is attached already, without an effect', async () => {
    emulator.clearCalls()
    expect(outcome(await attach(old()))).toBe('204')
    expect(emulator.calls()).toMatchObject([
      { route: 'apig.attachCertificate', mutating: true, effect: false, status: 204 },
    ])
  })

  it('wants exactly one id, names that exist, and a certificate that covers the domain', async () => {
    const base = `${apigw}/instances/${APIG}/api-groups`
    const body = { certificate_ids: [old()] }
    const unknown = 'f'.repeat(32)
    const empty = emulator.ready.seed.instances[0]!.groups[1]!.id
    const cases: [string, string, unknown][] = [
      ['400 APIG.2001', `${domainPath}/certificates/attach`, {}],
      ['400 APIG.2012', `${domainPath}/certificates/attach`, { certificate_ids: [] }],
      ['400 APIG.2012', `${domainPath}/certificates/attach`, { certificate_ids: [old(), old()] }],
      ['400 APIG.2012', `${domainPath}/certificates/attach`, { certificate_ids: 'x' }],
      [
        '404 APIG.3030',
        `${apigw}/instances/${ROMA}/api-groups/${GROUP}/domains/${DOMAIN}/certificates/attach`,
        body,
      ],
      ['400 APIG.2012', `${base}/${GROUP}/domains/short/certificates/attach`, body],
      ['404 APIG.3001', `${base}/${unknown}/domains/${DOMAIN}/certificates/attach`, body],
      ['404 APIG.3020', `${base}/${GROUP}/domains/${unknown}/certificates/attach`, body],
      ['403 APIG.3474', `${base}/${empty}/domains/${DOMAIN}/certificates/attach`, body],
      ['404 APIG.3021', `${domainPath}/certificates/attach`, { certificate_ids: [unknown] }],
    ]
    for (const [expected, path, wanted] of cases)
      expect(outcome(await post(path, wanted)), path).toBe(expected)
    const foreign = await create(await issue(['other.example.com'], 'RSA-2048'))
    expect(outcome(await attach(foreign))).toBe('400 APIG.2103')
    // The wildcard is one label deep, and the common name does not count.
    const commonNameOnly = await create(
      await issue(['x.example.org'], 'RSA-2048', { commonName: 'api.example.com' }),
    )
    expect(outcome(await attach(commonNameOnly))).toBe('400 APIG.2103')
    const deep = await create(await issue(['*.com', '*.a.example.com'], 'RSA-2048'))
    expect(outcome(await attach(deep))).toBe('400 APIG.2103')
  })

  it('answers a detach of what is not bound with 3097, or 2000 by rule', async () => {
    const id = await create(next)
    expect(outcome(await detach(id))).toBe('404 APIG.3097')
    emulator.setRules({ detachUnbound: 'bad-request' })
    expect(outcome(await detach(id))).toBe('400 APIG.2000')
  })

  it('binds an instance certificate on its own instance only', async () => {
    await emulator.reset(
      seed({
        instances: [
          ...seed().instances!,
          {
            flavour: 'apig',
            id: '00000000-0000-4000-8000-000000000002',
            groups: [{ domains: [{ host: 'api.example.com' }] }],
          },
        ],
      }),
    )
    const second = emulator.ready.seed.instances[2]!
    const id = await create(next, { type: 'instance', instance_id: APIG })
    const path = `${apigw}/instances/${second.id}/api-groups/${second.groups[0]!.id}/domains/${second.groups[0]!.domains[0]!.id}`
    expect(outcome(await post(`${path}/certificates/attach`, { certificate_ids: [id] }))).toBe(
      '403 APIG.1115',
    )
  })

  it('refuses to delete a bound certificate and forgets an unbound one', async () => {
    expect(outcome(await remove(`${apigw}/certificates/${old()}`))).toBe('400 APIG.2000')
    await detach(old())
    expect(outcome(await remove(`${apigw}/certificates/${old()}`))).toBe('204')
    expect(outcome(await get(`${apigw}/certificates/${old()}`))).toBe('404 APIG.3021')
    expect(outcome(await get(`${apigw}/certificates/not-an-id`))).toBe('400 APIG.2012')
  })

  it('binds and unbinds by name, and lists attached domains with the last five fields empty', async () => {
    const id = await create(rsa)
    const path = `${apigw}/certificates/${id}`
    expect(
      outcome(
        await post(`${path}/domains/attach`, {
          domains: [{ domain: 'api.example.com' }, { domain: 'nobody.example.com' }],
        }),
      ),
    ).toBe('204')
    const listed = await get(`${path}/attached-domains`)
    expect(listed.body).toMatchObject({ size: 1, total: 1 })
    expect((listed.body.bound_domains as unknown[])[0]).toEqual({
      url_domain: 'api.example.com',
      id: DOMAIN,
      status: 3,
      min_ssl_version: 'TLSv1.1',
      api_group_id: GROUP,
      api_group_name: 'shop',
      instance_id: APIG,
      verified_client_certificate_enabled: false,
      is_http_redirect_to_https: false,
      ingress_http_port: 0,
      ingress_https_port: 0,
      ssl_id: '',
      ssl_name: '',
    })
    expect(outcome(await post(`${path}/domains/detach`, { domains: [{ domain: 'api.example.com' }] }))).toBe(
      '204',
    )
    const again = await post(`${path}/domains/detach`, { domains: [{ domain: 'api.example.com' }] })
    expect([outcome(again), again.body.error_msg]).toEqual(['400 APIG.2000', 'no valid domain name'])
  })

  it('adds a certificate in one call with 201, and the older calls show and remove it', async () => {
    const answer = await post(`${domainPath}/certificate`, form(rsa))
    expect(answer.status).toBe(201)
    expect(answer.body).toMatchObject({
      url_domain: 'api.example.com',
      id: DOMAIN,
      status: 3,
      ssl_name: 'cert_demo',
    })
    const id = String(answer.body.ssl_id)
    expect(outcome(await post(`${domainPath}/certificate`, form(next)))).toBe('400 APIG.2051')
    const shown = await get(`${domainPath}/certificate/${id}`)
    expect(shown.body).toMatchObject({ id, serial_number: BigInt(`0x${rsa.serial}`).toString() })
    expect(shown.body).not.toHaveProperty('algorithm_type')
    expect(outcome(await remove(`${domainPath}/certificate/${id}`))).toBe('204')
    expect(outcome(await get(`${apigw}/certificates/${id}`))).toBe('404 APIG.3021')
  })
})

describe('updating in place', () => {
  it('keeps id and bindings, and shows the new serial number', async () => {
    const answer = await put(`${apigw}/certificates/${old()}`, form(next, { name: 'cert_renewed' }))
    expect(answer.status).toBe(200)
    expect(answer.body).toMatchObject({
      id: old(),
      name: 'cert_renewed',
      serial_number: BigInt(`0x${next.serial}`).toString(),
    })
    const [binding] = emulator.state().bindings
    expect(binding!.certificates).toMatchObject([{ id: old(), fingerprint: next.fingerprint }])
    expect(emulator.state().gaps).toEqual([])
  })

  it('refuses another scope, and names that miss a bound domain', async () => {
    expect(
      outcome(
        await put(`${apigw}/certificates/${old()}`, form(next, { type: 'instance', instance_id: APIG })),
      ),
    ).toBe('400 APIG.2012')
    const other = await issue(['other.example.com'])
    expect(outcome(await put(`${apigw}/certificates/${old()}`, form(other)))).toBe('400 APIG.2103')
    emulator.setRules({ updateNotCovering: 'accept' })
    expect(outcome(await put(`${apigw}/certificates/${old()}`, form(other)))).toBe('200')
    expect(outcome(await put(`${apigw}/certificates/${'f'.repeat(32)}`, form(other)))).toBe('404 APIG.3021')
  })
})

describe('client verification', () => {
  const flag = () => emulator.state().bindings[0]!.clientVerification
  const scoped = { type: 'instance', instance_id: APIG }

  it('is on after an attach with a CA unless told otherwise, and off after a PUT that adds one', async () => {
    const ca = emulator.root.certificatePem
    const detached = await post(`${domainPath}/certificates/detach`, { certificate_ids: [old()] })
    expect(detached.status).toBe(204)
    const id = await create(next, { ...scoped, trusted_root_ca: ca })
    await post(`${domainPath}/certificates/attach`, { certificate_ids: [id] })
    expect(flag()).toBe(true)
    await post(`${domainPath}/certificates/attach`, {
      certificate_ids: [id],
      verified_client_certificate_enabled: false,
    })
    expect(flag()).toBe(false)
    await post(`${domainPath}/certificates/attach`, {
      certificate_ids: [id],
      verified_client_certificate_enabled: true,
    })
    expect(flag()).toBe(true)
    // Left out, the CA is dropped by default, and the flag goes with it.
    const without = await put(`${apigw}/certificates/${id}`, form(next, scoped))
    expect(without.body.is_has_trusted_root_ca).toBe(false)
    expect(flag()).toBe(false)
    await put(`${apigw}/certificates/${id}`, form(next, { ...scoped, trusted_root_ca: ca }))
    expect(flag()).toBe(false)
  })

  it('cannot be asked for with a certificate that has no CA', async () => {
    const body = { certificate_ids: [old()], verified_client_certificate_enabled: true }
    expect(outcome(await post(`${domainPath}/certificates/attach`, body))).toBe('400 APIG.2012')
    emulator.setRules({ verificationWithoutCa: 'ignore' })
    expect(outcome(await post(`${domainPath}/certificates/attach`, body))).toBe('204')
    expect(flag()).toBe(false)
  })
})

describe('domains, groups and instances', () => {
  it('takes five domains per group and no name twice', async () => {
    const path = `${apigw}/instances/${APIG}/api-groups/${GROUP}/domains`
    for (const n of [1, 2, 3, 4])
      expect((await post(path, { url_domain: `d${n}.example.com` })).status).toBe(201)
    expect(outcome(await post(path, { url_domain: 'd5.example.com' }))).toBe('403 APIG.3108')
    expect(outcome(await post(path, { url_domain: 'API.example.com' }))).toBe('400 APIG.3305')
    expect(outcome(await post(path, { url_domain: 'not a host' }))).toBe('400 APIG.2024')
    expect(outcome(await put(domainPath, { min_ssl_version: 'TLSv1.3' }))).toBe('400 APIG.2012')
    expect((await put(domainPath, { min_ssl_version: 'TLSv1.2' })).status).toBe(201)
    expect(outcome(await remove(domainPath))).toBe('204')
    expect(outcome(await remove(domainPath))).toBe('404 APIG.3020')
  })

  it('shows APIG and ROMA in their own words', async () => {
    await emulator.reset(
      seed({
        instances: [
          {
            flavour: 'roma',
            id: ROMA,
            name: 'integration',
            groups: [{ id: GROUP, name: 'erp', domains: [{ host: 'api.example.com', certificate: 'old' }] }],
          },
        ],
      }),
    )
    const instances = (await get(`/v2/${PROJECT}/instances`)).body.instances as Record<string, unknown>[]
    expect(instances).toMatchObject([{ id: ROMA, name: 'integration' }])
    expect(instances[0]).not.toHaveProperty('instance_name')
    expect((await get(`${apigw}/instances`)).body.total).toBe(0)
    const groups = (await get(`${apic}/instances/${ROMA}/api-groups?name=er`)).body.groups as Record<
      string,
      unknown
    >[]
    const [domain] = groups[0]!.url_domains as Record<string, unknown>[]
    expect(domain).toMatchObject({ domain: 'api.example.com', ssl_id: old(), ssl_name: 'cert_old' })
    expect(domain).not.toHaveProperty('ssl_infos')
    emulator.setRules({ sslInfosInRoma: 'filled' })
    const filled = (await get(`${apic}/instances/${ROMA}/api-groups/${GROUP}`)).body.url_domains as Record<
      string,
      unknown
    >[]
    expect(filled[0]!.ssl_infos).toMatchObject([{ ssl_id: old(), type: 'global' }])
    expect(
      (
        (await get(`${apic}/instances/${ROMA}/api-groups?name=er&precise_search=name`)).body
          .groups as unknown[]
      ).length,
    ).toBe(0)
  })

  it('shows APIG instances with instance_name', async () => {
    const answer = await get(`${apigw}/instances`)
    expect(answer.body).toMatchObject({
      size: 1,
      total: 1,
      instances: [{ id: APIG, instance_name: 'apig-emulator', status: 'Running', instance_status: 6 }],
    })
    expect(outcome(await get(`${apigw}/instances/${APIG}c`))).toBe('404 APIG.3030')
    expect(outcome(await get('/v2/x/nothing'))).toBe('404 APIGW.0101')
  })
})
