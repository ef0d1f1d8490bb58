import { ANY_EXTENDED_KEY_USAGE, type NameConstraints, SERVER_AUTH } from './extensions.ts'
import type { Work } from './limits.ts'
import { violatedConstraint } from './name-constraints.ts'
import { policyProblem } from './policies.ts'
import { printable } from './printable.ts'
import { MOST_RSA_BITS, type PublicKey } from './public-key.ts'
import { isSignedBy, type X509 } from './x509.ts'

/** Which check a problem of a path belongs to; see `checks.ts`. */
export type PathRule =
  | 'encoding'
  | 'chain-dates'
  | 'chain-authority'
  | 'key-identifiers'
  | 'chain-purpose'
  | 'chain-keys'
  | 'signature-hash'
  | 'path-length'
  | 'name-constraints'
  | 'policies'

export interface PathProblem {
  rule: PathRule
  /** One sentence, safe to print. */
  message: string
  certificate: X509
}

/** A way from the leaf (first) to a trust anchor (last) and everything that is wrong with it. */
export interface Path {
  certificates: X509[]
  problems: PathProblem[]
}

export interface PathOptions {
  at: Date
  anchors: readonly X509[]
  pool: readonly X509[]
  work: Work
  /** Certificates between leaf and anchor that are not self-issued; a server sends no more than a few. */
  maxIntermediates?: number
}

export interface PathSearch {
  /** Without problems if there is such a path, otherwise the one with the fewest; undefined if no anchor was reached. */
  path: Path | undefined
  /** The longest way that was found when no anchor was reached. */
  dead: X509[]
  /** The search was cut off by its limits. */
  exhausted: boolean
}

export const MOST_INTERMEDIATES = 10
/** A real bundle needs fewer than ten. */
const MOST_SIGNATURES = 100
const MOST_PATHS = 32

/**
 * Looks for a valid path (RFC 4158: depth first, likeliest issuer first, no certificate authority twice) and
 * validates each one found by RFC 5280, chapter 6.
 */
export function findPath(leaf: X509, options: PathOptions): PathSearch {
  const search: PathSearch = { path: undefined, dead: [leaf], exhausted: false }
  const most = options.maxIntermediates ?? MOST_INTERMEDIATES
  let signatures = 0
  let paths = 0

  const consider = (certificates: X509[]): boolean => {
    if (++paths > MOST_PATHS) search.exhausted = true
    const path: Path = { certificates, problems: validatePath(certificates, options.at, options.work) }
    if (search.path === undefined || path.problems.length < search.path.problems.length) search.path = path
    return path.problems.length === 0
  }
  const known = new Map<string, boolean>()
  const signed = (subject: X509, issuer: X509): boolean => {
    const pair = `${subject.certificate.fingerprint} ${issuer.certificate.fingerprint}`
    if (!known.has(pair)) {
      if (++signatures > MOST_SIGNATURES) search.exhausted = true
      known.set(pair, !search.exhausted && isSignedBy(subject, issuer, options.work))
    }
    return known.get(pair)!
  }
  const walk = (path: X509[]): boolean => {
    const current = path.at(-1)!
    if (path.length > search.dead.length) search.dead = path
    for (const anchor of candidates(current, options.anchors, options.at))
      if (signed(current, anchor) && consider([...path, anchor])) return true
    const between = path.slice(1).filter((certificate) => !certificate.selfIssued).length
    for (const issuer of candidates(current, options.pool, options.at)) {
      if (search.exhausted) return false
      if (path.some((earlier) => isSameAuthority(earlier, issuer))) continue
      if (between + (issuer.selfIssued ? 0 : 1) > most || path.length > 2 * MOST_INTERMEDIATES) continue
      if (signed(current, issuer) && walk([...path, issuer])) return true
    }
    return false
  }

  if (options.anchors.some((anchor) => isSame(anchor, leaf)) && consider([leaf])) return search
  walk([leaf])
  return search
}

export function isSame(a: X509, b: X509): boolean {
  return a.certificate.fingerprint === b.certificate.fingerprint
}

/** Same name and key: passing it twice in one path is a circle, whatever else differs (RFC 4158, 5.2). */
function isSameAuthority(a: X509, b: X509): boolean {
  return (
    isSame(a, b) ||
    (a.subject.canonical === b.subject.canonical && Buffer.from(a.publicKey.spki).equals(b.publicKey.spki))
  )
}

/** Those with the issuer's name, the likeliest first: key identifier fits, valid now, ends last. */
function candidates(subject: X509, from: readonly X509[], at: Date): X509[] {
  const wanted = subject.extensions.authorityKeyIdentifier?.keyIdentifier
  const rank = (issuer: X509) => {
    const offered = issuer.extensions.subjectKeyIdentifier
    const fits =
      wanted === undefined || offered === undefined ? 1 : Buffer.from(wanted).equals(offered) ? 2 : 0
    return 2 * fits + (isValidAt(issuer, at) ? 1 : 0)
  }
  return from
    .filter((issuer) => issuer.subject.canonical === subject.issuer.canonical && !isSame(issuer, subject))
    .sort((a, b) => rank(b) - rank(a) || b.certificate.notAfter.getTime() - a.certificate.notAfter.getTime())
}

export function isValidAt(x509: X509, at: Date): boolean {
  return x509.certificate.notBefore <= at && at.getTime() < x509.certificate.notAfter.getTime() + 1000
}

/**
 * RFC 5280, 6.1, with the anchor checked like a CA of the path, as browsers do with locally added roots.
 * Signatures are the search's business. Throws nothing but `TooMuchWork`.
 */
export function validatePath(certificates: readonly X509[], at: Date, work: Work): PathProblem[] {
  work.spend(pathPrice(certificates), 'validating a path')
  const problems: PathProblem[] = []
  const anchor = certificates.length - 1
  const constraints: NameConstraints[] = []
  let mayFollow = Number.POSITIVE_INFINITY
  for (let i = anchor; i >= 0; i--) {
    const certificate = certificates[i]!
    const report = (rule: PathRule, message: string) =>
      problems.push({ rule, message: `${nameOf(certificate)} ${message}`, certificate })
    for (const violation of certificate.violations)
      if (violation.result === 'refused') report('encoding', violation.message)
    if (certificate.unknownCritical.length > 0) report('encoding', unknownCriticalMessage(certificate))
    const isLeaf = i === 0
    const issuer = certificates[i + 1]
    if (issuer !== undefined && pointsElsewhere(certificate, issuer))
      report('key-identifiers', `names another key than that of ${nameOf(issuer)} as its issuer's`)
    if (!isLeaf && !isValidAt(certificate, at)) {
      const { notBefore, notAfter } = certificate.certificate
      report(
        'chain-dates',
        at < notBefore
          ? `is not valid before ${notBefore.toISOString()}`
          : `ended on ${notAfter.toISOString()}`,
      )
    }
    if (i < anchor || isLeaf) checkSignatureHash(certificate, report)
    if (!isLeaf) {
      const weakness = weakKey(certificate.publicKey)
      if (weakness !== undefined) report('chain-keys', `has ${weakness}`)
    }
    // A self-issued certificate in between is a key roll-over: constraints and lengths pass it by (4.2.1.9, 4.2.1.10).
    if (isLeaf || !certificate.selfIssued) {
      const violated = violatedConstraint(certificate, constraints)
      if (violated !== undefined) report('name-constraints', violated)
    }
    if (isLeaf) continue
    if (i < anchor && !certificate.selfIssued) {
      if (mayFollow <= 0) report('path-length', 'is one intermediate more than an issuer above it allows')
      mayFollow -= 1
    }
    checkAuthority(certificate, i === anchor, report)
    const length = certificate.extensions.basicConstraints?.pathLength
    if (length !== undefined) mayFollow = Math.min(mayFollow, length)
    if (certificate.extensions.nameConstraints !== undefined)
      constraints.push(certificate.extensions.nameConstraints)
  }
  const unfit = policyProblem(certificates)
  if (unfit !== undefined)
    problems.push({
      rule: 'policies',
      message: `${nameOf(certificates[0]!)} ${unfit}`,
      certificate: certificates[0]!,
    })
  return problems
}

/** In rounds: every name is held against every constraint above it, and policies from level to level. */
function pathPrice(certificates: readonly X509[]): number {
  let names = 0
  let bases = 0
  let policies = 0
  for (const { extensions, subject } of certificates) {
    names += (extensions.subjectAlternativeName?.length ?? 0) + subject.rdns.length
    const { permitted = [], excluded = [] } = extensions.nameConstraints ?? {}
    bases += permitted.length + excluded.length
    policies += (extensions.certificatePolicies?.length ?? 0) + (extensions.policyMappings?.length ?? 0)
  }
  return 20 * certificates.length + names * bases + certificates.length * policies
}

/**
 * The authority key identifier contradicts the issuer. The signature would hold all the same, and Chromium takes it for a
 * hint; OpenSSL and with it much else does not find the issuer then.
 */
function pointsElsewhere(certificate: X509, issuer: X509): boolean {
  const pointer = certificate.extensions.authorityKeyIdentifier
  if (pointer === undefined) return false
  const { subjectKeyIdentifier } = issuer.extensions
  if (
    pointer.keyIdentifier !== undefined &&
    subjectKeyIdentifier !== undefined &&
    !Buffer.from(pointer.keyIdentifier).equals(subjectKeyIdentifier)
  )
    return true
  if (pointer.serial !== undefined && !Buffer.from(pointer.serial).equals(issuer.serial)) return true
  const named = pointer.issuer?.find((name) => name.kind === 'directory')
  return named !== undefined && named.value.canonical !== issuer.issuer.canonical
}

type Report = (rule: PathRule, message: string) => void

function checkAuthority(certificate: X509, isAnchor: boolean, report: Report) {
  const { basicConstraints, keyUsage, extendedKeyUsage } = certificate.extensions
  // Version 1 has no way to say it; only somebody's explicit trust can stand in for that.
  if (basicConstraints?.ca !== true && !(isAnchor && certificate.version === 1))
    report('chain-authority', 'is not a certificate authority')
  if (keyUsage !== undefined && !keyUsage.keyCertSign)
    report('chain-authority', 'may not sign certificates by its key usage')
  if (
    extendedKeyUsage !== undefined &&
    !extendedKeyUsage.includes(SERVER_AUTH) &&
    !extendedKeyUsage.includes(ANY_EXTENDED_KEY_USAGE)
  )
    report('chain-purpose', 'may not issue for servers by its extended key usage')
}

function checkSignatureHash(certificate: X509, report: Report) {
  const { name, scheme, hash } = certificate.signatureAlgorithm
  const strong = hash === 'sha256' || hash === 'sha384' || hash === 'sha512'
  if (!strong || (scheme !== 'rsa' && scheme !== 'rsa-pss' && scheme !== 'ecdsa'))
    report('signature-hash', `is signed with ${printable(name)}, which browsers do not take`)
}

/** Why browsers do not take this key in a chain, or undefined (CA/Browser Forum Baseline Requirements, 6.1.5). */
export function weakKey(key: PublicKey): string | undefined {
  if (key.explicitCurve) return 'a key whose curve is written out instead of named'
  if (key.algorithm === 'RSA') {
    if (key.bits < 2048) return `an RSA key of only ${key.bits} bits`
    if (key.bits > MOST_RSA_BITS) return `an RSA key of ${key.bits} bits`
    return key.weakExponent ? 'an RSA key with an exponent that nobody takes' : undefined
  }
  if (key.algorithm === 'ECC')
    return key.curve === 'P-256' || key.curve === 'P-384' || key.curve === 'P-521'
      ? undefined
      : `a key on the curve ${key.curve}`
  return `a key of the kind ${key.algorithm}`
}

export function unknownCriticalMessage(certificate: X509): string {
  return `has critical extensions that nobody here knows (${certificate.unknownCritical.join(', ')})`
}

/** A certificate in a sentence. */
export function nameOf(x509: X509): string {
  const { commonName, subject, fingerprint } = x509.certificate
  return `"${printable(commonName || subject || fingerprint.slice(0, 16), 80)}"`
}
