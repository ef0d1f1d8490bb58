import { randomBytes } from 'node:crypto'
import { type Clock, hour, second } from '../base/clock.ts'
import { asFailure, Failure } from '../base/failure.ts'
import { type Log, silentLog } from '../base/log.ts'
import { keys, requireCertificateName } from '../base/names.ts'
import { aborted } from './failures.ts'
import type { ObjectSummary, Store } from './port.ts'

/** No lease may be longer: who died with it would lock a certificate for as long. */
const LONGEST = hour
/** So many dead claims that nobody may delete are borne, so that a missing permission stops nothing at once. */
const MOST_DEAD = 100
/** How often the first of several claims looks whether the others have withdrawn: for 1.6 seconds. */
const LOOKS = 7
const CLAIM = /^(\d{13,15})-([0-9a-f]{24})$/

export interface LeaseOptions {
  clock: Clock
  /** For people: who holds it, for example a request id. Written into the claim. */
  owner: string
  /**
   * Milliseconds after which others may ignore a claim that was not renewed; at most an hour. Everybody who takes
   * leases in one store uses the same. Default 20 s.
   */
  ttlMs?: number
  /**
   * The holder stops this many milliseconds before that. It is the allowance for a store that tells full seconds
   * only and for requests still under way when the holder stops: both together must stay below it. Default 5 s.
   */
  marginMs?: number
  /** Milliseconds between renewals in the background; false where the caller renews itself. Default a third of ttlMs. */
  heartbeatMs?: number | false
  /** Milliseconds to go on trying while somebody else holds it. Default 0: one try. */
  waitMs?: number
  /** 0 ≤ x < 1, for the pauses. */
  random?: () => number
  /** Calls the waiting off. */
  signal?: AbortSignal
  log?: Log
}

export interface Lease {
  readonly name: string
  /** Aborts when the holder must stop: its claim ends within the margin, or is gone. The reason is `lease.lost`. */
  readonly signal: AbortSignal
  /** The instant after which others may ignore the claim. */
  readonly until: Date
  /** Whether the holder may still act. Ask before every side effect: a process that slept missed its timers. */
  held(): boolean
  /**
   * Whether what was begun in time may still be brought to its end: half of the margin is kept for it, unless the
   * claim is gone. Never begin anything on the strength of this.
   */
  mayFinish(): boolean
  /** Prolongs the claim. False, with the signal aborted, where it is lost; failures of the store can be tried again. */
  renew(): Promise<boolean>
  /** Never fails: what cannot be deleted ends by itself. */
  release(): Promise<void>
  /** Why claims stay behind, where the store denies their deletion: to be told, since they would pile up. */
  readonly denied: Failure | undefined
}

export interface HeldByOther {
  heldBy: string
  until: Date
}

/**
 * Mutual exclusion by PUT, LIST and DELETE alone. Everybody writes a claim of their own and lists afterwards; who
 * sees no other live claim holds the lease, anybody else withdraws and tries again after a random pause. Both of
 * two contenders wrote before they listed, so at most one of them can have missed the other.
 *
 * Whether a claim of somebody else is still alive is judged by the store's own time: both claims are dated by the same
 * store, so neither a contender's clock nor the holder's has a say, and a claim dated far ahead blocks no longer
 * than any other. Where even that cannot be trusted, a claim that has stood there unchanged for the life of a lease is
 * dead: its holder would have replaced it. The instant in a claim's key is for people, for the order among contenders,
 * and for a first look that costs nothing.
 */
export async function acquireLease(
  store: Store,
  name: string,
  options: LeaseOptions,
): Promise<Lease | HeldByOther> {
  requireCertificateName(name)
  return new Contender(store, name, options).acquire()
}

interface Claim {
  key: string
  id: string
  until: number
  /** By the store's time. */
  writtenAt: number
}

interface Listing {
  claims: Claim[]
  foreign: ObjectSummary[]
}

class Contender {
  readonly store: Store
  readonly name: string
  readonly clock: Clock
  readonly ttl: number
  readonly margin: number
  readonly log: Log
  readonly options: LeaseOptions
  readonly id = randomBytes(12).toString('hex')
  /** Every key this contender may have written and has not deleted. */
  readonly written = new Set<string>()
  denied: Failure | undefined
  #lastUntil = 0
  /** When each claim of another was first seen, by the monotonic clock. */
  readonly #firstSeen = new Map<string, number>()
  /** An instant of the store's time, and ours by the monotonic clock: known as soon as a claim of ours was listed. */
  #storeTime: { at: number; monotonic: number } | undefined

  constructor(store: Store, name: string, options: LeaseOptions) {
    this.store = store
    this.name = name
    this.options = options
    this.clock = options.clock
    this.ttl = options.ttlMs ?? 20 * second
    this.margin = options.marginMs ?? 5 * second
    this.log = (options.log ?? silentLog).with({ certificate: name })
    if (!(this.ttl > this.margin && this.margin >= 0 && this.ttl <= LONGEST)) {
      throw new RangeError(`A lease of ${this.ttl} ms with a margin of ${this.margin} ms`)
    }
  }

  async acquire(): Promise<Lease | HeldByOther> {
    const { waitMs = 0, random = Math.random, signal } = this.options
    const giveUpAt = this.clock.monotonic() + waitMs
    for (let attempt = 0; ; attempt++) {
      // Looking first costs little and spares the holder a folder full of short-lived claims.
      const listing = await this.#list(signal)
      await this.#refuseToPileUp(listing)
      let others = this.#atFirstSight(listing)
      if (others.length === 0) {
        const lease = await this.#try(signal)
        if (!Array.isArray(lease)) return lease
        others = lease
      }
      const left = giveUpAt - this.clock.monotonic()
      if (left <= 0) return this.#holder(others)
      const pause = 10 + random() * Math.min(50 * 2 ** attempt, 2 * second)
      await this.clock.sleep(Math.min(pause, left), signal).catch((error: unknown) => {
        throw signal?.aborted ? aborted(signal) : error
      })
    }
  }

  /** One claim: the lease, or the others that were seen. Leaves nothing behind unless it is the lease. */
  async #try(signal: AbortSignal | undefined): Promise<HeldLease | Claim[]> {
    let others: Claim[] = []
    try {
      const claim = await this.claim(signal)
      for (let look = 0; look < LOOKS; look++) {
        const listedFrom = this.clock.monotonic()
        const listing = await this.#list(signal)
        const { claims } = listing
        const prompt = this.clock.monotonic() - listedFrom <= this.margin
        // Without one's own claim the listing is not to be trusted, or somebody cleared the folder.
        const own = claims.find(({ key }) => key === claim.key)
        if (own) this.#storeTime = { at: own.writtenAt, monotonic: claim.writtenAt }
        others = this.#living(claims)
        if (!own || !prompt || !this.isInTime(claim)) break
        if (others.length === 0) {
          await this.#clearAway(listing)
          return new HeldLease(this, claim)
        }
        // All but the first in the listing withdraw; it stays a little and looks again, or nobody would ever win
        // where many try. Safe, because it still has to see itself alone.
        if (others.some(({ key }) => key < claim.key)) break
        await this.clock.sleep(25 * 2 ** look, signal)
      }
    } catch (error) {
      // Whether the claim was written or not: it does not count.
      await this.withdraw()
      throw signal?.aborted ? aborted(signal) : error
    }
    await this.withdraw()
    return others
  }

  /** Writes a claim. The time is taken before, so that a slow write shortens the lease and never stretches it. */
  async claim(signal?: AbortSignal): Promise<OwnClaim> {
    const claimedAt = this.clock.monotonic()
    const now = this.clock.now()
    // Every claim has a key of its own, also within one millisecond.
    const until = Math.max(now.getTime() + this.ttl, this.#lastUntil + 1)
    this.#lastUntil = until
    const key = `${keys.lease(this.name)}${String(until).padStart(13, '0')}-${this.id}`
    const body = { owner: this.options.owner, claimedAt: now, until: new Date(until) }
    this.written.add(key)
    await this.store.put(key, `${JSON.stringify(body)}\n`, {
      contentType: 'application/json',
      ...(signal ? { signal } : {}),
    })
    return { key, until, claimedAt, writtenAt: this.clock.monotonic() }
  }

  /** Both clocks must agree: the wall clock may jump, and the monotonic one stands still while a machine sleeps. */
  isInTime({ until, claimedAt }: OwnClaim, margin = this.margin): boolean {
    return (
      this.clock.now().getTime() < until - margin && this.clock.monotonic() - claimedAt < this.ttl - margin
    )
  }

  async isListed(key: string): Promise<boolean> {
    const { claims } = await this.#list(undefined)
    return claims.some((claim) => claim.key === key)
  }

  async withdraw(which: (key: string) => boolean = () => true): Promise<void> {
    for (const key of [...this.written].filter(which)) {
      try {
        await this.store.delete(key)
        this.written.delete(key)
      } catch (error) {
        const failure = this.#noteDenial(key, error)
        this.log.warn('A lease claim could not be deleted; it ends by itself', { key, failure })
      }
    }
  }

  async #list(signal: AbortSignal | undefined): Promise<Listing> {
    const folder = keys.lease(this.name)
    const listing: Listing = { claims: [], foreign: [] }
    const objects = await this.store.list(folder, signal ? { signal } : {})
    const now = this.clock.monotonic()
    for (const object of objects) {
      const [, until, id] = CLAIM.exec(object.key.slice(folder.length)) ?? []
      if (id === undefined) {
        listing.foreign.push(object)
        continue
      }
      if (!this.#firstSeen.has(object.key)) this.#firstSeen.set(object.key, now)
      listing.claims.push({
        key: object.key,
        id,
        until: Number(until),
        writtenAt: object.modifiedAt.getTime(),
      })
    }
    return listing
  }

  /**
   * Before the store's time is known, a claim that by its own word and our clock looks alive is believed: that ends by
   * itself within the life of a lease. Whatever looks dead or impossible is judged with a claim of our own.
   */
  #atFirstSight({ claims }: Listing): Claim[] {
    if (this.#storeTime) return this.#living(claims)
    const now = this.clock.now().getTime()
    return this.#living(claims).filter(({ until }) => until > now && until <= now + this.ttl + this.margin)
  }

  /** Claims of others that may be held. */
  #living(claims: readonly Claim[]): Claim[] {
    return claims.filter((claim) => claim.id !== this.id && this.#msToLive(claim) > 0)
  }

  /** Zero or less for the dead. */
  #msToLive({ key, writtenAt }: Claim): number {
    const now = this.clock.monotonic()
    const watched = now - (this.#firstSeen.get(key) ?? now)
    const age = this.#storeTime ? this.#storeTime.at + now - this.#storeTime.monotonic - writtenAt : 0
    return this.ttl - Math.max(watched, age)
  }

  /**
   * What the dead have left; by whoever has just taken the lease, and knows the store's time. What has no claim's name
   * is not ours to delete.
   */
  async #clearAway({ claims, foreign }: Listing): Promise<void> {
    const dead = claims.filter((claim) => claim.id !== this.id && this.#msToLive(claim) + this.margin <= 0)
    if (foreign.length > 0) {
      this.log.warn('Ignored objects in a lease folder that are no claims', {
        keys: foreign.slice(0, 10).map(({ key }) => JSON.stringify(key.slice(0, 200))),
        count: foreign.length,
      })
    }
    for (const { key } of dead.slice(0, 100)) {
      if (this.denied) return
      await this.store.delete(key).catch((error: unknown) => {
        const failure = this.#noteDenial(key, error)
        this.log.warn('A dead lease claim could not be deleted', { key, failure })
      })
    }
  }

  /** Before one more is written: a claim this old is dead by anybody's clock. */
  async #refuseToPileUp({ claims }: Listing): Promise<void> {
    const old = claims.filter(({ until }) => until + LONGEST < this.clock.now().getTime())
    if (old.length <= MOST_DEAD) return
    const [{ key }] = old as [Claim]
    await this.store.delete(key).catch((error: unknown) => this.#noteDenial(key, error))
    if (this.denied) throw this.denied
  }

  #noteDenial(key: string, error: unknown): Failure {
    const failure = asFailure(error)
    if (failure.code !== 'store.denied') return failure
    this.denied ??= new Failure({
      code: 'lease.cannot-delete',
      kind: 'never',
      message: `The claims of the lease of ${this.name} stay behind: ${failure.message}`,
      next: `Allow deleting objects below state/ (see policies/): at ${MOST_DEAD} claims that nobody may delete, ${this.name} is not rotated any more.`,
      facts: { ...failure.facts, certificate: this.name, key },
      cause: failure,
    })
    return failure
  }

  async #holder(others: readonly Claim[]): Promise<HeldByOther> {
    const last = others.reduce<Claim | undefined>(
      (a, b) => (a && this.#msToLive(a) > this.#msToLive(b) ? a : b),
      undefined,
    )
    if (!last) return { heldBy: 'unknown', until: this.clock.now() }
    const now = this.clock.now().getTime()
    const until = new Date(Math.min(now + this.#msToLive(last), Math.max(now, last.until)))
    return { heldBy: await this.#owner(last.key), until }
  }

  async #owner(key: string): Promise<string> {
    try {
      const found = await this.store.get(key, { maxBytes: 10_000 })
      const body: unknown = JSON.parse(Buffer.from(found?.bytes ?? []).toString('utf8'))
      const { owner } = body as { owner?: unknown }
      if (typeof owner === 'string') return owner.replace(/[^\x20-\x7e]/g, '?').slice(0, 200)
    } catch {
      // A claim counts by its name; its body is for people.
    }
    return 'unknown'
  }
}

interface OwnClaim {
  key: string
  until: number
  /** Monotonic: before the claim left, and after the store had it. */
  claimedAt: number
  writtenAt: number
}

class HeldLease implements Lease {
  readonly name: string
  readonly #contender: Contender
  readonly #lost = new AbortController()
  readonly #ended = new AbortController()
  /** When each earlier claim was replaced, by the monotonic clock. */
  readonly #superseded = new Map<string, number>()
  #claim: OwnClaim
  #renewing: Promise<boolean> | undefined
  #gone = false

  constructor(contender: Contender, claim: OwnClaim) {
    this.#contender = contender
    this.#claim = claim
    this.name = contender.name
    void this.#watch()
    const { heartbeatMs = contender.ttl / 3 } = contender.options
    if (heartbeatMs !== false) void this.#beat(heartbeatMs)
  }

  get signal(): AbortSignal {
    return this.#lost.signal
  }

  get until(): Date {
    return new Date(this.#claim.until)
  }

  get denied(): Failure | undefined {
    return this.#contender.denied
  }

  held(): boolean {
    if (this.#ended.signal.aborted) return false
    if (this.#contender.isInTime(this.#claim)) return true
    this.#lose('it was not renewed in time')
    return false
  }

  mayFinish(): boolean {
    const { margin } = this.#contender
    return !this.#gone && this.#contender.isInTime(this.#claim, margin / 2)
  }

  renew(): Promise<boolean> {
    this.#renewing ??= this.#renew().finally(() => {
      this.#renewing = undefined
    })
    return this.#renewing
  }

  async #renew(): Promise<boolean> {
    if (!this.held()) return false
    const old = this.#claim
    const fresh = await this.#contender.claim()
    // The old claim must have outlived the writing of the new one, or there was a moment without any.
    if (!this.held()) return false
    if (!(await this.#contender.isListed(old.key))) {
      this.#gone = true
      this.#lose('its claim was deleted by somebody else')
      await this.#contender.withdraw()
      return false
    }
    if (!this.held()) return false
    this.#claim = fresh
    // The old claim stays a while: a listing that is under way may have passed the place of the new one already,
    // and must not find the old one gone. No listing that takes longer than the margin is trusted.
    const { clock, margin } = this.#contender
    const now = clock.monotonic()
    this.#superseded.set(old.key, now)
    await this.#contender.withdraw((key) => now - (this.#superseded.get(key) ?? now) > margin)
    return true
  }

  async release(): Promise<void> {
    this.#gone = true
    this.#ended.abort()
    // A renewal under way would write after the last delete.
    await this.#renewing?.catch(() => undefined)
    await this.#contender.withdraw()
  }

  #lose(why: string): void {
    if (this.#ended.signal.aborted) return
    const failure = new Failure({
      code: 'lease.lost',
      kind: 'later',
      message: `The lease of ${this.name} is lost: ${why}`,
      next: 'Nothing: the next run takes the lease again and goes on from here.',
      facts: { certificate: this.name },
    })
    this.#contender.log.warn(failure.message, { failure })
    this.#ended.abort()
    this.#lost.abort(failure)
  }

  /** Ends the lease on time even when nobody asks. */
  async #watch(): Promise<void> {
    const { clock, ttl, margin } = this.#contender
    try {
      while (this.held()) {
        const byWall = this.#claim.until - margin - clock.now().getTime()
        const bySteady = this.#claim.claimedAt + ttl - margin - clock.monotonic()
        await clock.sleep(Math.max(1, Math.min(byWall, bySteady)), this.#ended.signal)
      }
    } catch {
      // Released or lost.
    }
  }

  async #beat(everyMs: number): Promise<void> {
    const { clock, log } = this.#contender
    let pause = everyMs
    try {
      for (;;) {
        await clock.sleep(pause, this.#ended.signal)
        try {
          if (!(await this.renew())) return
          pause = everyMs
        } catch (error) {
          // The claim is good for a while yet; the watch ends it if no renewal succeeds before.
          log.warn('The lease could not be renewed; trying again', { failure: asFailure(error) })
          pause = everyMs / 4
        }
      }
    } catch {
      // Released or lost.
    }
  }
}
