import { createPrivateKey, X509Certificate } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AcmeAccount, AcmeOrder, AcmeServer } from '../../shared/acme/port.ts'
import { type RenewalParts, renewDue } from '../../shared/acme/renew.ts'
import { connectAcme } from '../../shared/acme/server.ts'
import type { RenewState } from '../../shared/acme/state.ts'
import { silentLog } from '../../shared/base/log.ts'
import { createDns01Solver } from '../../shared/dns/dns-01.ts'
import { createDnsLookup } from '../../shared/dns/propagation.ts'
import type { Store } from '../../shared/store/port.ts'
import {
  authorityOf,
  type DnsCloud,
  read,
  renewalParts,
  startDnsCloud,
  TestClock,
  temporaryStore,
} from '../support/acme.ts'
import { Boundaries, type Fault } from '../support/boundaries.ts'
import { type Pebble, pebbleMissing, startPebble } from '../support/pebble.ts'

interface Ledger {
  placed: Set<string>
  finalized: Set<string>
}

/** `list`: the CA tells which orders an account has (Pebble). `no list`: it does not (Let's Encrypt). */
type Listing = 'list' | 'no list'

describe.skipIf(pebbleMissing())('an order whose process dies or whose replies are lost', () => {
  let cloud: DnsCloud
  let pebble: Pebble
  const clock = new TestClock()
  let serial = 0
  beforeAll(async () => {
    cloud = await startDnsCloud(['shop.example'])
    pebble = await startPebble({ dns: `127.0.0.1:${cloud.answers.port}` })
  })
  afterAll(async () => {
    await pebble?.remove()
    await cloud?.close()
  })

  /** What really happened at the CA, whatever the dying process saw of it. */
  function recorded(account: AcmeAccount, ledger: Ledger, listing: Listing): AcmeAccount {
    return new Proxy(account, {
      get(target, property) {
        if (property === 'orders' && listing === 'no list') return async () => undefined
        if (property === 'placeOrder') {
          return async (...args: Parameters<AcmeAccount['placeOrder']>) => {
            const order = await target.placeOrder(...args)
            ledger.placed.add(order.url)
            return order
          }
        }
        if (property === 'finalize') {
          return async (...args: Parameters<AcmeAccount['finalize']>) => {
            const order: AcmeOrder = await target.finalize(...args)
            ledger.finalized.add(order.url)
            return order
          }
        }
        const value = Reflect.get(target, property, target) as unknown
        return typeof value === 'function' ? value.bind(target) : value
      },
    })
  }

  /** One renewal from nothing: a first run with the fault, then ticks until the bundle lies there. */
  async function renewal(fault: Fault | undefined, at: number, listing: Listing) {
    const { store, remove } = await temporaryStore()
    const host = `n${++serial}.shop.example`
    const ledger: Ledger = { placed: new Set(), finalized: new Set() }
    const parts = (boundaries: Boundaries) => partsThrough(boundaries, store, host, ledger, listing)
    try {
      const first = new Boundaries(at, fault)
      let outcome = await renewDue(parts(first)).catch(() => undefined)
      let ticks = 1
      // A finished renewal is not begun again by `force`: the ticks end with the first delivery.
      while (outcome?.status !== 'delivered' || (first.dead && ticks === 1)) {
        if (ticks++ > 4) break
        const { store: at } = parts(new Boundaries())
        const pending = JSON.parse((await read(at, 'renew/shop.json')) ?? '{}') as Partial<RenewState>
        if (pending.issued !== undefined && Object.keys(pending.orders ?? {}).length === 0) break
        outcome = await renewDue(parts(new Boundaries())).catch(() => undefined)
      }
      const chain = (await read(store, 'incoming/shop/fullchain.pem')) ?? ''
      const key = (await read(store, 'incoming/shop/privkey.pem')) ?? ''
      // The tick after it removes what a dying process could not.
      await renewDue({ ...parts(new Boundaries()), force: false })
      const state = JSON.parse((await read(store, 'renew/shop.json')) ?? '{}') as RenewState
      const stored = await store.list('')
      return { first, ledger, host, chain, key, state, stored: stored.map(({ key }) => key) }
    } finally {
      await remove()
    }
  }

  /** Every port a boundary, everything behind it real. */
  function partsThrough(
    boundaries: Boundaries,
    store: Store,
    host: string,
    ledger: Ledger,
    listing: Listing,
  ): RenewalParts {
    const service = boundaries.wrap('dns', cloud.service)
    const lookup = createDnsLookup({ servers: [`127.0.0.1:${cloud.answers.port}`] })
    const solver = createDns01Solver({
      id: 'dns-01:test',
      service,
      lookup,
      clock,
      log: silentLog,
      pollMs: 500,
    })
    const connect = connectAcme({ clock, timeoutMs: 5_000 })
    return renewalParts({
      store: boundaries.wrap('store', store),
      clock,
      names: [host, `*.${host}`],
      authorities: [authorityOf(pebble, solver)],
      // A person asks, so that the wait after a failure does not have to be sat out.
      force: true,
      connect: (authority) => {
        const server = connect(authority)
        return boundaries.wrap<AcmeServer>('acme', server, (method, result) =>
          method === 'account'
            ? boundaries.wrap('account', recorded(result as AcmeAccount, ledger, listing))
            : result,
        )
      },
    })
  }

  function check(run: Awaited<ReturnType<typeof renewal>>, what: string, listing: Listing) {
    expect(run.chain, what).toContain('BEGIN CERTIFICATE')
    const leaf = new X509Certificate(run.chain)
    expect(leaf.checkPrivateKey(createPrivateKey(run.key)), `${what}: the key is the certificate's`).toBe(
      true,
    )
    expect(run.ledger.finalized.size, `${what}: certificates ordered`).toBe(1)
    if (listing === 'list') expect(run.ledger.placed.size, `${what}: orders placed`).toBe(1)
    else expect(run.ledger.placed.size, `${what}: orders placed`).toBeLessThanOrEqual(2)
    expect(run.state.orders, what).toEqual({})
    expect(run.state.leftovers, what).toEqual([])
    expect(
      cloud.zones.answers(`_acme-challenge.${run.host}`)?.get('TXT'),
      `${what}: challenge left`,
    ).toBeUndefined()
    expect(run.stored.filter((name) => name.startsWith('renew/account-')).length, what).toBe(1)
  }

  test('ends at every boundary with one certificate, its key, and nothing left behind', async () => {
    const counted = await renewal(undefined, 0, 'list')
    check(counted, 'without a fault', 'list')
    const calls = counted.first.seen
    const faults: Fault[] = ['killed before', 'killed after', 'reply lost']
    // Every boundary with one of the faults in turn; with ALL_FAULTS=1 every boundary with every fault.
    const all = process.env.ALL_FAULTS === '1'
    const cases = calls.flatMap((name, index) =>
      faults
        .filter((_, which) => all || which === index % faults.length || name === 'account.placeOrder')
        .map((fault) => ({ name, at: index + 1, fault, listing: 'list' as Listing })),
    )
    for (const [index, name] of calls.entries()) {
      if (name !== 'account.placeOrder') continue
      for (const fault of faults) cases.push({ name, at: index + 1, fault, listing: 'no list' })
    }
    const waiting = [...cases]
    const worker = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const run = await renewal(next.fault, next.at, next.listing)
        check(run, `${next.fault} at ${next.at} (${next.name}), ${next.listing}`, next.listing)
      }
    }
    await Promise.all(Array.from({ length: 6 }, worker))
    console.info(
      `order boundaries: ${calls.length} (${new Set(calls).size} kinds of call), ${faults.length} faults, ${cases.length} runs, all with one certificate`,
    )
  }, 600_000)

  test('that is not wanted any more still takes its challenges down', async () => {
    const ledger: Ledger = { placed: new Set(), finalized: new Set() }
    const run = async (boundaries: Boundaries, store: Store, host: string) =>
      renewDue(partsThrough(boundaries, store, host, ledger, 'list')).catch(() => undefined)
    const counting = new Boundaries()
    const counted = await temporaryStore()
    await run(counting, counted.store, `n${++serial}.shop.example`)
    await counted.remove()
    const created = counting.seen.indexOf('dns.createTxt') + 1
    const { store, remove } = await temporaryStore()
    try {
      const unwanted = `n${++serial}.shop.example`
      await run(new Boundaries(created, 'killed after'), store, unwanted)
      await expect.poll(() => cloud.zones.answers(`_acme-challenge.${unwanted}`)?.get('TXT')).toBeDefined()
      // Somebody changes the names in the config before the next tick.
      const outcome = await run(new Boundaries(), store, `n${++serial}.shop.example`)
      expect(outcome?.status).toBe('delivered')
      await expect.poll(() => cloud.zones.answers(`_acme-challenge.${unwanted}`)?.get('TXT')).toBeUndefined()
    } finally {
      await remove()
    }
  })
})
