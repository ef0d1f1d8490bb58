import type { Half } from './bundle.ts'
import type { FoundObject } from './found.ts'
import { identityOf, matchingKey, uniqueKeys } from './matching-key.ts'
import type { FoundKey } from './private-key.ts'
import type { X509 } from './x509.ts'

/** Always read as CAs for client certificates or as issuers: never as somebody's leaf. */
const CA_FILE = /(^|\/)(trusted-root-ca\.pem|ca\.crt)$/i

/**
 * Objects that must not go where the bundle goes: a renewal arrives object by object, and what has come of it may
 * lie beside the complete pair that it replaces. Half of a newer bundle is a private key that fits no certificate
 * here, and a leaf that is not older than the bundle's and has no key here. Issuers stay with a half: which of them it
 * needs, nobody can say before it is whole.
 */
export function halvesBeside(objects: readonly FoundObject[], leaf: X509, key: FoundKey): Half[] {
  const certificates = objects.flatMap((object) => object.certificates)
  const keys = uniqueKeys([key, ...objects.flatMap((object) => object.keys)])
  const known = new Set(
    keys.filter((one) => certificates.some((other) => matchingKey(other, [one]))).map(identityOf),
  )
  const issuers = new Set(certificates.filter((one) => !one.selfIssued).map(({ issuer }) => issuer.canonical))
  const isLeaf = (one: X509) => one.certificate.fingerprint === leaf.certificate.fingerprint
  const isKey = (one: FoundKey) => identityOf(one) === identityOf(key)
  const isNewerLeaf = (one: X509) =>
    !isLeaf(one) &&
    one.extensions.basicConstraints?.ca !== true &&
    one.certificate.notBefore >= leaf.certificate.notBefore &&
    !issuers.has(one.subject.canonical) &&
    matchingKey(one, keys) === undefined

  const halves: Half[] = []
  const parts = { leaf: false, key: false }
  for (const object of objects) {
    const newer = !CA_FILE.test(object.name) && object.certificates.some(isNewerLeaf)
    if (!newer && object.keys.every((one) => isKey(one) || known.has(identityOf(one)))) continue
    const holdsLeaf = object.certificates.some(isLeaf)
    const holdsKey = object.keys.some((one) => isKey(one) || matchingKey(leaf, [one]) !== undefined)
    parts.leaf ||= holdsLeaf
    parts.key ||= holdsKey
    halves.push({
      name: object.name,
      holds: newer ? 'a certificate without its private key' : 'a private key without its certificate',
      is: holdsLeaf || holdsKey ? 'shared' : 'alone',
    })
  }
  // All of the bundle would stay with them, and be judged again and again.
  if (parts.leaf && parts.key) for (const half of halves) if (half.is === 'shared') half.is = 'inseparable'
  if (halves.every(({ is }) => is === 'inseparable')) return halves
  return [
    ...halves,
    ...objects.filter(isChain).map(({ name }): Half => ({ name, holds: 'issuers', is: 'shared' })),
  ]
}

/** A root alone is nothing that a leaf could lack. */
function isChain({ name, certificates, keys }: FoundObject): boolean {
  return (
    !CA_FILE.test(name) &&
    keys.length === 0 &&
    certificates.some((one) => !one.selfIssued) &&
    certificates.every((one) => one.extensions.basicConstraints?.ca === true)
  )
}
