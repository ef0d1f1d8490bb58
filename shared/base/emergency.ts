import { day } from './clock.ts'

/**
 * Milliseconds before a certificate's end in which nothing counts but that it is replaced: a tenth of its lifetime, at
 * least a day and at most a week, never more than a quarter of the lifetime.
 */
export function emergencyWindow(lifetimeMs: number): number {
  return Math.min(Math.min(Math.max(lifetimeMs / 10, day), 7 * day), lifetimeMs / 4)
}
