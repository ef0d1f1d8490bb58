import type { Clock } from '../base/clock.ts'
import { asFailure, type Failure, type FailureReport } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { digestOf, keys } from '../base/names.ts'
import type { Secret } from '../base/secret.ts'
import type { AcmeConfig } from '../config/schema.ts'
import type { Store } from '../store/port.ts'
import { cleanLeftovers } from './challenges.ts'
import { type OrderContext, type Pace, usualPace } from './context.ts'
import { open } from './envelope.ts'
import {
  type DomainSeen,
  type Incumbent,
  type LeafKnown,
  type Standing,
  standingOf,
  type Witness,
} from './incumbent.ts'
import { deliver, drop, fingerprintOf, keyPurpose, readLeaf, runOrder } from './order.ts'
import type { AcmeServer, Authority, ConnectAcme } from './port.ts'
import { hostOf, instantText } from './problems.ts'
import {
  type Fate,
  forgetRefusal,
  isWorthAnother,
  limitFailure,
  partlyFailure,
  refusalFailure,
  weeklyLimit,
} from './refusal.ts'
import { type Due, decide, idOf, isPartly, issuerOf, pollRenewalInfo } from './schedule.ts'
import {
  authorityKey,
  type IssuedRecord,
  type OrderRecord,
  type Refusal,
  type RenewState,
  readState,
  writeState,
} from './state.ts'
import { StillWaiting } from './still-waiting.ts'
import { attemptAt, type Failing, failingOf, longestNear, nextWait } from './wait.ts'

export interface RenewalParts {
  /** The certificate's name in the config. */
  name: string
  store: Store
  clock: Clock
  log: Log
  /** From 0 (inclusive) to 1 (exclusive). */
  random: () => number
  /** As `namesToOrder` gives them. */
  names: string[]
  settings: Pick<AcmeConfig, 'before' | 'key' | 'reuseKey'>
  /** In the order in which they are tried. */
  authorities: Authority[]
  connect: ConnectAcme
  /** `accountKeySecret` of the config: seals account and certificate keys in the store. */
  secret?: Secret | undefined
  /** What was deployed last, as the rotation's state has it. */
  current?: LeafKnown | undefined
  /** What the gateways and their domains show; without it, what was deployed counts as in service. */
  domains?: readonly DomainSeen[] | undefined
  /** Other certificates that this tool has deployed. */
  earlier?: readonly LeafKnown[] | undefined
  /** What became of a certificate that was delivered. */
  fateOf?: ((fingerprint: string) => Fate | undefined) | undefined
  /** The rotation's own checks of a bundle, as far as they need no gateway: whether it would be taken now. */
  judge?: ((certificatePem: string, key: Secret) => boolean | Promise<boolean>) | undefined
  /** What would keep a new certificate from going into service; asked before one is ordered. */
  obstacle?: (() => Promise<Failure | undefined>) | undefined
  /** Digest of the config that the rotation judges by. */
  config?: string | undefined
  /** After a rotation: only where it stands now; no CA is asked and nothing is ordered. */
  lookOnly?: boolean
  /** A person asks: order now, whatever the schedule and our own waits say. */
  force?: boolean
  pace?: Partial<Pace>
  /** Told when an order is begun or goes on, and at each of its steps. */
  progress?: (event: { kind: 'begin' | 'step'; sentence: string }) => void
  /** Aborts when the invocation's time is over: what is unfinished goes on in the next tick. */
  signal?: AbortSignal | undefined
}

/**
 * `not-due` – nothing to do before `renewAt`. `waiting` – due, but every authority has to be left alone until
 * `notBefore`. `delivered` – a bundle lies in `incoming/<name>/`. `unfinished` – the time was over, or (with
 * `notBefore`) somebody else needs time; the next look goes on. `failed` – told to people; tried again at `notBefore`.
 */
export type RenewalStatus = 'not-due' | 'waiting' | 'delivered' | 'unfinished' | 'failed'

/** What came of one look at one certificate, as plain data. */
export interface RenewalOutcome {
  certificate: string
  status: RenewalStatus
  at: string
  /** When the certificate is to be renewed, after a delivery the new one; belongs into its state file for `status`. */
  renewAt: string
  /** Why then, or why it was renewed now; to be read after "because". */
  reason: string
  sentence: string
  /** The next attempt or look, where one is waited for. */
  notBefore?: string
  /** One per authority that was tried, in that order. */
  failures: FailureReport[]
  /** Attempts that failed, in this tick or before, since the last success. */
  failing?: Failing
  warnings: string[]
  /** The order under way, where there is one. */
  order?: { directory: string; url?: string; status: string; startedAt: string }
  delivered?: { directory: string; fingerprint: string; names: string[]; notBefore: string; notAfter: string }
  /** Issued, and still in `incoming/`: `renewAt` is counted from it, and it is not in service yet. */
  waiting?: { fingerprint: string; notAfter: string; since: string }
  /** What clients are served until, who says so, and the domain whose certificate ends first. */
  inService?: { notAfter: string; by: Witness; host?: string }
}

/**
 * One certificate, one look: decide, go on with an order or start one, drop the bundle into `incoming/<name>/`.
 * Never waits for others itself, so that its slot is free meanwhile. Called under the certificate's lease. Everything that can go wrong with a CA or a challenge is an outcome;
 * only a failing store throws (`store.*`).
 */
export async function renewDue(parts: RenewalParts): Promise<RenewalOutcome> {
  const { clock, store, signal } = parts
  const { state, setAside } = await readState(store, parts.name, clock.now(), signal)
  const tick = new Tick(parts, state)
  if (setAside !== undefined)
    tick.warnings.push(`The renewal state could not be read and was kept as ${setAside}.`)
  try {
    return await tick.run()
  } finally {
    await tick.close()
  }
}

class Tick {
  readonly #parts: RenewalParts
  readonly #state: RenewState
  readonly #servers = new Map<string, AcmeServer>()
  readonly warnings: string[] = []
  #standingNow: Standing | undefined
  #written: string

  constructor(parts: RenewalParts, state: RenewState) {
    this.#parts = parts
    this.#state = state
    this.#written = JSON.stringify(state)
  }

  async run(): Promise<RenewalOutcome> {
    const parts = this.#parts
    const state = this.#state
    await this.#cleanUp()
    // What was issued already is delivered before anything else: no CA, schedule or wait may stand in its way.
    for (const [id, record] of Object.entries(state.orders)) {
      if (record.status === 'delivering' && parts.lookOnly !== true)
        return await this.#delivered(await deliver(this.#base(), id))
    }
    this.#forgetStrangers()
    const fate = await this.#fate()
    const standing = this.#standing(fate === 'waiting')
    let due: Due
    try {
      if (parts.lookOnly !== true)
        await pollRenewalInfo(parts, state, standing.incumbent, (authority) => this.#server(authority))
    } finally {
      due = decide(parts, state, standing)
      this.#noteFate(fate, standing, due)
      await this.#save()
    }
    const underWay = Object.values(state.orders).some(({ status }) => status === 'finalizing')
    if (!due.due && !underWay && parts.force !== true) {
      await this.#rest()
      return this.#outcome('not-due', due, this.#restingText(due))
    }
    if (parts.lookOnly === true) return this.#outcome('waiting', due, `${parts.name} is due: ${due.reason}.`)
    const obstacle = underWay ? undefined : await parts.obstacle?.()
    if (obstacle) return await this.#hindered(due, obstacle)
    this.#forgetObstacles()
    const again = await this.#deliverAgain()
    return again ? await this.#delivered(again, acceptedNow) : await this.#attempt(due)
  }

  /** What became of the newest certificate that was ordered here. Only what lies in `incoming/` waits. */
  async #fate(): Promise<Fate | 'waiting' | 'gone' | undefined> {
    const { name, store, signal, current, fateOf } = this.#parts
    const { issued } = this.#state
    if (issued === undefined) return undefined
    // Whatever somebody has uploaded under this name, it keeps nothing from being renewed.
    const lying = await store
      .get(`${keys.incoming(name)}fullchain.pem`, { maxBytes: MOST_BYTES, ...(signal && { signal }) })
      .catch((thrown) => {
        const { code } = asFailure(thrown)
        if (code === 'store.too-large' || code === 'store.bad-key') return undefined
        throw thrown
      })
    const leaf = lying && readLeaf(Buffer.from(lying.bytes).toString('utf8'))
    if (leaf && fingerprintOf(leaf) === issued.fingerprint) return 'waiting'
    if (issued.fingerprint === current?.fingerprint) return { is: 'deployed' }
    return fateOf?.(issued.fingerprint) ?? 'gone'
  }

  #standing(waits: boolean): Standing {
    const { current, domains = [], earlier } = this.#parts
    const { issued } = this.#state
    const ordered = issued && {
      fingerprint: issued.fingerprint,
      names: issued.names,
      notBefore: new Date(issued.notBefore),
      notAfter: new Date(issued.notAfter),
      leaf: issued.leaf,
    }
    const deployed = current && { ...current, leaf: current.leaf ?? leafOf(ordered, current) }
    const standing = standingOf({ domains, deployed, issued: ordered && { ...ordered, waits }, earlier })
    this.#standingNow = standing
    return standing
  }

  /** A certificate that is not in service is told of once, and its successor waits longer each time. */
  #noteFate(fate: Fate | 'waiting' | 'gone' | undefined, standing: Standing, due: Due): void {
    const { name, current, config = '', settings, lookOnly } = this.#parts
    const { issued, refusal } = this.#state
    if (fate === 'waiting') return
    if (issued !== undefined && (fate === 'gone' || fate?.is === 'refused')) {
      const said = fate === 'gone' ? { at: '', by: fate } : fate
      if (refusal?.fingerprint === issued.fingerprint && refusal.at === said.at) return
      const failure = refusalFailure(name, issued, fate === 'gone' ? undefined : fate)
      const noted = { fingerprint: issued.fingerprint, at: said.at, by: said.by, config }
      this.#noteRefusal(fate === 'gone' ? noted : { ...noted, config: fate.config ?? config }, failure)
      return
    }
    // Right after a rotation a list may still show what was bound before.
    if (lookOnly === true) return
    if (current === undefined || !isPartly(this.#parts, standing, due)) {
      forgetRefusal(this.#state, settings.reuseKey)
      return
    }
    if (refusal?.fingerprint === current.fingerprint) return
    const { host, notAfter } = standing.incumbent as Incumbent
    const noted: Refusal = { fingerprint: current.fingerprint, at: '', by: 'partly', config: '' }
    this.#noteRefusal(noted, partlyFailure(name, host, notAfter))
  }

  /** Another CA's certificate may be taken where this one's was not; a domain left behind is nobody's fault of them. */
  #noteRefusal(refusal: Refusal, failure: Failure): void {
    const { authorities, clock, random } = this.#parts
    const state = this.#state
    state.refusal = refusal
    for (const authority of authorities) {
      const id = authorityKey(authority)
      const { authority: own, directory } = state.issued ?? {}
      const isIssuer = own === undefined ? authority.directory === directory : own === id
      if (refusal.by !== 'partly' && !isIssuer) continue
      const request = requestDigest(this.#parts, authority)
      const wait = nextWait(clock.now(), state.refused?.[id], failure, request, random(), true)
      state.refused = { ...state.refused, [id]: wait }
      state.waits[id] = wait
    }
  }

  /** The kept certificate, once more into `incoming/`, where the rotation's own checks would take it now. */
  async #deliverAgain(): Promise<IssuedRecord | undefined> {
    const { clock, config = '', judge, secret, name } = this.#parts
    const { refusal, issued, again: before } = this.#state
    const now = clock.now()
    if (refusal === undefined || refusal.fingerprint !== issued?.fingerprint || judge === undefined) return
    if (issued.certificate === undefined || issued.key === undefined || secret === undefined) return
    const served = this.#standingNow?.inService?.notAfter ?? new Date(0)
    if (Date.parse(issued.notAfter) <= Math.max(now.getTime(), served.getTime())) return
    // Another passphrase: then it is lost, and the next order stands on its own.
    const key = await open(issued.key, secret, keyPurpose(name)).catch(() => undefined)
    if (key === undefined) return
    const accepted = await judge(issued.certificate, key)
    if (!isWorthAnother({ refusal, accepted, config, before, now })) return
    // Noted afterwards: a crash in between repeats the same bytes, and loses no try.
    await drop(this.#parts, key, issued.certificate)
    this.#state.again = { at: now.toISOString(), config }
    delete this.#state.refusal
    await this.#save()
    return issued
  }

  /** A certificate that could not be used is not ordered: that would spend the CA's limits and hide what is wrong. */
  async #hindered(due: Due, failure: Failure): Promise<RenewalOutcome> {
    const { authorities, clock, name, random } = this.#parts
    const [authority] = authorities
    const now = clock.now()
    if (authority) {
      const id = authorityKey(authority)
      const wait = nextWait(
        now,
        this.#state.waits[id],
        failure,
        requestDigest(this.#parts, authority),
        random(),
      )
      this.#state.waits[id] = { ...wait, notBefore: now.toISOString(), obstacle: true }
    }
    await this.#save()
    const sentence = `${name} is due and nothing was ordered: ${failure.message}. ${failure.next}`
    return this.#outcome('failed', due, sentence, { failures: [failure.toJSON()] })
  }

  #forgetObstacles(): void {
    for (const [id, { obstacle }] of Object.entries(this.#state.waits))
      if (obstacle) delete this.#state.waits[id]
  }

  async #attempt(due: Due): Promise<RenewalOutcome> {
    const parts = this.#parts
    const state = this.#state
    const incumbent = this.#standingNow?.incumbent
    const failures: Failure[] = []
    const waits: Date[] = []
    for (const authority of this.#inOrder()) {
      const id = authorityKey(authority)
      const request = requestDigest(parts, authority)
      const wait = state.waits[id]
      const at = wait && attemptAt(wait, request, due.end, parts.force === true)
      if (at !== undefined && at > parts.clock.now()) {
        waits.push(at)
      } else {
        const issuer = incumbent && issuerOf(parts, state, incumbent.fingerprint)
        const predecessor =
          issuer === authority && incumbent?.leaf !== undefined ? idOf(incumbent.leaf) : undefined
        const free =
          state.orders[id] === undefined ? weeklyLimit(state, parts.clock.now(), parts.names) : undefined
        try {
          if (free) throw limitFailure(parts.name, free, state.refused?.[id]?.failure)
          this.#begin(due, authority)
          const context = this.#context(authority, predecessor, due)
          return await this.#delivered(await runOrder(context), due, failures)
        } catch (thrown) {
          if (parts.signal?.aborted) return this.#unfinished(due)
          if (thrown instanceof StillWaiting)
            return this.#outcome('unfinished', due, `${parts.name} is being renewed: ${thrown.message}`, {
              notBefore: thrown.lookAt.toISOString(),
              failures: failures.map((failure) => failure.toJSON()),
            })
          const failure = asFailure(thrown)
          if (failure.code.startsWith('store.')) throw failure
          failures.push(failure)
          state.waits[id] = nextWait(parts.clock.now(), wait, failure, request, parts.random(), free && true)
          if (free) state.waits[id].notBefore = free.toISOString()
          const next = attemptAt(state.waits[id], request, due.end, false)
          // As it is shown and told, not as the CA wishes it.
          if (!free) state.waits[id].notBefore = next.toISOString()
          waits.push(next)
          parts.log.error('order failed', { failure, directory: authority.directory })
          await this.#save()
        }
      }
      // This CA may have issued already: another one is asked only when the end is near.
      if (state.orders[id]?.status === 'finalizing' && !due.emergency) break
    }
    const notBefore = new Date(Math.min(...waits.map((at) => at.getTime())))
    const next = { notBefore: notBefore.toISOString(), failures: failures.map((failure) => failure.toJSON()) }
    if (failures.length > 0) {
      const words = sentences(failures)
      const sentence = `${parts.name} could not be renewed: ${words} Next attempt: ${this.#nextText(notBefore, due)}.`
      return this.#outcome('failed', due, sentence, next)
    }
    const last = Object.values(state.waits).map(({ failure }) => failure)
    const sentence = `${parts.name} is due and waits until ${this.#nextText(notBefore, due)}: ${sentences(last)}`
    return this.#outcome('waiting', due, sentence, { notBefore: next.notBefore, failures: last })
  }

  /** A wish of the CA that is not granted in full is said to be one. */
  #nextText(next: Date, { end }: Due): string {
    const early = Object.values(this.#state.waits).some(({ asked }) => asked && new Date(asked) > next)
    return early && end
      ? `${instantText(next)}, sooner than the CA asks, because what is served ends ${instantText(end.at)}`
      : instantText(next)
  }

  async close(): Promise<void> {
    await Promise.all([...this.#servers.values()].map((server) => server.close()))
  }

  /** An authority whose order may have issued comes first, whatever the config's order. */
  #inOrder(): Authority[] {
    const begun = (authority: Authority) =>
      this.#state.orders[authorityKey(authority)]?.status === 'finalizing' ? 0 : 1
    return [...this.#parts.authorities].sort((a, b) => begun(a) - begun(b))
  }

  #restingText({ renewAt, reason }: Due): string {
    const { name } = this.#parts
    const waits = this.#waiting()
    return waits
      ? `A certificate for ${name}, valid until ${waits.notAfter.slice(0, 10)}, was issued and waits in incoming/${name}/ for its rotation.`
      : `${name} is not due before ${instantText(renewAt)}: ${reason}.`
  }

  #waiting(): RenewalOutcome['waiting'] {
    const { issued } = this.#state
    if (issued === undefined || this.#standingNow?.incumbent?.by !== 'incoming') return undefined
    const { fingerprint, notAfter, at } = issued
    return { fingerprint, notAfter, since: at }
  }

  /** Nothing is due (somebody has uploaded a certificate meanwhile): what was begun for it ends. */
  async #rest(): Promise<void> {
    const state = this.#state
    for (const [id, record] of Object.entries(state.orders)) {
      this.#leaveBehind(record)
      delete state.orders[id]
    }
    const now = this.#parts.clock.now()
    for (const [id, { asked }] of Object.entries(state.waits)) {
      if (asked === undefined || new Date(asked) <= now) delete state.waits[id]
    }
    await this.#save()
    await this.#cleanUp()
  }

  #leaveBehind(record: OrderRecord): void {
    for (const { solver, placement, presentedAt } of Object.values(record.challenges)) {
      if (presentedAt !== undefined) this.#state.leftovers.push({ solver, placement })
    }
  }

  /** Orders and waits of authorities that are not configured any more. */
  #forgetStrangers(): void {
    const known = new Set(this.#parts.authorities.map(authorityKey))
    for (const [id, record] of Object.entries(this.#state.orders)) {
      if (known.has(id)) continue
      this.#leaveBehind(record)
      delete this.#state.orders[id]
      this.warnings.push(`The order at ${record.directory} was dropped: that CA is not configured any more.`)
    }
    for (const id of Object.keys(this.#state.waits)) if (!known.has(id)) delete this.#state.waits[id]
  }

  async #cleanUp(): Promise<void> {
    if (this.#state.leftovers.length > 0) await cleanLeftovers(this.#base())
  }

  #begin(due: Due, authority: Authority): void {
    const { progress } = this.#parts
    const goesOn = this.#state.orders[authorityKey(authority)] !== undefined
    const what = goesOn ? 'goes on with its order' : 'is renewed'
    progress?.({
      kind: 'begin',
      sentence: `${what} at ${hostOf(authority.directory)}, because ${due.reason}`,
    })
  }

  #server(authority: Authority): AcmeServer {
    const id = authorityKey(authority)
    const server = this.#servers.get(id) ?? this.#parts.connect(authority)
    this.#servers.set(id, server)
    return server
  }

  async #save(): Promise<void> {
    const text = JSON.stringify(this.#state)
    if (text === this.#written) return
    await writeState(this.#parts.store, this.#state)
    this.#written = text
  }

  #base() {
    const { name, store, clock, log, secret, settings, names, signal, authorities } = this.#parts
    return {
      name,
      store,
      clock,
      log,
      secret,
      signal,
      state: this.#state,
      inService: this.#parts.current?.fingerprint,
      save: () => this.#save(),
      solvers: new Map(authorities.map(({ solver }) => [solver.id, solver])),
      request: { names, keyType: settings.key, reuseKey: settings.reuseKey },
      pace: { ...usualPace, ...this.#parts.pace },
      warnings: this.warnings,
      progress: (sentence: string) => this.#parts.progress?.({ kind: 'step', sentence }),
    }
  }

  #context(authority: Authority, replaces: string | undefined, { end, emergency }: Due): OrderContext {
    const base = this.#base()
    const { longestAskedMs } = base.pace
    const near = emergency ? longestNear(end, this.#parts.clock.now().getTime()) : longestAskedMs
    const pace = { ...base.pace, longestAskedMs: Math.min(longestAskedMs, near) }
    return { ...base, pace, authority, server: this.#server(authority), replaces }
  }

  async #delivered(
    issued: IssuedRecord,
    due?: Pick<Due, 'reason'>,
    failures: Failure[] = [],
  ): Promise<RenewalOutcome> {
    const { name } = this.#parts
    const { directory, fingerprint, names, notBefore, notAfter } = issued
    const next = decide(this.#parts, this.#state, this.#standing(true))
    await this.#save()
    const reason = due?.reason ?? 'a certificate issued earlier was waiting'
    const until = `valid until ${notAfter.slice(0, 10)}`
    const sentence =
      due === acceptedNow
        ? `The certificate, ${until}, that ${hostOf(directory)} issued and the rotation refused is acceptable now and was dropped into incoming/${name}/ again.`
        : `A new certificate, ${until}, was issued by ${hostOf(directory)} and dropped into incoming/${name}/.`
    return this.#outcome('delivered', { renewAt: next.renewAt, reason }, sentence, {
      delivered: { directory, fingerprint, names, notBefore, notAfter },
      failures: failures.map((failure) => failure.toJSON()),
    })
  }

  #unfinished(due: Due): RenewalOutcome {
    const { name } = this.#parts
    return this.#outcome(
      'unfinished',
      due,
      `The order for ${name} goes on with the next tick: the time was over.`,
    )
  }

  #outcome(
    status: RenewalStatus,
    due: Pick<Due, 'renewAt' | 'reason'>,
    sentence: string,
    more: Partial<RenewalOutcome> = {},
  ): RenewalOutcome {
    const order = Object.values(this.#state.orders)[0]
    const over = status === 'not-due' || status === 'delivered'
    const failing = over ? undefined : failingOf(this.#state, more.notBefore)
    const waiting = this.#waiting()
    const served = this.#standingNow?.inService
    return {
      certificate: this.#parts.name,
      status,
      at: this.#parts.clock.now().toISOString(),
      renewAt: due.renewAt.toISOString(),
      reason: due.reason,
      sentence,
      failures: [],
      ...(failing && { failing }),
      ...(waiting && { waiting }),
      ...(served && {
        inService: {
          notAfter: served.notAfter.toISOString(),
          by: served.by,
          ...(served.host !== undefined && { host: served.host }),
        },
      }),
      warnings: [...this.warnings],
      ...(order && {
        order: {
          directory: order.directory,
          ...(order.url !== undefined && { url: order.url }),
          status: order.status,
          startedAt: order.startedAt,
        },
      }),
      ...more,
    }
  }
}

/** More than any chain that a CA gives. */
const MOST_BYTES = 1024 * 1024

/** Why a kept certificate is delivered again. */
const acceptedNow = { reason: 'it was refused before and would be accepted now' }

/** Both are one certificate: then the bytes of one are those of the other. */
function leafOf(ordered: LeafKnown | undefined, { fingerprint }: LeafKnown): LeafKnown['leaf'] {
  return ordered?.fingerprint === fingerprint ? ordered.leaf : undefined
}

/** What a service says comes with a full stop or without. */
function sentences(failures: readonly { message: string }[]): string {
  return failures.map(({ message }) => (/[.!?…]$/.test(message) ? message : `${message}.`)).join(' ')
}

/** Another request is worth another attempt, whatever became of the last one. */
function requestDigest(parts: RenewalParts, authority: Authority): string {
  const { directory, email, profile, preferredChain, externalAccount, solver, caPem } = authority
  const asked = [
    parts.names,
    parts.settings.key,
    directory,
    email,
    profile,
    // Another chain is another bundle: a wait after a refused one is over.
    ...(preferredChain === undefined ? [] : [preferredChain]),
    externalAccount?.keyId,
    solver.id,
    caPem,
  ]
  return digestOf('acme-request', JSON.stringify(asked))
}
