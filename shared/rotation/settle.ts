import { asFailure, type Failure } from '../base/failure.ts'
import type { Bundle, CheckResult } from '../certificate/bundle.ts'
import { type Attempt, about, outcomeOf } from './attempt.ts'
import { conclude, rememberOutcome } from './conclude.ts'
import { firstRefusal } from './decide.ts'
import type { Job } from './parties.ts'
import { forgetWait, postpone } from './retry.ts'
import { laterFailure } from './run.ts'
import type { Run } from './run-context.ts'
import type { Outcome, RotationState } from './state.ts'

/** The verdict went against the bundle: nothing was touched, it goes to `rejected/`. */
export async function refuse(attempt: Attempt, checks: CheckResult[], bundle?: Bundle): Promise<Outcome> {
  const { job, parties, journal, upload } = attempt
  const sentence = firstRefusal(checks)
  const outcome = outcomeOf(attempt, {
    ...(bundle ? about(bundle) : {}),
    status: 'refused',
    sentence,
    checks,
  })
  await conclude(job, parties, journal, { outcome, upload, to: 'rejected', bundle })
  return outcome
}

/** Everything that ends a run: moved to `deployed/` or `rejected/`, or left in `incoming/` for the next tick. */
export async function settle({ upload }: Attempt, run: Run, outcome: Outcome): Promise<void> {
  const { job, parties, journal, current, bundle } = run
  if (outcome.status === 'unfinished') {
    const later = laterFailure(run)
    if (later) postpone(job, parties, journal, bundle.digest, later)
    else forgetWait(journal)
    await journal.save()
    return
  }
  forgetWait(journal)
  noteWhatServed(run, outcome)
  const rolledBack = outcome.status === 'rolled back'
  const inService = !rolledBack && Object.values(current.domains).every((one) => !one.givenUp)
  await conclude(job, parties, journal, {
    outcome,
    upload,
    to: rolledBack ? 'rejected' : 'deployed',
    bundle,
    status: inService ? 'done' : 'failed',
    ...(rolledBack || outcome.status === 'failed' ? { refused: refusedNow(job, bundle, outcome) } : {}),
    ...(rolledBack ? {} : { deployed: { ...current.bundle, at: outcome.at } }),
  })
}

/** A certificate that never served anybody is no predecessor worth keeping. */
function noteWhatServed(run: Run, outcome: Outcome): void {
  for (const one of run.journal.state.created) {
    if (one.digest !== run.current.bundle.digest) continue
    const used = run.current.certificates[one.where] ?? one.id
    if (outcome.status === 'rolled back' || used !== one.id) one.neverServed = true
    else delete one.neverServed
  }
}

/**
 * Something outside stood in the way before or during the run: nothing is lost, the bundle stays where it is. A
 * gateway that refuses the certificate itself has given a verdict on the bundle, which is then rejected.
 */
export async function interrupted(attempt: Attempt, bundle: Bundle, thrown: unknown): Promise<Outcome> {
  const { job, parties, journal, upload } = attempt
  const failure = asFailure(thrown)
  parties.log.error(failure.message, { failure })
  const told = { ...about(bundle), sentence: failure.message, failures: [failure] }
  if (isVerdictOnBundle(failure)) {
    const outcome = outcomeOf(attempt, { ...told, status: 'refused' })
    const refused = refusedNow(job, bundle, outcome)
    await conclude(job, parties, journal, {
      outcome,
      upload,
      to: 'rejected',
      bundle,
      refused,
      status: 'failed',
    })
    return outcome
  }
  const status = failure.code === 'rotation.out-of-time' ? 'unfinished' : 'failed'
  const outcome = outcomeOf(attempt, { ...told, status })
  postpone(job, parties, journal, bundle.digest, failure)
  if (journal.state.outcomes[0]?.sentence !== outcome.sentence) rememberOutcome(journal, outcome)
  await journal.save()
  return outcome
}

/** The gateway's own checks of the content: key, chain, dates, names (API error codes). Anything else is about the world. */
const CONTENT_REFUSALS = new Set(
  ['2101', '2102', '2103', '2104', '2105', '2106', '2109', '3148', '3708', '3709'].map(
    (code) => `APIG.${code}`,
  ),
)

function isVerdictOnBundle(failure: Failure): boolean {
  return failure.kind === 'never' && CONTENT_REFUSALS.has(String(failure.facts.errorCode))
}

function refusedNow(job: Job, bundle: Bundle, outcome: Outcome): NonNullable<RotationState['refused']> {
  const { at, failures } = outcome
  return { digest: bundle.digest, configDigest: job.configDigest, at, failures }
}
