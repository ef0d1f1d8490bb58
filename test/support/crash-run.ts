import { minute, second } from '../../shared/base/clock.ts'
import { silentLog } from '../../shared/base/log.ts'
import type { Deadline, LeaseAnswer, Parties } from '../../shared/rotation/parties.ts'
import type { Outcome } from '../../shared/rotation/record/state.ts'
import { rotate } from '../../shared/rotation/rotate.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { acquireLease } from '../../shared/store/lease.ts'
import type { Store } from '../../shared/store/port.ts'
import type { Wiring } from '../../shared/wire/cloud.ts'
import { Crashed, type Crasher } from './crasher.ts'
import type { VirtualClock } from './virtual-clock.ts'

export const LEASE_TTL_MS = 20 * second

/** Parties of one process that may die: every port is wrapped, time is virtual, the lease is the real one. */
export function mortalParties(
  wiring: Wiring,
  clock: VirtualClock,
  crasher: Crasher,
  deadline: Deadline = noDeadline(),
): Parties {
  const parties = wiring.parties({ deadline })
  const store = crasher.wrap('store', wiring.store)
  return {
    ...parties,
    store,
    clock: clock.eager,
    manager: parties.manager && crasher.wrap('manager', parties.manager),
    gatewayFor: (config) => crasher.wrap(config.flavour, parties.gatewayFor(config)),
    // A probe changes nothing: dying around it is dying between its neighbours.
    probe: crasher.wrap('probe', parties.probe, () => false),
    lease: (name) => leaseOn(store, name, clock),
    log: silentLog,
  }
}

export async function leaseOn(store: Store, name: string, clock: VirtualClock): Promise<LeaseAnswer> {
  const lease = await acquireLease(datedBy(store), name, {
    clock: clock.lazy,
    owner: 'a test',
    ttlMs: LEASE_TTL_MS,
    heartbeatMs: false,
  })
  if ('heldBy' in lease) return { held: false, ...lease }
  // Virtual time runs as the code sleeps; the claim is prolonged as a heartbeat would.
  const stop = clock.inBackground(async () => {
    if (lease.until.getTime() - clock.lazy.now().getTime() < (LEASE_TTL_MS * 2) / 3) await lease.renew()
  })
  return {
    held: true,
    lease: {
      signal: lease.signal,
      remainingMs: () => Math.max(0, lease.until.getTime() - clock.lazy.now().getTime() - 5 * second),
      held: () => lease.held(),
      release: () => {
        stop()
        return lease.release()
      },
      denied: () => lease.denied,
    },
  }
}

/** Files are dated by the machine, whose time stands still in these stories: claims get the virtual time of their names. */
function datedBy(store: Store): Store {
  const list: Store['list'] = async (prefix, options) =>
    (await store.list(prefix, options)).map((object) => {
      const until = /\.lease\/(\d+)-[0-9a-f]{24}$/.exec(object.key)?.[1]
      return until ? { ...object, modifiedAt: new Date(Number(until) - LEASE_TTL_MS) } : object
    })
  return new Proxy(store, {
    get: (target, property) => {
      const value = property === 'list' ? list : (Reflect.get(target, property) as unknown)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}

/** Runs until the end or the death. */
export async function runOnce(
  wiring: Wiring,
  clock: VirtualClock,
  crasher: Crasher,
  asked = false,
): Promise<Outcome[] | Crashed> {
  const job = await wiring.job('shop', asked)
  const work = rotate(job, mortalParties(wiring, clock, crasher))
  work.catch(() => {})
  try {
    return await Promise.race([work, crasher.died])
  } catch (thrown) {
    if (thrown instanceof Crashed) return thrown
    throw thrown
  }
}

/** Later runs of living processes, each after the dead one's claim has ended. Returns how many it took. */
export async function runUntilSettled(
  wiring: Wiring,
  clock: VirtualClock,
  immortal: () => Crasher,
  most = 8,
): Promise<{ runs: number; outcomes: Outcome[] }> {
  const outcomes: Outcome[] = []
  for (let runs = 1; runs <= most; runs++) {
    clock.advance(LEASE_TTL_MS + 7 * minute)
    const came = await runOnce(wiring, clock, immortal())
    if (came instanceof Crashed) throw came
    outcomes.push(...came)
    if (
      (await wiring.store.list('incoming/')).length === 0 &&
      came.every(({ status }) => status !== 'unfinished')
    )
      return { runs, outcomes }
  }
  return { runs: most + 1, outcomes }
}
