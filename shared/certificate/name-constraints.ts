import type { DistinguishedName } from './distinguished-name.ts'
import { canonicalRdn, OID_EMAIL_ADDRESS } from './distinguished-name.ts'
import type { NameConstraints } from './extensions.ts'
import { type GeneralName, ipText } from './general-name.ts'
import { isDnsName } from './host-name.ts'
import { printable } from './printable.ts'
import type { X509 } from './x509.ts'

/** More comparisons than this are an attack on the reader (OpenSSL and Chromium stop at about a million). */
const MOST_COMPARISONS = 250_000

/**
 * Applies the name constraints of `authorities` (anchor first) to `subject`: RFC 5280, 4.2.1.10 and 6.1.3 (b, c).
 * Returns what is wrong as a part of a sentence, or undefined.
 */
export function violatedConstraint(
  subject: X509,
  authorities: readonly NameConstraints[],
): string | undefined {
  if (authorities.length === 0) return undefined
  const names = constrainedNames(subject)
  const bases = authorities.reduce(
    (sum, { permitted, excluded }) => sum + permitted.length + excluded.length,
    0,
  )
  if (names.length * bases > MOST_COMPARISONS)
    return `has ${names.length} names against ${bases} constraints, which is too many to check`
  for (const name of names) {
    for (const { permitted, excluded } of authorities) {
      const sameKind = (base: GeneralName) => base.kind === name.kind
      if (excluded.filter(sameKind).some((base) => matches(base, name, 'excluded')))
        return `has the name ${describe(name)}, which one of its issuers excludes`
      const allowed = permitted.filter(sameKind)
      if (name.kind === 'other') {
        if (allowed.some((base) => matches(base, name, 'excluded')))
          return `has a name of a kind (${name.value}) that its issuer constrains in a way not known here`
        continue
      }
      if (allowed.length > 0 && !allowed.some((base) => matches(base, name, 'permitted')))
        return `has the name ${describe(name)}, which one of its issuers does not permit`
    }
  }
  return undefined
}

function constrainedNames(subject: X509): GeneralName[] {
  const names = [...(subject.extensions.subjectAlternativeName ?? [])]
  if (subject.subject.rdns.length > 0) names.push({ kind: 'directory', value: subject.subject })
  if (!names.some((name) => name.kind === 'email'))
    for (const attribute of subject.subject.rdns.flat())
      if (attribute.oid === OID_EMAIL_ADDRESS) names.push({ kind: 'email', value: attribute.text })
  return names
}

function describe(name: GeneralName): string {
  if (name.kind === 'directory') return printable(name.value.text)
  return printable(name.kind === 'ip' ? ipText(name.value) : name.value)
}

/** What cannot be understood is not permitted, and is excluded: the safe side of each question. */
function matches(base: GeneralName, name: GeneralName, question: 'permitted' | 'excluded'): boolean {
  if (base.kind === 'dns' && name.kind === 'dns') return dnsMatches(base.value, name.value, question)
  if (base.kind === 'ip' && name.kind === 'ip') return ipMatches(base.value, name.value)
  if (base.kind === 'email' && name.kind === 'email') return emailMatches(base.value, name.value, question)
  if (base.kind === 'uri' && name.kind === 'uri') return uriMatches(base.value, name.value, question)
  if (base.kind === 'directory' && name.kind === 'directory') return directoryMatches(base.value, name.value)
  return base.kind === 'other' && name.kind === 'other' && base.value === name.value
}

function dnsMatches(rawBase: string, rawName: string, question: 'permitted' | 'excluded'): boolean {
  const base = rawBase.toLowerCase()
  const name = rawName.toLowerCase()
  if (base === '') return true
  // A leading dot is not in RFC 5280 but widely used; everybody reads it as "below, not itself".
  const below = base.startsWith('.')
  const domain = below ? base.slice(1) : base
  const wildcard = name.startsWith('*.')
  const bare = wildcard ? name.slice(2) : name
  if (!isDnsName(domain) || !isDnsName(bare)) return question === 'excluded'
  if (wildcard) {
    // `*.a` is permitted only if everything it stands for is; it is excluded if anything it stands for is.
    if (bare === domain || bare.endsWith(`.${domain}`)) return true
    return (
      question === 'excluded' && !below && domain.slice(domain.indexOf('.') + 1) === bare && domain !== bare
    )
  }
  return (!below && name === domain) || name.endsWith(`.${domain}`)
}

function ipMatches(base: Uint8Array, address: Uint8Array): boolean {
  return (
    base.length === 2 * address.length &&
    address.every((byte, i) => ((byte ^ base[i]!) & base[i + address.length]!) === 0)
  )
}

function hostMatches(base: string, host: string, exact: boolean): boolean {
  if (base.startsWith('.')) return host.toLowerCase().endsWith(base.toLowerCase())
  return exact && host.toLowerCase() === base.toLowerCase()
}

function emailMatches(base: string, mailbox: string, question: 'permitted' | 'excluded'): boolean {
  const at = mailbox.lastIndexOf('@')
  if (at < 1 || at === mailbox.length - 1) return question === 'excluded'
  const host = mailbox.slice(at + 1)
  const baseAt = base.lastIndexOf('@')
  if (baseAt < 0) return base === '' || hostMatches(base, host, true)
  return (
    mailbox.slice(0, at) === base.slice(0, baseAt) &&
    host.toLowerCase() === base.slice(baseAt + 1).toLowerCase()
  )
}

function uriMatches(base: string, uri: string, question: 'permitted' | 'excluded'): boolean {
  const host = /^[a-z][a-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:[\]]+)(?::\d*)?(?:[/?#]|$)/i.exec(uri)?.[1]
  if (host === undefined || /^[\d.]+$/.test(host)) return question === 'excluded'
  return hostMatches(base, host, true)
}

/** The base's relative names are the beginning of the name. */
function directoryMatches(base: DistinguishedName, name: DistinguishedName): boolean {
  return (
    base.rdns.length <= name.rdns.length &&
    base.rdns.every((rdn, i) => canonicalRdn(rdn) === canonicalRdn(name.rdns[i]!))
  )
}
