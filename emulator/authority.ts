// The certificate library resolves its parts through decorators, which need this polyfill first.
import 'reflect-metadata'
import { createHash, createPrivateKey, createPublicKey, randomBytes, webcrypto } from 'node:crypto'
import { isIP } from 'node:net'
import * as x509 from '@peculiar/x509'
import { day } from '../shared/base/clock.ts'

x509.cryptoProvider.set(webcrypto as unknown as Parameters<typeof x509.cryptoProvider.set>[0])

/**
 * The certificate library itself, for extensions of bad certificates: import it from here, because it works
 * only after the polyfill above.
 */
export { x509 }

/** Key types certificates can be made with. RSA costs up to a second each; the default is P-256. */
export type KeyKind = 'RSA-2048' | 'RSA-3072' | 'P-256' | 'P-384' | 'Ed25519'

/** An X.509 extension as the certificate library models it, for certificates that must be wrong on purpose. */
export type CertificateExtension = x509.Extension

/** What both kinds of certificate can have changed against the defaults. */
export interface CertificateOverrides {
  notBefore?: Date
  notAfter?: Date
  /** Hexadecimal; random 16 bytes by default. */
  serial?: string
  /** RFC 4514 subject, instead of `CN=<commonName>`. */
  subject?: string
  /** Replace the default extension of the same type, or come in addition. */
  extensions?: CertificateExtension[]
  /** Object identifiers of default extensions to leave out, for example `2.5.29.35` (authority key identifier). */
  omitExtensions?: string[]
  /** Digest of the signature, `SHA-256` by default (P-384 issuers: `SHA-384`); no effect for Ed25519. */
  hash?: 'SHA-1' | 'SHA-256' | 'SHA-384' | 'SHA-512'
}

export interface AuthorityRequest extends CertificateOverrides {
  commonName: string
  key?: KeyKind
  /** Makes an intermediate; a self-signed root without it. */
  issuer?: Authority
  pathLength?: number
}

export interface IssueRequest extends CertificateOverrides {
  /** Subject alternative names: host names, wildcards, IP addresses. An empty list leaves the extension out. */
  names: string[]
  /** The first name by default; an empty string leaves the subject empty. */
  commonName?: string
  key?: KeyKind
  /** Certify this key (PKCS#8, PKCS#1 or SEC1 PEM) instead of a fresh one. */
  privateKeyPem?: string
}

/** A leaf certificate with all that a user drops into the store. */
export interface Issued {
  /** The leaf alone. */
  certificatePem: string
  /** Intermediates, the leaf's issuer first, without the root; empty where the root issued. */
  chainPem: string
  /** Leaf and intermediates. */
  fullchainPem: string
  /** PKCS#8, unencrypted. */
  privateKeyPem: string
  /** SHA-256 of the leaf's DER, lower-case hex. */
  fingerprint: string
  /** Lower-case hex without leading zeros. */
  serial: string
  notBefore: Date
  notAfter: Date
}

/** A certificate authority of the emulator and of tests; nothing outside trusts it. */
export interface Authority {
  readonly commonName: string
  readonly certificatePem: string
  readonly privateKeyPem: string
  readonly isRoot: boolean
  /** The root this authority leads to; its own certificate where it is one. */
  readonly rootPem: string
  /** This authority (unless a root) and the intermediates above it, without the root. */
  readonly chainPem: string
  readonly notBefore: Date
  readonly notAfter: Date
  issue(request: IssueRequest): Promise<Issued>
}

interface KeyPair {
  publicKey: webcrypto.CryptoKey
  privateKey: webcrypto.CryptoKey
}

interface Signer {
  privateKey: webcrypto.CryptoKey
  subject: string
  publicKey: webcrypto.CryptoKey
}

// Only this module may sign with an authority's key; the handle therefore is not on the object itself.
const signers = new WeakMap<Authority, Signer>()

/** Makes a root, or with `issuer` an intermediate. Valid from a year ago for eleven years unless told otherwise. */
export async function createAuthority(request: AuthorityRequest): Promise<Authority> {
  const keys = await generateKeys(request.key ?? 'P-256')
  const subject = request.subject ?? `CN=${escapeName(request.commonName)}`
  const issuer = request.issuer === undefined ? undefined : requireSigner(request.issuer)
  const now = Date.now()
  const notBefore = wholeSecond(request.notBefore ?? request.issuer?.notBefore ?? new Date(now - 365 * day))
  const notAfter = wholeSecond(request.notAfter ?? request.issuer?.notAfter ?? new Date(now + 3650 * day))
  const defaults = [
    new x509.BasicConstraintsExtension(true, request.pathLength, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ...(issuer === undefined ? [] : [await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey)]),
  ]
  const signer = issuer ?? { privateKey: keys.privateKey, publicKey: keys.publicKey, subject }
  const certificate = await sign(
    signer,
    keys.publicKey,
    subject,
    { ...request, notBefore, notAfter },
    defaults,
  )
  const certificatePem = pem(certificate)
  const parent = request.issuer
  const authority: Authority = {
    commonName: request.commonName,
    certificatePem,
    privateKeyPem: await exportPrivateKey(keys.privateKey),
    isRoot: parent === undefined,
    rootPem: parent?.rootPem ?? certificatePem,
    chainPem: parent === undefined ? '' : certificatePem + parent.chainPem,
    notBefore,
    notAfter,
    issue: (leaf) => issue(authority, leaf),
  }
  signers.set(authority, { privateKey: keys.privateKey, publicKey: keys.publicKey, subject })
  return authority
}

async function issue(authority: Authority, request: IssueRequest): Promise<Issued> {
  const signer = requireSigner(authority)
  const keys =
    request.privateKeyPem === undefined
      ? await generateKeys(request.key ?? 'P-256')
      : await importKeys(request.privateKeyPem)
  const now = Date.now()
  const notBefore = wholeSecond(request.notBefore ?? new Date(now - day))
  const notAfter = wholeSecond(request.notAfter ?? new Date(now + 90 * day))
  const commonName = request.commonName ?? request.names[0] ?? ''
  const subject = request.subject ?? (commonName === '' ? '' : `CN=${escapeName(commonName)}`)
  const isRsa = keys.publicKey.algorithm.name.startsWith('RSA')
  const usage = x509.KeyUsageFlags.digitalSignature | (isRsa ? x509.KeyUsageFlags.keyEncipherment : 0)
  const defaults: CertificateExtension[] = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(usage, true),
    new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    await x509.AuthorityKeyIdentifierExtension.create(signer.publicKey),
  ]
  if (request.names.length > 0) {
    // RFC 5280, 4.2.1.6: critical where the subject is empty.
    defaults.push(new x509.SubjectAlternativeNameExtension(request.names.map(generalName), subject === ''))
  }
  const certificate = await sign(
    signer,
    keys.publicKey,
    subject,
    { ...request, notBefore, notAfter },
    defaults,
  )
  const certificatePem = pem(certificate)
  return {
    certificatePem,
    chainPem: authority.chainPem,
    fullchainPem: certificatePem + authority.chainPem,
    privateKeyPem: await exportPrivateKey(keys.privateKey),
    fingerprint: createHash('sha256').update(Buffer.from(certificate.rawData)).digest('hex'),
    serial: certificate.serialNumber.toLowerCase().replace(/^0+(?=.)/, ''),
    notBefore,
    notAfter,
  }
}

function sign(
  signer: Signer,
  publicKey: webcrypto.CryptoKey,
  subject: string,
  options: CertificateOverrides & { notBefore: Date; notAfter: Date },
  defaults: CertificateExtension[],
): Promise<x509.X509Certificate> {
  const overriding = options.extensions ?? []
  const replaced = new Set([
    ...overriding.map((extension) => extension.type),
    ...(options.omitExtensions ?? []),
  ])
  return x509.X509CertificateGenerator.create({
    serialNumber: options.serial ?? randomSerial(),
    subject,
    issuer: signer.subject,
    notBefore: options.notBefore,
    notAfter: options.notAfter,
    publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: signatureAlgorithm(signer.privateKey, options.hash),
    extensions: [...defaults.filter((extension) => !replaced.has(extension.type)), ...overriding],
  })
}

function requireSigner(authority: Authority): Signer {
  const signer = signers.get(authority)
  if (signer === undefined) throw new TypeError('The issuer was not made by createAuthority')
  return signer
}

// A positive integer of 16 bytes whose first byte is never zero (RFC 5280, 4.1.2.2).
function randomSerial(): string {
  const bytes = randomBytes(16)
  bytes[0] = (bytes[0]! & 0x3f) | 0x40
  return bytes.toString('hex')
}

function generalName(name: string): { type: 'dns' | 'ip'; value: string } {
  return { type: isIP(name) === 0 ? 'dns' : 'ip', value: name }
}

function escapeName(commonName: string): string {
  return commonName.replace(/[,+"\\<>;=#]/g, '\\$&')
}

// Certificates carry whole seconds; comparing with what was asked for must not fail by milliseconds.
function wholeSecond(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000)
}

function pem(certificate: x509.X509Certificate): string {
  return `${certificate.toString('pem').trim()}\n`
}

function keyAlgorithm(kind: KeyKind) {
  switch (kind) {
    case 'RSA-2048':
    case 'RSA-3072':
      return {
        name: 'RSASSA-PKCS1-v1_5',
        hash: 'SHA-256',
        publicExponent: new Uint8Array([1, 0, 1]),
        modulusLength: Number(kind.slice(4)),
      }
    case 'P-256':
    case 'P-384':
      return { name: 'ECDSA', namedCurve: kind }
    case 'Ed25519':
      return { name: 'Ed25519' }
  }
}

async function generateKeys(kind: KeyKind): Promise<KeyPair> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm(kind), true, ['sign', 'verify'])
  return keys as webcrypto.CryptoKeyPair
}

async function importKeys(privateKeyPem: string): Promise<KeyPair> {
  const key = createPrivateKey(privateKeyPem)
  const kinds: Record<string, KeyKind> = { prime256v1: 'P-256', secp384r1: 'P-384' }
  const curve = key.asymmetricKeyDetails?.namedCurve ?? ''
  const kind: KeyKind | undefined =
    key.asymmetricKeyType === 'rsa'
      ? 'RSA-2048'
      : key.asymmetricKeyType === 'ed25519'
        ? 'Ed25519'
        : kinds[curve]
  if (kind === undefined)
    throw new TypeError(`No certificate can be made for a key of type ${key.asymmetricKeyType}`)
  const algorithm = keyAlgorithm(kind)
  const pkcs8 = key.export({ type: 'pkcs8', format: 'der' })
  const spki = createPublicKey(key).export({ type: 'spki', format: 'der' })
  return {
    privateKey: await webcrypto.subtle.importKey('pkcs8', pkcs8, algorithm, true, ['sign']),
    publicKey: await webcrypto.subtle.importKey('spki', spki, algorithm, true, ['verify']),
  }
}

function signatureAlgorithm(key: webcrypto.CryptoKey, hash: CertificateOverrides['hash']) {
  const algorithm = key.algorithm as { name: string; namedCurve?: string }
  if (algorithm.name === 'Ed25519') return { name: 'Ed25519' }
  return { name: algorithm.name, hash: hash ?? (algorithm.namedCurve === 'P-384' ? 'SHA-384' : 'SHA-256') }
}

async function exportPrivateKey(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', key))
  return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' })
    .export({ type: 'pkcs8', format: 'pem' })
    .toString()
}
