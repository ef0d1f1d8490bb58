import type { Certificate } from './bundle.ts'
import { DerError } from './der.ts'
import { ANY_EXTENDED_KEY_USAGE, type KeyUsage, SERVER_AUTH } from './extensions.ts'
import { readCertificate, x509Of } from './x509.ts'

/** What people compare of a certificate and its successor. Safe to print. */
export interface CertificateSummary {
  /** ISO instant. */
  notAfter: string
  /** As in `Certificate`. */
  names: string[]
  issuer: string
  /** Kind and bits: `RSA 2048`. */
  key: string
  /** Intermediates as they are sent, by common name (else subject), the leaf's issuer first. */
  chain: string[]
  /** What it may be used for, in words: key usage and purposes (extended key usage); `any …` where it sets no limit. */
  uses: string[]
}

export const CLIENT_AUTHENTICATION = 'client authentication'
export const ANY_KEY_USAGE = 'any key usage'
export const ANY_PURPOSE = 'any purpose'

const PURPOSES: Record<string, string> = {
  [SERVER_AUTH]: 'server authentication',
  '1.3.6.1.5.5.7.3.2': CLIENT_AUTHENTICATION,
  '1.3.6.1.5.5.7.3.3': 'code signing',
  '1.3.6.1.5.5.7.3.4': 'e-mail protection',
  '1.3.6.1.5.5.7.3.8': 'time stamping',
  '1.3.6.1.5.5.7.3.9': 'OCSP signing',
  [ANY_EXTENDED_KEY_USAGE]: ANY_PURPOSE,
}

const KEY_USAGES: Record<Exclude<keyof KeyUsage, 'any'>, string> = {
  digitalSignature: 'digital signature',
  keyEncipherment: 'key encipherment',
  keyAgreement: 'key agreement',
  keyCertSign: 'signing certificates',
}

/** Of the extended key usage, not of the key usage. */
export function isPurpose(use: string): boolean {
  return use !== ANY_KEY_USAGE && !Object.values(KEY_USAGES).includes(use)
}

export function summaryOf(leaf: Certificate, chain: readonly Certificate[]): CertificateSummary {
  const { keyUsage, extendedKeyUsage } = x509Of(leaf).extensions
  const flags = Object.keys(KEY_USAGES) as (keyof typeof KEY_USAGES)[]
  const usages = keyUsage ? flags.filter((flag) => keyUsage[flag]).map((flag) => KEY_USAGES[flag]) : undefined
  const purposes = extendedKeyUsage?.map((oid) => PURPOSES[oid] ?? oid)
  return {
    notAfter: leaf.notAfter.toISOString(),
    names: leaf.names,
    issuer: leaf.issuer,
    key: `${leaf.algorithm} ${leaf.keyBits}`,
    chain: chain.map(({ commonName, subject }) => commonName || subject),
    uses: [...(usages ?? [ANY_KEY_USAGE]), ...(purposes ?? [ANY_PURPOSE])],
  }
}

/** Of a chain as a server sent it, leaf first. Undefined where it is not what RFC 5280 calls a certificate. */
export function summaryOfServed(chain: readonly Uint8Array[]): CertificateSummary | undefined {
  try {
    const [leaf, ...rest] = chain.map(readCertificate)
    return leaf && summaryOf(leaf, rest)
  } catch (thrown) {
    if (thrown instanceof DerError) return undefined
    throw thrown
  }
}
