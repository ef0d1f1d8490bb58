import { createPrivateKey, X509Certificate } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createHttp01Solver } from '../../shared/acme/http-01.ts'
import type { ChallengeSolver, ConnectAcme } from '../../shared/acme/port.ts'
import type { RenewalParts } from '../../shared/acme/renew.ts'
import { connectAcme } from '../../shared/acme/server.ts'
import type { RenewState } from '../../shared/acme/state.ts'
import { Secret } from '../../shared/base/secret.ts'
import type { Store } from '../../shared/store/port.ts'
import {
  authorityOf,
  type DnsCloud,
  read,
  renewalParts,
  renewToEnd as renewDue,
  startDnsCloud,
  TestClock,
  temporaryStore,
} from '../support/acme.ts'
import { type Pebble, pebbleMissing, startPebble } from '../support/pebble.ts'

const days = (count: number) => count * 86_400_000
/** A port where nobody listens. */
const nowhere = 'https://127.0.0.1:9/dir'

describe.skipIf(pebbleMissing())('renewal against a real ACME server', () => {
  let cloud: DnsCloud
  let pebble: Pebble
  let store: Store
  let remove: () => Promise<void>
  let clock: TestClock
  let serial = 0

  beforeAll(async () => {
    cloud = await startDnsCloud(['shop.example', 'blocked.example', 'delegated.example', 'web.example'])
    pebble = await startPebble({
      dns: `127.0.0.1:${cloud.answers.port}`,
      env: { PEBBLE_ALTERNATE_ROOTS: '1' },
      config: {
        domainBlocklist: ['bad.blocked.example'],
        profiles: {
          default: { description: '90 days', validityPeriod: 7_776_000 },
          shortlived: { description: '6 days', validityPeriod: 518_400 },
        },
      },
    })
  })
  afterAll(async () => {
    await pebble?.remove()
    await cloud?.close()
  })
  beforeEach(async () => {
    ;({ store, remove } = await temporaryStore())
    clock = new TestClock()
  })
  afterEach(() => remove())

  function parts(more: Partial<RenewalParts> = {}): RenewalParts {
    return renewalParts({
      store,
      clock,
      names: [`t${++serial}.shop.example`],
      // Without a profile in the order Pebble takes any of its own.
      authorities: [authorityOf(pebble, cloud.solver, { profile: 'default' })],
      ...more,
    })
  }
  const leafOf = async () => new X509Certificate((await read(store, 'incoming/shop/fullchain.pem')) ?? '')
  const stateOf = async () => JSON.parse((await read(store, 'renew/shop.json')) ?? '{}') as RenewState

  /** The same server, with a look at what is ordered. A slow machine must not make a request look lost. */
  function watched(seen: { orders: unknown[] }): ConnectAcme {
    const connect = connectAcme({ clock, timeoutMs: 30_000 })
    return (authority) => {
      const server = connect(authority)
      const account: typeof server.account = async (...args) => {
        const made = await server.account(...args)
        const place = made.placeOrder.bind(made)
        made.placeOrder = async (request, signal) => {
          seen.orders.push(request)
          return place(request, signal)
        }
        return made
      }
      return Object.assign(Object.create(server) as typeof server, {
        account,
        features: server.features.bind(server),
        renewalInfo: server.renewalInfo.bind(server),
        close: server.close.bind(server),
      })
    }
  }

  test('is made when a third of the lifetime is left, and not a moment before', async () => {
    // This server's renewal information would decide otherwise.
    const own = parts({ connect: withoutRenewalInfo() })
    const first = await renewDue(own)
    expect(first.status).toBe('delivered')
    const fingerprint = first.delivered?.fingerprint
    const planned = await renewDue(own)
    expect(planned.status).toBe('not-due')
    expect(first.renewAt, 'a delivery says when the new certificate is due').toBe(planned.renewAt)
    const left = Date.parse(first.delivered?.notAfter ?? '') - Date.parse(planned.renewAt)
    expect(left / days(1)).toBeGreaterThan(30)
    expect(left / days(1)).toBeLessThan(31)
    clock.offset = Date.parse(planned.renewAt) - Date.now() - 5_000
    expect((await renewDue(own)).status).toBe('not-due')
    clock.offset += 6_000
    const second = await renewDue(own)
    expect(second.status).toBe('delivered')
    expect(second.delivered?.fingerprint).not.toBe(fingerprint)
  })

  test('is made at once when the CA moves its window into the past, names the predecessor, and then rests', async () => {
    const seen = { orders: [] as { replaces?: string }[] }
    const placed = () => pebble.logLines.filter((line) => line.includes('Added order "')).length
    const before = placed()
    const own = parts({ connect: watched(seen) })
    await renewDue(own)
    const planned = await renewDue(own)
    expect(planned).toMatchObject({ status: 'not-due', reason: 'the CA suggested this time' })
    const leaf = (await leafOf()).toString()
    const past = { start: '2020-01-01T00:00:00Z', end: '2020-01-02T00:00:00Z' }
    await pebble.setRenewalInfo(leaf, JSON.stringify({ suggestedWindow: past }))
    expect((await renewDue(own)).status, 'not asked again before its Retry-After').toBe('not-due')
    clock.offset += 7 * 3_600_000
    const second = await renewDue(own)
    expect(second).toMatchObject({ status: 'delivered', reason: 'the CA suggested this time' })
    // Counted where they are placed: a call whose reply was lost is repeated, and finds its order again.
    expect(placed() - before, JSON.stringify(seen.orders)).toBe(2)
    expect(seen.orders.at(-1)?.replaces).toMatch(/^[\w-]+\.[\w-]+$/)
    expect((await renewDue(own)).status).toBe('not-due')
  })

  test('goes by the lifetime when the renewal information is garbage', async () => {
    const own = parts()
    await renewDue(own)
    await pebble.setRenewalInfo((await leafOf()).toString(), 'no JSON at all')
    const outcome = await renewDue(own)
    expect(outcome).toMatchObject({ status: 'not-due', reason: 'the default share of its lifetime is left' })
    expect((await stateOf()).renewalInfo?.failed).toBe(1)
  })

  test('is repeated without `replaces` when the CA refuses it', async () => {
    const seen = { orders: [] as { replaces?: string }[] }
    const own = parts({ connect: watched(seen) })
    await renewDue(own)
    await renewDue(own)
    // Pebble wants at least one name in common with the predecessor.
    const other = { ...own, names: [`t${++serial}.shop.example`] }
    const outcome = await renewDue(other)
    expect(outcome.status).toBe('delivered')
    const [, refused, repeated] = seen.orders
    expect(refused?.replaces).toBeDefined()
    expect(repeated?.replaces).toBeUndefined()
  })

  test('waits with a growing wait while the CA is down, and goes through when it is up again', async () => {
    const own = parts()
    await pebble.halt()
    try {
      const down = await renewDue(own)
      expect(down.status).toBe('failed')
      expect(down.failures[0]).toMatchObject({ code: 'acme.unreachable' })
      expect(down.sentence).toContain('the connection was refused')
      const first = Date.parse(down.notBefore ?? '') - clock.now().getTime()
      expect((await renewDue(own)).status).toBe('waiting')
      clock.offset += first + 1_000
      const again = await renewDue(own)
      expect(again.status).toBe('failed')
      expect(Date.parse(again.notBefore ?? '') - clock.now().getTime()).toBeGreaterThan(first)
    } finally {
      await pebble.start()
    }
    clock.offset += 3_600_000
    expect((await renewDue(own)).status).toBe('delivered')
  })

  test('asks the second CA when the first is down, and says what happened to the first', async () => {
    const authorities = [
      authorityOf(pebble, cloud.solver, { directory: nowhere }),
      authorityOf(pebble, cloud.solver),
    ]
    const outcome = await renewDue(parts({ authorities }))
    expect(outcome.status).toBe('delivered')
    expect(outcome.delivered?.directory).toBe(pebble.directory)
    expect(outcome.failures[0]).toMatchObject({ code: 'acme.unreachable', facts: { directory: nowhere } })
  })

  test('says in the CA’s words which name is refused', async () => {
    const names = ['bad.blocked.example', 'good.blocked.example']
    const outcome = await renewDue(parts({ names }))
    expect(outcome.status).toBe('failed')
    expect(outcome.failures[0]).toMatchObject({ code: 'acme.name-rejected', kind: 'never' })
    expect(outcome.sentence).toContain('rejectedIdentifier')
    expect(outcome.sentence).toContain('bad.blocked.example')
    expect((await stateOf()).orders).toEqual({})
  })

  test('says in the CA’s words why an order became invalid, cleans up, and waits', async () => {
    // The solver proves nothing: it believes that it has written the record.
    const lying: ChallengeSolver = {
      type: 'dns-01',
      id: 'dns-01:lying',
      prepare: async ({ identifier }) => ({ record: identifier }),
      present: async () => {},
      ready: async () => 'ready',
      cleanUp: async () => {},
    }
    const own = parts({ authorities: [authorityOf(pebble, lying)] })
    const outcome = await renewDue(own)
    expect(outcome.status).toBe('failed')
    expect(outcome.failures[0]?.code).toBe('acme.order-invalid')
    expect(outcome.sentence).toMatch(/unauthorized|dns/)
    expect((await stateOf()).orders).toEqual({})
    expect((await renewDue(own)).status).toBe('waiting')
  })

  test('proves a name by HTTP-01 with an object in a bucket', async () => {
    const web = await temporaryStore()
    let server: Server | undefined
    try {
      server = createServer((request, response) => {
        void web.store.get((request.url ?? '/').slice(1)).then((object) => {
          response.writeHead(object ? 200 : 404).end(object?.bytes)
        })
      })
      await new Promise<void>((resolve) => server?.listen(pebble.httpPort, '127.0.0.1', resolve))
      const host = 'www.web.example'
      cloud.zones.addRecord(host, 'A', ['127.0.0.1'])
      const solver = createHttp01Solver({ id: 'http-01:web', store: web.store })
      const outcome = await renewDue(parts({ names: [host], authorities: [authorityOf(pebble, solver)] }))
      expect(outcome.sentence).toContain('dropped into incoming')
      expect(await web.store.list('')).toEqual([])
      const wildcard = await renewDue(
        parts({ name: 'wild', names: ['*.web.example'], authorities: [authorityOf(pebble, solver)] }),
      )
      expect(wildcard.failures[0]).toMatchObject({ code: 'acme.no-challenge', kind: 'never' })
    } finally {
      await new Promise((resolve) => server?.close(resolve))
      await web.remove()
    }
  })

  test('follows the delegation of _acme-challenge into another zone', async () => {
    const host = 'shop.elsewhere.shop.example'
    cloud.zones.addRecord(`_acme-challenge.${host}`, 'CNAME', ['shop.delegated.example.'])
    cloud.emulator.clearCalls()
    const outcome = await renewDue(parts({ names: [host] }))
    expect(outcome.status).toBe('delivered')
    const created = cloud.emulator.calls().filter(({ route }) => route === 'dns.createRecordSet')
    const zone = [...cloud.zones.zones.values()].find(({ name }) => name === 'delegated.example.')
    expect(created.map(({ path }) => path)).toEqual([`/v2/zones/${zone?.id}/recordsets`])
    expect(cloud.zones.answers('shop.delegated.example')?.get('TXT')).toBeUndefined()
  })

  test.each(['P-256', 'P-384', 'RSA-2048', 'RSA-3072', 'RSA-4096'] as const)(
    'orders a key of type %s',
    async (key) => {
      await renewDue(parts({ settings: { key, reuseKey: false, before: undefined } }))
      const leaf = await leafOf()
      const { asymmetricKeyDetails: details } = leaf.publicKey
      const type = details?.namedCurve ?? `RSA-${details?.modulusLength}`
      expect(type).toBe({ 'P-256': 'prime256v1', 'P-384': 'secp384r1' }[key as string] ?? key)
    },
  )

  test('takes a fresh key for each renewal, or the same one by config', async () => {
    const settings = { key: 'P-256', reuseKey: true, before: undefined } as const
    const own = parts({ settings, force: true })
    await renewDue(own)
    const first = await read(store, 'incoming/shop/privkey.pem')
    await renewDue(own)
    expect(await read(store, 'incoming/shop/privkey.pem')).toBe(first)
    await renewDue({ ...own, settings: { ...settings, reuseKey: false } })
    await renewDue({ ...own, settings: { ...settings, reuseKey: false } })
    expect(await read(store, 'incoming/shop/privkey.pem')).not.toBe(first)
  })

  test('orders by the configured profile, and refuses one that the CA does not have', async () => {
    const authorities = [authorityOf(pebble, cloud.solver, { profile: 'shortlived' })]
    const outcome = await renewDue(parts({ authorities }))
    const { notBefore, notAfter } = outcome.delivered ?? { notBefore: '', notAfter: '' }
    expect((Date.parse(notAfter) - Date.parse(notBefore)) / days(1)).toBeCloseTo(6, 1)
    const wrong = [authorityOf(pebble, cloud.solver, { profile: 'classic' })]
    const refused = await renewDue(parts({ name: 'other', authorities: wrong }))
    expect(refused.failures[0]?.code).toBe('acme.profile')
    expect(refused.failures[0]?.next).toContain('default, shortlived')
  })

  test('takes the chain whose topmost issuer is preferred', async () => {
    const alternate = new X509Certificate(await pebble.root(1))
    const wanted = /CN=(.*)/.exec(alternate.subject)?.[1]
    await renewDue(parts({ authorities: [authorityOf(pebble, cloud.solver, { preferredChain: wanted })] }))
    const chain = (await read(store, 'incoming/shop/fullchain.pem')) ?? ''
    const blocks = chain.match(/-----BEGIN[^-]+-----[^-]+-----END[^-]+-----/g) ?? []
    expect(new X509Certificate(blocks.at(-1) ?? '').issuer).toContain(wanted)
  })

  test('goes on in the next tick when the time is over, with the same order', async () => {
    cloud.zones.rules.propagationMs = Number.POSITIVE_INFINITY
    const own = parts()
    const outcome = await renewDue({ ...own, signal: AbortSignal.timeout(1_500) })
    expect(outcome.status).toBe('unfinished')
    const url = outcome.order?.url
    expect(url).toBeDefined()
    const before = await stateOf()
    expect(JSON.stringify(before)).not.toContain('PRIVATE KEY')
    cloud.zones.rules.propagationMs = 0
    const seen = { orders: [] as unknown[] }
    const next = await renewDue({ ...own, connect: watched(seen) })
    expect(next.status).toBe('delivered')
    expect(seen.orders).toEqual([])
  })

  test('ends an order that is not needed any more because somebody uploaded a certificate', async () => {
    cloud.zones.rules.propagationMs = 60_000
    const own = parts()
    expect((await renewDue({ ...own, signal: AbortSignal.timeout(1_000) })).status).toBe('unfinished')
    cloud.zones.rules.propagationMs = 0
    const [host = ''] = own.names
    expect(cloud.zones.answers(`_acme-challenge.${host}`)?.get('TXT')).toBeDefined()
    const uploaded = {
      fingerprint: 'f',
      names: own.names,
      notBefore: clock.now(),
      notAfter: new Date(Date.now() + days(90)),
    }
    expect((await renewDue({ ...own, current: uploaded })).status).toBe('not-due')
    await expect.poll(() => cloud.zones.answers(`_acme-challenge.${host}`)?.get('TXT')).toBeUndefined()
    expect(await stateOf()).toMatchObject({ orders: {}, leftovers: [] })
  })

  test('stops and cleans up when the record never becomes visible', async () => {
    const own = parts({ pace: { visibleWithinMs: 300 } })
    cloud.zones.rules.propagationMs = Number.POSITIVE_INFINITY
    const running = renewDue(own)
    const outcome = await running
    cloud.zones.rules.propagationMs = 0
    expect(outcome.failures[0]?.code).toBe('dns.not-visible')
    expect(outcome.sentence).toContain('did not become visible')
    const zone = cloud.zones.zoneFor(own.names[0] ?? '')
    const sets = zone && cloud.zones.sets(zone).filter(({ name }) => name.includes(own.names[0] ?? ''))
    expect(sets?.every((set) => cloud.zones.statusOf(set) === 'PENDING_DELETE')).toBe(true)
  })

  test('says which zone is missing before the CA is told anything', async () => {
    const outcome = await renewDue(parts({ names: ['www.unknown.test'] }))
    expect(outcome.failures[0]).toMatchObject({ code: 'dns.zone-not-found' })
    expect(outcome.sentence).toContain('no active public zone for _acme-challenge.www.unknown.test')
  })

  test('registers its account again when the CA has forgotten it', async () => {
    await renewDue(parts())
    await pebble.halt()
    await pebble.start()
    const outcome = await renewDue(parts({ force: true }))
    expect(outcome.status).toBe('delivered')
  })

  test('uses an account key that is handed in, and keeps none', async () => {
    const { generateKeyPairSync } = await import('node:crypto')
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const accountKey = new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
    const outcome = await renewDue(
      parts({ authorities: [authorityOf(pebble, cloud.solver, { accountKey })] }),
    )
    expect(outcome.status).toBe('delivered')
    expect((await store.list('renew/')).map(({ key }) => key)).toEqual(['renew/shop.json'])
  })

  test('wrong directories are told apart: not ACME, not there, not trusted', async () => {
    const page = createServer((_, response) => response.end('<html>welcome</html>'))
    await new Promise<void>((resolve) => page.listen(0, '127.0.0.1', resolve))
    const address = page.address() as { port: number }
    const failed = async (directory: string, caPem: string | undefined, name: string) => {
      const authorities = [authorityOf(pebble, cloud.solver, { directory, caPem })]
      return (await renewDue(parts({ name, authorities }))).failures[0]
    }
    try {
      expect(await failed(`http://127.0.0.1:${address.port}/`, undefined, 'a')).toMatchObject({
        code: 'acme.bad-directory',
      })
      expect(await failed('https://no-such-ca.invalid/dir', undefined, 'b')).toMatchObject({
        code: 'acme.unreachable',
      })
      expect(await failed(pebble.directory, undefined, 'c')).toMatchObject({ code: 'acme.untrusted' })
    } finally {
      page.close()
    }
  })

  test('no key is ever in the state or in an outcome, and the stored key opens with its passphrase only', async () => {
    const own = parts()
    const outcome = await renewDue(own)
    const key = (await read(store, 'incoming/shop/privkey.pem')) ?? ''
    expect(createPrivateKey(key).type).toBe('private')
    const body = key.split('\n').slice(1, -2).join('')
    for (const { key: name } of await store.list('renew/')) {
      expect(await read(store, name)).not.toContain(body.slice(0, 40))
      expect(await read(store, name)).not.toContain('PRIVATE KEY')
    }
    expect(JSON.stringify(outcome)).not.toContain(body.slice(0, 40))
    const stranger = { ...own, secret: new Secret('another passphrase'), force: true }
    const refused = await renewDue(stranger)
    expect(refused.failures[0]?.code).toBe('acme.key-unreadable')
    const none = await renewDue({ ...own, secret: undefined, force: true })
    expect(none.failures[0]?.code).toBe('acme.no-secret')
  })

  function withoutRenewalInfo(): ConnectAcme {
    const connect = connectAcme({ clock, timeoutMs: 5_000 })
    return (authority) => {
      const server = connect(authority)
      return {
        features: server.features.bind(server),
        account: server.account.bind(server),
        close: server.close.bind(server),
        renewalInfo: async () => undefined,
      }
    }
  }
})
