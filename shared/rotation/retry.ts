import { hour, minute } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import type { Bundle } from '../certificate/bundle.ts'
import type { Journal } from './journal.ts'
import type { Job, Parties } from './parties.ts'

const FIRST_WAIT_MS = minute
const LONGEST_WAIT_MS = 6 * hour

/** Leaves a failed try to the timer, with a wait that grows from one minute to six hours. */
export function postpone(
  job: Pick<Job, 'configDigest'>,
  parties: Pick<Parties, 'clock' | 'random'>,
  journal: Journal,
  digest: string,
  failure: Failure,
): void {
  const { state } = journal
  const attempts = (state.retry?.digest === digest ? state.retry.attempts : 0) + 1
  const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempts - 1))
  // Half of it is fixed, so that a fleet spreads without anybody coming back at once.
  const asked = Math.min(LONGEST_WAIT_MS, failure.retryAfterMs ?? 0)
  const wait = Math.max(asked, ceiling / 2 + parties.random() * (ceiling / 2))
  const notBefore = new Date(parties.clock.now().getTime() + wait).toISOString()
  state.retry = { digest, configDigest: job.configDigest, attempts, notBefore, failure: failure.toJSON() }
}

export function forgetWait(journal: Journal): void {
  delete journal.state.retry
}

/** Whether the timer is to leave this bundle alone for now. A new bundle, a new config or a person does not wait. */
export function tooEarly(
  job: Job,
  parties: Pick<Parties, 'clock'>,
  journal: Journal,
  bundle: Bundle,
): boolean {
  const { retry } = journal.state
  if (!retry || job.asked || retry.digest !== bundle.digest || retry.configDigest !== job.configDigest)
    return false
  const wait = Date.parse(retry.notBefore) - parties.clock.now().getTime()
  // A clock that was set back must not turn minutes into years.
  return wait > 0 && wait <= LONGEST_WAIT_MS
}
