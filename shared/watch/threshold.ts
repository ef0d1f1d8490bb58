import { day, hour } from '../base/clock.ts'

/** The validity of one certificate: all that a threshold needs. */
export interface Validity {
  /** Missing where a certificate is known from a list that does not say it. */
  notBefore?: Date
  notAfter: Date
}

/** One point of a certificate's life that is told when it is passed. */
export interface Crossing {
  /** As in the config, `20%` or `3d`; `expired` for the end itself. */
  threshold: string
  at: Date
}

/** Where nobody says when a certificate began, a lifetime of 90 days is the common case. */
const assumedLifetime = 90 * day

export function lifetimeOf({ notBefore, notAfter }: Validity): number {
  const lifetime = notBefore === undefined ? assumedLifetime : notAfter.getTime() - notBefore.getTime()
  return Math.max(lifetime, hour)
}

/**
 * Time left at a threshold, in milliseconds. A duration longer than a third of the lifetime counts as a third:
 * `30d` on a 47-day certificate would otherwise be told before anybody could have renewed it, and on a 6-day
 * certificate with the moment it is issued.
 */
export function timeLeftAt(threshold: string, validity: Validity): number {
  const lifetime = lifetimeOf(validity)
  const [, amount, unit] = /^(\d+)(%|d|h)$/.exec(threshold) ?? []
  if (unit === '%') return (lifetime * Number(amount)) / 100
  const duration = Number(amount) * (unit === 'h' ? hour : day)
  return Math.min(duration, lifetime / 3)
}

/**
 * All crossings of one certificate, earliest first, the end last. Crossings closer together than a fiftieth of the
 * lifetime are one: on short-lived certificates a share and a duration easily fall on the same hours, and the
 * reader would get two messages that say the same.
 */
export function crossingsOf(validity: Validity, thresholds: readonly string[]): Crossing[] {
  const end = validity.notAfter.getTime()
  const gap = lifetimeOf(validity) / 50
  const sorted = thresholds
    .map((threshold) => ({ threshold, left: timeLeftAt(threshold, validity) }))
    .filter(({ left }) => Number.isFinite(left) && left > 0)
    .sort((a, b) => b.left - a.left)
  const kept: typeof sorted = []
  for (const crossing of sorted) {
    const previous = kept.at(-1)
    if (previous === undefined || previous.left - crossing.left >= gap) kept.push(crossing)
  }
  return [
    ...kept.map(({ threshold, left }) => ({ threshold, at: new Date(end - left) })),
    { threshold: 'expired', at: new Date(end) },
  ]
}
