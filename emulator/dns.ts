import { badInput } from './auth.ts'
import { absolute, DnsZones, RECORD_TYPES, type RecordSet, type RecordType, type Zone } from './dns-zones.ts'
import type { Seed } from './seed.ts'
import { ApiError, frontDoorError, type Reply, type RequestContext, type Service } from './service.ts'
import type { World } from './world.ts'

const recordSets = '/v2/zones/{zone_id}/recordsets'
/** Statuses are not documented for every code; where they are, they are these. */
const refusal = {
  noZone: () => new ApiError(404, 'DNS.0302', 'This zone does not exist.'),
  badName: (name: unknown) =>
    new ApiError(400, 'DNS.0304', `Invalid record set name ${JSON.stringify(name)}.`),
  badType: () => new ApiError(400, 'DNS.0307', 'Invalid record set type.'),
  badValue: (why: string) => new ApiError(400, 'DNS.0308', `Invalid record set value: ${why}.`),
  badTtl: () => new ApiError(400, 'DNS.0303', 'Invalid TTL.'),
  exists: () => new ApiError(409, 'DNS.0312', 'The record set already exists.'),
  noSet: () => new ApiError(404, 'DNS.0313', 'This record set does not exist.'),
  unsteady: () => new ApiError(409, 'DNS.0314', 'The status of the record set is not steady.'),
  quota: () => new ApiError(403, 'DNS.0403', 'Insufficient record set quota.'),
}

/**
 * Domain Name Service, version 2: public zones and their record sets. Reference, section 7. Changes are accepted
 * with 202 and settle later.
 */
export const dns: Service = {
  name: 'dns',
  routes: [
    { name: 'dns.listZones', method: 'GET', path: '/v2/zones', handler: listZones, action: 'dns:zone:list' },
    {
      name: 'dns.showZone',
      method: 'GET',
      path: '/v2/zones/{zone_id}',
      handler: showZone,
      action: 'dns:zone:get',
    },
    {
      name: 'dns.listNameServers',
      method: 'GET',
      path: '/v2/zones/{zone_id}/nameservers',
      handler: nameServers,
      action: 'dns:nameserver:list',
    },
    {
      name: 'dns.listRecordSets',
      method: 'GET',
      path: recordSets,
      handler: list,
      action: 'dns:recordset:list',
    },
    {
      name: 'dns.createRecordSet',
      method: 'POST',
      path: recordSets,
      handler: create,
      action: 'dns:recordset:create',
    },
    {
      name: 'dns.showRecordSet',
      method: 'GET',
      path: `${recordSets}/{recordset_id}`,
      handler: show,
      action: 'dns:recordset:get',
    },
    {
      name: 'dns.updateRecordSet',
      method: 'PUT',
      path: `${recordSets}/{recordset_id}`,
      handler: update,
      action: 'dns:recordset:update',
    },
    {
      name: 'dns.deleteRecordSet',
      method: 'DELETE',
      path: `${recordSets}/{recordset_id}`,
      handler: remove,
      action: 'dns:recordset:delete',
    },
  ],
  errorBody: (error, requestId) =>
    error.code.startsWith('APIGW.')
      ? { error_code: error.code, error_msg: error.message, request_id: requestId }
      : { code: error.code, message: error.message },
  authError: frontDoorError,
  forbidden: (action) => new ApiError(403, 'DNS.0030', `Policy doesn't allow ${action} to be performed.`),
  badBody: (reason) => new ApiError(400, 'DNS.0003', `Invalid request body: ${reason}`),
}

/** The same service over zones that are handed in: those of a running name server, or kept over a reset. */
export function createDnsService(zones: DnsZones): Service {
  const routes = dns.routes.map((route) => ({
    ...route,
    handler: (context: RequestContext) => {
      context.world.extensions.set('dns', zones)
      return route.handler(context)
    },
  }))
  return { ...dns, routes }
}

/** The zones of this emulated cloud; made at the first use, so that seeds and name servers can share them. */
export function dnsZones(world: Pick<World, 'extensions' | 'clock'>): DnsZones {
  const known = world.extensions.get('dns')
  if (known instanceof DnsZones) return known
  const zones = new DnsZones(world.clock)
  world.extensions.set('dns', zones)
  return zones
}

/** The zones that a seed describes. Fails with `emulator.bad-input` where a record lies outside of its zone. */
export function plantDns(world: Pick<World, 'extensions' | 'clock'>, seed: Seed['dns']): void {
  if (seed === undefined) return
  const { pendingMs, propagationMs, recordSetQuota } = seed
  const zones = new DnsZones(world.clock, {
    ...(pendingMs !== undefined && { pendingMs }),
    ...(propagationMs !== undefined && {
      propagationMs: propagationMs === 'never' ? Number.POSITIVE_INFINITY : propagationMs,
    }),
    ...(recordSetQuota !== undefined && { recordSetQuota }),
  })
  for (const { id, name, records } of seed.zones) {
    const zone = zones.addZone(name, id === undefined ? {} : { id })
    for (const one of records) {
      if (!belongs(one.name, zone)) throw badInput(`The seed's record ${one.name} is not in the zone ${name}`)
      zones.addRecord(one.name, one.type, one.records)
    }
  }
  world.extensions.set('dns', zones)
}

/** For the admin state: zones with their record sets as the API shows them. */
export function dnsState(world: Pick<World, 'extensions' | 'clock'>) {
  const zones = dnsZones(world)
  return [...zones.zones.values()].map((zone) => ({
    id: zone.id,
    name: zone.name,
    records: zones.sets(zone).map((set) => {
      const { id, name, type, ttl, records } = set
      return { id, name, type, ttl, records, status: zones.statusOf(set) }
    }),
  }))
}

function listZones({ world, query }: RequestContext): Reply {
  const type = query.get('type') ?? 'public'
  const matching = [...dnsZones(world).zones.values()].filter(
    (zone) => zone.zoneType === type && nameMatches(zone.name, query),
  )
  const page = paged(matching, query)
  return {
    status: 200,
    body: { links: {}, zones: page.map(zoneView), metadata: { total_count: matching.length } },
  }
}

function showZone(context: RequestContext): Reply {
  return { status: 200, body: zoneView(requireZone(context)) }
}

function nameServers(context: RequestContext): Reply {
  const servers = requireZone(context).nameServers
  return {
    status: 200,
    body: { nameservers: servers.map((hostname, index) => ({ hostname, priority: index + 1 })) },
  }
}

function list(context: RequestContext): Reply {
  const { world, query } = context
  const zone = requireZone(context)
  const zones = dnsZones(world)
  const type = query.get('type')
  const status = query.get('status')
  const matching = zones
    .sets(zone)
    .filter((set) => (type === null || set.type === type) && nameMatches(set.name, query))
    .filter((set) => status === null || zones.statusOf(set) === status)
  const page = paged(matching, query).map((set) => setView(zones, zone, set))
  return { status: 200, body: { links: {}, recordsets: page, metadata: { total_count: matching.length } } }
}

function show(context: RequestContext): Reply {
  const { zones, zone, set } = requireSet(context)
  return { status: 200, body: setView(zones, zone, set) }
}

function create(context: RequestContext): Reply {
  const { world, body } = context
  const zone = requireZone(context)
  const zones = dnsZones(world)
  const { name, type, records, ttl, description } = objectOf(body)
  if (typeof name !== 'string' || !belongs(name, zone)) throw refusal.badName(name)
  if (typeof type !== 'string' || !(RECORD_TYPES as readonly string[]).includes(type)) throw refusal.badType()
  const values = readValues(type, records)
  const seconds = readTtl(ttl)
  const existing = zones.sets(zone)
  if (existing.some((set) => set.name === absolute(name) && set.type === type)) throw refusal.exists()
  const { recordSetQuota } = zones.rules
  if (recordSetQuota !== null && existing.length >= recordSetQuota) throw refusal.quota()
  const set = zones.create(zone, {
    name,
    type: type as RecordType,
    records: values,
    ttl: seconds,
    description: typeof description === 'string' ? description : '',
  })
  world.touch()
  return { status: 202, body: setView(zones, zone, set) }
}

function update(context: RequestContext): Reply {
  const { world, body } = context
  const { zones, zone, set } = requireSet(context)
  const { records, ttl, description, type, name } = objectOf(body)
  if (type !== undefined && type !== set.type) throw refusal.badType()
  if (name !== undefined && (typeof name !== 'string' || absolute(name) !== set.name))
    throw refusal.badName(name)
  const change = {
    ...(records !== undefined && { records: readValues(set.type, records) }),
    ...(ttl !== undefined && { ttl: readTtl(ttl) }),
    ...(typeof description === 'string' && { description }),
  }
  if (zones.statusOf(set) !== 'ACTIVE') throw refusal.unsteady()
  zones.update(set, change)
  world.touch()
  return { status: 202, body: setView(zones, zone, set) }
}

function remove(context: RequestContext): Reply {
  const { zones, zone, set } = requireSet(context)
  if (zones.statusOf(set) !== 'ACTIVE') throw refusal.unsteady()
  zones.remove(set)
  context.world.touch()
  return { status: 202, body: setView(zones, zone, set) }
}

function requireZone({ world, params }: RequestContext): Zone {
  const zone = dnsZones(world).zones.get(params.zone_id ?? '')
  if (zone === undefined) throw refusal.noZone()
  return zone
}

function requireSet(context: RequestContext): { zones: DnsZones; zone: Zone; set: RecordSet } {
  const zone = requireZone(context)
  const zones = dnsZones(context.world)
  const set = zones.get(zone, context.params.recordset_id ?? '')
  if (set === undefined) throw refusal.noSet()
  return { zones, zone, set }
}

/** The default search is fuzzy: `example.com.` also finds `notexample.com.`. */
function nameMatches(name: string, query: URLSearchParams): boolean {
  const wanted = query.get('name')
  if (wanted === null || wanted === '') return true
  const exact = query.get('search_mode') === 'equal'
  return exact ? name === absolute(wanted) : name.includes(wanted.toLowerCase())
}

function paged<T extends { id: string }>(items: T[], query: URLSearchParams): T[] {
  const limit = Math.min(Number(query.get('limit') ?? 500) || 500, 500)
  const marker = query.get('marker')
  const start =
    marker === null ? Number(query.get('offset') ?? 0) : items.findIndex(({ id }) => id === marker) + 1
  return items.slice(start, start + limit)
}

function belongs(name: string, zone: Zone): boolean {
  const full = absolute(name)
  const labels = full.slice(0, -1).split('.')
  const inside = full === zone.name || full.endsWith(`.${zone.name}`)
  return (
    inside &&
    labels.every((label, index) => /^[a-z0-9_-]{1,63}$/.test(label) || (index === 0 && label === '*'))
  )
}

function readValues(type: string, records: unknown): string[] {
  if (!Array.isArray(records) || records.length === 0 || records.length > 50) {
    throw refusal.badValue('1 to 50 values are needed')
  }
  if (new Set(records).size !== records.length) throw refusal.badValue('a value is there twice')
  for (const value of records) {
    if (typeof value !== 'string') throw refusal.badValue('values are text')
    if (type === 'TXT' && !/^"[^"\\]{0,255}"( "[^"\\]{0,255}")*$/.test(value)) {
      throw refusal.badValue('a TXT value is quoted, up to 255 bytes per string, without backslash')
    }
  }
  return records as string[]
}

function readTtl(ttl: unknown): number {
  if (ttl === undefined) return 300
  if (typeof ttl !== 'number' || !Number.isInteger(ttl) || ttl < 1 || ttl > 2_147_483_647)
    throw refusal.badTtl()
  return ttl
}

function objectOf(body: unknown): Record<string, unknown> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>
  throw new ApiError(400, 'DNS.0003', 'Invalid request body: a JSON object is needed')
}

function zoneView(zone: Zone) {
  return {
    id: zone.id,
    name: zone.name,
    zone_type: zone.zoneType,
    status: zone.status,
    ttl: 300,
    created_at: stamp(zone.createdAt),
    masters: [],
    links: {},
  }
}

function setView(zones: DnsZones, zone: Zone, set: RecordSet) {
  return {
    id: set.id,
    name: set.name,
    type: set.type,
    ttl: set.ttl,
    records: set.records,
    description: set.description,
    status: zones.statusOf(set),
    zone_id: zone.id,
    zone_name: zone.name,
    default: set.type === 'NS' && set.name === zone.name,
    // Version 2 writes create_at and update_at; version 2.1 created_at and updated_at.
    create_at: stamp(set.createdAt),
    update_at: stamp(set.updatedAt),
    links: {},
  }
}

/** `2026-01-15T10:30:00.000`: without a zone. */
function stamp(at: Date): string {
  return at.toISOString().replace(/Z$/, '')
}
