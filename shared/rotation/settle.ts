import { asFailure, Failure } from '../base/failure.ts'
import type { Bundle, CheckResult } from '../certificate/bundle.ts'
import { laterFailure } from './act/run.ts'
import type { Run } from './act/run-context.ts'
import { firstRefusal } from './decide.ts'
import { type Attempt, about, outcomeOf } from './intake/attempt.ts'
import { conclude, rememberOutcome } from './intake/conclude.ts'
import { isCutShort } from './out-of-time.ts'
import { waitsForPeople } from './outcome.ts'
import { judgeOf } from './record/judged.ts'
import { forgetWait, notBefore, postpone, type Wait } from './record/retry.ts'
import type { Outcome, RotationState } from './record/state.ts'

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
  const waits = outcome.status === 'failed' && waitsForPeople(run)
  if (outcome.status === 'unfinished' || waits) {
    const later = laterFailure(run)
    if (later) postpone(job, parties, journal, bundle.digest, later)
    else forgetWait(journal)
    if (waits && journal.state.outcomes[0]?.sentence !== outcome.sentence) rememberOutcome(journal, outcome)
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
    ...(rolledBack || outcome.status === 'failed' ? { refused: refusedNow(run, bundle, outcome) } : {}),
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
  if (judgeOf(failure)) {
    const outcome = outcomeOf(attempt, { ...told, status: 'refused' })
    const refused = refusedNow(attempt, bundle, outcome)
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
  if (isCutShort(thrown, parties.deadline.signal))
    return outcomeOf(attempt, { ...told, status: 'unfinished' })
  const outcome = outcomeOf(attempt, { ...told, status: 'failed' })
  postpone(job, parties, journal, bundle.digest, failure)
  if (journal.state.outcomes[0]?.sentence !== outcome.sentence) rememberOutcome(journal, outcome)
  await journal.save()
  return outcome
}

type Telling = Pick<Attempt, 'job' | 'parties' | 'begunAt'> & { journal: Pick<Attempt['journal'], 'state'> }

/** Issued ahead, or this machine's clock is behind: the bundle stays where it is until its time has come. */
export function notYet(attempt: Telling, bundle: Bundle): Outcome {
  const { current } = attempt.journal.state
  const from = bundle.leaf.notBefore.toISOString()
  const now = attempt.begunAt.toISOString()
  return outcomeOf(attempt, {
    ...about(bundle),
    status:
      current?.status === 'running' && current.bundle.digest === bundle.digest ? 'unfinished' : 'waiting',
    sentence: `waiting until ${from}, when the certificate begins to be valid; the clock here says ${now}`,
  })
}

/** Nothing is tried before the growing wait is over; nothing is noted either, but whoever looks is told. */
export function stillWaiting(attempt: Telling, bundle: Bundle, { until, failure }: Wait): Outcome {
  const { name } = attempt.job
  const why = failure ? `, because the last try failed: ${failure.message}` : ''
  const sentence = `is not tried again before ${until}${why}`
  return outcomeOf(attempt, {
    ...about(bundle),
    status: 'unfinished',
    sentence,
    failures: [
      new Failure({
        code: 'rotation.waits',
        kind: 'later',
        message: `${name} ${sentence}`,
        next: `The first tick after that goes on; "cert-rotation rotate ${name}" does not wait.${failure ? ` ${failure.next}` : ''}`,
        facts: { certificate: name, until, ...(failure ? { failureCode: failure.code } : {}) },
      }),
    ],
  })
}

/**
 * What the service says about the content holds until the bundle or the config changes. What a handshake showed may
 * have been the fault of whoever answered it: dropped again, the same bundle is tried again, after a growing wait, so
 * that an upload by a machine does not make a domain change certificates all day.
 */
function refusedNow(
  { job, parties, journal }: Pick<Run, 'job' | 'parties' | 'journal'>,
  bundle: Bundle,
  { at, failures }: Outcome,
): NonNullable<RotationState['refused']> {
  const refused = { digest: bundle.digest, configDigest: job.configDigest, at, failures }
  if (failures.some((failure) => judgeOf(failure) === 'content')) return refused
  const before = journal.state.refused
  const attempts = (before?.digest === bundle.digest ? (before.attempts ?? 0) : 0) + 1
  return { ...refused, attempts, notBefore: notBefore(parties, attempts) }
}
