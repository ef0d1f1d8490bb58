import { beforeEach, describe, expect, test } from 'vitest'
import { day, hour, minute, second } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import type { Log } from '../../shared/base/log.ts'
import { acquireLease, type Lease, type LeaseOptions } from '../../shared/store/lease.ts'
import type { ObjectSummary, Store } from '../../shared/store/port.ts'
import { childrenFrom } from '../support/children.ts'

/** Time that moves only when a test says so. */
class ManualClock {
  ms = Date.parse('2026-11-22T06:00:00Z')
  steady = 0
  sleepers: { at: number; wake: () => void }[] = []

  now = () => new Date(this.ms)
  monotonic = () => this.steady
  sleep = (ms: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const stop = () => reject(signal?.reason)
      signal?.addEventListener('abort', stop, { once: true })
      const wake = () => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }
      this.sleepers.push({ at: this.steady + ms, wake })
    })

  /** Moves on, waking sleepers one by one in their order, each with time to do its work. */
  async advance(ms: number): Promise<void> {
    const end = this.steady + ms
    for (;;) {
      await settled()
      const next = this.sleepers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at)[0]
      if (!next) break
      this.sleepers = this.sleepers.filter((sleeper) => sleeper !== next)
      const step = Math.max(0, next.at - this.steady)
      this.ms += step
      this.steady += step
      next.wake()
    }
    this.ms += end - this.steady
    this.steady = end
    await settled()
  }
}

const settled = () => new Promise((resolve) => setImmediate(resolve))

/** A store in memory with a place for a fault before or after the effect. */
class FaultyStore implements Store {
  description = 'memory'
  objects = new Map<string, { bytes: Uint8Array; modifiedAt: Date }>()
  before: (operation: string, key: string) => unknown = () => undefined
  after: (operation: string, key: string) => unknown = () => undefined
  readonly clock: ManualClock

  constructor(clock: ManualClock) {
    this.clock = clock
  }

  async #do<T>(operation: string, key: string, work: () => T): Promise<T> {
    await this.before(operation, key)
    const result = work()
    await this.after(operation, key)
    return result
  }

  get = (key: string) =>
    this.#do('get', key, () => {
      const found = this.objects.get(key)
      return found && { key, ...found }
    })
  put = (key: string, bytes: Uint8Array | string) =>
    this.#do('put', key, () => {
      this.objects.set(key, { bytes: Buffer.from(bytes as string), modifiedAt: this.clock.now() })
    })
  delete = (key: string) =>
    this.#do('delete', key, () => {
      this.objects.delete(key)
    })
  list = (prefix: string) =>
    this.#do('list', prefix, (): ObjectSummary[] =>
      [...this.objects]
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, { bytes, modifiedAt }]) => ({ key, size: bytes.length, modifiedAt }))
        .sort((a, b) => (a.key < b.key ? -1 : 1)),
    )
  children = childrenFrom((prefix) => this.list(prefix))
}

const lost = () =>
  new Failure({ code: 'store.unreachable', kind: 'again', message: 'm', next: 'n', effect: 'unknown' })

let clock: ManualClock
let store: FaultyStore
let warnings: string[]
beforeEach(() => {
  clock = new ManualClock()
  store = new FaultyStore(clock)
  warnings = []
})

function options(more: Partial<LeaseOptions> = {}): LeaseOptions {
  const log: Log = {
    debug() {},
    info() {},
    warn: (message) => void warnings.push(message),
    error() {},
    with: () => log,
  }
  return { clock, owner: 'one', log, random: () => 0.5, ...more }
}

async function take(more: Partial<LeaseOptions> = {}): Promise<Lease> {
  const result = await acquireLease(store, 'shop', options(more))
  if ('heldBy' in result) throw new Error(`held by ${result.heldBy}`)
  return result
}
const refused = async (more: Partial<LeaseOptions> = {}) => {
  const result = await acquireLease(store, 'shop', options({ owner: 'two', ...more }))
  expect(result).toHaveProperty('heldBy')
  return result as { heldBy: string; until: Date }
}
const claims = () => [...store.objects.keys()]

test('The first to ask gets the lease; others are told who holds it until when, and leave no trace', async () => {
  const lease = await take()
  expect(lease.held()).toBe(true)
  expect(lease.until.getTime()).toBe(clock.ms + 20 * second)
  expect(claims()).toHaveLength(1)
  expect(await refused()).toEqual({ heldBy: 'one', until: lease.until })
  expect(claims()).toHaveLength(1)
})

test('A released lease can be taken at once, and nothing is left in the folder', async () => {
  const lease = await take()
  await lease.release()
  expect(lease.held()).toBe(false)
  expect(lease.signal.aborted).toBe(false)
  expect(claims()).toEqual([])
  await (await take()).release()
  await lease.release()
})

test('Leases of different names do not meet', async () => {
  await take()
  expect(await acquireLease(store, 'shop2', options())).not.toHaveProperty('heldBy')
})

test('Who waits gets the lease when it is released', async () => {
  const lease = await take()
  const waiting = acquireLease(store, 'shop', options({ owner: 'two', waitMs: 30 * second }))
  await clock.advance(5 * second)
  await lease.release()
  await clock.advance(3 * second)
  expect(await waiting).not.toHaveProperty('heldBy')
})

test('Waiting can be called off, and leaves nothing behind', async () => {
  await take()
  const controller = new AbortController()
  const waiting = acquireLease(store, 'shop', options({ waitMs: 60 * second, signal: controller.signal }))
  const outcome = waiting.catch((error: unknown) => error)
  await clock.advance(100)
  controller.abort(lost())
  expect(await outcome).toBeInstanceOf(Failure)
  expect(claims()).toHaveLength(1)
})

test('The claim of a holder that died is ignored after its instant, and cleared away', async () => {
  const dead = await take({ heartbeatMs: false })
  await clock.advance(19 * second)
  await refused()
  await clock.advance(1 * second)
  const lease = await take({ owner: 'two' })
  expect(lease.held()).toBe(true)
  expect(dead.held()).toBe(false)
  await lease.release()
  await clock.advance(10 * second)
  await (await take()).release()
  expect(claims()).toEqual([])
})

test('Claims that nobody may delete are told, and do not pile up', async () => {
  store.before = (operation) => {
    if (operation === 'delete')
      throw new Failure({ code: 'store.denied', kind: 'never', message: 'The DELETE was denied', next: 'n' })
  }
  let refusal: Failure | undefined
  for (let run = 0; run < 150 && !refusal; run++) {
    const lease = await take({ heartbeatMs: false }).catch((error: unknown) => error as Failure)
    if (lease instanceof Failure) refusal = lease
    else {
      await lease.release()
      expect(lease.denied).toMatchObject({ code: 'lease.cannot-delete', kind: 'never' })
      expect(lease.denied?.next).toContain('state/')
    }
    await clock.advance(5 * 60 * second)
  }
  expect(refusal).toMatchObject({ code: 'lease.cannot-delete' })
  expect(claims().length).toBeLessThan(130)
  const before = claims().length
  await acquireLease(store, 'shop', options()).catch(() => undefined)
  expect(claims()).toHaveLength(before)
  store.before = () => undefined
  const lease = await take({ heartbeatMs: false })
  await lease.release()
  expect(lease.denied).toBeUndefined()
})

test('A holder that does not renew must stop before others may ignore its claim', async () => {
  const lease = await take({ heartbeatMs: false })
  await clock.advance(14_999)
  expect([lease.held(), lease.signal.aborted]).toEqual([true, false])
  await clock.advance(1)
  expect([lease.held(), lease.signal.aborted]).toEqual([false, true])
  expect(lease.signal.reason).toMatchObject({ code: 'lease.lost', kind: 'later' })
  await refused()
})

test('A holder stops when either of its clocks says so', async () => {
  const jumped = await take({ heartbeatMs: false })
  clock.ms += 15 * second
  expect(jumped.held()).toBe(false)
  await jumped.release()
  const slept = await take({ heartbeatMs: false })
  clock.steady += 15 * second
  expect(slept.held()).toBe(false)
})

test('The heartbeat keeps the lease for as long as it is needed, with few claims in the folder', async () => {
  const lease = await take()
  for (let minute = 0; minute < 20; minute++) {
    await clock.advance(13 * second)
    expect(lease.held()).toBe(true)
    expect(claims().length).toBeLessThanOrEqual(3)
    await refused()
  }
  await lease.release()
  expect(claims()).toEqual([])
})

test('A claim that was replaced stays for the margin, so that no listing can miss both', async () => {
  const lease = await take({ heartbeatMs: false })
  const [first] = claims()
  await clock.advance(second)
  expect(await lease.renew()).toBe(true)
  expect(claims()).toContain(first)
  await clock.advance(6 * second)
  expect(await lease.renew()).toBe(true)
  expect(claims()).not.toContain(first)
})

test('A heartbeat that fails is tried again, and the lease ends within its margin when none succeeds', async () => {
  const lease = await take()
  store.before = (operation) => {
    if (operation === 'put') throw lost()
  }
  await clock.advance(10 * second)
  expect(lease.held()).toBe(true)
  store.before = () => undefined
  await clock.advance(10 * second)
  expect(lease.held()).toBe(true)
  store.before = () => {
    throw lost()
  }
  await clock.advance(15 * second)
  expect([lease.held(), lease.signal.aborted]).toEqual([false, true])
})

test('A renewal that arrives too late does not bring the lease back', async () => {
  const lease = await take({ heartbeatMs: false })
  store.after = (operation) => {
    if (operation !== 'put') return
    clock.ms += 21 * second
    clock.steady += 21 * second
  }
  expect(await lease.renew()).toBe(false)
  expect([lease.held(), lease.signal.aborted]).toEqual([false, true])
})

test('A holder whose claim somebody deleted notices at the next renewal', async () => {
  const lease = await take({ heartbeatMs: false })
  store.objects.clear()
  expect(await lease.renew()).toBe(false)
  expect(lease.signal.reason).toMatchObject({ code: 'lease.lost' })
  expect(claims()).toEqual([])
})

test('Of two that claim at the same moment never both win, and the first in the listing does', async () => {
  let waiting: (() => void)[] = []
  // Both have written before either lists.
  store.after = (operation) => {
    if (operation !== 'put') return
    return new Promise<void>((resolve) => {
      waiting.push(resolve)
      if (waiting.length === 2) {
        for (const wake of waiting) wake()
        waiting = []
        store.after = () => undefined
      }
    })
  }
  const both = Promise.all([
    acquireLease(store, 'shop', options({ owner: 'a' })),
    acquireLease(store, 'shop', options({ owner: 'b' })),
  ])
  await clock.advance(5 * second)
  const results = await both
  expect(results.filter((result) => !('heldBy' in result))).toHaveLength(1)
})

describe('A claim counts only when its writing and its listing are known to have worked', () => {
  test.each(['put', 'list'])(
    'a %s that fails with unknown effect leaves no lease and no claim',
    async (broken) => {
      let listings = 0
      store.after = (operation) => {
        // The first listing only looks whether somebody is there.
        if (operation === broken && (broken === 'put' || ++listings === 2)) throw lost()
      }
      await expect(acquireLease(store, 'shop', options())).rejects.toMatchObject({
        code: 'store.unreachable',
      })
      expect(claims()).toEqual([])
    },
  )

  test('a listing without the own claim is not trusted', async () => {
    store.after = (operation, key) => {
      if (operation === 'put') store.objects.delete(key)
    }
    await refused()
  })

  test('a write or a listing that takes too long gives no lease', async () => {
    for (const slow of ['put', 'list']) {
      store.after = (operation) => {
        if (operation === slow) clock.steady += 16 * second
      }
      await refused()
      expect(claims()).toEqual([])
    }
  })

  test('a claim that can not be withdrawn is reported and ends by itself', async () => {
    const lease = await take({ heartbeatMs: false })
    store.before = (operation) => {
      if (operation === 'delete') throw lost()
    }
    await lease.release()
    expect(warnings).toEqual(['A lease claim could not be deleted; it ends by itself'])
    store.before = () => undefined
    await refused()
    await clock.advance(20 * second)
    await take()
  })
})

describe('What others left in the folder does not wedge the lease:', () => {
  const put = (name: string, bytes: string, modifiedAt = clock.now()) =>
    store.objects.set(`state/shop.lease/${name}`, { bytes: Buffer.from(bytes), modifiedAt })

  test.each([
    'garbage',
    'a/b',
    '123-x',
    '0000000000000',
    `1-${'a'.repeat(24)}`,
    `1700000000000-${'a'.repeat(24)}.txt`,
  ])('an object %j is ignored, reported, and left where it is: it cannot be a claim', async (name) => {
    put(name, 'x')
    await (await take()).release()
    expect(warnings).toContain('Ignored objects in a lease folder that are no claims')
    expect(claims()).toHaveLength(1)
    put(name, 'x', new Date(clock.ms - 400 * day))
    await (await take()).release()
    expect(claims()).toHaveLength(1)
  })

  test.each(['', '\0\0\0\0', '{', 'null', '{"owner":7}', '{"owner":"a\\u001b[31mb"}'])(
    'a claim with the body %j counts by its name',
    async (body) => {
      const until = clock.ms + 10 * second
      put(`${until}-${'a'.repeat(24)}`, body, new Date(clock.ms - 10 * second))
      expect(await refused()).toEqual({
        heldBy: body.includes('a\\u') ? 'a?[31mb' : 'unknown',
        until: new Date(until),
      })
      await clock.advance(10 * second)
      await take()
    },
  )
})

describe('Clocks that are wrong change nothing: a claim is judged by the store’s own time, so', () => {
  /** Of two claims the first in the listing stays a little, to see whether the other one is withdrawn. */
  const refusedBeside = async (more: Partial<LeaseOptions> = {}) => {
    const answer = refused(more)
    await clock.advance(4 * second)
    return answer
  }
  const off = (ms: number): LeaseOptions['clock'] => ({ ...clock, now: () => new Date(clock.ms + ms) })

  test.each([
    ['a day behind', -24 * hour],
    ['a day ahead', 24 * hour],
    ['ten minutes behind', -10 * minute],
    ['ten minutes ahead', 10 * minute],
    ['half a minute ahead', 30 * second],
  ])(
    'whoever comes with a clock that is %s respects a live holder, and takes over from a dead one',
    async (_, ms) => {
      const holder = await take()
      for (let round = 0; round < 3; round++) {
        await refusedBeside({ clock: off(ms) })
        await clock.advance(9 * second)
        expect(await holder.renew()).toBe(true)
      }
      await holder.release()
      await take({ heartbeatMs: false })
      await clock.advance(20 * second)
      await (await take({ owner: 'two', clock: off(ms) })).release()
    },
  )

  test.each([
    ['a day behind', -24 * hour],
    ['a day ahead', 24 * hour],
  ])(
    'a holder whose clock is %s is respected, and blocks nobody for longer than a lease lives',
    async (_, ms) => {
      const holder = await take({ clock: off(ms) })
      for (let round = 0; round < 3; round++) {
        await refusedBeside()
        await clock.advance(9 * second)
        expect(await holder.renew()).toBe(true)
      }
      await holder.release()
      await take({ clock: off(ms), heartbeatMs: false })
      await clock.advance(20 * second)
      expect((await take({ owner: 'two' })).held()).toBe(true)
    },
  )

  test('a claim dated far ahead blocks for the life of a lease at most, and says so', async () => {
    store.objects.set(`state/shop.lease/9999999999999-${'a'.repeat(24)}`, {
      bytes: Buffer.from('x'),
      modifiedAt: clock.now(),
    })
    await clock.advance(5 * second)
    expect((await refusedBeside()).until.getTime()).toBeLessThanOrEqual(clock.ms + 15 * second)
    await clock.advance(13 * second)
    await (await take()).release()
    await clock.advance(5 * second)
    await (await take()).release()
    expect(claims()).toEqual([])
  })

  test('a store whose time stands still does not lock anybody out: what is watched for a lease’s life is dead', async () => {
    await take({ heartbeatMs: false })
    const { list } = store
    store.list = async (prefix) => (await list(prefix)).map((one) => ({ ...one, modifiedAt: new Date(0) }))
    const waiting = acquireLease(store, 'shop', options({ owner: 'two', waitMs: 25 * second }))
    await clock.advance(25 * second)
    expect(await waiting).not.toHaveProperty('heldBy')
  })
})

test('A name that could leave the folder is refused', async () => {
  await expect(acquireLease(store, '../shop', options())).rejects.toMatchObject({ code: 'name.invalid' })
})
