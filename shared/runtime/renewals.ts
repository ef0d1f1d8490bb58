import type { RenewalOutcome } from '../acme/renew.ts'
import { type RenewState, renewKeys } from '../acme/state.ts'
import { failingOf } from '../acme/wait.ts'
import { asFailure } from '../base/failure.ts'
import { openJournal, readState } from '../rotation/journal.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import type { RenewalFacts } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import { domainsSeen, gatewayLists, type ListsOf } from './in-service.ts'
import { type JobReport, notLookedAt } from './jobs.ts'

/** Orders side by side; a CA's rate limits are per account, not per moment. */
const RENEWALS_AT_ONCE = 4

export interface Renewals {
  outcomes: RenewalOutcome[]
  facts: Map<string, RenewalFacts>
}

/**
 * Every certificate with `renew.acme`: decide, go on with an order or start one. The only exit of a renewal is
 * `incoming/<name>/`; rotating what it dropped there is the caller's next step.
 */
export async function renewAll(wiring: Wiring, parties: Parties, report: JobReport): Promise<Renewals> {
  const names = wiring.names.filter((name) => wiring.config.certificates[name]?.renew)
  const renewals: Renewals = { outcomes: [], facts: new Map() }
  if (names.length === 0) return renewals
  // The ACME client is loaded only where something may be ordered.
  const { openRenewals } = await import('../wire/renewal.ts')
  const renewal = await openRenewals(wiring, parties)
  const look = { wiring, listsOf: gatewayLists(parties), lookOnly: false }
  const late: string[] = []
  await inParallel(RENEWALS_AT_ONCE, names, async (name) => {
    if (parties.deadline.signal.aborted) return void late.push(name)
    try {
      const seen = await renewOne(name, parties, renewal, look)
      if (!seen) return
      const { outcome } = seen
      renewals.outcomes.push(outcome)
      renewals.facts.set(name, seen.facts)
      const failed = outcome.status === 'failed'
      const level = failed ? 'error' : 'info'
      parties.log[level](outcome.sentence, {
        certificate: name,
        step: 'renew',
        status: outcome.status,
      })
      const told = { certificate: name, target: name, sentence: outcome.sentence }
      if (outcome.status === 'delivered') parties.progress({ kind: 'step', step: 'renew', ...told })
    } catch (thrown) {
      const failure = asFailure(thrown)
      parties.log.error(failure.message, { certificate: name, failure })
      report.failures.push({ certificate: name, failure })
    }
  })
  notLookedAt(report, 'renew', late)
  // Where this tick could not look, what was known before still holds: a silence would read as "solved".
  const unseen = names.filter((name) => !renewals.facts.has(name))
  for (const [name, facts] of await factsOf(unseen, parties)) renewals.facts.set(name, facts)
  return renewals
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
}

async function renewOne(
  name: string,
  parties: Parties,
  renewal: Renewal,
  { wiring, listsOf, lookOnly }: Look,
): Promise<{ outcome: RenewalOutcome; facts: RenewalFacts } | undefined> {
  const answer = await parties.lease(name)
  if (!answer.held) return undefined
  try {
    const journal = await openJournal(name, parties)
    const { state } = journal
    const job = await wiring.job(name, false)
    const domains = await domainsSeen(job, parties, state, listsOf)
    const outcome = await renewal.renew({ state, job, domains, lookOnly }, answer.lease.signal)
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
