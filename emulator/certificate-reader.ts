import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { x509 } from './authority.ts'
import { looked } from './host-name.ts'
import { ApiError } from './service.ts'

/** The gateways' two algorithm classes. */
export type CertificateAlgorithm = 'RSA' | 'ECC'

/** What the services show of a certificate, and what the TLS edge needs to know. */
export interface CertificateFacts {
  /** SHA-256 of the DER, lower-case hex. */
  fingerprint: string
  /** SHA-1, as SCM shows it. */
  sha1: string
  serialHex: string
  commonName: string
  names: string[]
  notBefore: Date
  notAfter: Date
  algorithm: CertificateAlgorithm
  /** `SHA256-RSA`, `ECDSA-SHA256`. */
  signatureAlgorithm: string
  subject: Record<'O' | 'OU' | 'L' | 'ST' | 'C', string[]>
  issuer: string[]
}

/** Certificates with no certainty about anything else: the blocks of a PEM text in their order. */
export interface ReadCertificates {
  certificates: X509Certificate[]
  leaf: CertificateFacts
}

const BLOCK = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/g
const LATEST = Date.UTC(2038, 0, 19, 3, 14, 7)

/** The blocks of a PEM text, or undefined where anything but white space lies around them. */
export function pemBlocks(text: string): { type: string; pem: string }[] | undefined {
  if (text.replace(BLOCK, '').trim() !== '') return undefined
  return [...text.matchAll(BLOCK)].map((match) => ({ type: match[1]!, pem: `${match[0]}\n` }))
}

export function isEncryptedKey(pem: string): boolean {
  return /-----BEGIN ENCRYPTED PRIVATE KEY-----/.test(pem) || /^Proc-Type:.*ENCRYPTED/m.test(pem)
}

/** Undefined where it is not PEM, not X.509, or a key type the gateways do not take. */
export function readCertificates(text: string): ReadCertificates | undefined {
  const blocks = pemBlocks(text)
  if (blocks === undefined || blocks.length === 0) return undefined
  if (blocks.some((block) => block.type !== 'CERTIFICATE')) return undefined
  try {
    const certificates = blocks.map((block) => new X509Certificate(block.pem))
    const leaf = factsOf(certificates[0]!)
    return leaf === undefined ? undefined : { certificates, leaf }
  } catch {
    return undefined
  }
}

export function readPrivateKey(text: string): KeyObject | undefined {
  const blocks = pemBlocks(text)
  if (blocks?.length !== 1 || !/^(RSA |EC )?PRIVATE KEY$/.test(blocks[0]!.type)) return undefined
  try {
    return createPrivateKey(blocks[0]!.pem)
  } catch {
    return undefined
  }
}

/** Whether each certificate is signed by the one behind it. */
export function isChain(certificates: X509Certificate[]): boolean {
  return certificates.every((certificate, i) => {
    const issuer = certificates[i + 1]
    if (issuer === undefined) return true
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  })
}

/** Whether every block is a CA certificate that could sign clients' certificates. */
export function isAuthorityPem(text: string): boolean {
  return readAnyCertificates(text)?.every((certificate) => certificate.ca) ?? false
}

function readAnyCertificates(text: string): X509Certificate[] | undefined {
  const blocks = pemBlocks(text)
  if (blocks === undefined || blocks.length === 0) return undefined
  try {
    return blocks.map((block) => new X509Certificate(block.pem))
  } catch {
    return undefined
  }
}

/**
 * Whether the certificate covers a custom domain by subject alternative name: the exact name, or a wildcard one
 * label deep. A wildcard domain needs the same wildcard. The common name does not count.
 */
export function covers(names: string[], host: string): boolean {
  const wanted = looked(host)
  const parent = wanted.slice(wanted.indexOf('.') + 1)
  return names.some((name) => name === wanted || (!wanted.startsWith('*.') && name === `*.${parent}`))
}

/**
 * The gateways' content checks in the order that fits the published error tables: encrypted key, parse, pair,
 * chain, expired, beyond 2038, no SAN. Codes of the `APIG` error table.
 */
export function checkMaterial(certificatePem: string, privateKeyPem: string, now: Date): CertificateFacts {
  if (isEncryptedKey(privateKeyPem)) {
    throw new ApiError(400, 'APIG.2105', 'Encrypted private keys are not supported')
  }
  const read = readCertificates(certificatePem)
  const key = readPrivateKey(privateKeyPem)
  if (read === undefined || key === undefined) {
    throw new ApiError(400, 'APIG.2106', 'Invalid certificate or private key')
  }
  const { certificates, leaf } = read
  if (!certificates[0]!.checkPrivateKey(key)) {
    throw new ApiError(400, 'APIG.2101', 'The private key does not match the certificate')
  }
  if (!isChain(certificates)) throw new ApiError(400, 'APIG.2104', 'The certificate chain does not match')
  if (leaf.notAfter <= now) throw new ApiError(400, 'APIG.2102', 'The certificate has expired')
  if (leaf.notAfter.getTime() > LATEST) {
    throw new ApiError(400, 'APIG.3148', 'The certificate expires after 2038-01-19T03:14:07Z')
  }
  if (leaf.names.length === 0) {
    throw new ApiError(400, 'APIG.2109', 'The certificate has no subject alternative name')
  }
  return leaf
}

function factsOf(certificate: X509Certificate): CertificateFacts | undefined {
  const type = certificate.publicKey.asymmetricKeyType
  if (type !== 'rsa' && type !== 'ec') return undefined
  const parsed = new x509.X509Certificate(certificate.raw)
  const san = parsed.getExtension(x509.SubjectAlternativeNameExtension)
  const subject = certificate.toLegacyObject().subject as unknown as Record<
    string,
    string | string[] | undefined
  >
  const issuer = certificate.toLegacyObject().issuer as unknown as Record<
    string,
    string | string[] | undefined
  >
  return {
    fingerprint: certificate.fingerprint256.replaceAll(':', '').toLowerCase(),
    sha1: certificate.fingerprint.replaceAll(':', '').toUpperCase(),
    serialHex: certificate.serialNumber,
    commonName: values(subject?.CN)[0] ?? '',
    names: (san?.names.items ?? [])
      .filter((name) => name.type === 'dns' || name.type === 'ip')
      .map((name) => name.value.toLowerCase()),
    notBefore: new Date(certificate.validFrom),
    notAfter: new Date(certificate.validTo),
    algorithm: type === 'rsa' ? 'RSA' : 'ECC',
    signatureAlgorithm: signatureName(parsed),
    subject: {
      O: values(subject?.O),
      OU: values(subject?.OU),
      L: values(subject?.L),
      ST: values(subject?.ST),
      C: values(subject?.C),
    },
    issuer: values(issuer?.O).concat(issuer?.O === undefined ? values(issuer?.CN) : []),
  }
}

// The service is written in Go and shows Go's names; an unknown one is shown as the library calls it.
function signatureName(certificate: x509.X509Certificate): string {
  const { name, hash } = certificate.signatureAlgorithm as { name: string; hash?: { name: string } }
  const digest = (hash?.name ?? '').replace('-', '')
  if (name === 'ECDSA') return `ECDSA-${digest}`
  return name.startsWith('RSA') ? `${digest}-RSA` : name
}

function values(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value]
}
