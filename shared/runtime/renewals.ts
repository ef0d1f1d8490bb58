import { authorityConfigs } from '../acme/authorities.ts'
import type { RenewalOutcome } from '../acme/renew.ts'
import { type RenewState, renewKeys } from '../acme/state.ts'
import { failingOf } from '../acme/wait.ts'
import { minute, second } from '../base/clock.ts'
import { asFailure } from '../base/failure.ts'
import { isCutShort } from '../rotation/out-of-time.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { openJournal, readState } from '../rotation/record/journal.ts'
import type { RenewalFacts } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import { bindingsListed, domainsSeen, gatewayLists, type ListsOf } from './in-service.ts'
import { type JobReport, notLookedAt } from './jobs.ts'
import { limited } from './time-budget.ts'

/** Orders side by side; a CA's rate limits are per account, not per moment. */
const RENEWALS_AT_ONCE = 4

export interface Renewals {
  outcomes: RenewalOutcome[]
  facts: Map<string, RenewalFacts>
}

/**
 * How long a tick looks again at orders that wait for others, after everybody has had a turn: a challenge is mostly
 * visible, and a certificate issued, within a minute. What takes longer goes on in the next tick.
 */
export const LINGER_MS = 2 * minute
/** Orders that may be looked at within this time of one another are looked at together. */
const TOGETHER_MS = 2 * second

/**
 * Every certificate with `renew.acme`: decide, go on with an order or start one; the nearest instant first. An order
 * that waits holds no slot: it is looked at again while there is a free one, and for `lingerMs` at the most when all
 * have had their turn. Slots are shared between CAs, so that one that does not answer keeps only its own waiting. The
 * only exit of a renewal is `incoming/<name>/`; `delivered` rotates what was dropped there, at once.
 */
export async function renewAll(
  wiring: Wiring,
  parties: Parties,
  report: JobReport,
  delivered: (name: string) => Promise<void>,
  lingerMs = LINGER_MS,
): Promise<Renewals> {
  const { clock, deadline } = parties
  const names = wiring.names.filter((name) => wiring.config.certificates[name]?.renew)
  if (names.length === 0) return { outcomes: [], facts: new Map() }
  // The ACME client is loaded only where something may be ordered.
  const { openRenewals } = await import('../wire/renewal.ts')
  const renewal = await openRenewals(wiring, parties)
  const look = { wiring, listsOf: gatewayLists(parties), lookOnly: false }
  // Where this tick cannot look, what was known before still holds: a silence would read as "solved".
  const facts = await factsOf(names, parties)
  const outcomes = new Map<string, RenewalOutcome>()
  const late: string[] = []
  const failed = (name: string, thrown: unknown) => {
    const failure = asFailure(thrown)
    parties.log.error(failure.message, { certificate: name, failure })
    report.failures.push({ certificate: name, failure })
  }
  /** Whose first turn is still to come. */
  const queue = soonestFirst(names, facts)
  /** Orders that wait for others, and when they are looked at again. */
  const waiting = new Map<string, number>()
  const running = new Map<string, Promise<void>>()
  let firstTurns = queue.length

  const oneLook = async (name: string, again: boolean): Promise<void> => {
    try {
      const seen = await renewOne(name, parties, renewal, { ...look, again })
      if (!seen) return
      // A CA that was tried before another one went on with it.
      const earlier = outcomes.get(name)?.failures ?? []
      outcomes.set(name, { ...seen.outcome, failures: [...earlier, ...seen.outcome.failures] })
      facts.set(name, seen.facts)
    } catch (thrown) {
      // The time was over inside a call: nobody's failure, and what was seen of it before still holds.
      if (isCutShort(thrown, deadline.signal)) return again ? undefined : void late.push(name)
      outcomes.delete(name)
      return failed(name, thrown)
    } finally {
      if (!again) firstTurns -= 1
    }
    const { status, sentence, notBefore } = outcomes.get(name) as RenewalOutcome
    if (status === 'unfinished' && notBefore !== undefined) waiting.set(name, Date.parse(notBefore))
    if (status !== 'delivered') return
    parties.progress({ kind: 'step', step: 'renew', certificate: name, target: name, sentence })
    await delivered(name).catch((thrown) => failed(name, thrown))
  }
  const directoryOf = (name: string) => firstDirectory(wiring, name)
  let until: number | undefined
  for (;;) {
    while (running.size < RENEWALS_AT_ONCE && !deadline.signal.aborted) {
      const now = clock.now().getTime()
      const due = [...waiting].filter(([, at]) => at <= now).map(([name]) => name)
      const name = fairest([...queue, ...due], [...running.keys()], directoryOf)
      if (name === undefined) break
      const again = waiting.delete(name)
      if (!again) queue.splice(queue.indexOf(name), 1)
      running.set(
        name,
        oneLook(name, again).finally(() => running.delete(name)),
      )
    }
    // A wait that ends at once when the time is over would never let anybody else have the processor.
    if (deadline.signal.aborted) break
    if (firstTurns === 0) until ??= clock.monotonic() + lingerMs
    const next = Math.min(...waiting.values())
    const together = Math.max(...[...waiting.values()].filter((at) => at <= next + TOGETHER_MS))
    const pause = Math.max(0, together - clock.now().getTime())
    if (until !== undefined && clock.monotonic() + pause > until) waiting.clear()
    if (waiting.size > 0 && pause <= deadline.remainingMs() && running.size === 0)
      await clock.sleep(pause, deadline.signal).catch(() => {})
    else if (running.size > 0) {
      const slotFree = waiting.size > 0 && running.size < RENEWALS_AT_ONCE
      const wait = limited(deadline, clock, slotFree ? pause : Number.POSITIVE_INFINITY)
      await Promise.race([...running.values(), wait.over])
      wait.cancel()
    } else break
  }
  await Promise.all(running.values())
  notLookedAt(report, 'renew', [...late, ...queue])
  for (const { certificate, status, sentence } of outcomes.values())
    parties.log[status === 'failed' ? 'error' : 'info'](sentence, { certificate, step: 'renew', status })
  return { outcomes: [...outcomes.values()], facts }
}

/** The first of those whose CA has the fewest slots. */
function fairest(
  names: readonly string[],
  running: readonly string[],
  directoryOf: (name: string) => string,
): string | undefined {
  const held = running.map(directoryOf)
  const slots = (name: string) => held.filter((one) => one === directoryOf(name)).length
  return [...names].sort((a, b) => slots(a) - slots(b))[0]
}

/** Of the CA that is asked first. */
function firstDirectory({ config }: Wiring, name: string): string {
  const renew = config.certificates[name]?.renew
  return (renew && authorityConfigs(renew)[0]?.directory) ?? ''
}

/** The order of the config where nothing is known: that is due, too. */
function soonestFirst(names: readonly string[], facts: ReadonlyMap<string, RenewalFacts>): string[] {
  const at = (name: string) => facts.get(name)?.renewAt ?? ''
  return [...names].sort((a, b) => (at(a) < at(b) ? -1 : at(a) > at(b) ? 1 : 0))
}

type Renewal = Awaited<ReturnType<typeof import('../wire/renewal.ts').openRenewals>>

/**
 * What was delivered has been rotated, or refused: when each is due now. Nothing is ordered. Where it cannot be
 * seen, what is known already holds.
 */
export async function lookAgain(
  wiring: Wiring,
  parties: Parties,
  names: readonly string[],
  facts: Map<string, RenewalFacts>,
): Promise<void> {
  if (names.length === 0) return
  const { openRenewals } = await import('../wire/renewal.ts')
  const renewal = await openRenewals(wiring, parties)
  const look = { wiring, listsOf: gatewayLists(parties), lookOnly: true }
  await inParallel(RENEWALS_AT_ONCE, names, async (name) => {
    try {
      const seen = await renewOne(name, parties, renewal, look)
      if (seen) facts.set(name, seen.facts)
    } catch (thrown) {
      const failure = asFailure(thrown)
      parties.log.warn(failure.message, { certificate: name, failure })
    }
  })
}

interface Look {
  wiring: Wiring
  listsOf: ListsOf
  lookOnly: boolean
  again?: boolean
}

async function renewOne(
  name: string,
  parties: Parties,
  renewal: Renewal,
  { wiring, listsOf, lookOnly, again = false }: Look,
): Promise<{ outcome: RenewalOutcome; facts: RenewalFacts } | undefined> {
  const answer = await parties.lease(name)
  if (!answer.held) return undefined
  try {
    const journal = await openJournal(name, parties)
    const { state } = journal
    const job = await wiring.job(name, false)
    const domains = await domainsSeen(job, parties, state, listsOf)
    const bindings = await bindingsListed(job, listsOf)
    const before = { state, job, domains, bindings, lookOnly, again }
    const outcome = await renewal.renew(before, answer.lease.signal)
    // What waits for its rotation is not in service: until it is, the instant of what clients are served holds.
    const { renewAt, waiting, failing } = outcome
    if (!waiting && state.renewAt !== renewAt) {
      state.renewAt = renewAt
      await journal.save()
    }
    const facts: RenewalFacts = {
      ...(state.renewAt !== undefined && { renewAt: state.renewAt }),
      ...(failing && { failing }),
      ...(waiting && { waiting }),
    }
    return { outcome, facts }
  } finally {
    await answer.lease.release()
  }
}

/** For `status` and uploads, which order nothing: when each certificate is to be renewed, as the last tick wrote it. */
export function renewalsKnown(
  wiring: Pick<Wiring, 'names' | 'config'>,
  parties: Pick<Parties, 'store'>,
  names: readonly string[] = wiring.names,
): Promise<Map<string, RenewalFacts>> {
  return factsOf(
    names.filter((name) => wiring.config.certificates[name]?.renew),
    parties,
  )
}

async function factsOf(
  names: readonly string[],
  parties: Pick<Parties, 'store'>,
): Promise<Map<string, RenewalFacts>> {
  const facts = new Map<string, RenewalFacts>()
  await inParallel(8, names, async (name) => {
    // What cannot be read is not known; that it cannot be read is said by whoever looks at that certificate.
    const read = await Promise.all([
      readState(name, parties),
      parties.store.get(renewKeys.state(name)),
    ]).catch(() => [])
    const [state, stored] = read
    const failing = stored && failingIn(stored.bytes)
    if (state?.renewAt || failing)
      facts.set(name, { ...(state?.renewAt && { renewAt: state.renewAt }), ...(failing && { failing }) })
  })
  return facts
}

/** A file that does not parse is the next tick's business. */
function failingIn(bytes: Uint8Array): RenewalFacts['failing'] {
  try {
    const { waits } = JSON.parse(new TextDecoder().decode(bytes)) as Partial<RenewState>
    return waits && failingOf({ waits })
  } catch {
    return undefined
  }
}
