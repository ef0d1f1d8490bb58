import type { FailureReport } from '../base/failure.ts'

/** What is looked at, in the order in which people are shown it. */
export const healthGroups = [
  'config',
  'credentials',
  'store',
  'gateways',
  'manager',
  'handshakes',
  'renewal',
  'alerts',
  'leftovers',
] as const
export type HealthGroup = (typeof healthGroups)[number]

/** `failed`: something does not work, or will not when it is needed · `warning`: a person should know. */
export type HealthResult = 'passed' | 'warning' | 'failed'

/** One line of `doctor`, and of the page. What was not looked at has no line, and what only a change can prove says so. */
export interface HealthCheck {
  group: HealthGroup
  /** A host name, a gateway's key, a channel's name, a key of the store: what it is about. */
  about: string
  result: HealthResult
  /** One sentence. Never a secret. */
  message: string
  /** What to do; of everything that has not passed. */
  next?: string
  /** Of the failure behind it, where there is one. */
  code?: string
}

export interface HealthReport {
  /** ISO instant. */
  at: string
  /** Nothing was written, and nothing asked for that changes anything. */
  readOnly: boolean
  result: HealthResult
  checks: HealthCheck[]
}

/** What `doctor --json` prints, and what a function answers to `{ "doctor": true }`. */
export function doctorDocument(report: HealthReport) {
  return { command: 'doctor', exitStatus: report.result === 'failed' ? 1 : 0, ...report } as const
}

export function worstOf(checks: readonly Pick<HealthCheck, 'result'>[]): HealthResult {
  const has = (wanted: HealthResult) => checks.some(({ result }) => result === wanted)
  return has('failed') ? 'failed' : has('warning') ? 'warning' : 'passed'
}

/** How a group writes its lines. */
export function linesOf(group: HealthGroup) {
  return {
    passed: (about: string, message: string): HealthCheck => ({ group, about, result: 'passed', message }),
    warning: (about: string, message: string, next: string): HealthCheck => ({
      group,
      about,
      result: 'warning',
      message,
      next,
    }),
    failed: (about: string, message: string, next: string): HealthCheck => ({
      group,
      about,
      result: 'failed',
      message,
      next,
    }),
    failure: (about: string, { code, message, next }: FailureReport): HealthCheck => ({
      group,
      about,
      result: 'failed',
      message,
      next,
      code,
    }),
  }
}

export function inOrder(checks: readonly HealthCheck[]): HealthCheck[] {
  return [...checks].sort((a, b) => healthGroups.indexOf(a.group) - healthGroups.indexOf(b.group))
}
