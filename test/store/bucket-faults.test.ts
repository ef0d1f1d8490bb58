import { execFile } from 'node:child_process'
import dns from 'node:dns'
import { inspect, promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Clock } from '../../shared/base/clock.ts'
import { Secret } from '../../shared/base/secret.ts'
import { type BucketStoreOptions, createBucketStore } from '../../shared/store/bucket.ts'
import type { Store } from '../../shared/store/port.ts'
import { failureOf } from '../contract/store.contract.ts'
import { type FaultProxy, faultProxy } from '../support/fault-proxy.ts'
import { s3Server } from '../support/s3-server.ts'

const s3 = await s3Server()
const error = (code: string, more = '') => `<?xml version="1.0"?><Error><Code>${code}</Code>${more}</Error>`
const pauses: number[] = []
const clock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  async sleep(ms, signal) {
    signal?.throwIfAborted()
    pauses.push(ms)
  },
}

describe.skipIf(!s3)('A bucket behind a network that misbehaves', () => {
  let proxy: FaultProxy
  let bucket: string
  const through = (options: Partial<BucketStoreOptions> = {}): Store =>
    s3!.store(bucket, { endpoint: proxy.endpoint, clock, random: () => 0.5, ...options })
  let store: Store

  beforeAll(async () => {
    proxy = await faultProxy(s3!.endpoint)
    bucket = await s3!.freshBucket()
  })
  beforeEach(() => {
    pauses.length = 0
    proxy.plan(() => 'none')
    store = through()
  })
  afterAll(() => proxy.close())

  const operations: [string, (store: Store) => Promise<unknown>, unknown][] = [
    ['GET', (s) => s.get('f/object').then((found) => found?.bytes.length), 5_000],
    ['LIST', (s) => s.list('f/').then((found) => found.map(({ key }) => key)), ['f/object']],
    ['PUT', (s) => s.put('f/object', 'x'.repeat(5_000)), undefined],
    ['DELETE', (s) => s.delete('f/other'), undefined],
  ]

  test.each(
    operations.flatMap(([name, work, expected]) =>
      (
        [
          ['503 SlowDown', { status: 503, body: error('SlowDown') }],
          ['429', { status: 429 }],
          ['500 InternalError', { status: 500, body: error('InternalError') }],
          ['502 with a page of a load balancer', { status: 502, body: '<html><body>Bad Gateway' }],
          ['409 OperationAborted', { status: 409, body: error('OperationAborted') }],
          ['a lost request', 'lose-request'],
          ['a lost reply', 'lose-reply'],
          ...(name === 'GET' || name === 'LIST'
            ? ([
                ['a truncated body', 'truncate'],
                ...(name === 'LIST'
                  ? [['a body cut short by somebody who made its head fit', 'shorten'] as const]
                  : []),
                ['200 with a web page', { status: 200, body: '<html><body>Please log in</body></html>' }],
                ['200 with nothing', { status: 200 }],
              ] as const)
            : []),
          ...(name === 'DELETE' ? [['200 with a web page', { status: 200, body: '<html/>' }] as const] : []),
        ] as const
      ).map(([fault, answer]) => [name, fault, answer, work, expected] as const),
    ),
  )('%s survives two times %s', async (_, __, fault, work, expected) => {
    await store.put('f/object', 'x'.repeat(5_000))
    proxy.plan((count) => (count <= 2 ? fault : 'none'))
    expect(await work(store)).toEqual(expected)
    expect(proxy.seen).toHaveLength(3)
    expect(pauses).toEqual([100, 200])
  })

  test('a fault that lasts ends in a failure that carries code, status and request id', async () => {
    proxy.plan(() => ({
      status: 503,
      body: error('SlowDown'),
      headers: { 'x-amz-request-id': 'REQ1', 'retry-after': '2' },
    }))
    const failure = await failureOf(store.put('f/object', 'x'))
    expect(failure).toMatchObject({
      code: 'store.throttled',
      kind: 'again',
      effect: 'none',
      retryAfterMs: 2_000,
      facts: { serviceCode: 'SlowDown', status: 503, requestId: 'REQ1', key: 'f/object', operation: 'PUT' },
    })
    expect(proxy.seen).toHaveLength(4)
    expect(pauses).toEqual([2_000, 2_000, 2_000])
  })

  test('after a lost reply the effect of a write is unknown, of a read none', async () => {
    proxy.plan(() => 'lose-reply')
    expect(await failureOf(store.put('f/unknown', 'x'))).toMatchObject({
      code: 'store.unreachable',
      effect: 'unknown',
    })
    expect(await failureOf(store.get('f/unknown'))).toMatchObject({
      code: 'store.unreachable',
      effect: 'none',
    })
    proxy.plan(() => 'none')
    expect(await store.get('f/unknown')).toBeDefined()
  })

  test('an answer that never comes ends with the time-out', async () => {
    proxy.plan((count) => (count === 1 ? 'stall' : 'none'))
    await through({ requestTimeoutMs: 200 }).put('f/object', 'y')
    expect(proxy.seen).toHaveLength(2)
  })

  test('a signal ends a request that is under way, and the effect of a write is unknown', async () => {
    const controller = new AbortController()
    proxy.plan(() => {
      setImmediate(() => controller.abort())
      return 'stall'
    })
    expect(await failureOf(store.put('f/object', 'y', { signal: controller.signal }))).toMatchObject({
      code: 'store.aborted',
      effect: 'unknown',
    })
  })

  test('a body over the limit is not downloaded', async () => {
    await store.put('f/large', new Uint8Array(3_000_000))
    proxy.plan(() => 'none')
    expect(await failureOf(store.get('f/large'))).toMatchObject({
      code: 'store.too-large',
      facts: { size: 3_000_000 },
    })
    expect(proxy.seen).toHaveLength(1)
  })

  test.each([
    [403, 'AccessDenied', 'store.denied'],
    [403, 'SignatureDoesNotMatch', 'store.denied'],
    [400, 'ExpiredToken', 'store.denied'],
    [403, 'VirtualHostDomainRequired', 'store.denied'],
    [301, 'PermanentRedirect', 'store.denied'],
    [404, 'NoSuchBucket', 'store.missing-bucket'],
    [400, 'KeyTooLongError', 'store.bad-key'],
    [400, 'InvalidEncryptionAlgorithmError', 'store.refused'],
    [501, 'NotImplemented', 'store.unreachable'],
  ])('HTTP %i %s is %s', async (status, code, expected) => {
    proxy.plan(() => ({ status, body: error(code), headers: { 'x-amz-request-id': 'REQ2' } }))
    const failure = await failureOf(store.put('f/object', 'x'))
    expect(failure.code).toBe(expected)
    expect(failure.message).toContain(code)
    expect(failure.message).toContain('REQ2')
  })

  test('a 200 that is not a listing is no listing', async () => {
    proxy.plan(() => ({ status: 200, body: '<html>Please log in' }))
    expect((await failureOf(store.list('f/'))).code).toBe('store.unreachable')
  })

  test.each([
    ['a page that parses', '<html><body>Welcome</body></html>'],
    ['nothing', ''],
    [
      'the listing of another service',
      '<?xml version="1.0"?><Result><Contents><Key>f/x</Key></Contents></Result>',
    ],
  ])('an endpoint that is no object storage and answers with %s is said to be none', async (_, body) => {
    proxy.plan(() => ({ status: 200, body }))
    for (const work of [store.list('f/'), store.get('f/object')]) {
      const failure = await failureOf(work)
      expect([failure.code, failure.kind]).toEqual(['store.unreachable', 'again'])
      expect(failure.message).toMatch(/no bucket listing|without an ETag/)
      expect(failure.next).toContain('store.endpoint')
    }
  })

  test('a body cut short by somebody who made its head fit is read again, however often it comes', async () => {
    await store.put('f/object', 'x'.repeat(5_000))
    let cuts = 0
    proxy.plan((_, { url }) => (!url?.includes('prefix=') && ++cuts <= 3 ? 'shorten' : 'none'))
    expect((await store.get('f/object'))?.bytes).toHaveLength(5_000)
    expect(cuts).toBe(4)
  })

  test('an ETag that is no digest of the content, as with KMS, is believed when the listing has it too', async () => {
    const etag = `"${'0'.repeat(32)}"`
    const listing = `<ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>f/object</Key><ETag>${etag}</ETag><Size>6</Size></Contents></ListBucketResult>`
    proxy.plan((_, { url }) =>
      url?.includes('prefix=')
        ? { status: 200, body: listing }
        : { status: 200, body: 'sealed', headers: { etag } },
    )
    const found = await store.get('f/object')
    expect([found?.version, Buffer.from(found!.bytes).toString()]).toEqual(['0'.repeat(32), 'sealed'])
    expect(proxy.seen).toHaveLength(2)
  })

  test('an object has the same version in a listing and when it is read, until it is written again', async () => {
    const versions = new Set<string | undefined>()
    for (const content of ['one', 'two']) {
      await store.put('versions/object', content)
      const [listed] = await store.list('versions/')
      expect(listed?.version).toBeDefined()
      expect((await store.get('versions/object'))?.version).toBe(listed?.version)
      versions.add(listed?.version)
    }
    expect(versions.size).toBe(2)
  })

  test('a listing whose pages never end is given up', async () => {
    const page = `<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>f/x</Key><Size>1</Size></Contents></ListBucketResult>`
    proxy.plan(() => ({ status: 200, body: page }))
    expect(await failureOf(store.list('f/'))).toMatchObject({ facts: { serviceCode: 'EndlessListing' } })
  })

  test('folder markers and names that are no keys are left out of a listing', async () => {
    const client = s3!.client()
    const { PutObjectCommand } = await import('@aws-sdk/client-s3')
    for (const Key of ['markers/', 'markers/a//b', 'markers/ok']) {
      await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'x' }))
    }
    client.destroy()
    expect((await store.list('markers/')).map(({ key }) => key)).toEqual(['markers/ok'])
  })

  test('every request asks for credentials again and signs with them', async () => {
    let secret = 'wrong'
    let asked = 0
    const changing = through({
      credentials: () => {
        asked++
        return { id: s3!.accessKeyId, secret: new Secret(secret) }
      },
    })
    expect((await failureOf(changing.get('f/object'))).facts.serviceCode).toBe('SignatureDoesNotMatch')
    secret = s3!.secretAccessKey
    await changing.put('f/object', 'x')
    await changing.list('f/')
    expect(asked).toBeGreaterThanOrEqual(3)
  })

  test('no secret, session token or canonical request is in a failure, whatever the service sends back', async () => {
    const secretive = through({
      credentials: () => ({
        id: 'AK',
        secret: new Secret('hunter2-key'),
        securityToken: new Secret('hunter2-token'),
      }),
    })
    proxy.plan((_, request) => ({
      status: 403,
      body: error(
        'SignatureDoesNotMatch',
        `<Message>hunter2-token</Message><CanonicalRequest>${request.headers['x-amz-security-token']}</CanonicalRequest>`,
      ),
    }))
    const failure = await failureOf(secretive.put('f/object', 'x'))
    expect(proxy.seen[0]?.headers['x-amz-security-token']).toBe('hunter2-token')
    expect(inspect(failure, { depth: 10 }) + JSON.stringify(failure) + inspect(failure.cause)).not.toContain(
      'hunter2',
    )
  })

  test('nothing is sent that OBS does not take: no checksum trailers, no conditions, no DeleteObjects, no list type 2', async () => {
    await store.put('f/object', 'x')
    await store.get('f/object')
    await store.list('f/')
    await store.delete('f/object')
    expect(proxy.seen.map(({ method }) => method)).toEqual(['PUT', 'GET', 'GET', 'DELETE'])
    for (const { headers, url } of proxy.seen) {
      const names = Object.keys(headers).join(' ')
      expect(names).not.toMatch(/checksum|trailer|if-match|if-none-match|decoded-content-length/)
      expect(headers['x-amz-content-sha256']).not.toMatch(/STREAMING/)
      expect(url).not.toMatch(/list-type|\?delete/)
    }
  })

  test.each([
    ['AES256', { 'x-amz-server-side-encryption': 'AES256' }],
    [{ kms: 'default' }, { 'x-amz-server-side-encryption': 'aws:kms' }],
    [
      { kms: 'key-1' },
      { 'x-amz-server-side-encryption': 'aws:kms', 'x-amz-server-side-encryption-aws-kms-key-id': 'key-1' },
    ],
  ] as const)('encryption %j is asked for on every write', async (encryption, expected) => {
    proxy.plan(() => ({ status: 200 }))
    await through({ encryption }).put('f/secret', 'x')
    expect(proxy.seen[0]?.headers).toMatchObject(expected)
  })

  test('the bucket stands in the host name unless path style is asked for', async () => {
    const lookup = vi
      .spyOn(dns, 'lookup')
      .mockImplementation(((
        _name: string,
        options: { all?: boolean },
        done: (...found: unknown[]) => void,
      ) =>
        options.all
          ? done(null, [{ address: '127.0.0.1', family: 4 }])
          : done(null, '127.0.0.1', 4)) as unknown as typeof dns.lookup)
    try {
      const { port } = new URL(proxy.endpoint)
      proxy.plan(() => ({ status: 200 }))
      await through({ pathStyle: false, endpoint: `http://obs.region.example:${port}` }).put('f/object', 'x')
      expect(proxy.seen[0]).toMatchObject({
        url: '/f/object?x-id=PutObject',
        headers: { host: `${bucket}.obs.region.example:${port}` },
      })
    } finally {
      lookup.mockRestore()
    }
  })

  test('a bucket that does not exist, and one that nobody may see, are told apart', async () => {
    expect((await failureOf(s3!.store('does-not-exist').get('x'))).code).toBe('store.missing-bucket')
    const stranger = s3!.store(bucket, { credentials: () => ({ id: 'nobody', secret: new Secret('x') }) })
    expect((await failureOf(stranger.get('x'))).code).toBe('store.denied')
  })
})

test('A server that nobody listens for, and a host that does not resolve, are unreachable with the reason', async () => {
  const nowhere = (endpoint: string) =>
    createBucketStore({
      bucket: 'b',
      endpoint,
      region: 'r',
      pathStyle: true,
      clock,
      credentials: () => ({ id: 'a', secret: new Secret('b') }),
    })
  expect(await failureOf(nowhere('http://127.0.0.1:1').get('x'))).toMatchObject({
    code: 'store.unreachable',
    kind: 'again',
    facts: { serviceCode: 'ECONNREFUSED' },
  })
  expect(await failureOf(nowhere('http://host.invalid').put('x', 'y'))).toMatchObject({
    code: 'store.unreachable',
    facts: { serviceCode: expect.stringMatching(/ENOTFOUND|EAI_AGAIN/) },
  })
})

test('Loading the client prints nothing, not even on Node 20 that its makers will leave behind', async () => {
  const module = new URL('../../shared/store/bucket.ts', import.meta.url).href
  const code = `
    const { createBucketStore } = await import(${JSON.stringify(module)})
    const store = createBucketStore({
      bucket: 'b', endpoint: 'http://127.0.0.1:1', region: 'r', attempts: 1, pathStyle: true,
      credentials: () => ({ id: 'a', secret: { reveal: () => 'b' } }),
    })
    const failure = await store.get('x').catch((error) => error)
    process.emitWarning('another warning')
    console.log(failure.code)
  `
  const { NODE_NO_WARNINGS: _, ...env } = process.env
  delete env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    ['--import', 'tsx', '--input-type=module', '-e', code],
    { env },
  )
  expect(stdout.trim()).toBe('store.unreachable')
  expect(stderr).not.toContain('NodeVersionSupportWarning')
  expect(stderr).toContain('another warning')
})
