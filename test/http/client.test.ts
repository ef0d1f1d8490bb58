import { readFile } from 'node:fs/promises'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import { afterAll, afterEach, describe, expect, it } from 'vitest'
import { createAuthority } from '../../emulator/authority.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { tokenCredentials } from '../../shared/http/auth.ts'
import type { HttpClientOptions, HttpRequest } from '../../shared/http/client.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import { noCredentials } from '../../shared/http/credentials.ts'
import { version } from '../../shared/http/version.ts'
import type { Loopback, Recorded, Seen } from './loopback.ts'
import { startLoopback, steppingClock } from './loopback.ts'

const dispatcher = createDispatcher()
afterAll(() => dispatcher.destroy())
let server: Loopback | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

async function serve(replies: Recorded[] | ((request: Seen) => Recorded)): Promise<Loopback> {
  server = await startLoopback(replies)
  return server
}

function clientFor(endpoint: string, options: Partial<HttpClientOptions> = {}) {
  return createHttpClient({
    service: 'apig',
    endpoint,
    credentials: noCredentials,
    clock: steppingClock(),
    timeoutMs: 5_000,
    dispatcher,
    random: () => 0.5,
    ...options,
  })
}

const lookUp: HttpRequest = {
  operation: 'list certificates',
  method: 'GET',
  path: '/v2/p/apigw/certificates',
}
const change: HttpRequest = {
  operation: 'create certificate a',
  method: 'POST',
  path: '/v2/p/apigw/certificates',
  body: { name: 'a' },
}

async function failureOf(promise: Promise<unknown>): Promise<Failure> {
  const thrown = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  if (!(thrown instanceof Failure)) throw new Error(`expected a Failure, got ${String(thrown)}`)
  expect(thrown.message).not.toMatch(/undefined|\[object/)
  expect(thrown.next).toMatch(/\.$/)
  return thrown
}

describe('a request', () => {
  it('carries method, path, query, JSON body, user agent and credentials', async () => {
    const { url, seen } = await serve([{ status: 200, body: { ok: true } }])
    const http = clientFor(`${url}/prefix/`, { credentials: tokenCredentials(new Secret('tok')) })
    const reply = await http.request({
      ...change,
      query: { limit: 5, name: 'a b*', tags: ['x', 'y'], absent: undefined },
    })
    expect(reply.body).toEqual({ ok: true })
    expect(seen[0]).toMatchObject({
      method: 'POST',
      path: '/prefix/v2/p/apigw/certificates',
      body: { name: 'a' },
      headers: {
        'content-type': 'application/json',
        'user-agent': `cert-rotation/${version}`,
        'x-auth-token': 'tok',
        accept: 'application/json',
      },
    })
    expect([...(seen[0]?.query ?? [])]).toEqual([
      ['limit', '5'],
      ['name', 'a b*'],
      ['tags', 'x'],
      ['tags', 'y'],
    ])
  })

  it('names the version of the package', async () => {
    const manifest = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
      version: string
    }
    expect(version).toBe(manifest.version)
  })

  it('uses kept-alive connections for calls that follow one another', async () => {
    const { url, connections, seen } = await serve([{ status: 204 }])
    const http = clientFor(url)
    for (let i = 0; i < 20; i++) await http.request(change)
    expect(seen).toHaveLength(20)
    // Two, where the next call begins before undici has taken the first connection back.
    expect(connections()).toBeLessThanOrEqual(2)
  })

  it('opens no more connections than allowed however many calls wait', async () => {
    const few = createDispatcher({ connections: 3 })
    const { url, connections, seen } = await serve([{ status: 200, body: {} }])
    const http = clientFor(url, { dispatcher: few })
    await Promise.all(Array.from({ length: 30 }, () => http.request(lookUp)))
    expect(seen).toHaveLength(30)
    expect(connections()).toBeLessThanOrEqual(3)
    await few.close()
  })
})

describe('what a service answers', () => {
  const cases: [status: number, body: unknown, code: string, kind: string, effect: string, next: RegExp][] = [
    [
      400,
      { error_code: 'APIG.2012', error_msg: 'Invalid parameter value' },
      'gateway.refused',
      'never',
      'none',
      /correct/,
    ],
    [
      401,
      { error_code: 'APIG.1002', error_msg: 'Incorrect token' },
      'gateway.unauthorized',
      'later',
      'none',
      /no credentials/,
    ],
    [
      403,
      { error_code: 'APIG.1005', error_msg: 'No permissions' },
      'gateway.forbidden',
      'later',
      'none',
      /apig:certificate:create/,
    ],
    [
      404,
      { error_code: 'APIG.3021', error_msg: 'does not exist' },
      'gateway.not-found',
      'never',
      'none',
      /ids/,
    ],
    [
      409,
      { error_code: 'APIG.3711', error_msg: 'once per minute' },
      'gateway.conflict',
      'later',
      'none',
      /next tick/,
    ],
    [
      429,
      { error_code: 'APIGW.0308', error_msg: 'throttled' },
      'gateway.throttled',
      'again',
      'none',
      /concurrency/,
    ],
    [
      403,
      { error_code: 'APIGW.0308', error_msg: 'throttled' },
      'gateway.throttled',
      'again',
      'none',
      /concurrency/,
    ],
    [
      500,
      { error_code: 'APIG.9008', error_msg: 'Too many requests' },
      'gateway.throttled',
      'again',
      'unknown',
      /concurrency/,
    ],
    [
      500,
      { error_code: 'APIG.9999', error_msg: 'System error' },
      'gateway.unavailable',
      'again',
      'unknown',
      /support/,
    ],
    [502, '<html>Bad Gateway</html>', 'gateway.unavailable', 'again', 'unknown', /support/],
    [302, '', 'gateway.broken-reply', 'again', 'unknown', /cloud\.endpoints\.apig/],
    [200, '<html>Welcome</html>', 'gateway.broken-reply', 'again', 'unknown', /cloud\.endpoints\.apig/],
  ]

  it.each(cases)('%i %j is %s, %s, effect %s', async (status, body, code, kind, effect, next) => {
    const { url, seen } = await serve([{ status, body, headers: { 'x-request-id': 'req-4711' } }])
    const failure = await failureOf(
      clientFor(url).request({ ...change, permission: 'apig:certificate:create' }),
    )
    expect(failure).toMatchObject({ code, kind, effect })
    expect(failure.next).toMatch(next)
    expect(failure.message).toContain('create certificate a')
    expect(failure.message).toContain('POST /v2/p/apigw/certificates')
    expect(failure.message).not.toContain('<html>')
    if (status >= 300) {
      expect(failure.message).toContain('req-4711')
      expect(failure.facts).toMatchObject({ status, requestId: 'req-4711' })
    }
    if (typeof body === 'object' && body !== null && 'error_code' in body) {
      expect(failure.facts.errorCode).toBe(body.error_code)
    }
    // A change is sent once, whatever comes back.
    expect(seen).toHaveLength(1)
  })

  it('reads the error forms of IAM, SMN and a request id in the body', async () => {
    const { url } = await serve([
      {
        status: 401,
        body: { error: { code: 401, message: 'The username or password is wrong.', title: 'Unauthorized' } },
      },
      { status: 404, body: { request_id: 'abc', code: 'SMN.0006', message: 'topic' } },
    ])
    const http = clientFor(url, { service: 'iam' })
    const iam = await failureOf(http.request(lookUp))
    expect(iam).toMatchObject({ code: 'iam.unauthorized', facts: { errorCode: '401' } })
    expect(iam.message).toContain('The username or password is wrong.')
    expect((await failureOf(http.request(lookUp))).facts).toMatchObject({
      errorCode: 'SMN.0006',
      requestId: 'abc',
    })
  })

  it('escapes and shortens what a service says', async () => {
    const text = `first\nsecond \u001b[31mred\u202e ${'long '.repeat(200)}`
    const { url } = await serve([{ status: 400, body: { error_code: 'APIG.2000\nX', error_msg: text } }])
    const failure = await failureOf(clientFor(url).request(change))
    expect(JSON.stringify(failure) + failure.message).not.toMatch(/[\u0000-\u001f\u007f\u202e]/)
    expect(failure.message.length).toBeLessThan(600)
  })

  it('takes only the expected statuses as success', async () => {
    const { url } = await serve([{ status: 202, body: {} }])
    expect((await failureOf(clientFor(url).request({ ...change, expect: [200, 201] }))).code).toBe(
      'gateway.broken-reply',
    )
  })

  it('refuses a reply without end', async () => {
    const { url } = await serve([{ status: 200, body: `["${'x'.repeat(17 * 1024 * 1024)}"]` }])
    expect((await failureOf(clientFor(url).request(change))).code).toBe('gateway.broken-reply')
  })
})

describe('repetition', () => {
  it('repeats a look-up on failures that pass, with growing jittered waits, at most four times', async () => {
    const { url, seen } = await serve([{ status: 503, body: {} }])
    const clock = steppingClock()
    const failure = await failureOf(clientFor(url, { clock }).request(lookUp))
    expect(failure.code).toBe('gateway.unavailable')
    expect(failure.effect).toBe('none')
    expect(seen).toHaveLength(4)
    expect(clock.slept).toEqual([125, 250, 500])
  })

  it('gives the reply as soon as a repeated look-up succeeds', async () => {
    const { url, seen } = await serve([
      { status: 500, body: {} },
      { status: 200, drop: true },
      { status: 200, body: [1] },
    ])
    expect((await clientFor(url).request(lookUp)).body).toEqual([1])
    expect(seen).toHaveLength(3)
  })

  it('does not repeat a look-up that will fail the same way', async () => {
    const { url, seen } = await serve([{ status: 403, body: { error_code: 'APIG.1005' } }])
    await failureOf(clientFor(url).request(lookUp))
    expect(seen).toHaveLength(1)
  })

  it.each([400, 403, 404, 405, 412, 418])(
    'takes a %i without the service’s code for no answer of the service: repeated, and a change is to be looked for',
    async (status) => {
      const page = { status, body: '<html>blocked</html>' }
      const { url, seen } = await serve([page, { status: 200, body: [1] }])
      expect((await clientFor(url).request(lookUp)).body).toEqual([1])
      expect(seen).toHaveLength(2)
      const { url: other } = await serve([page])
      const failure = await failureOf(clientFor(other).request(change))
      expect(failure).toMatchObject({ code: 'gateway.broken-reply', kind: 'again', effect: 'unknown' })
      expect(failure.next).toContain('cloud.endpoints.apig')
    },
  )

  it.each(['POST', 'PUT', 'DELETE'] as const)('never repeats a %s', async (method) => {
    for (const reply of [
      { status: 503, body: {} },
      { status: 429, body: {} },
      { status: 200, drop: true },
    ]) {
      const { url, seen, close } = await startLoopback([reply])
      await failureOf(clientFor(url).request({ ...change, method }))
      expect(seen).toHaveLength(1)
      await close()
    }
  })

  it('waits at least as long as Retry-After says, and leaves long waits to the caller', async () => {
    const clock = steppingClock()
    const first = await startLoopback([
      { status: 429, headers: { 'retry-after': '3' } },
      { status: 200, body: {} },
    ])
    await clientFor(first.url, { clock }).request(lookUp)
    expect(clock.slept).toEqual([3_125])
    await first.close()

    const { url, seen } = await serve([{ status: 503, headers: { 'retry-after': '120' } }])
    const failure = await failureOf(clientFor(url, { clock }).request(lookUp))
    expect(failure.retryAfterMs).toBe(120_000)
    expect(seen).toHaveLength(1)
  })

  it('repeats once with renewed credentials after a 401, even a change, and not twice', async () => {
    const { url, seen } = await serve((request) =>
      request.headers['x-auth-token'] === 'new'
        ? { status: 200, body: {} }
        : { status: 401, body: { error_code: 'APIG.1001' } },
    )
    let token = 'old'
    const renewable = {
      description: 'test',
      headersFor: async () => ({ 'X-Auth-Token': token }),
      refresh: () => {
        token = 'new'
        return true
      },
    }
    await clientFor(url, { credentials: renewable }).request(change)
    expect(seen.map(({ headers }) => headers['x-auth-token'])).toEqual(['old', 'new'])

    const useless = { ...renewable, headersFor: async () => ({ 'X-Auth-Token': 'old' }) }
    expect((await failureOf(clientFor(url, { credentials: useless }).request(change))).code).toBe(
      'gateway.unauthorized',
    )
    expect(seen).toHaveLength(4)
  })
})

describe('when the network fails', () => {
  it('says that nothing listens, and that nothing can have happened', async () => {
    const closed = await startLoopback([])
    await closed.close()
    const failure = await failureOf(clientFor(closed.url).request(change))
    expect(failure).toMatchObject({
      code: 'gateway.unreachable',
      kind: 'again',
      effect: 'none',
      facts: { networkCode: 'ECONNREFUSED' },
    })
    expect(failure.next).toContain('cloud.endpoints.apig')
  })

  it('says that a name has no address and which settings to check', async () => {
    const failure = await failureOf(clientFor('http://no-such-host.invalid').request(change))
    expect(failure).toMatchObject({ code: 'gateway.unreachable', effect: 'none' })
    expect(failure.message).toMatch(/no address in DNS \(E\w+\)/)
    expect(failure.next).toContain('cloud.region')
  })

  it('does not know what a change did when the connection breaks', async () => {
    const { url } = await serve([{ status: 200, drop: true }])
    expect(await failureOf(clientFor(url).request(change))).toMatchObject({
      code: 'gateway.unreachable',
      kind: 'again',
      effect: 'unknown',
    })
    expect(await failureOf(clientFor(url).request(lookUp))).toMatchObject({ effect: 'none' })
  })

  it('does not know what a change did when no answer comes in time', async () => {
    const { url } = await serve([{ status: 200, hang: true }])
    const failure = await failureOf(clientFor(url, { timeoutMs: 50 }).request(change))
    expect(failure).toMatchObject({ code: 'gateway.timeout', kind: 'again', effect: 'unknown' })
    expect(failure.message).toContain('within 50 ms')
  })

  it('does not talk to an endpoint that cannot prove its name, and says how to trust a private one', async () => {
    const authority = await createAuthority({ commonName: 'Private CA' })
    const issued = await authority.issue({ names: ['localhost', '127.0.0.1'] })
    const tls = createHttpsServer(
      { cert: issued.fullchainPem, key: issued.privateKeyPem },
      (_request, response) => {
        response.end('{}')
      },
    )
    await new Promise<void>((resolve) => tls.listen(0, '127.0.0.1', resolve))
    const url = `https://127.0.0.1:${(tls.address() as AddressInfo).port}`
    const failure = await failureOf(clientFor(url).request(change))
    expect(failure).toMatchObject({ code: 'gateway.unreachable', kind: 'later', effect: 'none' })
    expect(failure.next).toContain('NODE_EXTRA_CA_CERTS')
    const trusting = createDispatcher({ ca: authority.certificatePem })
    expect((await clientFor(url, { dispatcher: trusting }).request(change)).body).toEqual({})
    await trusting.close()
    tls.closeAllConnections()
    tls.close()
  })

  it('says that what answers is not HTTP', async () => {
    const tcp = createServer((socket) => {
      socket.on('error', () => {})
      socket.end('SSH-2.0-OpenSSH_9.2\r\n')
    })
    await new Promise<void>((resolve) => tcp.listen(0, '127.0.0.1', resolve))
    const failure = await failureOf(
      clientFor(`http://127.0.0.1:${(tcp.address() as AddressInfo).port}`).request(change),
    )
    expect(failure.code).toBe('gateway.broken-reply')
    tcp.close()
  })

  it('stops when the signal aborts: before sending without effect, afterwards with an unknown one', async () => {
    const before = new AbortController()
    before.abort()
    const { url, seen } = await serve((request) => {
      if (request.method === 'POST') setImmediate(() => during.abort())
      return { status: 200, hang: true }
    })
    const during = new AbortController()
    expect(await failureOf(clientFor(url).request({ ...change, signal: before.signal }))).toMatchObject({
      code: 'gateway.aborted',
      kind: 'later',
      effect: 'none',
    })
    expect(seen).toHaveLength(0)
    expect(await failureOf(clientFor(url).request({ ...change, signal: during.signal }))).toMatchObject({
      code: 'gateway.aborted',
      effect: 'unknown',
    })
  })

  it('stops waiting for the next try when the signal aborts', async () => {
    const { url, seen } = await serve([{ status: 503, headers: { 'retry-after': '9' } }])
    const stop = new AbortController()
    const clock = {
      ...systemClock,
      sleep: (ms: number, signal?: AbortSignal) => {
        stop.abort()
        return systemClock.sleep(ms, signal)
      },
    }
    expect(
      (await failureOf(clientFor(url, { clock }).request({ ...lookUp, signal: stop.signal }))).code,
    ).toBe('gateway.aborted')
    expect(seen).toHaveLength(1)
  })
})
