import { type Clock, systemClock } from '../shared/base/clock.ts'
import { newResourceId } from './ids.ts'

export const RECORD_TYPES = ['A', 'AAAA', 'CNAME', 'MX', 'TXT', 'NS', 'SOA', 'SRV', 'CAA', 'PTR'] as const
export type RecordType = (typeof RECORD_TYPES)[number]

export interface Zone {
  id: string
  /** With the final dot, lower-case. */
  name: string
  zoneType: 'public' | 'private'
  status: 'ACTIVE' | 'FREEZE'
  nameServers: string[]
  createdAt: Date
}

export interface RecordSet {
  id: string
  zoneId: string
  name: string
  type: RecordType
  ttl: number
  records: string[]
  description: string
  createdAt: Date
  updatedAt: Date
  /** What the change under way is; `undefined` once it has settled. */
  pending: 'PENDING_CREATE' | 'PENDING_UPDATE' | 'PENDING_DELETE' | undefined
  settlesAt: number
  /** What name servers still answer until then. */
  published: string[] | undefined
}

export interface DnsRules {
  /** How long a change stays PENDING_*. Not documented. */
  pendingMs: number
  /** How long name servers answer the old state after the change is ACTIVE; Infinity: for ever. Not documented. */
  propagationMs: number
  /** Record sets per zone before 403 `DNS.0403`; null for no limit. */
  recordSetQuota: number | null
}

/** The zones of the emulated DNS service, behind both its API and its name servers. */
export class DnsZones {
  readonly clock: Clock
  readonly rules: DnsRules
  readonly zones = new Map<string, Zone>()
  readonly #sets = new Map<string, RecordSet>()

  constructor(clock: Clock = systemClock, rules: Partial<DnsRules> = {}) {
    this.clock = clock
    this.rules = { pendingMs: 200, propagationMs: 0, recordSetQuota: null, ...rules }
  }

  addZone(name: string, init: Partial<Omit<Zone, 'name'>> = {}): Zone {
    const zone: Zone = {
      id: newResourceId(),
      zoneType: 'public',
      status: 'ACTIVE',
      nameServers: ['ns1.emulated-dns.example.', 'ns2.emulated-dns.example.'],
      createdAt: this.clock.now(),
      ...init,
      name: absolute(name),
    }
    this.zones.set(zone.id, zone)
    this.addRecord(zone.name, 'NS', zone.nameServers)
    return zone
  }

  /** Puts a record set there at once, as if it had been there for long. */
  addRecord(name: string, type: RecordType, records: string[]): RecordSet {
    const zone = this.zoneFor(name)
    if (zone === undefined) throw new Error(`no zone for ${name}`)
    const set = this.create(zone, { name, type, records, ttl: 300, description: '' })
    set.pending = undefined
    set.settlesAt = Number.NEGATIVE_INFINITY
    return set
  }

  create(zone: Zone, init: Pick<RecordSet, 'name' | 'type' | 'records' | 'ttl' | 'description'>): RecordSet {
    const now = this.clock.now()
    const set: RecordSet = {
      ...init,
      id: newResourceId(),
      zoneId: zone.id,
      name: absolute(init.name),
      createdAt: now,
      updatedAt: now,
      pending: 'PENDING_CREATE',
      settlesAt: this.clock.monotonic() + this.rules.pendingMs,
      published: undefined,
    }
    this.#sets.set(set.id, set)
    return set
  }

  update(set: RecordSet, change: Partial<Pick<RecordSet, 'records' | 'ttl' | 'description'>>): void {
    this.#begin(set, 'PENDING_UPDATE')
    Object.assign(set, change)
  }

  remove(set: RecordSet): void {
    this.#begin(set, 'PENDING_DELETE')
  }

  /** ACTIVE, or the PENDING_* of the change under way. */
  statusOf(set: RecordSet): string {
    if (set.pending !== undefined && this.clock.monotonic() >= set.settlesAt) set.pending = undefined
    return set.pending ?? 'ACTIVE'
  }

  get(zone: Zone, id: string): RecordSet | undefined {
    return this.sets(zone).find((set) => set.id === id)
  }

  /** The record sets of a zone as its API shows them; deleted ones leave when their deletion has settled. */
  sets(zone: Zone): RecordSet[] {
    for (const set of this.#sets.values()) {
      const deleting = set.pending === 'PENDING_DELETE'
      if (deleting && this.clock.monotonic() >= set.settlesAt + this.rules.propagationMs)
        this.#sets.delete(set.id)
    }
    return [...this.#sets.values()].filter(
      (set) =>
        set.zoneId === zone.id &&
        !(set.pending === 'PENDING_DELETE' && this.clock.monotonic() >= set.settlesAt),
    )
  }

  /** The public zone with the longest name that the name lies in. */
  zoneFor(name: string): Zone | undefined {
    const wanted = absolute(name)
    return [...this.zones.values()]
      .filter((zone) => zone.zoneType === 'public')
      .filter((zone) => wanted === zone.name || wanted.endsWith(`.${zone.name}`))
      .sort((a, b) => b.name.length - a.name.length)[0]
  }

  /** What the name servers answer now for this name, by type; undefined where the name does not exist. */
  answers(name: string): Map<RecordType, { ttl: number; records: string[] }> | undefined {
    const wanted = absolute(name)
    const found = new Map<RecordType, { ttl: number; records: string[] }>()
    let exists = [...this.zones.values()].some((zone) => zone.name === wanted)
    for (const set of this.#sets.values()) {
      const records = this.#visible(set)
      if (records === undefined) continue
      // RFC 8020: a name above an existing one exists too.
      if (set.name === wanted || set.name.endsWith(`.${wanted}`)) exists = true
      if (set.name === wanted) found.set(set.type, { ttl: set.ttl, records })
    }
    return exists ? found : undefined
  }

  #begin(set: RecordSet, change: 'PENDING_UPDATE' | 'PENDING_DELETE'): void {
    set.published = this.#visible(set)
    set.pending = change
    set.settlesAt = this.clock.monotonic() + this.rules.pendingMs
    set.updatedAt = this.clock.now()
  }

  #visible(set: RecordSet): string[] | undefined {
    if (this.clock.monotonic() < set.settlesAt + this.rules.propagationMs) return set.published
    return set.pending === 'PENDING_DELETE' ? undefined : set.records
  }
}

/** Lower-case with the final dot. */
export function absolute(name: string): string {
  const lower = name.toLowerCase()
  return lower.endsWith('.') ? lower : `${lower}.`
}
