import type { FailureReport } from '../base/failure.ts'
import type { HealthCheck, HealthResult } from '../health/port.ts'
import type { Outcome } from '../rotation/record/state.ts'
import type { QuotaFacts } from '../watch/facts.ts'
import type { ServedProblem } from '../watch/notice.ts'
import type { ServedVerdict } from '../watch/served.ts'

/**
 * The state of everything at one instant: `status/status.json` and `cert-rotation status --json` are this document.
 * A contract: fields are added, never changed or taken away within one `schema`. All instants are ISO 8601 in UTC.
 */
export interface StatusModel {
  schema: 1
  /** Of the installation, where it has one. */
  name?: string
  /** When it was made. */
  at: string
  /** The timer: when it ran last and how far apart its ticks are. */
  lastTick?: { at: string; everyMs?: number }
  summary: StatusSummary
  /** Most urgent first. */
  certificates: CertificateStatus[]
  quotas: QuotaFacts[]
  /** State files and gateways that could not be read: nothing that is said of them is new. */
  unread: UnreadPlace[]
  /** What lies in `incoming/` where no rotation looks; left out where there is nothing. */
  misplaced?: { message: string; next: string }[]
  channels: ChannelStatus[]
  /** How the tool itself is, as far as this look shows it: the short form of `cert-rotation doctor`. */
  health: ToolHealth
}

export interface ToolHealth {
  result: HealthResult
  checks: HealthCheck[]
}

export interface UnreadPlace {
  where: string
  message: string
  next: string
  /** `critical`: it has answered, and will answer the same until somebody acts; `warning`: it may pass by itself. */
  severity: 'critical' | 'warning'
}

export interface StatusSummary {
  certificates: number
  critical: number
  warning: number
  due: number
  ok: number
  unknown: number
  domains: number
  /** Seen by handshake to serve what they should. */
  domainsAsExpected: number
  /** Not reached from here, or not looked at by config. */
  domainsNotSeen: number
}

/**
 * `critical`: clients are refused or soon will be · `warning`: a person is needed · `due`: being renewed or rotated ·
 * `ok` · `unknown`: nothing is deployed and nothing was seen.
 */
export type Health = 'critical' | 'warning' | 'due' | 'ok' | 'unknown'

export interface CertificateStatus {
  /** In rotation.yaml, or the remote name. */
  name: string
  /** False for what was only discovered. */
  managed: boolean
  /** Where a discovered certificate lies. */
  where?: string
  owner?: string
  snoozeUntil?: string
  health: Health
  problems: ProblemStatus[]
  /** The certificate in service; undefined while nothing is known. */
  leaf?: LeafStatus
  domains: DomainStatusRow[]
  domainsAsExpected: number
  next: NextAct
  /** Newest first, at most five. */
  rotations: RotationStatus[]
}

export interface ProblemStatus {
  kind: string
  severity: 'critical' | 'warning'
  /** What is wrong, in one sentence. */
  title: string
  lines: readonly { label: string; value: string }[]
}

export interface LeafStatus {
  commonName: string
  names: readonly string[]
  issuer?: string
  serial?: string
  fingerprint: string
  /** SHA-256 of each certificate as deployed, or as served, leaf first. */
  chain: readonly string[]
  algorithm?: string
  notBefore?: string
  notAfter: string
  /** Seconds from `at` to `notAfter`; negative when it is over. */
  secondsLeft: number
  /** Share of the lifetime that is left, 0 to 1. */
  shareLeft: number
}

export interface DomainStatusRow {
  host: string
  gateway: string
  verdict: ServedVerdict['verdict']
  /** Why, where the verdict is not `expected`. */
  detail?: string
  /** Clients are refused here, or served what nobody verified: looked at twice, or found by the last tick. */
  critical?: { problem: ServedProblem; since: string }
  /** Wrong in this one look, of which no tick knows yet: perhaps it is just being rotated. The next tick looks twice. */
  unsettled?: true
  /** What the last handshake showed. */
  served?: { commonName: string; issuer: string; fingerprint: string; notAfter: string; chain: number }
}

export interface NextAct {
  /**
   * `renew`, `close the gap`, `finish the rotation`, `wait for the other half`, `order again`, `try again`,
   * `rotate the renewed certificate`, `expires`, `expired`, `nothing known`.
   */
  act: string
  /** Not before this instant. */
  at?: string
}

/** One look at one bundle, step by step. */
export interface RotationStatus {
  at: string
  status: Outcome['status']
  durationMs: number
  sentence: string
  commonName?: string
  notAfter?: string
  /** Longest time that one domain was without a certificate, where it was measured. */
  longestGapMs?: number
  steps: StepStatus[]
  domains: {
    host: string
    gateway: string
    status: string
    gapMs?: number
    failure?: string
    note?: string
  }[]
  pushed: { service: string; project: string; status: string; failure?: string }[]
  failures: FailureReport[]
}

export interface StepStatus {
  step: string
  target: string
  at: string
  /** Since the step before, or since the rotation began. */
  tookMs?: number
}

export interface ChannelStatus {
  name: string
  /** Messages waiting for the next tick. */
  pending: number
  dropped: number
  lastSuccess?: string
  lastFailure?: { at: string; code: string; message: string; next: string }
}

const order: Health[] = ['critical', 'warning', 'due', 'unknown', 'ok']

/** Most urgent first: by health, then by the nearest end, then by name. */
export function byUrgency(a: CertificateStatus, b: CertificateStatus): number {
  const health = order.indexOf(a.health) - order.indexOf(b.health)
  if (health !== 0) return health
  const left =
    (a.leaf?.secondsLeft ?? Number.MAX_SAFE_INTEGER) - (b.leaf?.secondsLeft ?? Number.MAX_SAFE_INTEGER)
  return left !== 0 ? left : a.name.localeCompare(b.name)
}
