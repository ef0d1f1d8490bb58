import type { FailureReport } from '../base/failure.ts'

/** `critical`: somebody is or will soon be without a valid certificate. `info`: good news. */
export type Severity = 'info' | 'warning' | 'critical'

/** What every notice says, in the order a person wants to know it. */
interface NoticeFacts {
  /**
   * Names the condition, not the message: a notice that repeats, worsens or solves a condition carries the same
   * key.
   */
  key: string
  /** ISO instant of the tick that noticed it. */
  at: string
  /** Name in rotation.yaml, or the remote name of a discovered certificate; undefined for the whole installation. */
  certificate?: string
  owner?: string
  severity: Severity
  /** Also goes to the escalation channels: the certificate is past the escalation threshold. */
  escalate: boolean
  /** Host names, gateways or folders. */
  where: readonly string[]
  /** ISO instant by which it must be settled, where there is one. */
  until?: string
  /** One sentence: what happens next without anybody doing anything. */
  next: string
  /** One sentence: what the reader can do. Empty when there is nothing to do. */
  action: string
}

/** How a served certificate differs from the expected one. */
export type ServedProblem = 'nobody' | 'older' | 'foreign' | 'incomplete chain' | 'wrong name'

export interface ServedDifference {
  host: string
  gateway: string
  problem: ServedProblem
  /** What was shown, or why nothing was. */
  detail: string
  /** ISO instant. */
  since?: string
  /** What should be bound, as a person finds it at the gateway's console. */
  before?: string
  /** Why it could not be put right, in the service's words. */
  refusal?: string
}

export type ProblemNotice = NoticeFacts &
  (
    | { kind: 'near expiry'; threshold: string; commonName: string; notAfter: string }
    | { kind: 'expired'; commonName: string; notAfter: string }
    | { kind: 'unfinished'; since: string; done: number; total: number }
    | { kind: 'failed'; sentence: string; failures: readonly FailureReport[] }
    | { kind: 'rolled back'; sentence: string; failures: readonly FailureReport[] }
    | { kind: 'refused'; sentence: string; reasons: readonly string[] }
    | { kind: 'waiting for pair'; since: string; missing: string }
    | { kind: 'renewal failing'; since: string; attempts: number; failure: FailureReport }
    | { kind: 'not served'; domains: readonly ServedDifference[] }
    | { kind: 'quota nearly used'; used: number; limit: number }
    | { kind: 'gateway not read'; failure: FailureReport }
    | { kind: 'timer did not run'; lastTick: string; lateMs: number }
    | { kind: 'no longer watched'; unwatched: readonly string[]; stays: readonly string[] }
  )

export type ProblemKind = ProblemNotice['kind']

export type RotatedNotice = NoticeFacts & {
  kind: 'rotated'
  commonName: string
  notAfter: string
  domains: number
  /** Longest time one domain was without a certificate, in milliseconds, where it was measured. */
  longestGapMs?: number
  /** What is another than before, in words; missing where nobody looked. */
  changes?: readonly string[]
  /** Keys of told problems that this rotation ended. */
  solves: readonly string[]
}

export type SolvedNotice = NoticeFacts & {
  kind: 'solved'
  of: ProblemKind
  /** When the problem was told. */
  toldAt: string
  /** Hosts of the same key that still have the problem: the condition as a whole is over only at 0. */
  remaining: number
}

/** Somebody asked whether a channel takes messages. */
export type TestNotice = NoticeFacts & { kind: 'test' }

/** The one thing that channels are given. Facts only; `notify/text.ts` makes sentences of them. */
export type Notice = ProblemNotice | RotatedNotice | SolvedNotice | TestNotice
export type NoticeKind = Notice['kind']

/** Everything that one audience is told in one run: one message. Never empty. */
export interface Digest {
  /** Stable for one run and audience, so that a receiver can drop a repeated delivery. */
  id: string
  /** The owner, or `escalation`, or undefined for everybody else. */
  audience?: string
  at: string
  notices: readonly Notice[]
  /** Who tells it, where the installation has a name. */
  installation?: string
  /** By key, what the incident of a condition is called by a receiver that keeps it open until it hears the end. */
  incidents?: Readonly<Record<string, string>>
}

/** Who tells: `name` is for people, `scope` keeps its incidents apart from those of other installations. */
export interface Installation {
  name?: string
  scope: string
}

const severities: Severity[] = ['critical', 'warning', 'info']

/** The worst severity first; within one severity what is so already, then the earliest deadline. */
export function byUrgency(a: Notice, b: Notice): number {
  const severity = severities.indexOf(a.severity) - severities.indexOf(b.severity)
  if (severity !== 0) return severity
  const until = dueBy(a).localeCompare(dueBy(b))
  return until !== 0 ? until : a.key.localeCompare(b.key)
}

function dueBy({ kind, severity, until }: Notice): string {
  return kind === 'not served' && severity === 'critical' ? '' : (until ?? '9')
}

export function worstSeverity(notices: readonly Notice[]): Severity {
  return severities.find((severity) => notices.some((notice) => notice.severity === severity)) ?? 'info'
}
