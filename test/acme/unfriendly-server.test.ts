import { createServer, type Server } from 'node:http'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Authority } from '../../shared/acme/port.ts'
import type { RenewalParts } from '../../shared/acme/renew.ts'
import { Secret } from '../../shared/base/secret.ts'
import type { Store } from '../../shared/store/port.ts'
import {
  authorityOf,
  type DnsCloud,
  renewalParts,
  renewToEnd as renewDue,
  startDnsCloud,
  TestClock,
  temporaryStore,
} from '../support/acme.ts'
import { type Pebble, pebbleMissing, startPebble } from '../support/pebble.ts'

const error = (type: string) => `urn:ietf:params:acme:error:${type}`

describe('an ACME server that says no', () => {
  let cloud: DnsCloud
  let server: Server
  let store: Store
  let remove = async () => {}
  let clock: TestClock
  /** What it answers to a new order. */
  let answer: { status: number; headers?: Record<string, string>; body: unknown }
  let asked: string[]

  beforeAll(async () => {
    cloud = await startDnsCloud(['shop.example'])
    server = createServer((request, response) => {
      const base = `http://${request.headers.host}`
      asked.push(`${request.method} ${request.url}`)
      const json = (status: number, body: unknown, headers: Record<string, string> = {}) =>
        response
          .writeHead(status, {
            'content-type': 'application/json',
            'replay-nonce': `n${asked.length}`,
            ...headers,
          })
          .end(JSON.stringify(body))
      request.resume()
      switch (request.url) {
        case '/dir':
          return json(200, {
            newNonce: `${base}/nonce`,
            newAccount: `${base}/account`,
            newOrder: `${base}/order`,
          })
        case '/account':
          return json(201, { status: 'valid' }, { location: `${base}/account/1` })
        case '/order':
          return json(answer.status, answer.body, {
            'content-type': 'application/problem+json',
            ...answer.headers,
          })
        default:
          return json(200, {})
      }
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  })
  afterAll(async () => {
    server?.close()
    server?.closeAllConnections()
    await cloud?.close()
  })
  afterEach(() => remove())

  async function parts(): Promise<RenewalParts> {
    ;({ store, remove } = await temporaryStore())
    clock = new TestClock()
    asked = []
    const { port } = server.address() as { port: number }
    const authority: Authority = { directory: `http://127.0.0.1:${port}/dir`, solver: cloud.solver }
    return renewalParts({ store, clock, names: ['www.shop.example'], authorities: [authority] })
  }
  const orders = () => asked.filter((line) => line === 'POST /order').length

  test('a rate limit holds for as long as the CA asks, across ticks and against a person’s wish', async () => {
    const own = await parts()
    answer = {
      status: 429,
      headers: { 'retry-after': '172800' },
      body: { type: error('rateLimited'), detail: 'too many certificates already issued for "shop.example"' },
    }
    const outcome = await renewDue(own)
    expect(outcome.failures[0]).toMatchObject({ code: 'acme.rate-limited', kind: 'later' })
    expect(outcome.sentence).toContain('too many certificates already issued')
    expect(Date.parse(outcome.notBefore ?? '') - clock.now().getTime()).toBeGreaterThan(172_000_000)
    expect((await renewDue(own)).status).toBe('waiting')
    expect((await renewDue({ ...own, force: true })).status).toBe('waiting')
    expect((await renewDue({ ...own, names: ['other.shop.example'] })).status).toBe('waiting')
    expect(orders()).toBe(1)
    clock.offset += 172_801_000
    expect((await renewDue(own)).status).toBe('failed')
    expect(orders()).toBe(2)
  })

  test.each([20, 2, -1])('its wish does not outlive what is served for %d more hours', async (left) => {
    const own = await parts()
    const now = clock.now().getTime()
    const current = {
      fingerprint: 'served',
      names: own.names,
      notBefore: new Date(now - 89 * 24 * 3_600_000),
      notAfter: new Date(now + left * 3_600_000),
    }
    answer = { status: 503, headers: { 'retry-after': '2592000' }, body: 'down' }
    const outcome = await renewDue({ ...own, current })
    const minutes = Math.round((Date.parse(outcome.notBefore ?? '') - now) / 60_000)
    expect(minutes).toBe({ 20: 60, 2: 12, [-1]: 60 }[left])
    expect(outcome.failing?.nextAt).toBe(outcome.notBefore)
    expect(outcome.failing?.failure).toMatchObject({
      code: 'acme.unavailable',
      message: expect.stringMatching(/it asks to be left alone until \d{4}-\d\d-\d\d \d\d:\d\d UTC$/),
      next: "Nothing to do unless it lasts: then look at the CA's status page.",
    })
    expect(outcome.sentence).toContain('sooner than the CA asks, because what is served ends')
    const again = await renewDue({ ...own, current })
    expect(again.status).toBe('waiting')
    expect(again.notBefore).toBe(outcome.notBefore)
    expect(again.sentence).toContain('it asks to be left alone until')
    expect(orders()).toBe(1)
    clock.offset += minutes * 60_000 + 60_000
    expect((await renewDue({ ...own, current })).status).toBe('failed')
    expect(orders()).toBe(2)
  })

  test('the wait grows with each failure, up to a day, and another request ends it', async () => {
    const own = await parts()
    answer = { status: 400, body: { type: error('malformed'), detail: 'no' } }
    const waits: number[] = []
    for (let attempt = 0; attempt < 9; attempt++) {
      const outcome = await renewDue(own)
      waits.push(Math.ceil((Date.parse(outcome.notBefore ?? '') - clock.now().getTime()) / 60_000))
      clock.offset = Date.parse(outcome.notBefore ?? '') - Date.now() + 1_000
    }
    expect(waits.slice(0, 4)).toEqual([17, 33, 66, 132])
    expect(waits.at(-1)).toBe(1584)
    const before = orders()
    await renewDue({ ...own, names: ['new.shop.example'] })
    expect(orders()).toBe(before + 1)
  })

  test('an error of the server is tried again a few times in the tick, then later', async () => {
    const own = await parts()
    answer = { status: 503, body: 'down for maintenance' }
    const outcome = await renewDue(own)
    expect(outcome.failures[0]).toMatchObject({ code: 'acme.unavailable', facts: { status: 503 } })
    expect(orders()).toBe(3)
  })

  test.each(['86400', '2678400'])(
    'that is to be left alone for %s s holds nobody up: it is asked once, and again within two days',
    async (seconds) => {
      const own = await parts()
      answer = { status: 503, headers: { 'retry-after': seconds }, body: 'down for maintenance' }
      const outcome = await renewDue(own)
      expect(orders()).toBe(1)
      const wait = Date.parse(outcome.notBefore ?? '') - clock.now().getTime()
      expect(wait / 3_600_000).toBeCloseTo(seconds === '86400' ? 24 : 48, 1)
    },
  )

  test('forbidden by CAA: the name, the type and the CA’s detail, with what to do', async () => {
    const own = await parts()
    answer = {
      status: 403,
      body: {
        type: error('compound'),
        detail: 'Error creating new order',
        subproblems: [
          {
            type: error('caa'),
            detail: 'CAA record for www.shop.example prevents issuance',
            identifier: { type: 'dns', value: 'www.shop.example' },
          },
        ],
      },
    }
    const [failure] = (await renewDue(own)).failures
    expect(failure?.code).toBe('acme.caa')
    expect(failure?.message).toContain(
      'www.shop.example: caa: CAA record for www.shop.example prevents issuance',
    )
    expect(failure?.next).toContain('CAA')
  })

  test('what the CA says cannot break a line of the log', async () => {
    const own = await parts()
    answer = { status: 400, body: { type: error('malformed'), detail: 'first\r\n\u001b[31msecond' } }
    const [failure] = (await renewDue(own)).failures
    expect(failure?.message).toContain('first [31msecond')
  })

  test('a clock that is wrong is named with the failure', async () => {
    const own = await parts()
    answer = { status: 400, body: { type: error('malformed'), detail: 'no' } }
    clock.offset = 3 * 86_400_000
    const [failure] = (await renewDue(own)).failures
    expect(failure?.next).toMatch(/^Set this machine's clock: it is 4320 minutes ahead of the CA's\./)
  })
})

describe.skipIf(pebbleMissing())('a real ACME server in a bad mood', () => {
  let cloud: DnsCloud
  beforeAll(async () => {
    cloud = await startDnsCloud(['shop.example'])
  })
  afterAll(() => cloud?.close())

  async function withPebble<T>(
    options: Omit<Parameters<typeof startPebble>[0], 'dns'>,
    work: (pebble: Pebble, store: Store) => Promise<T>,
  ): Promise<T> {
    const pebble = await startPebble({ dns: `127.0.0.1:${cloud.answers.port}`, ...options })
    const { store, remove } = await temporaryStore()
    try {
      return await work(pebble, store)
    } finally {
      await pebble.remove()
      await remove()
    }
  }

  test('rejects every second nonce: three orders in a row succeed', async () => {
    await withPebble({ env: { PEBBLE_WFE_NONCEREJECT: '50' } }, async (pebble, store) => {
      for (const host of ['a.shop.example', 'b.shop.example', 'c.shop.example']) {
        const authorities = [authorityOf(pebble, cloud.solver)]
        const outcome = await renewDue(renewalParts({ store, name: host, names: [host], authorities }))
        expect(outcome.sentence).toContain('dropped into incoming')
      }
    })
  })

  test('takes its time to validate: the order goes on over ticks until it is there, and is placed once', async () => {
    await withPebble({ env: { PEBBLE_VA_NOSLEEP: '0', PEBBLE_VA_SLEEPTIME: '3' } }, async (pebble, store) => {
      const own = renewalParts({ store, authorities: [authorityOf(pebble, cloud.solver)] })
      const statuses: string[] = []
      const urls = new Set<string | undefined>()
      for (let tick = 0; tick < 30 && statuses.at(-1) !== 'delivered'; tick++) {
        const outcome = await renewDue({ ...own, signal: AbortSignal.timeout(700) })
        statuses.push(outcome.status)
        if (outcome.order?.url !== undefined) urls.add(outcome.order.url)
      }
      expect(statuses.at(-1)).toBe('delivered')
      expect(statuses.slice(0, -1).every((status) => status === 'unfinished')).toBe(true)
      expect(urls.size).toBeLessThanOrEqual(1)
    })
  })

  test('wants an external account: refused in clear words without and with a wrong key, and taken with the right one', async () => {
    const key = 'zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W'
    const config = { externalAccountBindingRequired: true, externalAccountMACKeys: { 'kid-1': key } }
    await withPebble({ config }, async (pebble, store) => {
      const attempt = async (name: string, hmacKey?: string) => {
        const more =
          hmacKey === undefined ? {} : { externalAccount: { keyId: 'kid-1', hmacKey: new Secret(hmacKey) } }
        const authorities = [authorityOf(pebble, cloud.solver, more)]
        return renewDue(renewalParts({ store, name, names: [`${name}.shop.example`], authorities }))
      }
      const without = await attempt('none')
      expect(without.failures[0]).toMatchObject({ code: 'acme.external-account', kind: 'never' })
      const wrong = await attempt('wrong', `AAAA${key.slice(4)}`)
      expect(wrong.failures[0]?.code).toBe('acme.external-account')
      expect((await attempt('right', key)).status).toBe('delivered')
    })
  })
})
