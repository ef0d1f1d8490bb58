import { X509Certificate } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { LeafKnown } from '../../shared/acme/incumbent.ts'
import { problemFailure } from '../../shared/acme/problems.ts'
import type { Fate } from '../../shared/acme/refusal.ts'
import type { RenewalOutcome, RenewalParts } from '../../shared/acme/renew.ts'
import type { RenewState } from '../../shared/acme/state.ts'
import { day, hour } from '../../shared/base/clock.ts'
import type { Store } from '../../shared/store/port.ts'
import { read, renewalParts, renewToEnd as renewDue, temporaryStore } from '../support/acme.ts'
import { QuickAuthority } from '../support/quick-authority.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const names = ['api.shop.example', 'www.shop.example']
const week = 7 * day

/**
 * One certificate over months: the renewal is real, the CA issues at once, and of the rotation there is only what
 * it leaves behind: nothing in `incoming/`, and its word.
 */
class World {
  readonly clock = new VirtualClock()
  readonly store: Store
  readonly remove: () => Promise<void>
  readonly ca: QuickAuthority
  deployed: LeafKnown | undefined
  /** What the rotation says to what is delivered; undefined: it takes it. */
  says: Omit<Extract<Fate, { is: 'refused' }>, 'at'> | 'is away' | undefined
  fates = new Map<string, Fate>()
  more: Partial<RenewalParts> = {}

  static async start(): Promise<World> {
    const { store, remove } = await temporaryStore()
    const clock = new VirtualClock()
    return new World(clock, store, remove, await QuickAuthority.create(() => clock.eager.now()))
  }

  private constructor(clock: VirtualClock, store: Store, remove: () => Promise<void>, ca: QuickAuthority) {
    this.clock = clock
    this.store = store
    this.remove = remove
    this.ca = ca
    this.deployed = this.leaf('before', -30, 60)
  }

  leaf(fingerprint: string, from: number, to: number): LeafKnown {
    const now = this.clock.eager.now().getTime()
    return {
      fingerprint,
      names,
      notBefore: new Date(now + from * day),
      notAfter: new Date(now + to * day),
      algorithm: 'ECC',
    }
  }

  now = () => this.clock.eager.now()
  /** Until when clients are served. */
  get end(): Date {
    return this.deployed?.notAfter as Date
  }
  state = async () => JSON.parse((await read(this.store, 'renew/shop.json')) ?? '{}') as RenewState

  /** One tick of the timer: a renewal, and the rotation of what it delivered. */
  async tick(more: Partial<RenewalParts> = {}): Promise<RenewalOutcome> {
    const outcome = await renewDue(
      renewalParts({
        store: this.store,
        clock: this.clock.eager,
        names,
        authorities: [this.ca.authority()],
        connect: this.ca.connect,
        current: this.deployed,
        domains: [{ host: 'api', bound: this.deployed ? [{ ...this.deployed, notBefore: undefined }] : [] }],
        fateOf: (fingerprint) => this.fates.get(fingerprint),
        config: 'one config',
        ...this.more,
        ...more,
      }),
    )
    if (outcome.status === 'delivered') await this.#rotate(outcome)
    return outcome
  }

  async #rotate({ delivered }: RenewalOutcome): Promise<void> {
    if (delivered === undefined || this.says === 'is away') return
    const { fingerprint, notBefore, notAfter } = delivered
    const leaf = await read(this.store, 'incoming/shop/fullchain.pem')
    for (const { key } of await this.store.list('incoming/')) await this.store.delete(key)
    if (this.says) this.fates.set(fingerprint, { ...this.says, at: this.now().toISOString() })
    else
      this.deployed = {
        ...this.leaf(fingerprint, 0, 0),
        notBefore: new Date(notBefore),
        notAfter: new Date(notAfter),
        leaf,
      }
  }

  /** Ticks until what is in service is due, and one more: it is ordered then. */
  async untilOrdered(): Promise<RenewalOutcome> {
    for (let tries = 0; tries < 200; tries++) {
      const outcome = await this.tick()
      if (outcome.status !== 'not-due') return outcome
      this.clock.advance(day / 2)
    }
    throw new Error('it was never due')
  }
}

const outside = { is: 'refused', by: 'outside', sentence: 'the gateway did not like it' } as const
const verdict = { is: 'refused', by: 'verdict', sentence: 'its root is not trusted' } as const

describe('a renewed certificate that the rotation refuses', () => {
  let world: World
  beforeEach(async () => {
    world = await World.start()
  })
  afterEach(() => world.remove())

  test('silences nothing until what is served has ended and after it, and is ordered five times a week at most', async () => {
    world.deployed = undefined
    await world.tick()
    world.says = outside
    const first = await world.untilOrdered()
    expect(first.status).toBe('delivered')
    const { end } = world
    const polls = world.ca.polls.length
    const statuses = new Set<string>()
    while (world.now().getTime() < end.getTime() + 14 * day) {
      world.clock.advance(3 * hour)
      const outcome = await world.tick()
      statuses.add(outcome.status)
      expect(Date.parse(outcome.renewAt), 'counted from what is in service').toBeLessThan(
        outcome.status === 'delivered' ? Number.POSITIVE_INFINITY : end.getTime(),
      )
      if (outcome.status !== 'delivered')
        expect(outcome.failing?.failure.message).toContain('the gateway did not like it')
    }
    expect([...statuses].sort(), 'never "not due"').toEqual(['delivered', 'failed', 'waiting'])
    const [, ...ordered] = world.ca.issued
    const at = ordered.map((one) => one.at.getTime())
    const inOneWeek = at.map((from) => at.filter((one) => one >= from && one < from + week).length)
    expect(Math.max(...inOneWeek)).toBeLessThanOrEqual(5)
    expect(at.length, 'tried again and again, to the end').toBeGreaterThan(8)
    // RFC 9773, section 4.3.
    expect(world.ca.polls.length, 'asked about what is in service').toBeGreaterThan(polls)
    expect(world.ca.polls.filter((poll) => poll > end)).toEqual([])
  }, 60_000)

  test('is followed by the next one when the growing wait is over, and by silence when that one is taken', async () => {
    world.says = outside
    await world.untilOrdered()
    const told = await world.tick()
    expect(told).toMatchObject({
      status: 'waiting',
      failing: { attempts: 1, failure: { code: 'acme.not-in-service' } },
      inService: { by: 'list', host: 'api', notAfter: world.deployed?.notAfter.toISOString() },
    })
    const wait = Date.parse(told.notBefore ?? '') - world.now().getTime()
    expect(wait / hour).toBeGreaterThan(5)
    world.clock.advance(wait - 1_000)
    expect((await world.tick()).status).toBe('waiting')
    world.clock.advance(2_000)
    expect((await world.tick()).status).toBe('delivered')
    const longer = await world.tick()
    expect(longer.failing?.attempts).toBe(2)
    expect(Date.parse(longer.notBefore ?? '') - world.now().getTime()).toBeGreaterThan(wait * 1.5)
    world.says = undefined
    world.clock.advance(2 * day)
    expect((await world.tick()).status).toBe('delivered')
    const rest = await world.tick()
    expect(rest).toMatchObject({ status: 'not-due' })
    expect(rest.failing).toBeUndefined()
    const { issued, refused, refusal } = await world.state()
    expect({ refused, refusal, key: issued?.key, chain: issued?.certificate }).toEqual({})
  })

  test('is kept with its key sealed, judged again at each tick, and delivered again without an order', async () => {
    world.says = verdict
    let judged = 0
    let accepts = false
    world.more.judge = (certificate, key) => {
      judged += 1
      expect(new X509Certificate(certificate).subjectAltName).toContain('api.shop.example')
      expect(key.reveal()).toContain('PRIVATE KEY')
      return accepts
    }
    const first = await world.untilOrdered()
    for (let tick = 1; tick <= 3; tick++) {
      expect((await world.tick()).status).toBe('waiting')
      expect(judged).toBe(tick)
    }
    expect(await read(world.store, 'renew/shop.json')).not.toContain('PRIVATE KEY')
    accepts = true
    world.says = undefined
    const again = await world.tick()
    expect(again).toMatchObject({
      status: 'delivered',
      delivered: { fingerprint: first.delivered?.fingerprint },
      reason: 'it was refused before and would be accepted now',
    })
    expect(world.ca.issued).toHaveLength(1)
    expect((await world.tick()).status).toBe('not-due')
  })

  test('is not delivered again and again where only the gateway can say what is wrong', async () => {
    world.says = verdict
    world.more.judge = () => true
    await world.untilOrdered()
    expect((await world.tick()).status, 'the offline judge takes it').toBe('delivered')
    for (let tick = 0; tick < 5; tick++) expect((await world.tick()).status).toBe('waiting')
    expect(world.ca.issued).toHaveLength(1)
    expect((await world.tick({ config: 'another config' })).status).toBe('delivered')
    expect(world.ca.issued).toHaveLength(1)
  })

  test('by a gateway or a handshake: only another config is worth another try, the clock is not', async () => {
    world.says = { ...outside, config: 'one config' }
    world.more.judge = () => true
    const first = await world.untilOrdered()
    for (let tick = 0; tick < 3; tick++) expect((await world.tick()).status).toBe('waiting')
    const again = await world.tick({ config: 'another config' })
    expect(again).toMatchObject({
      status: 'delivered',
      delivered: { fingerprint: first.delivered?.fingerprint },
    })
    expect(world.ca.issued).toHaveLength(1)
  })

  test('is not delivered again when it would end before what is in service, or its key does not open any more', async () => {
    world.says = verdict
    world.more.judge = () => true
    world.ca.lifetime = 5
    await world.untilOrdered()
    expect((await world.tick()).status, 'ends sooner').toBe('waiting')
    const other = await World.start()
    try {
      other.says = verdict
      other.more.judge = () => true
      await other.untilOrdered()
      const { Secret } = await import('../../shared/base/secret.ts')
      const outcome = await other.tick({ secret: new Secret('another passphrase') })
      expect(outcome).toMatchObject({
        status: 'waiting',
        failing: { failure: { code: 'acme.not-in-service' } },
      })
    } finally {
      await other.remove()
    }
  })

  test('does not stand in the way of the second CA', async () => {
    world.says = outside
    const authorities = [world.ca.authority(), world.ca.authority('https://second.example/dir')]
    world.more.authorities = authorities
    await world.untilOrdered()
    world.says = undefined
    const next = await world.tick()
    expect(next).toMatchObject({
      status: 'delivered',
      delivered: { directory: 'https://second.example/dir' },
    })
  })

  test('the first one, where nothing of ours was in service before, is told and ordered again all the same', async () => {
    world.deployed = undefined
    world.says = outside
    expect((await world.tick()).status).toBe('delivered')
    const told = await world.tick()
    expect(told).toMatchObject({
      status: 'waiting',
      reason: 'there is no certificate yet',
      failing: { attempts: 1 },
    })
    world.clock.advance(day)
    expect((await world.tick()).status).toBe('delivered')
  })
})

describe('a renewed certificate that is nowhere', () => {
  let world: World
  beforeEach(async () => {
    world = await World.start()
  })
  afterEach(() => world.remove())

  test('waits in incoming/ as long as it lies there, and what is served keeps its own instant', async () => {
    world.says = 'is away'
    await world.untilOrdered()
    world.clock.advance(10 * day)
    const outcome = await world.tick()
    expect(outcome).toMatchObject({
      status: 'not-due',
      waiting: { notAfter: expect.any(String) },
      inService: { notAfter: world.deployed?.notAfter.toISOString() },
    })
    expect(outcome.sentence).toContain('waits in incoming/shop/ for its rotation')
    expect(world.ca.issued).toHaveLength(1)
  })

  test('taken out of incoming/ by somebody: told, and ordered again after a wait', async () => {
    world.says = 'is away'
    await world.untilOrdered()
    for (const { key } of await world.store.list('incoming/')) await world.store.delete(key)
    const told = await world.tick()
    expect(told).toMatchObject({ status: 'waiting', failing: { attempts: 1 } })
    expect(told.failing?.failure.message).toContain('lies neither in incoming/ nor in deployed/')
    world.clock.advance(day)
    expect((await world.tick()).status).toBe('delivered')
  })

  test('overwritten in incoming/ by somebody’s upload, it is not waited for', async () => {
    world.says = 'is away'
    await world.untilOrdered()
    const other = await world.ca.ca.issue({ names })
    await world.store.put('incoming/shop/fullchain.pem', other.fullchainPem)
    expect((await world.tick()).status).toBe('waiting')
    await world.store.put('incoming/shop/fullchain.pem', 'x'.repeat(2 * 1024 * 1024))
    expect((await world.tick()).status, 'nor is what no CA gives').toBe('waiting')
  })

  test('on one domain only: the one that was left behind counts, with a wait that grows with every order', async () => {
    await world.untilOrdered()
    const behind = { ...world.leaf('behind', -80, 10), notBefore: undefined }
    world.more.domains = [
      { host: 'api', bound: [{ ...(world.deployed as LeafKnown), notBefore: undefined }] },
      { host: 'www', bound: [behind] },
    ]
    const told = await world.tick()
    expect(told).toMatchObject({
      status: 'waiting',
      inService: { host: 'www', notAfter: behind.notAfter.toISOString() },
      failing: { attempts: 1, failure: { code: 'acme.not-everywhere' } },
    })
    const wait = Date.parse(told.notBefore ?? '') - world.now().getTime()
    world.clock.advance(wait + 1_000)
    const follow = async () => {
      const { deployed } = world
      world.more.domains = [
        { host: 'api', bound: [{ ...(deployed as LeafKnown), notBefore: undefined }] },
        { host: 'www', bound: [behind] },
      ]
      return world.tick()
    }
    expect((await follow()).status).toBe('delivered')
    const longer = await follow()
    expect(longer.failing?.attempts).toBe(2)
    world.says = outside
    world.clock.advance(2 * day)
    expect((await follow()).status, 'and the third is refused').toBe('delivered')
    const refused = await follow()
    expect(refused.failing).toMatchObject({ attempts: 3, failure: { code: 'acme.not-in-service' } })
    expect((await follow()).notBefore, 'told once: the wait does not begin anew').toBe(refused.notBefore)
    world.clock.advance(3 * day)
    world.says = undefined
    expect((await follow()).status).toBe('delivered')
    world.more.domains = undefined
    expect(await world.tick(), 'bound everywhere: nothing is left').toMatchObject({ status: 'not-due' })
    expect((await world.state()).refusal).toBeUndefined()
  })
})

describe('how often the same names are ordered', () => {
  let world: World
  beforeEach(async () => {
    world = await World.start()
  })
  afterEach(() => world.remove())

  test('is five times a week, whoever asks', async () => {
    for (let order = 0; order < 5; order++)
      expect((await world.tick({ force: true })).status).toBe('delivered')
    const sixth = await world.tick({ force: true })
    expect(sixth).toMatchObject({ status: 'failed', failures: [{ code: 'acme.weekly-limit' }] })
    expect(Date.parse(sixth.notBefore ?? '') - world.now().getTime()).toBe(week)
    const other = { names: ['api.shop.example'], force: true }
    expect((await world.tick(other)).status, 'another set of names').toBe('delivered')
    world.clock.advance(week + 1_000)
    expect((await world.tick({ force: true })).status).toBe('delivered')
  })

  test('is more for certificates that live shorter than a week', async () => {
    world.ca.lifetime = 1
    world.deployed = undefined
    for (let order = 0; order < 20; order++) {
      expect((await world.tick()).status).not.toBe('failed')
      world.clock.advance(day / 2 + hour)
    }
    expect(world.ca.issued.length).toBeGreaterThan(8)
  })
})

describe('a key that the CA does not want', () => {
  let world: World
  beforeEach(async () => {
    world = await World.start()
  })
  afterEach(() => world.remove())

  test.each(['badPublicKey', 'badCSR'])(
    'was kept by reuseKey: it goes, and the same attempt takes a new one (%s)',
    async (type) => {
      const settings = { key: 'P-256', reuseKey: true, before: undefined } as const
      const keyNow = async () => (await world.state()).issued?.key?.data
      await world.tick({ settings, force: true })
      await world.tick({ settings, force: true })
      const bad = await keyNow()
      const refused: string[] = []
      world.ca.onFinalize = (key) => {
        refused.push(key.reveal())
        if (refused.length > 1) return
        throw problemFailure(
          { type: `urn:ietf:params:acme:error:${type}`, detail: 'this key is known to be compromised' },
          { doing: 'signing', directory: 'https://quick.example/dir', status: 400 },
        )
      }
      const outcome = await world.tick({ settings, force: true })
      expect(outcome.status).toBe('delivered')
      expect(outcome.warnings.join()).toContain('a new one takes its place')
      expect(new Set(refused).size).toBe(2)
      expect(await keyNow()).not.toBe(bad)
    },
  )
})
