import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import {
  accessKeyCredentials,
  agencyCredentials,
  findProjectId,
  noCredentials,
  passwordCredentials,
  tokenCredentials,
} from '../../shared/http/auth.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import type { Loopback, Recorded, Seen } from './loopback.ts'
import { startLoopback, steppingClock } from './loopback.ts'

const dispatcher = createDispatcher()
afterAll(() => dispatcher.destroy())
let iam: Loopback | undefined
afterEach(async () => {
  await iam?.close()
  iam = undefined
})

const request = { method: 'GET', url: new URL('https://apig.example/v2/p'), headers: {} }

/** Issues `token-1`, `token-2`, … that live as long as said, by the handed-in clock. */
async function startIam(
  clock: ReturnType<typeof steppingClock>,
  lifeMs: number,
  fault?: () => Recorded | undefined,
) {
  let issued = 0
  iam = await startLoopback(
    () =>
      fault?.() ?? {
        status: 201,
        headers: { 'X-Subject-Token': `token-${++issued}` },
        body: {
          token: {
            // Microseconds, as IAM writes them.
            expires_at: new Date(clock.now().getTime() + lifeMs).toISOString().replace('Z', '000Z'),
            methods: ['password'],
          },
        },
      },
  )
  return iam
}

function password(endpoint: string, clock: ReturnType<typeof steppingClock>) {
  return passwordCredentials({
    endpoint,
    domain: 'acme-account',
    user: 'deploy',
    password: new Secret('hunter2'),
    project: { name: 'eu-de' },
    clock,
    timeoutMs: 2_000,
    dispatcher,
    random: () => 0,
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

describe('a token by password', () => {
  it('is asked for as the IAM page says and taken from X-Subject-Token', async () => {
    const clock = steppingClock()
    const { url, seen } = await startIam(clock, 86_400_000)
    expect(await password(url, clock).headersFor(request)).toEqual({ 'X-Auth-Token': 'token-1' })
    expect(seen[0]).toMatchObject({
      method: 'POST',
      path: '/v3/auth/tokens',
      headers: { 'content-type': 'application/json;charset=utf8' },
      body: {
        auth: {
          identity: {
            methods: ['password'],
            password: { user: { name: 'deploy', password: 'hunter2', domain: { name: 'acme-account' } } },
          },
          scope: { project: { name: 'eu-de' } },
        },
      },
    })
    expect(seen[0]?.query.get('nocatalog')).toBeTruthy()
  })

  it('is kept, fetched once for callers at the same time, and renewed before it ends', async () => {
    const clock = steppingClock()
    const { url, seen } = await startIam(clock, 24 * 3_600_000)
    const credentials = password(url, clock)
    const all = await Promise.all(Array.from({ length: 20 }, () => credentials.headersFor(request)))
    expect(new Set(all.map((headers) => headers['X-Auth-Token']))).toEqual(new Set(['token-1']))
    clock.advance(24 * 3_600_000 - 10 * 60_000 - 1)
    expect(await credentials.headersFor(request)).toEqual({ 'X-Auth-Token': 'token-1' })
    clock.advance(1)
    expect(await credentials.headersFor(request)).toEqual({ 'X-Auth-Token': 'token-2' })
    expect(seen).toHaveLength(2)
  })

  it('is renewed once when a service rejects it, however many calls were rejected', async () => {
    const clock = steppingClock()
    const { url, seen } = await startIam(clock, 86_400_000)
    const credentials = password(url, clock)
    const rejected = await credentials.headersFor(request)
    await Promise.all(
      Array.from({ length: 10 }, async () => {
        expect(credentials.refresh?.(rejected)).toBe(true)
        expect(await credentials.headersFor(request)).toEqual({ 'X-Auth-Token': 'token-2' })
      }),
    )
    // One that was rejected before the renewal, but says so only now.
    expect(credentials.refresh?.(rejected)).toBe(true)
    expect(await credentials.headersFor(request)).toEqual({ 'X-Auth-Token': 'token-2' })
    expect(seen).toHaveLength(2)
  })

  it('goes on with a token that still lives while IAM is down', async () => {
    const clock = steppingClock()
    let down = false
    const { url } = await startIam(clock, 3_600_000, () => (down ? { status: 503, body: {} } : undefined))
    const credentials = password(url, clock)
    await credentials.headersFor(request)
    down = true
    clock.advance(3_600_000 - 5 * 60_000)
    expect(await credentials.headersFor(request)).toEqual({ 'X-Auth-Token': 'token-1' })
    clock.advance(5 * 60_000)
    expect((await failureOf(credentials.headersFor(request))).code).toBe('iam.unavailable')
  })

  it('says what to check when user or password are wrong, without either secret', async () => {
    const clock = steppingClock()
    const { url } = await startIam(clock, 1, () => ({
      status: 401,
      body: { error: { code: 401, message: 'The password hunter2 is wrong.', title: 'Unauthorized' } },
    }))
    const failure = await failureOf(password(url, clock).headersFor(request))
    expect(failure).toMatchObject({ code: 'iam.unauthorized', kind: 'later' })
    expect(failure.next).toContain('cloud.auth.password')
    expect(failure.message).toContain('The password [secret] is wrong.')
  })

  it.each([
    [
      'no token header',
      { status: 201, body: { token: { expires_at: '2027-01-01T00:00:00Z' } } },
      'X-Subject-Token',
    ],
    ['no end', { status: 201, headers: { 'x-subject-token': 't' }, body: { token: {} } }, 'expires_at'],
  ])('refuses a reply with %s', async (_name, reply, named) => {
    const clock = steppingClock()
    const { url } = await startIam(clock, 1, () => reply)
    const failure = await failureOf(password(url, clock).headersFor(request))
    expect(failure.code).toBe('iam.broken-reply')
    expect(failure.message).toContain(named)
  })

  it('does not lose the token for others when one caller stops waiting', async () => {
    const clock = steppingClock()
    const { url, seen } = await startIam(clock, 86_400_000)
    const credentials = password(url, clock)
    const stop = new AbortController()
    const impatient = failureOf(credentials.headersFor(request, stop.signal))
    const patient = credentials.headersFor(request)
    stop.abort()
    expect((await impatient).code).toBe('iam.aborted')
    expect(await patient).toEqual({ 'X-Auth-Token': 'token-1' })
    expect(seen).toHaveLength(1)
  })
})

describe('other credentials', () => {
  it('sends a ready token as it is and has nothing to renew it with', async () => {
    const credentials = tokenCredentials(new Secret('ready'))
    expect(await credentials.headersFor(request)).toEqual({ 'X-Auth-Token': 'ready' })
    expect(credentials.refresh).toBeUndefined()
  })

  it('signs project, domain and security token along', async () => {
    const credentials = accessKeyCredentials(
      { id: 'AK', secret: new Secret('SK'), securityToken: new Secret('STS') },
      steppingClock(),
    )
    const headers = await credentials.headersFor({ ...request, projectId: 'p', domainId: 'd' })
    expect(headers).toMatchObject({
      'X-Project-Id': 'p',
      'X-Domain-Id': 'd',
      'X-Security-Token': 'STS',
      Host: 'apig.example',
    })
    expect(headers.Authorization).toMatch(
      /^SDK-HMAC-SHA256 Access=AK, SignedHeaders=host;x-domain-id;x-project-id;x-sdk-date;x-security-token, Signature=[0-9a-f]{64}$/,
    )
  })

  it('asks the platform for the agency keys at every request', async () => {
    let round = 0
    const credentials = agencyCredentials(
      () => ({
        id: `AK${++round}`,
        secret: new Secret('SK'),
        securityToken: new Secret(round === 1 ? 'STS' : ''),
      }),
      steppingClock(),
    )
    const first = await credentials.headersFor(request)
    const second = await credentials.headersFor(request)
    expect(first.Authorization).toContain('Access=AK1,')
    expect(first['X-Security-Token']).toBe('STS')
    expect(second.Authorization).toContain('Access=AK2,')
    expect(second).not.toHaveProperty('X-Security-Token')
  })

  it.each([undefined, { id: '', secret: new Secret('') }])(
    'says that the function has no agency (%j)',
    async (key) => {
      const failure = await failureOf(agencyCredentials(() => key, steppingClock()).headersFor(request))
      expect(failure.code).toBe('iam.no-agency')
      expect(failure.next).toContain('agency')
    },
  )
})

describe('the project of a region', () => {
  const client = (url: string) =>
    createHttpClient({
      service: 'iam',
      endpoint: url,
      credentials: noCredentials,
      clock: steppingClock(),
      timeoutMs: 2_000,
      dispatcher,
    })

  it('is looked up by its exact name', async () => {
    const reply = (seen: Seen): Recorded => ({
      status: 200,
      body: {
        projects:
          seen.query.get('name') === 'eu-de'
            ? [
                { id: 'sub', name: 'eu-de_sub' },
                { id: 'main', name: 'eu-de' },
              ]
            : [],
      },
    })
    iam = await startLoopback(reply)
    expect(await findProjectId(client(iam.url), 'eu-de')).toBe('main')
    expect(iam.seen[0]?.path).toBe('/v3/projects')
    expect(await failureOf(findProjectId(client(iam.url), 'eu-nl'))).toMatchObject({
      code: 'iam.no-project',
      kind: 'never',
    })
  })
})
