import type { X509Certificate } from 'node:crypto'
import { day } from '../base/clock.ts'
import { Failure, type FailureReport } from '../base/failure.ts'
import type { Issuance, IssuedRecord, Refusal, RenewState } from './state.ts'

/** What the rotation's state says about a certificate that was delivered to it; undefined where it says nothing. */
export type Fate =
  /** In service by its doing, or was, until something newer came. */
  | { is: 'deployed' | 'replaced' }
  | { is: 'refused'; at: string; by: 'verdict' | 'outside'; config?: string; sentence: string; next?: string }

/** Let's Encrypt's limit for one set of names ("duplicate certificates"), a good measure at any CA. */
const MOST_PER_WEEK = 5
const WEEK_MS = 7 * day
/** A bundle that the offline check likes and the rotation refuses all the same is not tried more often. */
const AGAIN_AFTER_MS = day

/** Noted where the CA has issued, whatever becomes of it. A shorter life than a week makes a shorter week. */
export function rememberIssuance(
  state: RenewState,
  now: Date,
  names: readonly string[],
  leaf: Pick<X509Certificate, 'validFrom' | 'validTo'>,
): void {
  const life = Date.parse(leaf.validTo) - Date.parse(leaf.validFrom)
  const until = new Date(now.getTime() + Math.min(WEEK_MS, Math.max(0, life))).toISOString()
  const kept = (state.issuances ?? []).filter((one) => countsAt(one, now))
  state.issuances = [...kept, { at: now.toISOString(), names: nameSet(names), until }]
}

/** When these names may be ordered again; undefined: now. */
export function weeklyLimit(state: RenewState, now: Date, names: readonly string[]): Date | undefined {
  const set = nameSet(names)
  const ends = (state.issuances ?? [])
    .filter((one) => one.names === set && countsAt(one, now))
    .map(({ until }) => Date.parse(until))
    .sort((a, b) => b - a)
  const free = ends[MOST_PER_WEEK - 1]
  return free === undefined ? undefined : new Date(free)
}

/** `because`: what was told of the last of them. */
export function limitFailure(name: string, free: Date, because: FailureReport | undefined): Failure {
  const most = `${MOST_PER_WEEK} certificates were issued for the names of ${name} within a week, and no more are ordered before one of them counts no longer.`
  return new Failure({
    code: 'acme.weekly-limit',
    kind: 'later',
    message: because ? `${because.message} ${most}` : most,
    next:
      because?.next ??
      `Find out why they do not stay in service: result.json below rejected/${name}/ and deployed/${name}/ says.`,
    facts: { most: MOST_PER_WEEK, next: free.toISOString() },
  })
}

/** What people are told of a certificate that was issued and serves nobody. */
export function refusalFailure(name: string, issued: IssuedRecord, fate: Fate | undefined): Failure {
  const until = issued.notAfter.slice(0, 10)
  const refused = fate?.is === 'refused' ? fate : undefined
  return new Failure({
    code: 'acme.not-in-service',
    kind: 'later',
    message: refused
      ? `The renewed certificate of ${name}, valid until ${until}, was refused: ${refused.sentence}`
      : `The renewed certificate of ${name}, valid until ${until}, lies neither in incoming/ nor in deployed/, and no rotation has said why.`,
    next:
      refused?.next ??
      (refused
        ? `Read result.json below rejected/${name}/. The certificate is kept: once the config, the trusted roots or the time allow it, it goes into service without a new order.`
        : `Nothing to do: it is ordered again. Find out who takes bundles out of incoming/${name}/.`),
    facts: { fingerprint: issued.fingerprint },
  })
}

export function partlyFailure(name: string, host: string | undefined, until: Date): Failure {
  return new Failure({
    code: 'acme.not-everywhere',
    kind: 'later',
    message: `${host ?? name} has a certificate that ends ${until.toISOString().slice(0, 10)}, sooner than the one that was deployed last.`,
    next: 'Run "cert-rotation plan" and see what is bound there; dropping the deployed bundle into incoming/ again binds it.',
    facts: { ...(host !== undefined && { domain: host }) },
  })
}

export interface JudgedAgain {
  refusal: Refusal
  /** The rotation's own checks, asked now, without a gateway. */
  accepted: boolean
  /** Digest of the rotation's config now. */
  config: string
  before: RenewState['again']
  now: Date
}

/**
 * Whether a kept certificate is delivered once more. What a gateway or a handshake has refused is worth it only
 * under another config; what our own checks refused, as soon as they do not any more. Pure.
 */
export function isWorthAnother({ refusal, accepted, config, before, now }: JudgedAgain): boolean {
  if (!accepted) return false
  if (refusal.by === 'outside') return refusal.config !== config
  if (refusal.by !== 'verdict') return false
  const rest = before?.config === config && now.getTime() - Date.parse(before.at) < AGAIN_AFTER_MS
  return !rest
}

/** In service, or overtaken: nothing has to be kept of it but what the next order needs. */
export function forgetRefusal(state: RenewState, reuseKey: boolean): void {
  delete state.refusal
  delete state.refused
  delete state.again
  if (state.issued === undefined) return
  delete state.issued.certificate
  if (!reuseKey) delete state.issued.key
}

function countsAt({ at, until }: Issuance, now: Date): boolean {
  // One that lies ahead was noted by a clock that ran ahead: it must not stand in the way for years.
  return Date.parse(until) > now.getTime() && Date.parse(at) - now.getTime() < WEEK_MS
}

function nameSet(names: readonly string[]): string {
  return [...names].sort().join()
}
