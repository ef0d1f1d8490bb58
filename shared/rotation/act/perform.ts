import { type Clock, second } from '../../base/clock.ts'
import { asFailure, type Failure } from '../../base/failure.ts'

export interface Patience {
  clock: Clock
  random: () => number
  /** Aborts the waiting between two tries; a request under way is never cut. */
  signal?: AbortSignal
  /** Tries at the most. Default 4. */
  tries?: number
  /** No try begins after this many milliseconds. Default 20 s. */
  budgetMs?: number
  /**
   * The act makes something new each time (create, add, import, push). It is then never repeated without a look
   * that succeeded, and not at all in this run after a time-out: the slow first one may still be on its way.
   */
  makesAnew?: boolean
}

/**
 * Look, act. One side effect, repeated only after asking whether it has happened: a lost reply, a time-out or a
 * 5xx leaves that open, and a POST that is blindly repeated makes a second certificate.
 *
 * @param look what the effect left behind, or undefined where it has not happened
 * @param act the call
 */
export async function perform<T>(
  patience: Patience,
  look: () => Promise<T | undefined>,
  act: () => Promise<T>,
): Promise<T> {
  const { clock, random, signal, tries = 4, budgetMs = 20 * second, makesAnew = false } = patience
  const begun = clock.monotonic()
  let unseen: Failure | undefined
  for (let attempt = 1; ; attempt++) {
    try {
      // What nobody could look at is not tried again blindly: this round is spent on looking.
      if (unseen && makesAnew) throw unseen
      return await act()
    } catch (thrown) {
      const failure = asFailure(thrown)
      unseen = failure.effect === 'unknown' ? failure : undefined
      const seen = async (): Promise<T | undefined> => {
        try {
          const found = await look()
          if (found === undefined && !isTimeout(failure)) unseen = undefined
          return found
        } catch {
          return undefined
        }
      }
      if (failure.effect === 'unknown') {
        const found = await seen()
        if (found !== undefined) return found
      }
      const wait = backoffMs(attempt, random, failure.retryAfterMs)
      const spent = clock.monotonic() - begun
      if (failure.kind !== 'again' || attempt >= tries || spent + wait > budgetMs || signal?.aborted)
        throw failure
      await clock.sleep(wait, signal).catch(() => {
        throw failure
      })
      // A slow request may have landed while we waited.
      if (failure.effect === 'unknown') {
        const late = await seen()
        if (late !== undefined) return late
      }
    }
  }
}

function isTimeout(failure: Failure): boolean {
  return failure.code.endsWith('.timeout')
}

/** Full jitter: anything up to 0.3, 0.6, 1.2 … 5 s, and never less than the service asked for. */
export function backoffMs(attempt: number, random: () => number, retryAfterMs = 0): number {
  const ceiling = Math.min(5 * second, 300 * 2 ** (attempt - 1))
  return Math.max(retryAfterMs, Math.round(random() * ceiling))
}
