import type { FoundKey } from './private-key.ts'
import type { X509 } from './x509.ts'

/** The key that belongs to the certificate, by their public halves. */
export function matchingKey(certificate: X509, keys: readonly FoundKey[]): FoundKey | undefined {
  return keys.find((key) => {
    if (key.spki !== undefined && Buffer.from(key.spki).equals(certificate.publicKey.spki)) return true
    if (key.algorithm !== certificate.publicKey.algorithm || key.bits !== certificate.publicKey.bits)
      return false
    // The same point may be written compressed in one and not in the other.
    return key.publicObject !== undefined && publicHalfEquals(key, certificate)
  })
}

function publicHalfEquals(key: FoundKey, certificate: X509): boolean {
  const theirs = certificate.publicKey.object()
  if (theirs === undefined || key.publicObject === undefined) return false
  return theirs.equals(key.publicObject)
}

export function uniqueKeys(keys: readonly FoundKey[]): FoundKey[] {
  return [...new Map(keys.map((key) => [identityOf(key), key])).values()]
}

/** The same text exactly for the same key. It may be the key itself: not to be printed. */
export function identityOf({ spki, pkcs8 }: FoundKey): string {
  return spki === undefined ? pkcs8.reveal() : Buffer.from(spki).toString('hex')
}
