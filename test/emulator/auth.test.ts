import { createHash, createHmac } from 'node:crypto'
import { createRequire } from 'node:module'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { canonicalRequests, signatureOf, verifySignature } from '../../emulator/signature.ts'
import { APIG, apigw, call, KEY, outcome, PROJECT, seed, TOKEN } from './support.ts'

// The official signer is CommonJS without types for this entry.
const require = createRequire(import.meta.url)
const { AKSKSigner } = require('@huaweicloud/huaweicloud-sdk-core/auth/AKSKSigner.js') as {
  AKSKSigner: { sign(request: object, credential: object): Record<string, string> }
}

const PID = PROJECT
const AK = 'EXAMPLEAK00000000001'
const SK = 'ExampleSecretKeyForTestVectorsOnly0000001'
const DATE = '20260115T103000Z'
const CERT = 'a27be832f2e9441c8127fe48e3b5ac67'
const B2 =
  '{"domains":[{"domain":"api.example.com","instance_ids":["f0fa1789-3b76-433b-a787-9892951c620e"],"verified_client_certificate_enabled":false}]}'
const B3 =
  '{"name":"cert_demo_é中","cert_content":"-----BEGIN CERTIFICATE-----\\nMIIB\\n-----END CERTIFICATE-----\\n","private_key":"-----BEGIN PRIVATE KEY-----\\nMIIE\\n-----END PRIVATE KEY-----\\n"}'
const JSON_TYPE = { 'content-type': 'application/json' }

/** Published vectors: name, method, host, path and query, headers besides the usual, body, digest, signature. */
const vectors: [string, string, string, string, Record<string, string>, string, string, string][] = [
  [
    'V1',
    'GET',
    'apig.eu-west-101.myhuaweicloud.eu',
    `/v2/${PID}/apigw/certificates?instance_id=${APIG}&limit=500&offset=0`,
    JSON_TYPE,
    '',
    '99dfb34249384177064bf8f31e2d68653c869e515dccb14e2eafeeea183af7ab',
    '5792c2d1e95b77e4feb6d8d9b50bb1ba5e058c212ad7c8a2b6f0bd5d6a5c38ac',
  ],
  [
    'V2',
    'POST',
    'apig.eu-de.otc.t-systems.com',
    `/v2/${PID}/apigw/certificates/${CERT}/domains/attach`,
    { ...JSON_TYPE, 'x-security-token': 'EXAMPLE/SECURITY+TOKEN==' },
    B2,
    '46bc01f44fbcc30e1bef6ab2ae1928158516193335c77e078cb858f5a4fb1dd8',
    'd1d72caaf832cc4b247ec2d57dd63b0c509917a433d165212e20dcefce328c87',
  ],
  [
    'V3',
    'PUT',
    'apig.cn-north-4.myhuaweicloud.com',
    `/v2/${PID}/apigw/certificates/${CERT}`,
    JSON_TYPE,
    B3,
    '9fdec9fb22ec29bcbf19570c2e8d13dbb4b62bc8aae294735e2ea35393aaf211',
    '976b4dffe334e81fde0882acb7c4f169469f276ec013614055e66abe1c2da9f8',
  ],
  [
    'V4',
    'DELETE',
    'apig.cn-north-4.myhuaweicloud.com',
    `/v2/${PID}/apigw/certificates/${CERT}`,
    JSON_TYPE,
    '',
    '914c0f6c113b029d3256b4f586acf6a18986c30be9bd1400336bfb1b6e3eebe3',
    '48c52c3de0833a67841e94037c276d2a5a074617bcd83385b2a5b3996e0a629d',
  ],
  [
    'V5',
    'GET',
    'dns.myhuaweicloud.com',
    '/v2.1/zones/abc/recordsets?z=%C3%BC*~&status=B&status=A&tags=k,v%7Cx%20y&name=_acme-challenge.example.com.',
    JSON_TYPE,
    '',
    '0ec01cfd8950dbc36004a2b358e1ae22a3969dac37e0185223240f336b2a9f12',
    'e1e2198b545c9ac4aee769bac794771d8d6490fb064d08c453025ea5dbd29493',
  ],
  [
    'V6',
    'POST',
    'functiongraph.cn-north-4.myhuaweicloud.com',
    `/v2/${PID}/upload`,
    { 'x-sdk-content-sha256': 'UNSIGNED-PAYLOAD' },
    'anything',
    '5d47d4dd75d302c4df5a4659bbe701d8eb58f702c2396589e12804e62aa2621d',
    'd39be722e4019a2a4547f0f1163101fa0a993ce3f6990ff35e0741d3687c03a9',
  ],
  [
    'V7',
    'GET',
    'iam.myhuaweicloud.com',
    '/v3/projects?name=eu-west-101',
    {},
    '',
    'ae16481f6c5cdb41105f11e233a3d94fde41c91bff78d13815a12c596d330a4e',
    '7cda14265efeadef5a4c72ad17742923f9a154104edfd2c939768891c608083d',
  ],
  [
    'V8',
    'GET',
    'example.com',
    '/a/b%20c/',
    JSON_TYPE,
    '',
    'eb5d28340df9d00eefbe34b3ff57a6344080f14754fcb50fcd2a2b64be09e699',
    'b04b01715662ad2b777cf4fd5acbbd6042ba0afc2e56a78bddeb5f18b824e465',
  ],
  [
    'V9',
    'POST',
    'smn.eu-de.otc.t-systems.com',
    `/v2/${PID}/notifications/topics/urn:smn:eu-de:${PID}:cert-alerts/publish`,
    JSON_TYPE,
    '{"subject":"rotation failed","message":"api.example.com"}',
    'e73c739ad893afb6875e16764a0afabb4498d8bd881d92c9eaae32f6337498cc',
    '5c4e1750fed1c333b07084c71a77b90aaec3253872408f4a06cd37409817d314',
  ],
]

let emulator: Emulator
beforeAll(async () => {
  emulator = await startEmulator({ seed: seed() })
})
afterAll(() => emulator.close())

describe('the verifier of signatures', () => {
  it.each(vectors)(
    'reproduces the published vector %s',
    (_name, method, host, url, more, text, digest, signature) => {
      const headers = { host, 'x-project-id': PID, 'x-sdk-date': DATE, ...more }
      const signedHeaders = Object.keys(headers).sort()
      const request = { method, url, headers, body: Buffer.from(text) }
      const hashes = canonicalRequests(request, signedHeaders).map((one) =>
        createHash('sha256').update(one).digest('hex'),
      )
      expect(hashes).toContain(digest)
      expect(canonicalRequests(request, signedHeaders).map((one) => signatureOf(one, DATE, SK))).toContain(
        signature,
      )
      const parts = { accessKeyId: AK, signedHeaders, signature }
      expect(verifySignature(request, parts, SK)).toBe(true)
      expect(verifySignature(request, parts, `${SK}x`)).toBe(false)
      expect(verifySignature({ ...request, method: 'PATCH' }, parts, SK)).toBe(false)
    },
  )

  it('wants host and date among the signed headers, sorted names, and an honest payload digest', () => {
    const headers: Record<string, string> = {
      host: 'a.example',
      'x-sdk-date': DATE,
      'content-type': 'application/json',
    }
    const sign = (names: string[], more: Record<string, string> = {}) => {
      const request = { method: 'POST', url: '/x', headers: { ...headers, ...more }, body: Buffer.from('{}') }
      const signature = signatureOf(canonicalRequests(request, names)[0]!, DATE, SK)
      return verifySignature(request, { accessKeyId: AK, signedHeaders: names, signature }, SK)
    }
    expect(sign(['host', 'x-sdk-date'])).toBe(true)
    expect(sign(['x-sdk-date'])).toBe(false)
    expect(sign(['host'])).toBe(false)
    expect(sign(['x-sdk-date', 'host'])).toBe(false)
    expect(sign(['host', 'x-missing', 'x-sdk-date'])).toBe(false)
    const unsigned = { 'x-sdk-content-sha256': 'UNSIGNED-PAYLOAD' }
    expect(sign(['host', 'x-sdk-content-sha256', 'x-sdk-date'], unsigned)).toBe(false)
    expect(sign(['host', 'x-sdk-date'], unsigned)).toBe(false)
  })
})

describe('requests signed by the official signer', () => {
  const path = `${apigw}/certificates`
  interface Change {
    secret?: string
    id?: string
    /** How far the signer's clock is ahead when it signs. */
    aheadMs?: number
    body?: string
    sent?: string
    token?: string
    query?: Record<string, unknown>
  }

  async function send(method: string, target: string, change: Change = {}) {
    const at = new Date(emulator.clock.now().getTime() + (change.aheadMs ?? 0))
    const headers: Record<string, string> = {
      'content-type': 'application/json',
      'X-Project-Id': PROJECT,
      'X-Sdk-Date': at.toISOString().replace(/[-:]|\.\d+/g, ''),
      ...(change.token === undefined ? {} : { 'X-Security-Token': change.token }),
    }
    const signed = AKSKSigner.sign(
      {
        method,
        endpoint: emulator.url + target,
        headers,
        queryParams: change.query ?? {},
        data: change.body === undefined ? undefined : JSON.parse(change.body),
      },
      { getAk: () => change.id ?? KEY.id, getSk: () => change.secret ?? KEY.secret },
    )
    const { host, ...sendable } = signed
    const query = new URLSearchParams(change.query as Record<string, string>)
      .toString()
      .replaceAll('+', '%20')
    return call(
      emulator,
      method,
      target + (query === '' ? '' : `?${query}`),
      change.sent ?? change.body,
      sendable,
    )
  }

  beforeEach(() => emulator.reset(seed()))

  it('are accepted, with query, body and a path that holds colons', async () => {
    expect(
      outcome(await send('GET', path, { query: { instance_id: APIG, limit: '10', name: 'a b*~' } })),
    ).toBe('200')
    const topic = await send('POST', `/v2/${PROJECT}/notifications/topics`, { body: '{"name":"alerts"}' })
    expect(outcome(topic)).toBe('201')
    const urn = String(topic.body.topic_urn)
    const body = '{"subject":"rotation failed","message":"äpi"}'
    expect(outcome(await send('POST', `/v2/${PROJECT}/notifications/topics/${urn}/publish`, { body }))).toBe(
      '200',
    )
  })

  it.each<[string, Change]>([
    ['a wrong secret', { secret: 'x' }],
    ['an unknown key', { id: 'NOBODY' }],
    ['a changed body', { body: '{"name":"alerts"}', sent: '{"name":"alerts2"}' }],
    ['a date more than 15 minutes old', { body: '{"name":"alerts"}', aheadMs: -15 * 60_000 - 5_000 }],
    ['a date more than 15 minutes ahead', { body: '{"name":"alerts"}', aheadMs: 15 * 60_000 + 60_000 }],
    [
      'a token that the key does not have',
      { body: '{"name":"alerts"}', id: 'TEMPORARY', secret: 'temporary', token: 'other' },
    ],
    [
      'no token where the key is temporary',
      { body: '{"name":"alerts"}', id: 'TEMPORARY', secret: 'temporary' },
    ],
  ])('are refused as the front gateway does with %s', async (_name, change) => {
    const accessKeys = [
      KEY,
      { id: 'TEMPORARY', secret: 'temporary', securityToken: 'session', expiresAt: '+1h' },
    ]
    await emulator.reset(seed({ accessKeys }))
    // The same request without the fault is taken; otherwise the refusal would say nothing.
    const sound = { ...change, secret: change.id === 'TEMPORARY' ? 'temporary' : KEY.secret, aheadMs: 0 }
    const token = change.id === 'TEMPORARY' ? { token: 'session' } : {}
    const id = change.id === 'TEMPORARY' ? 'TEMPORARY' : KEY.id
    const { sent, ...honest } = sound
    const taken = await send('GET', `/v2/${PROJECT}/apigw/instances`, {
      aheadMs: sound.aheadMs,
      secret: sound.secret,
      id,
      ...token,
    })
    expect(outcome(taken)).toBe('200')
    const created = await send('POST', `/v2/${PROJECT}/notifications/topics`, {
      ...honest,
      body: '{"name":"sound"}',
      id,
      ...token,
    })
    expect(outcome(created)).toBe('201')
    const answer = await send('POST', `/v2/${PROJECT}/notifications/topics`, {
      body: '{"name":"a"}',
      ...change,
    })
    expect(answer.status).toBe(401)
    expect(answer.body).toMatchObject({
      error_code: 'APIGW.0301',
      error_msg: 'Incorrect IAM authentication information: verify aksk signature fail',
    })
    expect(answer.body.request_id).toMatch(/^[0-9a-f]{32}$/)
    expect(emulator.state().topics).toHaveLength(1)
  })

  it('are accepted just inside the tolerated 15 minutes, and by the emulator clock', async () => {
    const query = { instance_id: APIG }
    expect(outcome(await send('GET', path, { query, aheadMs: -14 * 60_000 }))).toBe('200')
    emulator.clock.advance(3_600_000)
    expect(outcome(await send('GET', path, { query, aheadMs: -3_600_000 }))).toBe('401 APIGW.0301')
    expect(outcome(await send('GET', path, { query }))).toBe('200')
    emulator.clock.advance(-3_600_000)
  })

  it('carry their security token while the key is temporary, until it ends', async () => {
    await emulator.reset(
      seed({
        accessKeys: [{ id: 'TEMPORARY', secret: 'temporary', securityToken: 'session', expiresAt: '+10m' }],
      }),
    )
    const change = { query: { instance_id: APIG }, id: 'TEMPORARY', secret: 'temporary', token: 'session' }
    expect(outcome(await send('GET', path, change))).toBe('200')
    emulator.clock.advance(10 * 60_000)
    expect(outcome(await send('GET', path, change))).toBe('401 APIGW.0301')
    emulator.clock.advance(-10 * 60_000)
  })

  it('agree with a signer of three lines', async () => {
    const date = new Date().toISOString().replace(/[-:]|\.\d+/g, '')
    const host = emulator.url.replace('http://', '')
    const empty = createHash('sha256').update('').digest('hex')
    const canonical = `GET\n/v2/${PROJECT}/apigw/instances/\n\nhost:${host}\nx-sdk-date:${date}\n\nhost;x-sdk-date\n${empty}`
    const text = `SDK-HMAC-SHA256\n${date}\n${createHash('sha256').update(canonical).digest('hex')}`
    const signature = createHmac('sha256', KEY.secret).update(text).digest('hex')
    const authorization = `SDK-HMAC-SHA256 Access=${KEY.id}, SignedHeaders=host;x-sdk-date, Signature=${signature}`
    const answer = await call(emulator, 'GET', `${apigw}/instances`, undefined, {
      'x-sdk-date': date,
      authorization,
    })
    expect(outcome(answer)).toBe('200')
  })
})

describe('tokens', () => {
  const login = (password: string, scope: unknown = { project: { name: 'eu-de' } }, query = '') =>
    call(
      emulator,
      'POST',
      `/v3/auth/tokens${query}`,
      {
        auth: {
          identity: {
            methods: ['password'],
            password: { user: { name: 'emulator', password, domain: { name: 'emulator' } } },
          },
          scope,
        },
      },
      {},
    )
  const list = (token: string) =>
    call(emulator, 'GET', `${apigw}/certificates?instance_id=${APIG}`, undefined, { 'x-auth-token': token })

  beforeEach(() => emulator.reset(seed()))

  it('come in X-Subject-Token with 201 and open the services until they end', async () => {
    const answer = await login('emulator', undefined, '?nocatalog=1')
    expect(answer.status).toBe(201)
    const token = answer.headers.get('x-subject-token')!
    expect(answer.body.token).toMatchObject({
      methods: ['password'],
      project: { id: PROJECT, name: 'eu-de' },
    })
    expect(answer.body.token).not.toHaveProperty('catalog')
    const { expires_at, issued_at } = answer.body.token as Record<string, string>
    expect(expires_at).toMatch(/T\d\d:\d\d:\d\d\.\d{6}Z$/)
    expect(Date.parse(expires_at!) - Date.parse(issued_at!)).toBe(24 * 3_600_000)
    expect(outcome(await list(token))).toBe('200')
    emulator.clock.advance(24 * 3_600_000)
    expect(outcome(await list(token))).toBe('401 APIG.1001')
    emulator.clock.advance(-24 * 3_600_000)
  })

  it('are refused in the words of each service', async () => {
    const wrong = await login('wrong')
    expect([wrong.status, wrong.body]).toEqual([
      401,
      { error: { code: 401, message: 'The username or password is wrong.', title: 'Unauthorized' } },
    ])
    expect(outcome(await list('nonsense'))).toBe('401 APIG.1002')
    const scm = (token: string) =>
      call(emulator, 'GET', '/v3/scm/certificates', undefined, { 'x-auth-token': token })
    expect(outcome(await scm('nonsense'))).toBe('401 APIGW.0301')
    emulator.expireTokens()
    expect(outcome(await scm(TOKEN))).toBe('401 APIGW.0307')
    const projects = await call(emulator, 'GET', '/v3/projects?name=eu-de', undefined, {
      'x-auth-token': 'nonsense',
    })
    expect([projects.status, (projects.body.error as { title: string }).title]).toEqual([401, 'Unauthorized'])
  })

  it('are bound to their scope', async () => {
    const domainToken = (await login('emulator', { domain: { name: 'emulator' } })).headers.get(
      'x-subject-token',
    )!
    expect(outcome(await list(domainToken))).toBe('401 APIG.1003')
    expect((await login('emulator', { project: { name: 'elsewhere' } })).status).toBe(401)
    const elsewhere = `/v2/${'f'.repeat(32)}/apigw/certificates?instance_id=${APIG}`
    expect(outcome(await call(emulator, 'GET', elsewhere))).toBe('403 APIG.1020')
  })

  it('are refused with 400 where the request is not one', async () => {
    for (const body of [{}, { auth: {} }, { auth: { identity: { methods: ['totp'] } } }]) {
      expect((await call(emulator, 'POST', '/v3/auth/tokens', body, {})).status).toBe(400)
    }
  })

  it('find the project by name', async () => {
    const answer = await call(emulator, 'GET', '/v3/projects?name=eu-de')
    expect(answer.body.projects).toMatchObject([{ id: PROJECT, name: 'eu-de', enabled: true }])
    expect((await call(emulator, 'GET', '/v3/projects?name=nowhere')).body.projects).toEqual([])
  })
})

describe('permissions', () => {
  const attempt = async (actions: string[], method: string, path: string, body?: unknown) => {
    await emulator.reset(seed({ region: 'cn-north-4', tokens: [{ token: TOKEN, actions }] }))
    return outcome(await call(emulator, method, path, body))
  }

  it('are judged before anything else about the request, dependencies included', async () => {
    const list = `${apigw}/certificates?instance_id=nowhere`
    expect(await attempt([], 'GET', list)).toBe('403 APIG.1005')
    expect(await attempt(['apig:certificate:list'], 'GET', list)).toBe('404 APIG.3030')
    expect(await attempt(['apig:certificate:*'], 'GET', list)).toBe('404 APIG.3030')
    expect(await attempt(['apig:certificate:create'], 'POST', `${apigw}/certificates`, {})).toBe(
      '403 APIG.1005',
    )
    const both = ['apig:certificate:create', 'apig:instances:get']
    expect(await attempt(both, 'POST', `${apigw}/certificates`, {})).toBe('400 APIG.2001')
    expect(await attempt(['apig:*'], 'GET', '/v3/scm/certificates')).toBe('403 SCM.0003')
  })

  it('are those of the cloud that the region belongs to: Open Telekom Cloud has no action for certificates', async () => {
    const tokens = (actions: string[]) => ({ region: 'eu-de', tokens: [{ token: TOKEN, actions }] })
    const list = `${apigw}/certificates?instance_id=nowhere`
    await emulator.reset(seed(tokens([])))
    expect(outcome(await call(emulator, 'GET', list))).toBe('404 APIG.3030')
    const attach = `${apigw}/instances/${APIG}/api-groups/${'a'.repeat(32)}/domains/${'b'.repeat(32)}/certificates/attach`
    const binding = ['apig:domains:bindCertificate', 'apig:instances:get', 'apig:groups:get']
    await emulator.reset(seed(tokens(binding)))
    expect(outcome(await call(emulator, 'POST', attach, {}))).toBe('403 APIG.1005')
    await emulator.reset(seed(tokens([...binding, 'apig:domains:get'])))
    expect(outcome(await call(emulator, 'POST', attach, {}))).not.toMatch(/^403/)
    expect(outcome(await call(emulator, 'GET', '/v3/projects'))).toMatch(/^403/)
    await emulator.reset(seed(tokens(['iam:projects:listProjectsForUser'])))
    expect(outcome(await call(emulator, 'GET', '/v3/projects'))).toMatch(/^200/)
  })

  it('are recorded as actions in the log of calls, which has no bodies and no credentials', async () => {
    await emulator.reset(seed({ region: 'cn-north-4' }))
    await call(emulator, 'GET', `${apigw}/certificates?instance_id=${APIG}`)
    const calls = (await call(emulator, 'GET', '/__emulator/calls')).body.calls as Record<string, unknown>[]
    expect(calls).toHaveLength(1)
    expect(calls[0]).toMatchObject({
      sequence: expect.any(Number),
      service: 'apig',
      route: 'apig.listCertificates',
      method: 'GET',
      path: `${apigw}/certificates`,
      query: `instance_id=${APIG}`,
      status: 200,
      errorCode: null,
      mutating: false,
      effect: false,
      action: 'apig:certificate:list',
    })
    expect(JSON.stringify(calls)).not.toContain(TOKEN)
  })
})
