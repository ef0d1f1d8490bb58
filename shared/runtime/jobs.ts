import type { RenewalOutcome } from '../acme/renew.ts'
import { asFailure, type Failure } from '../base/failure.ts'
import type { HealthReport } from '../health/port.ts'
import { misplacedIn } from '../rotation/intake/misplaced.ts'
import { uploadsIn } from '../rotation/intake/uploads.ts'
import { isCutShort } from '../rotation/out-of-time.ts'
import { cutShort } from '../rotation/outcome.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { notVerified, type Outcome } from '../rotation/record/state.ts'
import { rotate } from '../rotation/rotate.ts'
import type { Wiring } from '../wire/cloud.ts'
import { begunWithout, CERTIFICATES_AT_ONCE } from './begun.ts'
import { type CriticalFinding, leftBare } from './critical.ts'
import { workThenTell } from './time-budget.ts'

/** What came of one job; the shape of every `--json` document and of a function's result. */
export interface JobReport {
  outcomes: Outcome[]
  /**
   * What failed outside any one rotation, or before an outcome could be written. `mayPass`: seen for the first time, and
   * it may pass by itself; the next tick that meets it again has failed.
   */
  failures: { certificate?: string; failure: Failure; mayPass?: boolean }[]
  /** What the timer did about certificates that renew themselves. */
  renewals?: RenewalOutcome[]
  /** What there was no time for, by job: names of certificates, or domains where `watch` did not come to them. */
  notLookedAt?: { job: string; names: string[] }[]
  /** A person has stopped it: what is in `notLookedAt` was not for want of time. */
  stopped?: true
  /** What is critical now and not acknowledged. */
  critical?: CriticalFinding[]
  /** What `doctor` was asked for. */
  health?: HealthReport
  /** Of a tick, where a heartbeat is configured. */
  heartbeat?: Heartbeat
  /** Certificates that have had their turn and have more in `incoming/`. */
  more?: string[]
}

/** One that could not be sent is a failure of its own. */
export interface Heartbeat {
  sent: boolean
  /** Why it was held back: nobody is to be calm. */
  because?: string
}

/** Whoever uploads without end, or floods a folder, has no more than this before others have their turn. */
const BUNDLES_PER_TURN = 2

/**
 * Rotates what lies in `incoming/` for these certificates, or for all that have something there. One after the other
 * has a turn, for as many rounds as there is more and time; with `rounds`, what is left after them is in `more`.
 */
export async function rotateUploads(
  wiring: Wiring,
  parties: Parties,
  asked: { names?: readonly string[]; byPerson: boolean; rounds?: number },
): Promise<JobReport> {
  const critical: CriticalFinding[] = []
  const report: JobReport = { outcomes: [], failures: [], critical }
  const { certificates } = wiring.config
  const uploads = asked.names && !asked.byPerson ? undefined : await uploadsIn(parties.store, wiring.names)
  const isKnown = (name: string) => Object.hasOwn(certificates, name)
  const known = asked.names?.filter(isKnown) ?? [
    ...uploads!.names,
    ...(await begunWithout(uploads!.names, wiring, parties)),
  ]
  // Of a certificate that was named, other folders tell nothing; what lies in none may be its bundle.
  const named = asked.names && {
    names: asked.names.filter((name) => !isKnown(name)),
    more: 0,
    uncounted: false,
  }
  const strangers = named ?? uploads!.strangers
  const { outside = [] } = uploads ?? {}
  report.failures.push(...(await misplacedIn({ strangers, outside }, certificates, parties)))
  const late: string[] = []
  const more = new Set<string>()
  const oneTurn = async (name: string) => {
    more.delete(name)
    if (parties.deadline.signal.aborted) return void late.push(name)
    try {
      const own = { ...parties, log: parties.log.with({ certificate: name }) }
      const job = await wiring.job(name, asked.byPerson)
      const turn = { bundles: BUNDLES_PER_TURN, more: false }
      const outcomes = await rotate(job, own, turn)
      if (turn.more) more.add(name)
      for (const outcome of outcomes) {
        report.outcomes.push(outcome)
        own.log.info(`${name}: ${outcome.status}: ${outcome.sentence}`, {
          step: 'outcome',
          status: outcome.status,
          durationMs: outcome.durationMs,
        })
      }
      // Without a bundle it is somebody else's run, which may stand between a detach and an attach.
      if (outcomes.every(({ status, bundle }) => bundle || status !== 'unfinished'))
        critical.push(...(await leftBare(wiring, parties, name)))
    } catch (thrown) {
      if (isCutShort(thrown, parties.deadline.signal))
        return void report.outcomes.push(cutShort({ name }, parties))
      const failure = asFailure(thrown)
      parties.log.error(failure.message, { certificate: name, failure })
      report.failures.push({ certificate: name, failure })
    }
  }
  let turns = known
  for (let round = 0; turns.length > 0 && round < (asked.rounds ?? Number.POSITIVE_INFINITY); round++) {
    await inParallel(CERTIFICATES_AT_ONCE, turns, oneTurn)
    turns = parties.deadline.signal.aborted ? [] : [...more]
  }
  // Nothing was asked for and nothing lies there, and yet somebody may stand without a certificate by our hand.
  if (asked.names === undefined)
    for (const name of wiring.names)
      if (!known.includes(name)) critical.push(...(await leftBare(wiring, parties, name).catch(() => [])))
  if (asked.rounds !== undefined && more.size > 0) report.more = [...more]
  else late.push(...more)
  notLookedAt(report, 'finish', late)
  return report
}

/** For an upload: rotates, and tells people in a time that no rotation can take from them. */
export async function rotateThenTell(
  wiring: Wiring,
  parties: Parties,
  names: readonly string[],
): Promise<JobReport> {
  const report: JobReport = { outcomes: [], failures: [] }
  await workThenTell(
    parties,
    async (own) => {
      const done = await rotateUploads(wiring, own, { names, byPerson: false })
      Object.assign(report, done)
    },
    async (ended) => {
      const { tellAfterUpload } = await import('./after-upload.ts')
      if (!ended) notLookedAt(report, 'finish', names)
      await tellAfterUpload(wiring, parties, report, ended ? [] : names)
    },
  )
  return report
}

/** Says what a job did not come to; the next tick does. */
export function notLookedAt(report: JobReport, job: string, names: readonly string[]): void {
  if (names.length > 0) report.notLookedAt = [...(report.notLookedAt ?? []), { job, names: [...names] }]
}

/**
 * 0 done or nothing to do · 1 something failed, was refused, or is critical and not acknowledged · 3 unfinished or
 * waiting, run again. A domain without a certificate is no mere "run again": 1 goes before 3.
 */
export function exitStatus(report: JobReport): 0 | 1 | 3 {
  const failed = report.outcomes.some(
    ({ status, failures }) =>
      ['refused', 'rolled back', 'failed'].includes(status) || (status === 'waiting' && failures.length > 0),
  )
  // A renewal waits only because an attempt before it failed.
  const unrenewed = report.renewals?.some(({ status }) => status === 'failed' || status === 'waiting')
  // Critical goes before unfinished.
  const lasting = report.failures.some(({ mayPass }) => !mayPass) || report.health?.result === 'failed'
  const unseen = report.outcomes.flatMap(notVerified)
  if (unseen.some(({ required }) => required)) return 1
  if (failed || unrenewed || lasting || (report.critical ?? []).length > 0) return 1
  if (report.notLookedAt?.length || report.failures.length > 0 || unseen.length > 0) return 3
  // Nothing of what waits is in service yet.
  const open = [...report.outcomes, ...(report.renewals ?? [])]
  return open.some(({ status }) => status === 'unfinished' || status === 'waiting') ? 3 : 0
}
