import { asciiHost } from '../base/host.ts'
import type { FlavourRow } from './flavours.ts'
import type {
  AttachedDomain,
  BoundCertificate,
  DomainBinding,
  GatewayCertificate,
  KeyAlgorithm,
  Scope,
} from './port.ts'

/**
 * Small readers instead of a schema library: they take what the documentation promises, in every form that was
 * seen, ignore the rest, and name the field where something is missing that nothing can be done without.
 */

/** Made a `gateway.broken-reply` by the caller, who knows the call. */
export class UnreadableField extends Error {}

type Fields = Record<string, unknown>

export interface Page {
  rows: unknown[]
  /** Undefined where the service does not say. */
  total?: number
}

/** `{size, total, <key>: [...]}`; an empty list may be missing or null. */
export function readPage(body: unknown, key: string): Page {
  const fields = record(body, 'the reply')
  const rows = fields[key] ?? []
  if (!Array.isArray(rows)) throw new UnreadableField(`${key} is not a list`)
  const total = Number(fields.total)
  return fields.total !== undefined && Number.isSafeInteger(total) && total >= 0 ? { rows, total } : { rows }
}

export function readId(value: unknown, field: string, what = 'the reply'): string {
  return text(record(value, what), field, what)
}

/** A certificate of the list or of "show": only the latter has the serial number. */
export function readCertificate(row: unknown, fallbackScope: Scope): GatewayCertificate {
  const fields = record(row, 'a certificate')
  const id = text(fields, 'id', 'a certificate')
  const what = `certificate ${id}`
  const instanceId = optionalText(fields.instance_id)
  const scope = scopeOf(fields.type, instanceId, fallbackScope)
  const commonName = optionalText(fields.common_name) ?? ''
  const createdAt = optionalInstant(fields.create_time)
  const notBefore = optionalInstant(fields.not_before)
  // `signature_algorithm` is the issuer's and says nothing about the key: no guess where algorithm_type is missing.
  const algorithm = algorithmOf(fields.algorithm_type)
  const serial = serialOf(fields.serial_number)
  return {
    id,
    name: text(fields, 'name', what),
    scope,
    // `common` is what a global certificate says instead of an instance.
    ...(scope === 'instance' && instanceId !== undefined ? { instanceId } : {}),
    commonName,
    names: textList(fields.san).map((name) => name.toLowerCase()),
    notAfter: instant(fields.not_after, `not_after of ${what}`),
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(createdAt === undefined ? {} : { createdAt }),
    ...(algorithm === undefined ? {} : { algorithm }),
    hasTrustedRootCa: fields.is_has_trusted_root_ca === true,
    ...(serial === undefined ? {} : { serial }),
  }
}

/** A binding and the ids it goes by: a name that listens on several ports has a domain id for each. */
export interface GroupDomain {
  binding: DomainBinding
  domainIds: string[]
}

/**
 * The custom domains of one group. A name on several ports is one domain: attach, detach and the client
 * verification flag act on all ports of the name at once (SDK docstrings), so acting on one id is enough.
 */
export function readGroupDomains(group: unknown, flavour: FlavourRow): GroupDomain[] {
  const fields = record(group, 'an API group')
  const groupId = text(fields, 'id', 'an API group')
  const rows = fields.url_domains ?? []
  if (!Array.isArray(rows)) throw new UnreadableField(`url_domains of group ${groupId} is not a list`)
  // A name has a row for each port; with a final dot it is another domain of the gateway.
  const byName = new Map<string, GroupDomain>()
  for (const row of rows) {
    const domain = record(row, `a domain of group ${groupId}`)
    const domainId = text(domain, 'id', `a domain of group ${groupId}`)
    // The group says `domain`, every other answer says `url_domain`.
    const host = optionalText(domain.domain) ?? optionalText(domain.url_domain)
    if (host === undefined) throw new UnreadableField(`domain of ${domainId} in group ${groupId} is missing`)
    const binding: DomainBinding = {
      groupId,
      domainId,
      host: asciiHost(host),
      certificates: boundCertificates(domain, flavour),
      clientVerification: domain.verified_client_certificate_enabled === true,
      hasTrustedRootCa: domain.is_has_trusted_root_ca === true || anyTrustedRootCa(domain.ssl_infos),
    }
    const same = byName.get(host.toLowerCase())
    if (same === undefined) {
      byName.set(host.toLowerCase(), { binding, domainIds: [domainId] })
      continue
    }
    same.domainIds.push(domainId)
    same.binding.certificates = unique([...same.binding.certificates, ...binding.certificates])
    same.binding.clientVerification ||= binding.clientVerification
    same.binding.hasTrustedRootCa ||= binding.hasTrustedRootCa
  }
  return [...byName.values()]
}

export function readAttachedDomain(row: unknown): AttachedDomain {
  const fields = record(row, 'an attached domain')
  const domainId = text(fields, 'id', 'an attached domain')
  const host = optionalText(fields.url_domain) ?? optionalText(fields.domain)
  if (host === undefined) throw new UnreadableField(`url_domain of ${domainId} is missing`)
  const instanceId = optionalText(fields.instance_id)
  return {
    host: asciiHost(host),
    domainId,
    groupId: optionalText(fields.api_group_id) ?? '',
    ...(instanceId === undefined ? {} : { instanceId }),
    clientVerification: fields.verified_client_certificate_enabled === true,
  }
}

/** `ssl_infos` names every certificate (APIG), `ssl_id` one of them (ROMA, and RSA on APIG): both are read. */
function boundCertificates(domain: Fields, flavour: FlavourRow): BoundCertificate[] {
  const found: BoundCertificate[] = []
  if (Array.isArray(domain.ssl_infos)) {
    for (const row of domain.ssl_infos) {
      const info = record(row, 'an entry of ssl_infos')
      const id = optionalText(info.ssl_id)
      if (id === undefined) continue
      const algorithm = algorithmOf(info.algorithm_type)
      found.push({
        id,
        name: optionalText(info.ssl_name) ?? '',
        ...(algorithm === undefined ? {} : { algorithm }),
      })
    }
  }
  const id = optionalText(domain.ssl_id)
  if (id !== undefined) {
    found.push({
      id,
      name: optionalText(domain.ssl_name) ?? '',
      ...(flavour.sslIdMeansRsa ? { algorithm: 'RSA' as const } : {}),
    })
  }
  return unique(found)
}

function unique(certificates: BoundCertificate[]): BoundCertificate[] {
  const byId = new Map<string, BoundCertificate>()
  for (const certificate of certificates) {
    const known = byId.get(certificate.id)
    if (known === undefined) byId.set(certificate.id, certificate)
    else byId.set(certificate.id, { ...certificate, ...known, name: known.name || certificate.name })
  }
  return [...byId.values()]
}

function anyTrustedRootCa(infos: unknown): boolean {
  return (
    Array.isArray(infos) &&
    infos.some((info: Fields | null) => typeof info === 'object' && info?.is_has_trusted_root_ca === true)
  )
}

function scopeOf(type: unknown, instanceId: string | undefined, fallback: Scope): Scope {
  if (type === 'instance' || type === 'global') return type
  if (instanceId === undefined) return fallback
  return instanceId === 'common' ? 'global' : 'instance'
}

function algorithmOf(value: unknown): KeyAlgorithm | undefined {
  const name = optionalText(value)?.toUpperCase()
  if (name === 'RSA' || name === 'ECC' || name === 'SM2') return name
  return name === 'ECDSA' || name === 'EC' ? 'ECC' : undefined
}

/** Decimal as the API gives it → lower-case hex without leading zeros. */
function serialOf(value: unknown): string | undefined {
  const decimal = typeof value === 'number' ? String(value) : optionalText(value)
  return decimal !== undefined && /^\d{1,60}$/.test(decimal) ? BigInt(decimal).toString(16) : undefined
}

function record(value: unknown, what: string): Fields {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Fields
  throw new UnreadableField(`${what} is not an object`)
}

function text(fields: Fields, field: string, what: string): string {
  const value = optionalText(fields[field])
  if (value === undefined) throw new UnreadableField(`${field} of ${what} is missing`)
  return value
}

/** Trimmed: ids with a leading blank are in the documentation's own examples. */
function optionalText(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value.trim() : undefined
}

function textList(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one): one is string => typeof one === 'string') : []
}

function instant(value: unknown, what: string): Date {
  const at = optionalInstant(value)
  if (at === undefined) throw new UnreadableField(`${what} is not an instant`)
  return at
}

function optionalInstant(value: unknown): Date | undefined {
  const written = optionalText(value)
  if (written === undefined) return undefined
  const at = new Date(written)
  return Number.isNaN(at.getTime()) ? undefined : at
}
