import { createPrivateKey, X509Certificate } from 'node:crypto'
import type { AcmeAccount, AcmeOrder, AcmeServer } from '../../shared/acme/port.ts'
import type { RenewalParts } from '../../shared/acme/renew.ts'
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
  renewToEnd as renewDue,
  startDnsCloud,
  TestClock,
  temporaryStore,
} from './acme.ts'
import { Boundaries, type Fault } from './boundaries.ts'
import { type Pebble, startPebble } from './pebble.ts'

export interface Ledger {
  placed: Set<string>
  finalized: Set<string>
}

/** `list`: the CA tells which orders an account has (Pebble). `no list`: it does not (Let's Encrypt). */
export type Listing = 'list' | 'no list'

export const orderFaults: Fault[] = ['killed before', 'killed after', 'reply lost']

export interface OrderCase {
  name: string
  /** Number of the call, from 1. */
  at: number
  fault: Fault
  listing: Listing
}

export type OrderRun = Awaited<ReturnType<OrderStage['renewal']>>

/** A real ACME server and the embedded DNS, with every port of an order a boundary that can fail. */
export class OrderStage {
  readonly cloud: DnsCloud
  readonly #pebble: Pebble
  readonly #clock = new TestClock()
  #serial = 0

  private constructor(cloud: DnsCloud, pebble: Pebble) {
    this.cloud = cloud
    this.#pebble = pebble
  }

  static async start(): Promise<OrderStage> {
    const cloud = await startDnsCloud(['shop.example'])
    return new OrderStage(cloud, await startPebble({ dns: `127.0.0.1:${cloud.answers.port}` }))
  }

  async close(): Promise<void> {
    await this.#pebble.remove()
    await this.cloud.close()
  }

  newHost(): string {
    return `n${++this.#serial}.shop.example`
  }

  /** What really happened at the CA, whatever the dying process saw of it. */
  #recorded(account: AcmeAccount, ledger: Ledger, listing: Listing): AcmeAccount {
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
  async renewal(fault: Fault | undefined, at: number, listing: Listing) {
    const { store, remove } = await temporaryStore()
    const host = this.newHost()
    const ledger: Ledger = { placed: new Set(), finalized: new Set() }
    const parts = (boundaries: Boundaries) => this.partsThrough(boundaries, store, host, ledger, listing)
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
  partsThrough(
    boundaries: Boundaries,
    store: Store,
    host: string,
    ledger: Ledger,
    listing: Listing,
  ): RenewalParts {
    const clock = this.#clock
    const service = boundaries.wrap('dns', this.cloud.service)
    const lookup = createDnsLookup({ servers: [`127.0.0.1:${this.cloud.answers.port}`] })
    const solver = createDns01Solver({
      id: 'dns-01:test',
      service,
      lookup,
      clock,
      log: silentLog,
      pollMs: 500,
    })
    const connect = connectAcme({ clock, timeoutMs: 30_000 })
    return renewalParts({
      store: boundaries.wrap('store', store),
      clock,
      names: [host, `*.${host}`],
      authorities: [authorityOf(this.#pebble, solver)],
      // A person asks, so that the wait after a failure does not have to be sat out.
      force: true,
      connect: (authority) => {
        const server = connect(authority)
        return boundaries.wrap<AcmeServer>('acme', server, (method, result) =>
          method === 'account'
            ? boundaries.wrap('account', this.#recorded(result as AcmeAccount, ledger, listing), undefined, [
                'challengeValue',
              ])
            : result,
        )
      },
    })
  }

  /** What is wrong with the end of a run; empty where it has one certificate, its key and nothing left behind. */
  problems(run: OrderRun, listing: Listing): string[] {
    const { chain, key, ledger, state, stored, host } = run
    if (!chain.includes('BEGIN CERTIFICATE')) return ['no certificate']
    const facts: [string, boolean][] = [
      ['the key is not the certificate’s', new X509Certificate(chain).checkPrivateKey(createPrivateKey(key))],
      [`${ledger.finalized.size} certificates ordered`, ledger.finalized.size === 1],
      [`${ledger.placed.size} orders placed`, ledger.placed.size <= (listing === 'list' ? 1 : 2)],
      ['an order is left in the state', Object.keys(state.orders).length === 0],
      ['a leftover is left in the state', state.leftovers.length === 0],
      ['a challenge is left', this.cloud.zones.answers(`_acme-challenge.${host}`)?.get('TXT') === undefined],
      ['not one account', stored.filter((name) => name.startsWith('renew/account-')).length === 1],
    ]
    return facts.filter(([, good]) => !good).map(([sentence]) => sentence)
  }

  /**
   * Counts the boundaries in a run without faults. `every`: each with every fault; otherwise each with one of them
   * in turn. Placing the order comes with every fault, and once more at a CA that lists no orders.
   */
  async cases(every: boolean): Promise<{ calls: string[]; cases: OrderCase[] }> {
    const counted = await this.renewal(undefined, 0, 'list')
    const wrong = this.problems(counted, 'list')
    if (wrong.length > 0) throw new Error(`without a fault: ${wrong.join(', ')}`)
    const calls = counted.first.seen
    const cases = calls.flatMap((name, index) =>
      orderFaults
        .filter((_, which) => every || which === index % orderFaults.length || name === 'account.placeOrder')
        .map((fault): OrderCase => ({ name, at: index + 1, fault, listing: 'list' })),
    )
    for (const [index, name] of calls.entries()) {
      if (name !== 'account.placeOrder') continue
      for (const fault of orderFaults) cases.push({ name, at: index + 1, fault, listing: 'no list' })
    }
    return { calls, cases }
  }

  /** All of them, some side by side. */
  async play(
    cases: OrderCase[],
    ended: (one: OrderCase, run: OrderRun, wrong: string[]) => void,
  ): Promise<void> {
    const waiting = [...cases]
    const worker = async () => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        const run = await this.renewal(next.fault, next.at, next.listing)
        ended(next, run, this.problems(run, next.listing))
      }
    }
    await Promise.all(Array.from({ length: 6 }, worker))
  }
}
