import type { Secret } from '../base/secret.ts'

/** Key algorithms a certificate can have; gateways take RSA and ECC only. */
export type PublicKeyAlgorithm = 'RSA' | 'ECC' | 'Ed25519' | 'Ed448' | 'SM2' | 'DSA' | 'RSA-PSS' | 'unknown'

/** One X.509 certificate, read once. Nothing here is secret. */
export interface Certificate {
  der: Uint8Array
  /** With a final newline. */
  pem: string
  /** SHA-256 of the DER, lower-case hex. */
  fingerprint: string
  /** Lower-case hex without leading zeros, as `GatewayCertificate.serial`. */
  serial: string
  /** RFC 4514-like, for people. */
  subject: string
  issuer: string
  commonName: string
  /** dNSName and iPAddress subject alternative names, lower-case; never the common name. */
  names: string[]
  notBefore: Date
  notAfter: Date
  algorithm: PublicKeyAlgorithm
  /** RSA modulus or curve size in bits. */
  keyBits: number
}

/** Something the reader put right by itself: told to the user, never silent. */
export interface Repair {
  /** Stable: `reordered-chain`, `dropped-root`, `dropped-duplicate`, `dropped-unrelated`, … */
  code: string
  message: string
}

/** Everything one rotation needs, in the order a server sends it. */
export interface Bundle {
  /** Over leaf, chain and trusted root CA: the same content gives the same digest however it was packed. */
  digest: string
  leaf: Certificate
  /** Intermediates, leaf's issuer first, without the root. */
  chain: Certificate[]
  /** PKCS#8 PEM, unencrypted. Undefined only for `inspect` without a key. */
  privateKey: Secret | undefined
  /** CA for client certificates (mTLS), from `ca.crt` or `trusted-root-ca.pem`. */
  trustedRootCa: Certificate[]
  /** CAs for client certificates that came with it and are not the one that `clientCa` or the state asks for. */
  leftOutCa?: Certificate[]
  repairs: Repair[]
}

/** One object or file as it was found. `name` is the part behind the certificate's folder. */
export interface UploadedObject {
  name: string
  bytes: Uint8Array
  /** Its whole size where only a beginning was read, which is then refused as too large. */
  size?: number
}

/** An object beside a bundle that may be half of a newer one, or that such a half may need. */
export interface Half {
  /** As uploaded: not safe to print. */
  name: string
  holds: 'a certificate without its private key' | 'a private key without its certificate' | 'issuers'
  /** `alone`: nothing of the bundle is in it; `shared`: the bundle needs a copy; `inseparable`: it is all of the bundle. */
  is: 'alone' | 'shared' | 'inseparable'
}

/** What was in the folder. `waiting` is not a failure: the rest may still arrive. */
export type Reading =
  | { kind: 'complete'; bundle: Bundle; halves: Half[] }
  /** `found` is of use; `ignored`, each with the reason, is not. */
  | { kind: 'waiting'; missing: 'certificate' | 'private key'; found: string[]; ignored: string[] }
  | { kind: 'unreadable'; problems: CheckResult[] }

/** One named check and what came of it. */
export interface CheckResult {
  /** Stable reason code, for example `key-mismatch`, `expired`, `name-not-covered`. */
  code: string
  result: 'passed' | 'warning' | 'refused'
  /** One sentence for a tired person. */
  message: string
  facts?: Record<string, string | number | boolean | readonly string[]>
}
