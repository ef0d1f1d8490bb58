import type { FailureReport } from '../base/failure.ts'
import { digestOf, instantForKey } from '../base/names.ts'
import { parseRecord } from '../base/shape.ts'
import type { Store } from '../store/port.ts'
import type { Envelope } from './envelope.ts'
import type { Authority, Placement } from './port.ts'
import type { RenewReason } from './renew-at.ts'
import { isRenewState } from './state-file.ts'

/**
 * `renew/<name>.json`: what a renewal must remember between invocations. Keys lie in it encrypted only. Written
 * by whoever holds the certificate's lease.
 */
export interface RenewState {
  schema: 1
  name: string
  schedule?: Schedule
  renewalInfo?: StoredRenewalInfo
  /** Orders that have not ended, by authority key: one per authority. */
  orders: Record<string, OrderRecord>
  /** Growing waits after failures, by authority key. */
  waits: Record<string, Wait>
  /** Challenges whose order is over and which are still to be removed. */
  leftovers: { solver: string; placement: Placement }[]
  /** The newest certificate that was ordered here, delivered to `incoming/`. */
  issued?: IssuedRecord
  /** What became of it, where it is not in service; gone when it is, or when it is delivered again. */
  refusal?: Refusal
  /** Growing waits after refusals in a row, by authority key: a delivery does not end these, a certificate in service does. */
  refused?: Record<string, Wait>
  /** When a refused bundle was delivered once more, under which rotation config. */
  again?: { at: string; config: string }
  /** What was issued lately: nobody orders the same names without end. */
  issuances?: Issuance[]
}

/** A delivered certificate that did not get into service. */
export interface Refusal {
  fingerprint: string
  /** When the rotation said so; empty where it did not say anything. */
  at: string
  /**
   * `verdict`: the rotation's own checks, which can be asked again without a gateway · `outside`: a gateway or a
   * handshake · `gone`: it lies neither in `incoming/` nor in `deployed/`, and nobody said why · `partly`: it is
   * deployed, and still some domain holds a certificate that ends sooner.
   */
  by: 'verdict' | 'outside' | 'gone' | 'partly'
  /** Digest of the rotation's config it was refused under. */
  config: string
}

export interface Issuance {
  at: string
  /** Sorted, joined by commas. */
  names: string
  /** It counts until then. */
  until: string
}

export interface Schedule {
  /** Fingerprint of the certificate it belongs to; empty where there is none. */
  fingerprint: string
  /** Drawn once for that certificate, from 0 to 1. */
  random: number
  renewAt: string
  reason: RenewReason
}

export interface StoredRenewalInfo {
  /** Of the certificate it was asked for. */
  fingerprint: string
  window?: { start: string; end: string }
  explanationUrl?: string
  pollAt: string
  /** Failed polls in a row. */
  failed: number
  failure?: FailureReport
}

/**
 * `intended` – written before the order is placed; `placed` – the CA knows it; `finalizing` – written before the
 * signing request is sent: from here on the CA may issue, and the key must not be lost; `delivering` – issued, on its way to `incoming/`.
 */
export type OrderStatus = 'intended' | 'placed' | 'finalizing' | 'delivering'

export interface OrderRecord {
  directory: string
  status: OrderStatus
  startedAt: string
  names: string[]
  profile?: string
  replaces?: string
  /** The account the order belongs to; its key travels with it, whatever becomes of the account file. */
  account: { url: string; key?: Envelope }
  /** The certificate's private key. */
  key: Envelope
  url?: string
  expires?: string
  finalizedAt?: string
  /** What can only be waited for; the slot is given back meanwhile. */
  waiting?: OrderWait
  /** By authorization URL. */
  challenges: Record<string, ChallengeRecord>
  /** Leaf first; present from `delivering` on. */
  certificate?: string
  /** Of key and chain, from `delivering` on. */
  delivery?: string
}

export interface OrderWait {
  /** A challenge to become visible, the CA to validate it, or to issue. */
  for: 'visible' | 'validated' | 'issued'
  since: string
  /** What is waited for, in words. */
  sentence: string
  /** The CA itself named this instant (`Retry-After`). */
  lookAt?: string
}

export interface ChallengeRecord {
  identifier: string
  wildcard: boolean
  solver: string
  placement: Placement
  /** Since when it is being shown. */
  presentedAt?: string
  /** Seen where the CA looks. */
  seenAt?: string
  respondedAt?: string
}

export interface Wait {
  /** Failed attempts in a row. */
  attempts: number
  /** Of the last attempt. */
  since: string
  /** Of the first of these attempts. */
  failingSince?: string
  notBefore: string
  /** The CA gave a certificate, and the rotation did not take it: another order is no hurry. */
  refused?: true
  /** Nothing was asked of the CA: something stands in the way of using what it would give. Looked at in every tick. */
  obstacle?: true
  /** The CA itself named this instant (`Retry-After`): nobody overrides it. */
  asked?: string
  /** What was asked for: with another request the wait is over. */
  request: string
  failure: FailureReport
}

export interface IssuedRecord {
  /** Of the pair as it was dropped: nothing that lies beside it in `incoming/` is mixed with it. */
  delivery?: string
  directory: string
  fingerprint: string
  names: string[]
  notBefore: string
  notAfter: string
  /** PEM; public. Renewal information needs it. */
  leaf: string
  /** With `reuseKey` the key for the next order; without it, only until the certificate is in service. */
  key?: Envelope
  /** Leaf first, only until it is in service: with the key it can be judged and delivered again without an order. */
  certificate?: string
  /** Authority key. */
  authority?: string
  at: string
}

export const renewKeys = {
  state: (name: string) => `renew/${name}.json`,
  /** A state file that does not parse is kept here, never deleted. */
  broken: (name: string, instant: string) => `renew/${name}.broken-${instant}.json`,
  account: (digest: string) => `renew/account-${digest}.json`,
} as const

/**
 * Names an authority in the state. The same CA with another profile or e-mail is the same authority, so that a
 * change of the config does not strand an order; the same CA by another challenge is another one.
 */
export function authorityKey(authority: Pick<Authority, 'directory' | 'solver'>): string {
  return digestOf('acme-authority', authority.directory, authority.solver.type).slice(0, 16)
}

export function emptyState(name: string): RenewState {
  return { schema: 1, name, orders: {}, waits: {}, leftovers: [] }
}

/** `setAside` is the key under which a file that could not be read was kept. */
export async function readState(
  store: Store,
  name: string,
  now: Date,
  signal?: AbortSignal,
): Promise<{ state: RenewState; setAside?: string }> {
  const object = await store.get(renewKeys.state(name), { ...(signal && { signal }) })
  if (object === undefined) return { state: emptyState(name) }
  const state = parsed(object.bytes)
  if (state?.name === name) return { state }
  const setAside = renewKeys.broken(name, instantForKey(now))
  await store.put(setAside, object.bytes, { contentType: 'application/json' })
  return { state: emptyState(name), setAside }
}

export async function writeState(store: Store, state: RenewState): Promise<void> {
  // No signal: a note about something that has happened is written even when the time is over.
  const text = `${JSON.stringify(state, undefined, 2)}\n`
  await store.put(renewKeys.state(state.name), text, { contentType: 'application/json' })
}

function parsed(bytes: Uint8Array): RenewState | undefined {
  const value = parseRecord(Buffer.from(bytes).toString('utf8'))
  return isRenewState(value) ? (value as unknown as RenewState) : undefined
}

/** Digest of the pair that was, or is being, dropped into `incoming/` last. */
export async function deliveredDigest(store: Store, name: string): Promise<string | undefined> {
  const object = await store.get(renewKeys.state(name))
  const state = object && parsed(object.bytes)
  const delivering = Object.values(state?.orders ?? {}).find(({ delivery }) => delivery !== undefined)
  return delivering?.delivery ?? state?.issued?.delivery
}
