import { digestOf } from '../base/names.ts'
import { Secret } from '../base/secret.ts'
import type { CertificateConfig } from './schema.ts'

/**
 * Digest of what decides how a bundle is judged and where it goes. A refused bundle is tried again when this
 * changes; who is told, when it is renewed and how long leftovers stay do not count.
 */
export function configDigest(certificate: CertificateConfig): string {
  const { gateways, push, trust, clientCa, password, allowDowngrade, maxCertificates } = certificate
  return digestOf(canonical({ gateways, push, trust, clientCa, password, allowDowngrade, maxCertificates }))
}

/** JSON with sorted names, so that reordering the file changes nothing; a secret counts by its hash. */
function canonical(value: unknown): string {
  if (value instanceof Secret) return JSON.stringify({ secret: digestOf('config-secret', value.reveal()) })
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (value !== null && typeof value === 'object') {
    const fields = Object.entries(value)
      .filter(([, item]) => item !== undefined)
      .sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${fields.map(([key, item]) => `${JSON.stringify(key)}:${canonical(item)}`).join(',')}}`
  }
  return JSON.stringify(value) ?? 'null'
}
