import { afterEach, describe, expect, test } from 'vitest'
import { guardedLookup, isPrivateAddress, type Resolve } from '../../shared/notify/address.ts'
import { channel, digest, expiry, never, receiver } from './support.ts'

let server: Awaited<ReturnType<typeof receiver>> | undefined
afterEach(async () => {
  await server?.close()
  server = undefined
})

async function failureOf(promise: Promise<unknown>) {
  const failure = await promise.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(failure).toHaveProperty('name', 'Failure')
  return failure as {
    code: string
    kind: string
    message: string
    next: string
    retryAfterMs?: number
    toJSON(): unknown
  }
}

describe('a webhook that leads to this machine, its network or the metadata service is refused', () => {
  test.each([
    '127.0.0.1',
    '127.1',
    '2130706433',
    '0x7f.1',
    '0.0.0.0',
    '10.1.2.3',
    '172.31.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.100.100.200',
    '[::1]',
    '[::]',
    '[fe80::1]',
    '[fd00:ec2::254]',
    '[::ffff:127.0.0.1]',
    '[::ffff:a9fe:a9fe]',
    '[64:ff9b::a9fe:a9fe]',
    '[2002:7f00:1::]',
    '[::169.254.169.254]',
  ])('%s', async (host) => {
    const failure = await failureOf(
      channel('generic', `https://${host}/hook`, undefined, { allowPrivateAddress: false }).send(
        digest(expiry),
        never,
      ),
    )
    expect(failure.code).toBe('notify.private-address')
    expect(failure.next).toContain('allowPrivateAddress')
  })

  test('also when a name resolves to it, at the moment of connecting', async () => {
    server = await receiver((_, response) => response.end('ok'))
    const { port } = server
    let asked = 0
    const resolve: Resolve = (_host, _options, callback) => {
      asked++
      callback(null, [{ address: '127.0.0.1', family: 4 }])
    }
    const target = channel('generic', `https://rebinding.example:${port}/hook`, undefined, {
      allowPrivateAddress: false,
      resolve,
    })
    const failure = await failureOf(target.send(digest(expiry), never))
    expect(failure.code).toBe('notify.private-address')
    expect(asked).toBe(1)
    expect(server.received).toEqual([])
  })

  test('while public addresses pass', () => {
    for (const address of [
      '1.1.1.1',
      '93.184.216.34',
      '172.32.0.1',
      '100.128.0.1',
      '2606:4700::1111',
      '64:ff9b::0101:0101',
    ])
      expect(isPrivateAddress(address), address).toBe(false)
  })

  test('and so is one private address among several', () => {
    const lookup = guardedLookup('channel x', (_h, _o, callback) =>
      callback(null, [
        { address: '1.1.1.1', family: 4 },
        { address: '10.0.0.1', family: 4 },
      ]),
    )
    let result: unknown
    lookup('x.example', { all: true }, (error) => {
      result = error
    })
    expect(result).toMatchObject({ code: 'notify.private-address' })
  })
})

test('plain http is refused, for the URL is a password', async () => {
  const failure = await failureOf(
    channel('slack', 'http://hooks.example/T0/B0/verysecret', undefined, { allowPrivateAddress: false }).send(
      digest(expiry),
      never,
    ),
  )
  expect(failure).toMatchObject({ code: 'notify.bad-target', kind: 'never' })
  expect(JSON.stringify([failure.message, failure.toJSON()])).not.toContain('verysecret')
})

describe('what a receiver answers', () => {
  test.each([
    ['slack', 403, 'invalid_token', 'notify.refused', 'never'],
    ['slack', 200, 'no_team', 'notify.refused', 'never'],
    ['slack', 429, '', 'notify.throttled', 'later'],
    ['teams', 502, '<html>', 'notify.unavailable', 'later'],
    ['dingtalk', 200, '{"errcode":310000,"errmsg":"sign not match"}', 'notify.refused', 'never'],
    ['dingtalk', 200, '{"errcode":130101,"errmsg":"send too fast"}', 'notify.unavailable', 'later'],
    [
      'feishu',
      200,
      '{"code":19021,"msg":"sign match fail or timestamp is not within one hour from current time"}',
      'notify.refused',
      'never',
    ],
    ['wecom', 200, '{"errcode":93000,"errmsg":"invalid webhook url"}', 'notify.refused', 'never'],
    ['wecom', 200, 'not json', 'notify.unavailable', 'later'],
    ['generic', 302, '', 'notify.refused', 'never'],
  ] as const)('%s %i %s is %s, %s', async (format, status, body, code, kind) => {
    server = await receiver((_, response) =>
      response.writeHead(status, { location: 'http://127.0.0.1:1/', 'retry-after': '30' }).end(body),
    )
    const failure = await failureOf(
      channel(format, server.url('/T0/verysecretpart')).send(digest(expiry), never),
    )
    expect(failure).toMatchObject({ code, kind })
    expect(server.received).toHaveLength(1)
  })

  test('never brings the URL or the secret into a message, even when it is quoted back', async () => {
    server = await receiver(({ url, headers }, response) =>
      response
        .writeHead(403)
        .end(JSON.stringify({ errcode: 1, errmsg: `bad ${url.href} ${headers.host} SigningSecret1` })),
    )
    const target = channel(
      'dingtalk',
      server.url('/robot/verysecretpart?access_token=tokentoken'),
      'SigningSecret1',
    )
    const failure = await failureOf(target.send(digest(expiry), never))
    const printed = JSON.stringify([failure.message, failure.next, failure.toJSON(), target.name])
    expect(printed).not.toMatch(/verysecretpart|tokentoken|SigningSecret1/)
  })

  test('is waited for no longer than the time-out', async () => {
    server = await receiver(() => {})
    const failure = await failureOf(
      channel('generic', server.url('/'), undefined, { timeoutMs: 100 }).send(digest(expiry), never),
    )
    expect(failure).toMatchObject({ code: 'notify.timeout', kind: 'later' })
  })

  test('is read up to a bound only', async () => {
    server = await receiver((_, response) => {
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed && response.write(Buffer.alloc(16_384, 97)));
        if (!response.destroyed) response.once('drain', more)
      }
      more()
    })
    await channel('generic', server.url('/')).send(digest(expiry), never)
  })

  test('may be nothing: a refused connection is told without the address', async () => {
    server = await receiver(() => {})
    const url = server.url('/verysecretpart')
    await server.close()
    const failure = await failureOf(channel('slack', url).send(digest(expiry), never))
    expect(failure).toMatchObject({ code: 'notify.unreachable', kind: 'later' })
    expect(failure.message).toContain('ECONNREFUSED')
    expect(failure.message).not.toContain('verysecretpart')
    server = undefined
  })
})
