import { childrenOf, type DerNode, expectUniversal, readOid, readText, sequenceOf, Tag } from './der.ts'

/** One attribute of a distinguished name. */
export interface NameAttribute {
  oid: string
  /** As written; hex behind a `#` where it is not a string. */
  text: string
  /**
   * For comparison, as OpenSSL and Chromium make it out of RFC 5280, 7.1: in a string the case of ASCII letters and
   * runs of spaces do not count. Full string preparation would join names here that clients hold apart.
   */
  canonical: string
}

export interface DistinguishedName {
  /** Relative names in the order of the certificate; each is a set of attributes. */
  rdns: NameAttribute[][]
  /** RFC 4514-like, most specific first. Not yet safe to print: see `printable`. */
  text: string
  /** Two names are equal exactly if these are. */
  canonical: string
}

const SHORT_NAMES: Record<string, string> = {
  '2.5.4.3': 'CN',
  '2.5.4.4': 'SN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.9': 'street',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '2.5.4.12': 'title',
  '2.5.4.15': 'businessCategory',
  '2.5.4.17': 'postalCode',
  '2.5.4.42': 'GN',
  '2.5.4.97': 'organizationIdentifier',
  '0.9.2342.19200300.100.1.1': 'UID',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
}

export const OID_COMMON_NAME = '2.5.4.3'
export const OID_EMAIL_ADDRESS = '1.2.840.113549.1.9.1'

/** Throws `DerError`. */
export function readDistinguishedName(node: DerNode | undefined): DistinguishedName {
  const rdns = sequenceOf(node, 'name').map((set) =>
    childrenOf(expectUniversal(set, Tag.set, 'relative name')).map((pair) => {
      const [type, value] = sequenceOf(pair, 'name attribute')
      const oid = readOid(type)
      const string = value === undefined ? undefined : readText(value)
      const hex = `#${Buffer.from(value?.raw ?? []).toString('hex')}`
      const compared = string !== undefined && value?.tag !== Tag.numericString
      return { oid, text: string ?? hex, canonical: compared ? canonicalText(string) : hex }
    }),
  )
  return {
    rdns,
    text: rdns
      .toReversed()
      .map((rdn) => rdn.map((a) => `${SHORT_NAMES[a.oid] ?? a.oid}=${escapeValue(a.text)}`).join('+'))
      .join(', '),
    canonical: JSON.stringify(rdns.map(canonicalRdn)),
  }
}

export function canonicalRdn(rdn: NameAttribute[]): string {
  // One name is held against every name constraint above it.
  const known = canonical.get(rdn)
  if (known !== undefined) return known
  const text = JSON.stringify(
    rdn.map((a) => [a.oid, a.canonical]).sort((a, b) => (a.join() < b.join() ? -1 : 1)),
  )
  canonical.set(rdn, text)
  return text
}

const canonical = new WeakMap<NameAttribute[], string>()

/** The last common name, which is the most specific one; empty where there is none. */
export function commonNameOf(name: DistinguishedName): string {
  return name.rdns.flat().findLast((attribute) => attribute.oid === OID_COMMON_NAME)?.text ?? ''
}

function canonicalText(text: string): string {
  return text
    .replace(/[A-Z]/g, (letter) => letter.toLowerCase())
    .replace(/[\t-\r ]+/g, ' ')
    .replace(/^ | $/g, '')
}

function escapeValue(text: string): string {
  return text.replace(/[,+"\\<>;]/g, (char) => `\\${char}`)
}
