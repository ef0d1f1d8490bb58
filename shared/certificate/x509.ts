import { createHash, X509Certificate } from 'node:crypto'
import type { Certificate } from './bundle.ts'
import {
  childrenOf,
  DerError,
  type DerNode,
  expectUniversal,
  isContext,
  isUniversal,
  readBitString,
  readBoolean,
  readDer,
  readInteger,
  readOid,
  readSmallInteger,
  readTime,
  sequenceOf,
  Tag,
} from './der.ts'
import { commonNameOf, type DistinguishedName, readDistinguishedName } from './distinguished-name.ts'
import { Extension, type Extensions, NOT_PROCESSED, readExtension } from './extensions.ts'
import { ipText } from './general-name.ts'
import type { Work } from './limits.ts'
import { pemBlock } from './pem.ts'
import { printable } from './printable.ts'
import { type PublicKey, readPublicKey } from './public-key.ts'
import { readSignatureAlgorithm, type SignatureAlgorithm, signatureIsValid } from './signature.ts'

/** Something that RFC 5280 forbids a CA to do. `refused` where browsers agree or security depends on it. */
export interface Violation {
  result: 'warning' | 'refused'
  /** A part of a sentence: "the certificate …". Safe to print. */
  message: string
}

/** A certificate read to the last field that path validation needs (RFC 5280, 4.1). */
export interface X509 {
  certificate: Certificate
  version: number
  /** Content octets of the serial number. */
  serial: Uint8Array
  signedBytes: Uint8Array
  signature: Uint8Array
  signatureAlgorithm: SignatureAlgorithm
  issuer: DistinguishedName
  subject: DistinguishedName
  /** Subject and issuer are the same name: RFC 5280's "self-issued". */
  selfIssued: boolean
  publicKey: PublicKey
  extensions: Extensions
  /** Object identifiers of critical extensions that nothing here processes. */
  unknownCritical: string[]
  violations: Violation[]
}

const cache = new WeakMap<Certificate, X509>()

/** The details behind a `Certificate`. */
export function x509Of(certificate: Certificate): X509 {
  const known = cache.get(certificate)
  if (known !== undefined) return known
  return readX509(certificate.der)
}

/** Reads one certificate. Throws `DerError` if it is none. */
export function readCertificate(der: Uint8Array): Certificate {
  return readX509(der).certificate
}

/** Throws `DerError` if `der` is not a certificate. What is merely against the rules is told in `violations`. */
export function readX509(bytes: Uint8Array): X509 {
  const der = Uint8Array.from(bytes)
  const outer = sequenceOf(readDer(der), 'certificate')
  const [tbs, outerAlgorithm, signatureValue] = outer
  if (outer.length !== 3 || tbs === undefined || outerAlgorithm === undefined)
    throw new DerError('does not have the three parts of a certificate')
  const fields = sequenceOf(tbs, 'certificate body')
  let at = 0
  const version = isContext(fields[at], 0) ? readSmallInteger(childrenOf(fields[at++]!)[0]) + 1 : 1
  const serial = readInteger(fields[at++])
  const innerAlgorithm = fields[at++]
  const issuer = readDistinguishedName(fields[at++])
  const [notBefore, notAfter, ...more] = sequenceOf(fields[at++], 'validity')
  if (more.length > 0) throw new DerError('has a validity of more than two times')
  const subject = readDistinguishedName(fields[at++])
  const spki = expectUniversal(fields[at++], Tag.sequence, 'public key')
  const publicKey = readPublicKey(spki)
  const violations: Violation[] = []
  const refuse = (message: string) => violations.push({ result: 'refused', message })
  const warn = (message: string) => violations.push({ result: 'warning', message })
  while (isContext(fields[at], 1) || isContext(fields[at], 2)) at++
  const extensionsField = isContext(fields[at], 3) ? fields[at++] : undefined
  if (at !== fields.length) throw new DerError('has something unknown at its end')
  const { extensions, unknownCritical, critical } = readExtensions(extensionsField, violations)
  const signature = readBitString(signatureValue)
  if (signature.unusedBits !== 0) refuse('has a signature that is not a whole number of bytes')

  if (innerAlgorithm === undefined || !Buffer.from(innerAlgorithm.raw).equals(outerAlgorithm.raw))
    refuse('names one signature algorithm inside and another one outside (RFC 5280, 4.1.1.2)')
  const signatureAlgorithm = readSignatureAlgorithm(outerAlgorithm)
  if (!signatureAlgorithm.wellFormed) refuse('has a signature algorithm with wrong parameters')
  if (version > 3) refuse(`has the unknown version ${version}`)
  if (version < 3 && extensionsField !== undefined) refuse('has extensions although it is not of version 3')
  if (issuer.rdns.length === 0) refuse('has an empty issuer (RFC 5280, 4.1.2.4)')
  if ((serial[0]! & 0x80) !== 0 || serial.every((byte) => byte === 0))
    warn('has a serial number that is not positive (RFC 5280, 4.1.2.2)')
  if (serial.length > 20) warn('has a serial number of more than 20 bytes (RFC 5280, 4.1.2.2)')
  for (const time of [notBefore, notAfter]) {
    const longForm = isUniversal(time, Tag.generalizedTime)
    if (longForm !== readTime(time).getUTCFullYear() >= 2050)
      warn('writes a date in the wrong form (RFC 5280, 4.1.2.5)')
  }
  const selfIssued = subject.canonical === issuer.canonical
  const isCa = extensions.basicConstraints?.ca === true
  checkExtensions({ extensions, critical, isCa, subject, selfIssued, refuse, warn })

  const certificate: Certificate = {
    der,
    pem: pemBlock('CERTIFICATE', der),
    fingerprint: createHash('sha256').update(der).digest('hex'),
    serial: Buffer.from(serial)
      .toString('hex')
      .replace(/^0+(?=.)/, ''),
    subject: printable(subject.text, 400),
    issuer: printable(issuer.text, 400),
    commonName: printable(commonNameOf(subject), 200),
    names: (extensions.subjectAlternativeName ?? []).flatMap((name) =>
      name.kind === 'dns'
        ? [printable(name.value.toLowerCase(), 300)]
        : name.kind === 'ip'
          ? [ipText(name.value)]
          : [],
    ),
    notBefore: readTime(notBefore),
    notAfter: readTime(notAfter),
    algorithm: publicKey.algorithm,
    keyBits: publicKey.bits,
  }
  const x509: X509 = {
    certificate,
    version,
    serial,
    signedBytes: tbs.raw,
    signature: signature.bytes,
    signatureAlgorithm,
    issuer,
    subject,
    selfIssued,
    publicKey,
    extensions,
    unknownCritical,
    violations,
  }
  cache.set(certificate, x509)
  return x509
}

/**
 * OpenSSL's opinion: what it cannot read, no gateway built on it will serve. It decodes the key at once, so it is not
 * asked about keys that are not for it; those are refused for what they are.
 */
export function opensslReads({ certificate, publicKey }: X509): boolean {
  if (!publicKey.forOpenssl) return true
  try {
    new X509Certificate(certificate.der)
    return true
  } catch {
    return false
  }
}

/**
 * `issuer`'s key made the signature on `x509`. Says nothing about whether it was allowed to. Throws `TooMuchWork`
 * before a signature that costs more than is left.
 */
export function isSignedBy(x509: X509, issuer: X509, work: Work): boolean {
  const { publicKey } = issuer
  const question = `${x509.certificate.fingerprint} ${issuer.certificate.fingerprint}`
  const price = publicKey.signaturePrice + x509.signedBytes.length / 32
  return work.once(question, price, 'checking signatures', () =>
    signatureIsValid(x509.signatureAlgorithm, x509.signedBytes, x509.signature, publicKey),
  )
}

function readExtensions(field: DerNode | undefined, violations: Violation[]) {
  const extensions: Extensions = {}
  const unknownCritical: string[] = []
  const critical = new Map<string, boolean>()
  const known = new Set<string>(Object.values(Extension))
  for (const oid of NOT_PROCESSED) known.delete(oid)
  const list = field === undefined ? [] : sequenceOf(childrenOf(field)[0], 'list of extensions')
  for (const node of list) {
    const parts = sequenceOf(node, 'extension')
    const oid = readOid(parts[0])
    const isCritical = parts.length === 3 && readBoolean(parts[1]!)
    const { value } = expectUniversal(parts.at(-1), Tag.octetString, 'extension value')
    if (critical.has(oid)) {
      violations.push({ result: 'refused', message: `has the extension ${oid} twice (RFC 5280, 4.2)` })
      continue
    }
    critical.set(oid, isCritical)
    if (isCritical && !known.has(oid)) unknownCritical.push(oid)
    try {
      readExtension(extensions, oid, value)
    } catch (thrown) {
      if (!(thrown instanceof DerError)) throw thrown
      violations.push({
        result: 'refused',
        message: `has an extension ${oid} that cannot be read: it ${thrown.message}`,
      })
    }
  }
  return { extensions, unknownCritical, critical }
}

function checkExtensions(facts: {
  extensions: Extensions
  critical: Map<string, boolean>
  isCa: boolean
  subject: DistinguishedName
  selfIssued: boolean
  refuse(message: string): void
  warn(message: string): void
}) {
  const { extensions, critical, isCa, subject, selfIssued, refuse, warn } = facts
  const { keyUsage } = extensions
  if (critical.get(Extension.authorityKeyIdentifier))
    refuse('marks its authority key identifier as critical (RFC 5280, 4.2.1.1)')
  if (critical.get(Extension.subjectKeyIdentifier))
    refuse('marks its subject key identifier as critical (RFC 5280, 4.2.1.2)')
  if (critical.get(Extension.authorityInformationAccess))
    refuse('marks its authority information access as critical (RFC 5280, 4.2.2.1)')
  if (extensions.authorityKeyIdentifier?.keyIdentifier === undefined && !selfIssued)
    warn('has no authority key identifier (RFC 5280, 4.2.1.1)')
  if (subject.rdns.length === 0) {
    if (isCa) refuse('is a CA with an empty subject (RFC 5280, 4.1.2.6)')
    else if (critical.get(Extension.subjectAlternativeName) !== true)
      refuse('has an empty subject and alternative names that are not critical (RFC 5280, 4.2.1.6)')
  }
  if (keyUsage !== undefined && !keyUsage.any) refuse('has an empty key usage (RFC 5280, 4.2.1.3)')
  if (isCa) {
    if (extensions.subjectKeyIdentifier === undefined)
      warn('is a CA without a subject key identifier (RFC 5280, 4.2.1.2)')
    if (critical.get(Extension.basicConstraints) === false)
      warn('is a CA whose basic constraints are not critical (RFC 5280, 4.2.1.9)')
  } else {
    if (keyUsage?.keyCertSign)
      refuse('may sign certificates by its key usage but is not a CA (RFC 5280, 4.2.1.9)')
    if (critical.has(Extension.nameConstraints))
      refuse('has name constraints but is not a CA (RFC 5280, 4.2.1.10)')
    if (extensions.basicConstraints?.pathLength !== undefined)
      warn('has a path length but is not a CA (RFC 5280, 4.2.1.9)')
  }
  if (critical.get(Extension.nameConstraints) === false)
    warn('has name constraints that are not critical (RFC 5280, 4.2.1.10)')
  if (critical.get(Extension.policyConstraints) === false)
    warn('has policy constraints that are not critical (RFC 5280, 4.2.1.11)')
  for (const name of extensions.subjectAlternativeName ?? []) {
    if (
      name.kind === 'dns' &&
      !/^(\*\.)?([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(name.value)
    )
      warn(`has the name ${printable(name.value, 80)}, which is not a valid host name (RFC 5280, 4.2.1.6)`)
  }
}
