import type { FailureReport } from '../../base/failure.ts'
import type { BoundCertificate, DomainRef } from '../../gateway/port.ts'

/** As the state file keeps it; instants are ISO. */
interface Fields extends DomainRef {
  /** Key of the gateway, `apig:<instance>`. */
  gateway: string
  host: string
  /** The way back. Undefined where nothing was bound. */
  predecessor?: BoundCertificate
  clientVerification: boolean
  hasTrustedRootCa: boolean
  /** SHA-256 of the leaf that was served before, where a handshake was possible. */
  servedBefore?: string
  /** Since when the new certificate is bound. */
  boundAt?: string
  /** When a handshake showed the new certificate. */
  servedAt?: string
  /** Bound, but no handshake is possible from here (or it is switched off): why. */
  unverified?: string
  /** Milliseconds without a certificate at the gateway, as seen from here. */
  gapMs?: number
  /** Since when it stands without a certificate by our doing; gone as soon as it has one again. */
  bareSince?: string
  /** The decision to put the predecessor back, written before it is done. */
  givenUp?: FailureReport
  restoredAt?: string
  /** Why the predecessor cannot be put back: what is bound stays. */
  noUndo?: FailureReport
  /** Whether a handshake showed the predecessor again after the undo. */
  undo?: 'served' | 'not served'
}

/**
 * One domain of a rotation: how it was before, and how far it is. Read by everybody, written by the transitions below
 * only: what belongs together changes together, and the state of a domain is decided in one place.
 */
export type RecordedDomain = Readonly<Fields>

/** How far a domain is. */
export type Stage =
  /** It has what it had. */
  | { is: 'untouched' }
  /** By our doing, and an outage. */
  | { is: 'bare'; since: string }
  | { is: 'bound'; since: string }
  | { is: 'served'; at: string }
  /** Bound, and nobody can look. */
  | { is: 'unverifiable'; why: string }
  /** The new certificate is not to stay; `wayBack`: there is something that it can go back to, or it has the new one. */
  | { is: 'given up'; why: FailureReport; wayBack: boolean }
  /** It has its predecessor again. */
  | { is: 'restored'; at: string; why: FailureReport | undefined; seen: 'served' | 'not served' | undefined }

/** What decides where two fields stand: an outage before everything, what is bound now before what was once decided. */
export function stageOf(record: RecordedDomain): Stage {
  const { bareSince, restoredAt, boundAt, givenUp, servedAt, unverified, undo, predecessor } = record
  if (bareSince !== undefined) return { is: 'bare', since: bareSince }
  if (restoredAt !== undefined && boundAt === undefined)
    return { is: 'restored', at: restoredAt, why: givenUp, seen: undo }
  if (givenUp) return { is: 'given up', why: givenUp, wayBack: (boundAt ?? predecessor) !== undefined }
  if (servedAt !== undefined) return { is: 'served', at: servedAt }
  if (unverified !== undefined) return { is: 'unverifiable', why: unverified }
  return boundAt === undefined ? { is: 'untouched' } : { is: 'bound', since: boundAt }
}

/** Nothing is left to be done for this domain: it serves the new certificate, or nobody can look whether it does. */
export function isDone({ servedAt, unverified }: Pick<RecordedDomain, 'servedAt' | 'unverified'>): boolean {
  return (servedAt ?? unverified) !== undefined
}

/** The undo has been decided and has not come to its end: not done, and not found to be impossible. */
export function awaitsUndo({ givenUp, predecessor, restoredAt, noUndo }: RecordedDomain): boolean {
  return (
    givenUp !== undefined && predecessor !== undefined && restoredAt === undefined && noUndo === undefined
  )
}

/** Detached by us, and nothing attached yet. */
export function noteBare(record: RecordedDomain, now: Date): void {
  const fields = open(record)
  delete fields.restoredAt
  fields.bareSince = now.toISOString()
}

/** It has some certificate again; whose it is, is told by others. */
export function noteCovered(record: RecordedDomain): void {
  delete open(record).bareSince
}

/** The new certificate is on it. */
export function noteBound(record: RecordedDomain, now: Date): void {
  const fields = open(record)
  delete fields.bareSince
  fields.boundAt ??= now.toISOString()
}

/** Of the time between detach and attach, the last that was measured counts. */
export function noteGap(record: RecordedDomain, milliseconds: number): void {
  open(record).gapMs = Math.round(milliseconds)
}

/** A handshake showed the new certificate: whatever was held against it is over. */
export function noteServed(record: RecordedDomain, now: Date): void {
  const fields = open(record)
  delete fields.givenUp
  fields.servedAt = now.toISOString()
}

export function noteUnverifiable(record: RecordedDomain, why: string): void {
  open(record).unverified = why
}

/** Decided, not done: whoever finds this puts the predecessor back. */
export function giveUp(record: RecordedDomain, why: FailureReport): void {
  open(record).givenUp = why
}

/** One certificate, one fate: the reason of the first stays. */
export function giveUpToo(record: RecordedDomain, why: FailureReport): void {
  open(record).givenUp ??= why
}

/** It has its predecessor again, or what somebody else has put there. */
export function noteRestored(record: RecordedDomain, now: Date): void {
  const fields = unbound(record)
  delete fields.bareSince
  fields.restoredAt = now.toISOString()
}

/** A gap was closed with the predecessor: the rotation goes on from the beginning. */
export function notePutBack(record: RecordedDomain): void {
  const fields = open(record)
  delete fields.boundAt
  delete fields.bareSince
}

export function noteUndoSeen(record: RecordedDomain, seen: 'served' | 'not served'): void {
  open(record).undo = seen
}

export function noteNoUndo(record: RecordedDomain, why: FailureReport): void {
  open(record).noUndo = why
}

/** Others have changed the binding: what was noted of the new certificate is no longer so. */
export function noteTakenOff(record: RecordedDomain): void {
  unbound(record)
}

/** Somebody has put another certificate there meanwhile: that is the way back now. */
export function noteWayBack(record: RecordedDomain, predecessor: BoundCertificate): void {
  open(record).predecessor = predecessor
}

/**
 * What the gateway shows wins over what was noted: a crash before the note leaves a binding nobody wrote down,
 * and somebody's hand can undo one that was.
 */
export function asBound(noted: RecordedDomain, inPlace: boolean, now: Date): RecordedDomain {
  const { restoredAt, undo, ...tried } = noted
  // Put back in an earlier run and about to be tried again.
  const record = noted.givenUp ? noted : tried
  if (inPlace) return { ...record, boundAt: record.boundAt ?? now.toISOString() }
  const { boundAt: _bound, servedAt: _served, unverified: _unverified, gapMs: _gap, ...rest } = record
  return rest
}

/** As if the new certificate had never been given up there. */
export function triedAnew(record: RecordedDomain): RecordedDomain {
  const { givenUp, restoredAt, undo, noUndo, ...again } = record
  return again
}

/** Without a way back, and nothing lost by it. */
export function withoutWayBack(record: RecordedDomain): RecordedDomain {
  const { predecessor, servedBefore, bareSince, ...fresh } = triedAnew(record)
  return fresh
}

function open(record: RecordedDomain): Fields {
  return record
}

function unbound(record: RecordedDomain): Fields {
  const fields = open(record)
  delete fields.boundAt
  delete fields.servedAt
  delete fields.unverified
  return fields
}
