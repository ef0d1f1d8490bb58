import { X509Certificate } from 'node:crypto'
import { hour, minute } from '../base/clock.ts'
import { asFailure } from '../base/failure.ts'
import type { Incumbent, Standing } from './incumbent.ts'
import { covers } from './names.ts'
import type { AcmeServer, Authority } from './port.ts'
import type { RenewalParts } from './renew.ts'
import { emergencyFrom, renewAt } from './renew-at.ts'
import { nextPoll, renewalInfoId } from './renewal-info.ts'
import type { RenewState } from './state.ts'
import type { NearEnd } from './wait.ts'

export interface Due {
  renewAt: Date
  reason: string
  due: boolean
  /** Because of names that were never ordered, whatever the dates say. */
  lacking: boolean
  emergency: boolean
  /** Of what is served; undefined where nothing is. */
  end?: NearEnd
}

/** Stores the instant: drawn once per certificate, moved only by the config and the CA's window. */
export function decide(parts: RenewalParts, state: RenewState, { incumbent, inService }: Standing): Due {
  const now = parts.clock.now()
  const fingerprint = incumbent?.fingerprint ?? ''
  const known = state.schedule?.fingerprint === fingerprint ? state.schedule : undefined
  const random = known?.random ?? parts.random()
  const info = state.renewalInfo?.fingerprint === fingerprint ? state.renewalInfo.window : undefined
  const planned = renewAt({
    now,
    validity: incumbent,
    renewalInfo: info && { start: new Date(info.start), end: new Date(info.end) },
    before: parts.settings.before,
    random,
  })
  // An instant that is "now" stays what it was when it was said first.
  const wasDue =
    known !== undefined && known.reason === planned.reason && Date.parse(known.renewAt) <= now.getTime()
  const at = wasDue && planned.at.getTime() >= now.getTime() ? new Date(known.renewAt) : planned.at
  state.schedule = { fingerprint, random, renewAt: at.toISOString(), reason: planned.reason }
  const lacking = incumbent === undefined ? [] : parts.names.filter((name) => !covers(incumbent.names, name))
  const [end] = [incumbent, inService]
    .flatMap((one) => (one ? [{ from: emergencyFrom(one, parts.settings.before), at: one.notAfter }] : []))
    .sort((a, b) => a.from.getTime() - b.from.getTime())
  return {
    renewAt: lacking.length > 0 ? now : at,
    reason: lacking.length > 0 ? `it lacks ${lacking.join(', ')}` : reasonText(planned.reason),
    due: lacking.length > 0 || at.getTime() <= now.getTime(),
    lacking: lacking.length > 0,
    emergency: end !== undefined && end.from <= now,
    ...(end && { end }),
  }
}

/**
 * Whether only a domain that was left behind makes it due: what was deployed last is not due itself, and another
 * order would most likely end like the one before.
 */
export function isPartly(parts: RenewalParts, { incumbent }: Standing, due: Due): boolean {
  const { clock, current, settings } = parts
  if (current === undefined || incumbent === undefined || incumbent.by === 'incoming') return false
  if (!due.due || due.lacking || incumbent.fingerprint === current.fingerprint) return false
  const now = clock.now()
  const own = { now, validity: current, renewalInfo: undefined, before: settings.before, random: 0 }
  return renewAt(own).at > now
}

/**
 * Asks the CA for renewal information when its time has come (RFC 9773, section 4.3). Nothing that goes wrong
 * here is more than a note: the certificate is then renewed by its lifetime.
 */
export async function pollRenewalInfo(
  parts: RenewalParts,
  state: RenewState,
  incumbent: Incumbent | undefined,
  serverOf: (authority: Authority) => AcmeServer,
): Promise<void> {
  if (incumbent?.leaf === undefined) return
  const now = parts.clock.now()
  // RFC 9773, section 4.3: a certificate that has expired is not asked about any more.
  if (incumbent.notAfter <= now) return
  const { fingerprint } = incumbent
  const stored = state.renewalInfo?.fingerprint === fingerprint ? state.renewalInfo : undefined
  if (stored !== undefined && Date.parse(stored.pollAt) > now.getTime()) return
  const authority = issuerOf(parts, state, fingerprint) ?? parts.authorities[0]
  const id = idOf(incumbent.leaf)
  if (authority === undefined || id === undefined) return
  try {
    const info = await serverOf(authority).renewalInfo(id, parts.signal)
    state.renewalInfo = {
      fingerprint,
      ...(info && { window: { start: info.start.toISOString(), end: info.end.toISOString() } }),
      ...(info?.explanationUrl !== undefined && { explanationUrl: info.explanationUrl }),
      pollAt: nextPoll(now, info?.retryAfterMs).toISOString(),
      failed: 0,
    }
  } catch (thrown) {
    if (parts.signal?.aborted) return
    const failure = asFailure(thrown)
    const failed = (stored?.failed ?? 0) + 1
    const wait = failure.retryAfterMs ?? Math.min(15 * minute * 2 ** (failed - 1), 6 * hour)
    state.renewalInfo = {
      fingerprint,
      ...(stored?.window && { window: stored.window }),
      pollAt: nextPoll(now, wait).toISOString(),
      failed,
      failure: failure.toJSON(),
    }
    parts.log.warn('no renewal information', { failure })
  }
}

/** The configured authority that issued the certificate with this fingerprint, where we ordered it. */
export function issuerOf(parts: RenewalParts, state: RenewState, fingerprint: string): Authority | undefined {
  if (state.issued?.fingerprint !== fingerprint) return undefined
  const { directory } = state.issued
  return parts.authorities.find((authority) => authority.directory === directory)
}

export function idOf(leaf: Uint8Array | string): string | undefined {
  try {
    return renewalInfoId(typeof leaf === 'string' ? new X509Certificate(leaf).raw : leaf)
  } catch {
    return undefined
  }
}

function reasonText(reason: string): string {
  const texts: Record<string, string> = {
    'no-certificate': 'there is no certificate yet',
    lifetime: 'the default share of its lifetime is left',
    config: 'renew.before of the config',
    'renewal-info': 'the CA suggested this time',
    emergency: 'it ends soon',
  }
  return texts[reason] ?? reason
}
