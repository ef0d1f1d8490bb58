import { hour, minute } from '../../base/clock.ts'
import type { Failure, FailureReport } from '../../base/failure.ts'
import type { Bundle } from '../../certificate/bundle.ts'
import type { Job, Parties } from '../parties.ts'
import type { Journal } from './journal.ts'

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
  state.retry = {
    digest,
    configDigest: job.configDigest,
    attempts,
    notBefore: notBefore(parties, attempts, failure.retryAfterMs),
    failure: failure.toJSON(),
  }
}

/** The end of the growing wait after so many tries; never before what the service asked for. */
export function notBefore(
  { clock, random }: Pick<Parties, 'clock' | 'random'>,
  attempts: number,
  askedMs = 0,
): string {
  const ceiling = Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** (attempts - 1))
  // Half of it is fixed, so that a fleet spreads without anybody coming back at once.
  const wait = Math.max(Math.min(LONGEST_WAIT_MS, askedMs), ceiling / 2 + random() * (ceiling / 2))
  return new Date(clock.now().getTime() + wait).toISOString()
}

export function forgetWait(journal: Journal): void {
  delete journal.state.retry
}

export interface Wait {
  until: string
  failure: FailureReport | undefined
}

/**
 * How long the timer is to leave this bundle alone, and what for; undefined where it need not. A new bundle, a new
 * config or a person does not wait.
 */
export function waitFor(
  job: Pick<Job, 'asked' | 'configDigest'>,
  parties: Pick<Parties, 'clock'>,
  journal: Pick<Journal, 'state'>,
  bundle: Pick<Bundle, 'digest'>,
): Wait | undefined {
  const { retry, refused } = journal.state
  const waits = [
    retry && { ...retry, until: retry.notBefore },
    refused?.notBefore ? { ...refused, until: refused.notBefore, failure: refused.failures[0] } : undefined,
  ]
  for (const wait of waits) {
    if (!wait || job.asked || wait.digest !== bundle.digest || wait.configDigest !== job.configDigest)
      continue
    const left = Date.parse(wait.until) - parties.clock.now().getTime()
    // A clock that was set back must not turn minutes into years.
    if (left > 0 && left <= LONGEST_WAIT_MS) return { until: wait.until, failure: wait.failure }
  }
  return undefined
}
