import { hostMatches } from '../../certificate/host-name.ts'
import {
  ANY_KEY_USAGE,
  ANY_PURPOSE,
  type CertificateSummary,
  CLIENT_AUTHENTICATION,
} from '../../certificate/summary.ts'
import type { GatewayConfig } from '../../config/schema.ts'
import type { KnownGateway, WayBack } from './state.ts'

/** How one domain comes to its new certificate. */
export type BindOrder =
  /** Nothing is bound, or the new one is bound already and only the client-verification flag is wrong. */
  | 'attach'
  /** The gateway takes one certificate per algorithm: the old one goes first. */
  | 'detach, attach'
  /** No gap; where the gateway refuses it nothing was touched, and the old one goes first after all. */
  | 'attach, detach'

/** `old` is missing where nobody shows it. */
export interface Change<T = string> {
  old?: T
  new: T
}

/** What one rotation changes, as facts: `plan`, `result.json` and the message of a rotation that nobody planned. */
export interface Difference {
  /** One entry for each certificate that is in service now; the one that most domains have comes first. */
  replaces: Replacement[]
  /** Domains on which nothing is bound: they get their first certificate. */
  first: string[]
  /** SHA-256 of the CA for client certificates; empty for none. */
  clientCa: Change<string[]>
  gateways: GatewayChange[]
  warnings: string[]
}

/** A certificate in service, and what its domains get instead. */
export interface Replacement {
  hosts: string[]
  /** Who shows the old one: a handshake everything, the gateway's list only dates and names. */
  seen?: 'handshake' | 'gateway'
  /** ISO instants. */
  validUntil: Change
  /** Against what the other one covers; missing where the old names are not known. */
  names?: { won: string[]; lost: string[] }
  issuer: Change
  chain: Change<string[]>
  key: Change
  /** Key usage and purposes that only one of the two has; missing where the old ones are not known. */
  uses?: { won: string[]; lost: string[] }
}

export interface GatewayChange {
  /** `apig:<instance>`. */
  gateway: string
  /** Hosts in the order of their turn: the first by itself, the others side by side. */
  order: string[]
  wayBack: { state: 'proven' | 'to be proven' | 'none' | 'not needed'; why: string }
  /** `ms`: the longest that was measured there in the rotation at `measuredAt`, or 0 where there is none. */
  gap: { ms?: number; measuredAt?: string; why: string }
}

/** What a difference is made from. Gathered first; comparing asks nobody. */
export interface DifferenceFacts {
  certificate: CertificateSummary
  clientCa: Change<string[]>
  gateways: GatewayFacts[]
}

export interface GatewayFacts {
  gateway: string
  strategy: GatewayConfig['strategy']
  /** Those that get the new certificate, in the order of their turn. */
  domains: ChangedDomain[]
  /** All that have the certificate in the end, by whether they ask clients for one. */
  verifying: string[]
  open: string[]
  habit: KnownGateway['attach']
  /** The rehearsal of this very bundle, where there was one. */
  rehearsed: WayBack | undefined
  updateWithoutWayBack: boolean
  /** The longest gap of the newest rotation that measured one there. */
  measured: { ms: number; at: string } | undefined
}

export interface ChangedDomain {
  host: string
  order: BindOrder | 'in place'
  /** `same` tells one certificate from another; undefined where nothing is bound. */
  old?: { same: string; id: string; seen?: Replacement['seen']; shown?: Partial<CertificateSummary> }
}

export function differenceOf({ certificate, clientCa, gateways }: DifferenceFacts): Difference {
  const domains = gateways.flatMap((one) => one.domains)
  const olds = new Map<string, { hosts: string[]; old: NonNullable<ChangedDomain['old']> }>()
  for (const { host, old } of domains) {
    if (!old) continue
    const known = olds.get(old.same)
    if (known) known.hosts.push(host)
    else olds.set(old.same, { hosts: [host], old })
  }
  const replaces = [...olds.values()].map(({ hosts, old }) => replacement(hosts, old, certificate))
  return {
    replaces: replaces.sort((a, b) => b.hosts.length - a.hosts.length),
    first: domains.flatMap(({ host, old }) => (old ? [] : [host])),
    clientCa,
    gateways: gateways
      .filter((one) => one.domains.length > 0)
      .map((one) => ({
        gateway: one.gateway,
        order: one.domains.map(({ host }) => host),
        wayBack: wayBackAt(one),
        gap: expectedGap(one),
      })),
    warnings: gateways.flatMap(sharedByVerifying),
  }
}

function replacement(
  hosts: string[],
  { seen, shown: old }: NonNullable<ChangedDomain['old']>,
  now: CertificateSummary,
): Replacement {
  const change = <Field extends 'notAfter' | 'issuer' | 'key' | 'chain'>(field: Field) => {
    const before = old?.[field]
    return { ...(before === undefined ? {} : { old: before }), new: now[field] }
  }
  return {
    hosts,
    ...(seen ? { seen } : {}),
    validUntil: change('notAfter') as Change,
    ...(old?.names ? { names: wonAndLost(old.names, now.names, isCovered) } : {}),
    issuer: change('issuer') as Change,
    chain: change('chain') as Change<string[]>,
    key: change('key') as Change,
    ...(old?.uses ? { uses: wonAndLost(spelledOut(old.uses), spelledOut(now.uses), isAllowed) } : {}),
  }
}

type Holds = (all: readonly string[], one: string) => boolean

function wonAndLost(old: readonly string[], now: readonly string[], holds: Holds) {
  return { won: now.filter((one) => !holds(old, one)), lost: old.filter((one) => !holds(now, one)) }
}

const isCovered: Holds = (names, name) =>
  names.includes(name) || names.some((pattern) => pattern.startsWith('*.') && hostMatches(name, pattern))

const isAllowed: Holds = (uses, use) => uses.includes(use)

/** Without a limit it may be a client's, too: what that loses is said by name. */
function spelledOut(uses: readonly string[]): string[] {
  return uses.flatMap((use) => {
    if (use === ANY_PURPOSE) return ['server authentication', CLIENT_AUTHENTICATION, ANY_PURPOSE]
    return use === ANY_KEY_USAGE
      ? ['digital signature', 'key encipherment', 'key agreement', ANY_KEY_USAGE]
      : [use]
  })
}

function wayBackAt({
  strategy,
  domains,
  rehearsed,
  updateWithoutWayBack,
}: GatewayFacts): GatewayChange['wayBack'] {
  if (domains.every(({ old }) => !old)) return { state: 'not needed', why: 'nothing is bound there' }
  if (strategy === 'update' && domains.some(({ order }) => order === 'in place'))
    return updateWithoutWayBack
      ? { state: 'none', why: 'updateWithoutWayBack is set, so nobody looks for one' }
      : { state: 'proven', why: 'what is in service now lies in deployed/' }
  return rehearsedWayBack(rehearsed)
}

/** With as many domains by name as fit; how many there are the outcome says. */
export function shortened(difference: Difference, most: number): Difference {
  return {
    ...difference,
    replaces: difference.replaces.slice(0, most).map((one) => ({ ...one, hosts: one.hosts.slice(0, most) })),
    first: difference.first.slice(0, most),
    gateways: difference.gateways.map((one) => ({ ...one, order: one.order.slice(0, most) })),
  }
}

/** What the rehearsals have shown meanwhile. */
export function afterRehearsal(
  difference: Difference,
  rehearsedAt: (gateway: string) => WayBack | undefined,
): Difference {
  const gateways = difference.gateways.map((one) =>
    one.wayBack.state === 'to be proven'
      ? { ...one, wayBack: rehearsedWayBack(rehearsedAt(one.gateway)) }
      : one,
  )
  return { ...difference, gateways }
}

function rehearsedWayBack(rehearsed: WayBack | undefined): GatewayChange['wayBack'] {
  const [refused] = Object.values(rehearsed?.refused ?? {})
  if (refused !== undefined) return { state: 'none', why: refused }
  return rehearsed?.proven
    ? { state: 'proven', why: 'what was bound was attached again before anything was changed' }
    : { state: 'to be proven', why: 'each domain gets again what it has, before that is detached' }
}

function expectedGap({ domains, habit, measured }: GatewayFacts): GatewayChange['gap'] {
  const replacing = domains.filter(({ old }) => old)
  if (replacing.length === 0) return { ms: 0, why: 'nothing is bound there' }
  if (replacing.every(({ order }) => order === 'in place'))
    return { ms: 0, why: 'the content is replaced in place' }
  const detachedFirst = habit === 'refuses' || replacing.some(({ order }) => order === 'detach, attach')
  if (!detachedFirst && habit !== undefined)
    return { ms: 0, why: 'the new certificate is attached before the old one goes' }
  if (measured) return { ms: measured.ms, measuredAt: measured.at, why: 'the longest measured there' }
  return {
    why: detachedFirst
      ? 'the old one is detached first; not measured there yet'
      : 'none where the gateway takes both; the first domain finds that out',
  }
}

/** What a connection to the one was opened with may be used to ask for the other. */
function sharedByVerifying({ gateway, verifying, open }: GatewayFacts): string[] {
  if (verifying.length === 0 || open.length === 0) return []
  const many = verifying.length > 1
  return [
    `at ${gateway} ${some(verifying)} ask${many ? '' : 's'} clients for a certificate and share${many ? '' : 's'} this one with ${some(open)}, which ${open.length > 1 ? 'do' : 'does'} not: over HTTP/2 a connection opened there may ask for the other name; a certificate of ${many ? 'their' : 'its'} own prevents it`,
  ]
}

function some(hosts: readonly string[]): string {
  return hosts.length > 3 ? `${hosts.slice(0, 3).join(', ')} and ${hosts.length - 3} more` : hosts.join(', ')
}
