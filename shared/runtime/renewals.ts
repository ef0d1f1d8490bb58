import type { RenewalOutcome } from '../acme/renew.ts'
import { type RenewState, renewKeys } from '../acme/state.ts'
import { failingOf } from '../acme/wait.ts'
import { minute, second } from '../base/clock.ts'
import { asFailure } from '../base/failure.ts'
import { openJournal, readState } from '../rotation/journal.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import type { RenewalFacts } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import { bindingsListed, domainsSeen, gatewayLists, type ListsOf } from './in-service.ts'
import { type JobReport, notLookedAt } from './jobs.ts'

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
 * that waits holds no slot: it is looked at again when all have had their turn, for `lingerMs` at the most. The only
 * exit of a renewal is `incoming/<name>/`; rotating what it dropped there is the caller's next step.
 */
export async function renewAll(
  wiring: Wiring,
  parties: Parties,
  report: JobReport,
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
  let until: number | undefined
  for (let turn = soonestFirst(names, facts); turn.length > 0; ) {
    const again = until !== undefined
    await inParallel(RENEWALS_AT_ONCE, turn, async (name) => {
      if (deadline.signal.aborted) return again ? undefined : void late.push(name)
      try {
        const seen = await renewOne(name, parties, renewal, { ...look, again })
        if (!seen) return
        // A CA that was tried before another one went on with it.
        const earlier = outcomes.get(name)?.failures ?? []
        outcomes.set(name, { ...seen.outcome, failures: [...earlier, ...seen.outcome.failures] })
        facts.set(name, seen.facts)
        const { status, sentence } = seen.outcome
        const told = { certificate: name, target: name, sentence }
        if (status === 'delivered') parties.progress({ kind: 'step', step: 'renew', ...told })
      } catch (thrown) {
        const failure = asFailure(thrown)
        outcomes.delete(name)
        parties.log.error(failure.message, { certificate: name, failure })
        report.failures.push({ certificate: name, failure })
      }
    })
    until ??= clock.monotonic() + lingerMs
    const waiting = [...outcomes.values()].flatMap(({ certificate, status, notBefore }) =>
      status === 'unfinished' && notBefore !== undefined ? [{ certificate, at: Date.parse(notBefore) }] : [],
    )
    const next = Math.min(...waiting.map(({ at }) => at))
    const pause = Math.max(0, next - clock.now().getTime())
    if (waiting.length === 0 || clock.monotonic() + pause > until || pause > deadline.remainingMs()) break
    await clock.sleep(pause, deadline.signal).catch(() => {})
    turn = waiting.filter(({ at }) => at <= next + TOGETHER_MS).map(({ certificate }) => certificate)
  }
  notLookedAt(report, 'renew', late)
  for (const { certificate, status, sentence } of outcomes.values())
    parties.log[status === 'failed' ? 'error' : 'info'](sentence, { certificate, step: 'renew', status })
  return { outcomes: [...outcomes.values()], facts }
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
