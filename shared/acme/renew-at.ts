import { day, hour } from '../base/clock.ts'
import { emergencyWindow } from '../base/emergency.ts'

/** The validity of the certificate that is to be replaced. */
export interface Validity {
  notBefore: Date
  notAfter: Date
}

/** RFC 9773, section 4.2: the CA suggests to renew at a random instant of this window. */
export interface SuggestedWindow {
  start: Date
  end: Date
}

/**
 * Why a certificate is renewed at its instant:
 * `no-certificate` – there is none yet; `lifetime` – the default share of its life is left; `config` – `before`
 * of the configuration; `renewal-info` – the CA's window; `emergency` – the end is so near that nothing else counts.
 */
export type RenewReason = 'no-certificate' | 'lifetime' | 'config' | 'renewal-info' | 'emergency'

export interface RenewAt {
  at: Date
  reason: RenewReason
}

export interface RenewAtInput {
  now: Date
  /** Undefined where no certificate is in service yet. */
  validity: Validity | undefined
  renewalInfo: SuggestedWindow | undefined
  /** `30d`, `36h` or `25%` of the lifetime, measured back from the end. */
  before: string | undefined
  /**
   * From 0 (inclusive) to 1 (exclusive), drawn once per certificate and stored by the caller: a fleet spreads
   * out, and asking twice gives the same instant.
   */
  random: number
}

/** Lifetimes below this renew at half of their life (issue: "half for lifetimes under ten days"). */
const shortLived = 10 * day
/** No certificate is renewed in the first third of its life, whatever `before` says: it would renew in a loop. */
const earliestShare = 1 / 3

/**
 * The one instant at which a certificate is due. Pure: the same input gives the same instant.
 *
 * In order: no certificate → now. The CA's window (RFC 9773) → a random instant in it, now where that has passed.
 * Otherwise `before` of the configuration, else a third of the lifetime before the end (half for lifetimes under
 * ten days), made earlier by up to a fiftieth of the lifetime, at most a day, so that a fleet does not renew in
 * the same minute. Whatever comes out, it is never later than the start of the emergency window.
 */
export function renewAt(input: RenewAtInput): RenewAt {
  const { now, validity, renewalInfo, before, random } = input
  if (validity === undefined) return { at: now, reason: 'no-certificate' }
  const start = validity.notBefore.getTime()
  const end = validity.notAfter.getTime()
  const lifetime = end - start
  if (!(lifetime > 0)) return { at: now, reason: 'emergency' }

  const emergency = end - emergencyLength(lifetime, before)
  const planned =
    renewalInfo === undefined
      ? byLifetime(start, end, before, random)
      : inWindow(renewalInfo, random, now.getTime())
  if (planned.at.getTime() <= emergency) return planned
  return { at: new Date(emergency), reason: 'emergency' }
}

/**
 * Milliseconds before the end in which nothing postpones a renewal any more. Whoever configures a shorter `before`
 * has chosen the last moment, so the window shrinks to it.
 */
export function emergencyLength(lifetime: number, before?: string): number {
  const usual = emergencyWindow(lifetime)
  return before === undefined ? usual : Math.min(usual, beforeMs(before, lifetime))
}

/** When the emergency window of this certificate begins. */
export function emergencyFrom({ notBefore, notAfter }: Validity, before?: string): Date {
  const lifetime = notAfter.getTime() - notBefore.getTime()
  return new Date(notAfter.getTime() - emergencyLength(lifetime, before))
}

function byLifetime(start: number, end: number, before: string | undefined, random: number): RenewAt {
  const lifetime = end - start
  const left = before === undefined ? lifetime / (lifetime < shortLived ? 2 : 3) : beforeMs(before, lifetime)
  const jitter = random * Math.min(lifetime / 50, day)
  const at = Math.max(end - left - jitter, start + lifetime * earliestShare)
  return { at: wholeSecond(at), reason: before === undefined ? 'lifetime' : 'config' }
}

function inWindow(window: SuggestedWindow, random: number, now: number): RenewAt {
  const start = window.start.getTime()
  const chosen = start + random * (window.end.getTime() - start)
  // RFC 9773, section 4.2: "in the past" means at once. Keeping the past instant would show as overdue.
  return { at: window.end.getTime() <= now ? new Date(now) : wholeSecond(chosen), reason: 'renewal-info' }
}

/** `30d`, `36h` or `25%` of the lifetime → milliseconds. */
function beforeMs(before: string, lifetime: number): number {
  const [, amount, unit] = /^(\d+)(%|h|d)$/.exec(before) ?? []
  const factor = unit === '%' ? lifetime / 100 : unit === 'h' ? hour : day
  return amount === undefined ? lifetime / 3 : Number(amount) * factor
}

/** Instants are stored and shown without milliseconds. */
function wholeSecond(ms: number): Date {
  return new Date(Math.floor(ms / 1000) * 1000)
}
