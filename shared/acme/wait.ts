import { day, hour, minute } from '../base/clock.ts'
import type { Failure, FailureReport } from '../base/failure.ts'
import type { RenewState, Wait } from './state.ts'

/**
 * First wait after a failed attempt. Let's Encrypt allows five failed validations per name and hour; growing from
 * a quarter of an hour stays below that.
 */
const first = 15 * minute
const most = day
/** Near expiry an attempt every hour is worth more than politeness towards ourselves. */
const emergencyMost = hour

/**
 * After a certificate that the rotation did not take: the next one will hardly be better, and a CA allows five of
 * the same names in a week. In a row these are spread over it, near expiry a day apart at the most.
 */
const refusedFirst = 6 * hour
const refusedMost = 7 * day
const refusedEmergencyMost = day

/** The wait after one more failure; `random` from 0 to 1 spreads it by up to a fifth. */
export function nextWait(
  now: Date,
  before: Wait | undefined,
  failure: Failure,
  request: string,
  random: number,
  refused = false,
): Wait {
  const earlier = before?.request === request ? before : undefined
  const attempts = (earlier?.attempts ?? 0) + 1
  const grown = (refused ? refusedFirst : first) * 2 ** (attempts - 1)
  const own = Math.min(grown, refused ? refusedMost : most) * (1 + random / 5)
  const asked = failure.retryAfterMs ?? 0
  return {
    attempts,
    since: now.toISOString(),
    failingSince: earlier?.failingSince ?? earlier?.since ?? now.toISOString(),
    notBefore: new Date(now.getTime() + Math.max(own, asked)).toISOString(),
    ...(refused && { refused }),
    ...(asked > 0 && { asked: new Date(now.getTime() + asked).toISOString() }),
    request,
    failure: failure.toJSON(),
  }
}

/** A renewal that has failed and has not succeeded since. */
export interface Failing {
  since: string
  /** In a row, at the authority where it failed most often. */
  attempts: number
  failure: FailureReport
  /** The next attempt. */
  nextAt?: string
}

/** What people are told about a renewal that fails; undefined while nothing has failed. */
export function failingOf(state: Pick<RenewState, 'waits'>, nextAt?: string): Failing | undefined {
  const waits = Object.values(state.waits)
  const [worst] = [...waits].sort((a, b) => b.attempts - a.attempts)
  if (worst === undefined) return undefined
  const since = waits.map((wait) => wait.failingSince ?? wait.since).sort()[0] as string
  const earliest = waits.map(({ notBefore }) => notBefore).sort()[0] as string
  return { since, attempts: worst.attempts, failure: worst.failure, nextAt: nextAt ?? earliest }
}

/** The end of what clients are served, and when its emergency begins. */
export interface NearEnd {
  from: Date
  at: Date
}

/**
 * When the next attempt may be made: nothing but the CA's own `Retry-After` holds it back when a person asks.
 * Another request ends a wait of ours, not one of the CA's. Once the emergency has begun, neither holds for longer than
 * `longestNear`: a CA may ask for a month, and what is served ends tomorrow.
 */
export function attemptAt(wait: Wait, request: string, end: NearEnd | undefined, force: boolean): Date {
  const since = Date.parse(wait.since)
  const latest = (longest: number) =>
    end === undefined ? Number.POSITIVE_INFINITY : Math.max(end.from.getTime(), since + longest)
  const near = latest(longestNear(end, since))
  const asked = wait.asked === undefined ? 0 : Math.min(Date.parse(wait.asked), near)
  if (force || wait.request !== request) return new Date(asked)
  const own = Math.min(Date.parse(wait.notBefore), wait.refused ? latest(refusedEmergencyMost) : near)
  return new Date(Math.max(own, asked))
}

/** Milliseconds: an hour, or a tenth of the life that is left; after the end an hour again. */
export function longestNear(end: NearEnd | undefined, now: number): number {
  const left = (end?.at.getTime() ?? 0) - now
  return left > 0 ? Math.min(emergencyMost, left / 10) : emergencyMost
}
