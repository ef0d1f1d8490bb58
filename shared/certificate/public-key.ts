import { createPublicKey, type KeyObject } from 'node:crypto'
import type { PublicKeyAlgorithm } from './bundle.ts'
import {
  type DerNode,
  isUniversal,
  readBitString,
  readDer,
  readInteger,
  readOid,
  sequenceOf,
  Tag,
} from './der.ts'

/** What a SubjectPublicKeyInfo says about its key (RFC 3279, 5480, 8410; GM/T 0006 for SM2). */
export interface PublicKey {
  algorithm: PublicKeyAlgorithm
  /** RSA modulus or curve size; 0 where it is not known. */
  bits: number
  /** `P-256`, … or the curve's object identifier; undefined for keys without a curve. */
  curve: string | undefined
  /** Curve parameters written out instead of named: RFC 5480 (2.1.1) forbids it, and it has been an attack. */
  explicitCurve: boolean
  /** RSA keys whose public exponent is 1 or even sign nothing; one longer than 33 bits BoringSSL refuses. */
  weakExponent: boolean
  /**
   * RSA up to 8192 bits, named curves, Ed25519, Ed448. OpenSSL sees no others: it computes with whatever sizes a
   * key claims, and parameters of a curve have kept it in a loop for ever (CVE-2022-0778).
   */
  forOpenssl: boolean
  /** What checking one signature with it costs, in rounds of HMAC-SHA-256. */
  signaturePrice: number
  /** DER of the SubjectPublicKeyInfo. */
  spki: Uint8Array
  /** For `node:crypto`; undefined where OpenSSL must not or cannot read it. Made when first asked for. */
  object(): KeyObject | undefined
}

/** Nobody issues longer ones, and every use of them costs a visible moment. */
export const MOST_RSA_BITS = 8192

/** The curves that certificates are seen on, by object identifier. Only these reach OpenSSL; SM2 does not. */
export const CURVES: Record<string, [name: string, bits: number]> = {
  '1.2.840.10045.3.1.1': ['P-192', 192],
  '1.3.132.0.33': ['P-224', 224],
  '1.2.840.10045.3.1.7': ['P-256', 256],
  '1.3.132.0.34': ['P-384', 384],
  '1.3.132.0.35': ['P-521', 521],
  '1.3.132.0.10': ['secp256k1', 256],
  '1.3.36.3.3.2.8.1.1.7': ['brainpoolP256r1', 256],
  '1.3.36.3.3.2.8.1.1.11': ['brainpoolP384r1', 384],
  '1.3.36.3.3.2.8.1.1.13': ['brainpoolP512r1', 512],
  '1.2.156.10197.1.301': ['SM2', 256],
}

const OTHER_KEYS: Record<string, [PublicKeyAlgorithm, number]> = {
  '1.3.101.112': ['Ed25519', 256],
  '1.3.101.113': ['Ed448', 456],
  '1.2.840.10040.4.1': ['DSA', 0],
}

/** Throws `DerError`. */
export function readPublicKey(node: DerNode): PublicKey {
  const [algorithmId, key] = sequenceOf(node, 'public key')
  const [oidNode, parameters] = sequenceOf(algorithmId, 'public key algorithm')
  const oid = readOid(oidNode)
  const bits = readBitString(key)
  let object: KeyObject | undefined | null = null
  const facts: PublicKey = {
    algorithm: 'unknown',
    bits: 0,
    curve: undefined,
    explicitCurve: false,
    weakExponent: false,
    forOpenssl: false,
    signaturePrice: SLOWEST_SIGNATURE,
    spki: node.raw,
    object: () => {
      if (!facts.forOpenssl) return undefined
      if (object === null) {
        try {
          object = createPublicKey({ key: Buffer.from(node.raw), format: 'der', type: 'spki' })
        } catch {
          object = undefined
        }
      }
      return object
    },
  }
  if (oid === '1.2.840.113549.1.1.1' || oid === '1.2.840.113549.1.1.10') {
    const [modulus, exponent] = sequenceOf(readDer(bits.bytes), 'RSA public key').map((n) => readInteger(n))
    facts.algorithm = oid.endsWith('.10') ? 'RSA-PSS' : 'RSA'
    facts.bits = modulus === undefined ? 0 : bitLength(modulus)
    facts.weakExponent = exponent === undefined || !isUsableExponent(exponent)
    facts.forOpenssl = facts.bits <= MOST_RSA_BITS && !facts.weakExponent
    facts.signaturePrice = RSA_SIGNATURE * Math.max(1, facts.bits / 2048) ** 2
  } else if (oid === '1.2.840.10045.2.1') {
    if (isUniversal(parameters, Tag.oid)) {
      const curve = readOid(parameters)
      const [name, size] = CURVES[curve] ?? [curve, 0]
      facts.forOpenssl = curve in CURVES && name !== 'SM2'
      if (name === 'P-256') facts.signaturePrice = P256_SIGNATURE
      facts.algorithm = name === 'SM2' ? 'SM2' : 'ECC'
      facts.curve = name
      facts.bits = size
    } else {
      facts.algorithm = 'ECC'
      facts.explicitCurve = true
    }
  } else {
    const [algorithm, size] = OTHER_KEYS[oid] ?? ['unknown', 0]
    facts.algorithm = algorithm
    facts.bits = size
    facts.forOpenssl = algorithm === 'Ed25519' || algorithm === 'Ed448'
  }
  return facts
}

/** Prices in rounds of HMAC-SHA-256, measured and rounded up; generic curves (brainpool, P-521) are the slowest. */
const RSA_SIGNATURE = 200
const P256_SIGNATURE = 500
const SLOWEST_SIGNATURE = 10_000

/** Odd, above 1, and at most the 33 bits that BoringSSL (Chromium) takes. */
export function isUsableExponent(exponent: Uint8Array): boolean {
  const bits = bitLength(exponent)
  return bits > 1 && bits <= 33 && exponent.at(-1)! % 2 === 1
}

/** Of a number in big-endian bytes, leading zeros not counted. */
export function bitLength(integer: Uint8Array): number {
  const start = integer.findIndex((byte) => byte !== 0)
  return start < 0 ? 0 : (integer.length - start) * 8 - Math.clz32(integer[start]!) + 24
}
