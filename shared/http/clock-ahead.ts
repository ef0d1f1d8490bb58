import { minute } from '../base/clock.ts'

/** "Signing requests": a service refuses a signature whose time differs from its own by more than this. */
export const SIGNATURE_TOLERANCE_MS = 15 * minute

/** Milliseconds that `now` is ahead of the `Date` of a reply, which has whole seconds; undefined where it has none. */
export function clockAheadMs(date: string | string[] | undefined, now: Date): number | undefined {
  const at = typeof date === 'string' ? Date.parse(date) : Number.NaN
  return Number.isNaN(at) ? undefined : now.getTime() - (at + 500)
}
