import { Failure } from '../base/failure.ts'
import type { HttpClient, HttpReply, HttpRequest } from '../http/client.ts'
import { recoded } from '../http/failures.ts'
import type { DnsService, DnsZone, TxtRecordSet } from './port.ts'

/** Enough for a challenge that is asked for once; an old value must not linger in caches. Seconds. */
const challengeTtl = 60
/** The largest page the API gives. */
const pageSize = 500
/** "Not steady": a change is still PENDING. Two codes are documented for it. */
const unsteadyCodes = new Set(['DNS.0314', 'DNS.0209'])
/** One record set per name and type: somebody else was quicker. */
const existsCodes = new Set(['DNS.0312', 'DNS.0016'])

/**
 * Huawei Cloud DNS and Open Telekom Cloud DNS, API version 2 (`/v2/zones`, `/v2/zones/{id}/recordsets`): the two
 * differ in the endpoint only. TXT values carry their own double quotes there; names end with a dot.
 */
export function createHuaweiDns(http: HttpClient, description = 'Huawei Cloud DNS'): DnsService {
  return new HuaweiDns(http, description)
}

class HuaweiDns implements DnsService {
  readonly description: string
  readonly #http: HttpClient

  constructor(http: HttpClient, description: string) {
    this.#http = http
    this.description = description
  }

  async zoneFor(name: string, signal?: AbortSignal): Promise<DnsZone> {
    const labels = name.toLowerCase().split('.')
    // The longest name first: a delegated sub-zone hides the zone above it.
    for (let from = 0; from < labels.length - 1; from++) {
      const zone = await this.#zone(labels.slice(from).join('.'), signal)
      if (zone !== undefined) return zone
    }
    throw new Failure({
      code: 'dns.zone-not-found',
      kind: 'never',
      message: `${this.description} has no active public zone for ${name} in this project.`,
      next: `Create the zone there, or delegate ${name} by a CNAME to a name in a zone of this project.`,
      facts: { name, host: this.#http.endpoint.host },
    })
  }

  async txt(zone: string, name: string, signal?: AbortSignal): Promise<TxtRecordSet | undefined> {
    const reply = await this.#http.request({
      operation: `read the TXT records of ${name}`,
      method: 'GET',
      path: recordSets(zone),
      query: { type: 'TXT', name: `${name}.`, search_mode: 'equal', limit: pageSize },
      permission: 'dns:recordset:list',
      ...(signal && { signal }),
    })
    // The default search is fuzzy, and so is one that does not know `search_mode`: names are compared here.
    const sets = listOf(reply, 'recordsets').filter(
      (item) => item.type === 'TXT' && sameName(item.name, name),
    )
    const found = sets.find((item) => item.status !== 'PENDING_DELETE')
    if (found === undefined && sets.length > 0) throw busy(name)
    if (found === undefined) return undefined
    const { id, records, status } = found
    if (typeof id !== 'string' || !Array.isArray(records)) {
      throw reply.broken('a record set without id or records')
    }
    if (status === 'ERROR') throw brokenSet(name, id)
    const values = records.map((value) => unquoted(String(value)))
    return { id, values, settled: !String(status).startsWith('PENDING') }
  }

  async createTxt(zone: string, name: string, values: string[], signal?: AbortSignal): Promise<void> {
    await this.#change(name, {
      operation: `create the TXT record set ${name}`,
      method: 'POST',
      path: recordSets(zone),
      body: { name: `${name}.`, type: 'TXT', ttl: challengeTtl, records: values.map(quoted) },
      permission: 'dns:recordset:create',
      ...(signal && { signal }),
    })
  }

  async replaceTxt(zone: string, id: string, values: string[], signal?: AbortSignal): Promise<void> {
    await this.#change(id, {
      operation: `change the TXT record set ${id}`,
      method: 'PUT',
      path: recordSets(zone, id),
      body: { records: values.map(quoted) },
      permission: 'dns:recordset:update',
      ...(signal && { signal }),
    })
  }

  async removeTxt(zone: string, id: string, signal?: AbortSignal): Promise<void> {
    try {
      await this.#change(id, {
        operation: `delete the TXT record set ${id}`,
        method: 'DELETE',
        path: recordSets(zone, id),
        permission: 'dns:recordset:delete',
        ...(signal && { signal }),
      })
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.facts.status === 404) return
      throw thrown
    }
  }

  async #zone(name: string, signal?: AbortSignal): Promise<DnsZone | undefined> {
    const reply = await this.#http.request({
      operation: `look for the zone ${name}`,
      method: 'GET',
      path: '/v2/zones',
      query: { type: 'public', name: `${name}.`, search_mode: 'equal', limit: pageSize },
      permission: 'dns:zone:list',
      ...(signal && { signal }),
    })
    const zones = listOf(reply, 'zones')
    const zone = zones.find((item) => sameName(item.name, name) && item.status === 'ACTIVE')
    if (zone === undefined) return undefined
    if (typeof zone.id !== 'string') throw reply.broken('a zone without id')
    return { id: zone.id, name }
  }

  /** A record set in motion is no refusal: it is looked at and tried again. */
  async #change(target: string, request: HttpRequest): Promise<void> {
    try {
      await this.#http.request(request)
    } catch (thrown) {
      if (!(thrown instanceof Failure)) throw thrown
      const code = String(thrown.facts.errorCode ?? '')
      if (unsteadyCodes.has(code) || existsCodes.has(code) || thrown.facts.status === 409) {
        throw recoded(thrown, { code: 'dns.busy', kind: 'again', next: busy(target).next })
      }
      if (code === 'DNS.0308') {
        // Elsewhere in this cloud a code that ends in 0308 says "too many calls"; here it is about the value.
        throw recoded(thrown, {
          code: 'dns.refused',
          kind: 'never',
          next: "The DNS service does not take this value: its words say why; report it with the CA's name.",
        })
      }
      if (code === 'DNS.0403') {
        throw recoded(thrown, {
          code: 'dns.quota',
          kind: 'never',
          next: 'Delete record sets that nobody needs, or ask for a larger quota of the DNS service.',
        })
      }
      throw thrown
    }
  }
}

function busy(target: string): Failure {
  return new Failure({
    code: 'dns.busy',
    kind: 'again',
    message: `The record set ${target} is being changed.`,
    next: 'Nothing to do: it is tried again when the change before has settled.',
    facts: { target },
  })
}

function brokenSet(name: string, id: string): Failure {
  return new Failure({
    code: 'dns.broken-record-set',
    kind: 'later',
    message: `The TXT record set of ${name} is in the state ERROR.`,
    next: 'Delete it in the console of the DNS service.',
    facts: { name, recordSet: id },
  })
}

function recordSets(zone: string, id?: string): string {
  const path = `/v2/zones/${encodeURIComponent(zone)}/recordsets`
  return id === undefined ? path : `${path}/${encodeURIComponent(id)}`
}

function listOf(reply: HttpReply, field: string): Record<string, unknown>[] {
  const items = (reply.body as Record<string, unknown> | undefined)?.[field]
  if (!Array.isArray(items)) throw reply.broken(`no list "${field}"`)
  return items.filter((item) => item !== null && typeof item === 'object')
}

function sameName(name: unknown, wanted: string): boolean {
  return typeof name === 'string' && name.toLowerCase().replace(/\.$/, '') === wanted.toLowerCase()
}

function quoted(value: string): string {
  return `"${value}"`
}

/** Several strings of one record are one value. */
function unquoted(value: string): string {
  const strings = [...value.matchAll(/"([^"]*)"/g)].map(([, text]) => text)
  return strings.length > 0 ? strings.join('') : value
}
