import type { ListedCertificate, PushService } from './port.ts'

/** Made a `manager.broken-reply` by the caller, who knows the call. */
export class UnreadableField extends Error {}

/** One service in one region, as "Querying Deployed Resources" tells it. */
export interface Deployment {
  service: PushService
  /** `global` for a service without regions. */
  region: string
  resources: number
  /** `is_error`: SCM could not ask there, so zero means nothing. */
  uncertain: boolean
}

type Fields = Record<string, unknown>

/** `{certificates: [...], total_count}`. */
export function readCertificates(body: unknown): { rows: ListedCertificate[]; total?: number } {
  const fields = record(body, 'the reply')
  const rows = list(fields.certificates, 'certificates').map((row) => {
    const certificate = record(row, 'a certificate')
    const commonName = typeof certificate.domain === 'string' ? certificate.domain : ''
    const alternatives = typeof certificate.sans === 'string' ? certificate.sans.split(/[;,\s]+/) : []
    const notAfter = instant(certificate.expire_time)
    return {
      id: text(certificate, 'id', 'a certificate'),
      name: text(certificate, 'name', 'a certificate'),
      commonName,
      names: [...new Set([commonName, ...alternatives])].filter((name) => name !== ''),
      ...(notAfter ? { notAfter } : {}),
    }
  })
  const total = fields.total_count
  return typeof total === 'number' && Number.isSafeInteger(total) ? { rows, total } : { rows }
}

/** `2021-05-27 16:46:25.0`: local time without a zone, taken as UTC. */
function instant(value: unknown): Date | undefined {
  const [, day, time] = /^(\d{4}-\d\d-\d\d)[ T](\d\d:\d\d:\d\d)/.exec(String(value)) ?? []
  return day && time ? new Date(`${day}T${time}Z`) : undefined
}

export function readImportedId(body: unknown): string {
  return text(record(body, 'the reply'), 'certificate_id', 'the reply')
}

/**
 * `{results: [{certificate_id, total_num, deployed_resources: [{service, resource_num, resource_location,
 * region_resources: [{region_id, is_error, resources: [{resource_id, resource_name}]}]}]}]}`.
 * Source: ListDeployedResources, models ResultDetail, DeployedResourceDetail, RegionResourceDetail and
 * ResourceDetail of huaweicloud-sdk-python-v3 (scm v3), and the CCM page of that name.
 */
export function readDeployments(body: unknown, certificateId: string): Deployment[] {
  const found: Deployment[] = []
  for (const one of list(record(body, 'the reply').results, 'results')) {
    const result = record(one, 'a result')
    if (text(result, 'certificate_id', 'a result') !== certificateId) continue
    for (const deployed of list(result.deployed_resources, 'deployed_resources')) {
      const detail = record(deployed, 'an entry of deployed_resources')
      const service = serviceOf(text(detail, 'service', 'an entry of deployed_resources'))
      if (service === undefined) continue
      const regions = list(detail.region_resources, 'region_resources')
      const count = typeof detail.resource_num === 'number' ? detail.resource_num : 0
      if (regions.length === 0 && count > 0) {
        found.push({ service, region: 'global', resources: count, uncertain: false })
      }
      for (const entry of regions) {
        const region = record(entry, 'an entry of region_resources')
        found.push({
          service,
          region: text(region, 'region_id', 'an entry of region_resources'),
          resources: list(region.resources, 'resources').length,
          uncertain: region.is_error === true,
        })
      }
    }
  }
  return found
}

function serviceOf(name: string): PushService | undefined {
  const upper = name.toUpperCase()
  return upper === 'CDN' || upper === 'WAF' || upper === 'ELB' ? upper : undefined
}

function record(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw new UnreadableField(`${what} is not an object`)
}

/** An empty list may be missing or null. */
function list(value: unknown, what: string): unknown[] {
  if (value === undefined || value === null) return []
  if (Array.isArray(value)) return value
  throw new UnreadableField(`${what} is not a list`)
}

function text(fields: Fields, field: string, what: string): string {
  const value = fields[field]
  if (typeof value === 'string' && value !== '') return value
  throw new UnreadableField(`${field} of ${what} is missing`)
}
