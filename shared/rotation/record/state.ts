import type { FailureReport } from '../../base/failure.ts'
import type { Flavour, Scope } from '../../gateway/port.ts'
import type { PushTarget } from '../../manager/port.ts'
import type { Difference } from './difference.ts'
import type { RecordedDomain } from './domain.ts'

/**
 * `state/<name>.json`: everything that must survive an invocation. Small, never key material, and never the
 * only witness: whatever it says about the outside is asked again before anything is done.
 */
export interface RotationState {
  schema: 1
  name: string
  /** The rotation that was begun last; finished or not. */
  current?: CurrentRotation
  /** A bundle on its way from `incoming/` to `deployed/` or `rejected/`. */
  moving?: Move
  /** What is in service by our doing. */
  deployed?: Deployed
  /**
   * The bundle that was refused last: not tried again until it or the config changes, or a person asks. With
   * `notBefore` it was a handshake that refused it: then it is tried again after that, if somebody drops it again.
   */
  refused?: {
    digest: string
    configDigest: string
    at: string
    failures: FailureReport[]
    attempts?: number
    notBefore?: string
  }
  /** What each gateway was seen to do, by its key; kept from one rotation to the next. */
  gateways?: Record<string, KnownGateway>
  /** Certificates this tool created and has not deleted: the only ones it may ever delete. */
  created: CreatedCertificate[]
  /** When the growing wait of `later` failures is over. */
  retry?: {
    digest: string
    configDigest: string
    attempts: number
    notBefore: string
    failure: FailureReport
  }
  /** A whole bundle lies in `incoming/` and waits for this instant, when it begins to be valid. */
  validFrom?: string
  /** First seen incomplete: when it is reported as waiting too long. */
  waitingSince?: string
  /** Exactly these objects wait, and since when by our clock: whatever changes among them begins its own time. */
  lying?: { digest: string; since: string }
  renewAt?: string
  /** Threshold crossings already told, by threshold; belongs to the certificate with `notAfter`. */
  alerts?: Record<string, unknown>
  /** Newest first, at most ten. */
  outcomes: Outcome[]
}

/**
 * What a gateway does with an attach to a domain that has another certificate of the same algorithm: the new one takes
 * the place, both stand side by side, or it is refused (APIG.2051). Documented nowhere, so it is found out.
 */
export type AttachHabit = 'replaces' | 'keeps both' | 'refuses'

export interface KnownGateway {
  attach?: AttachHabit
  attachSeenAt?: string
  wayBack?: WayBack
}

/** The rehearsal of one bundle's rotation at one gateway. */
export interface WayBack {
  /** Digest of the bundle whose rotation it was for. */
  digest: string
  at: string
  /** What was bound could be attached again: certificate, permission and path are known to work. */
  proven: boolean
  /** Certificates that the gateway does not attach again, with its words. */
  refused: Record<string, string>
}

export interface BundleFacts {
  digest: string
  fingerprint: string
  /** SHA-256 of leaf and intermediates as they must be served. */
  chain: string[]
  serial: string
  commonName: string
  names: string[]
  notBefore: string
  notAfter: string
  algorithm: string
}

export interface CurrentRotation {
  bundle: BundleFacts
  /** `cr_…`: the name its certificate has at gateways and in SCM. */
  remoteName: string
  startedAt: string
  status: 'running' | 'done' | 'failed'
  /** What it was to change, as it was seen before its first change. */
  difference?: Difference
  /** Recorded before the first detach; the way back after a crash. By domain target. */
  domains: Record<string, RecordedDomain>
  /** Gateway target → certificate id, once known. */
  certificates: Record<string, string>
  /** Done steps by idempotency key. */
  notes: Record<string, Note>
}

/** Written before the first object is moved, so that a crash in the middle of moving is finished, not repeated. */
export interface Move {
  /** Folder it goes to, with a final slash. */
  to: string
  digest: string
  sources: SourceObject[]
  /** Every copy is in its place; only the originals are left to be removed. */
  copied: boolean
}

export interface SourceObject {
  key: string
  digest: string
  /**
   * Which upload of these bytes it was, by the store's own listing. The same bytes uploaded again are somebody asking
   * again: they stay, though a move of the first ones is still to be finished. Absent in states of 0.1.0.
   */
  stamp?: string
  /** Copied and not removed: it may be half of a newer bundle, or be needed by one. */
  stays?: boolean
}

export interface Note {
  step: string
  target: string
  at: string
  /** Id of what was made, or what was found to be there already. */
  result?: string
}

export interface Deployed extends BundleFacts {
  at: string
  /** Folder under `deployed/`. */
  folder: string
  /** SHA-256 of the CA for client certificates, none where it had none; 0.1.0 did not say. */
  clientCa?: string[]
}

export interface CreatedCertificate {
  /** `apig:<instance>` or `scm`. */
  where: string
  flavour?: Flavour
  scope?: Scope
  id: string
  name: string
  digest: string
  /** Strategy `add`: the domain it was made for, which its name is derived from. */
  host?: string
  createdAt: string
  /** Since when nothing is bound to it. */
  unboundSince?: string
  /** Rolled back, or a double: no predecessor to keep, only something to clear away. */
  neverServed?: boolean
}

export type DomainStatus =
  | 'served'
  | 'bound, not verified'
  | 'already served'
  | 'bound'
  | 'restored'
  | 'untouched'
  | 'without certificate'
  | 'failed'

export interface DomainOutcome {
  gateway: string
  host: string
  status: DomainStatus
  /** Milliseconds between the detach's and the attach's effect, as seen from here. */
  gapMs?: number
  failure?: FailureReport
  note?: string
}

/** What is known of one gateway, for people. */
export interface GatewayFinding {
  gateway: string
  /** What it does with an attach beside another certificate. */
  attach?: AttachHabit
  /** Whether what was bound could be attached again before anything was changed. */
  wayBack?: 'proven' | 'none'
  sentence: string
}

export type OutcomeStatus =
  | 'rotated'
  | 'already deployed'
  | 'waiting'
  | 'refused'
  | 'rolled back'
  | 'failed'
  | 'unfinished'
  | 'superseded'

/** What came of one look at one certificate: `result.json`, the log line, the terminal and the state file. */
export interface Outcome {
  certificate: string
  status: OutcomeStatus
  at: string
  /** Of `waiting`: when what lies there is judged as it is; a run has to come then. */
  until?: string
  durationMs: number
  bundle?: BundleFacts
  sentence: string
  /** `reason` tells finer than the code why a check refuses. */
  checks: { code: string; reason?: string; result: string; message: string }[]
  repairs: { code: string; message: string }[]
  domains: DomainOutcome[]
  /** In the state file only: domains left out of the list because all is well with them. */
  domainsOmitted?: number
  /** What the gateways were seen to do; left out where nothing is known. */
  gateways?: GatewayFinding[]
  /** What this rotation changed, or was to change; left out where nothing was bound anew. */
  difference?: Difference
  /** The folder below `rejected/` that the bundle was moved to, with its final slash. */
  movedTo?: string
  /** TLS handshakes of this run after the change, and how many of them the edge refused; left out where there was none. */
  handshakes?: { made: number; refused: number }
  pushed: (PushTarget & { status: 'pushed' | 'already pushed' | 'failed'; failure?: FailureReport })[]
  failures: FailureReport[]
}

/** The code of such a domain's failure. */
export const NOT_VERIFIED = 'served.not-verified'

/** Domains with the new certificate of which nobody has seen that they serve it, though somebody wanted to. */
export function notVerified({
  domains,
}: Pick<Outcome, 'domains'>): { required: boolean; failure: FailureReport }[] {
  return domains.flatMap(({ failure }) =>
    failure?.code === NOT_VERIFIED ? [{ required: failure.facts.required === true, failure }] : [],
  )
}
