import { constants, verify } from 'node:crypto'
import {
  childrenOf,
  type DerNode,
  isContext,
  isUniversal,
  readOid,
  readSmallInteger,
  sequenceOf,
  Tag,
} from './der.ts'
import type { PublicKey } from './public-key.ts'

export interface SignatureAlgorithm {
  /** `SHA256-RSA`, `SHA384-ECDSA`, `Ed25519`, … or the object identifier. */
  name: string
  scheme: 'rsa' | 'rsa-pss' | 'ecdsa' | 'dsa' | 'eddsa' | 'sm2' | 'unknown'
  /** As `node:crypto` names it; undefined where the scheme brings its own or it is not known. */
  hash: string | undefined
  /** RSASSA-PSS only. */
  saltLength?: number
  /** False for parameters that RFC 4055, 5758 or 8410 does not allow. */
  wellFormed: boolean
}

const HASHES: Record<string, string> = {
  '1.2.840.113549.2.5': 'md5',
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

const ALGORITHMS: Record<
  string,
  [scheme: SignatureAlgorithm['scheme'], hash: string | undefined, name: string]
> = {
  '1.2.840.113549.1.1.2': ['rsa', undefined, 'MD2-RSA'],
  '1.2.840.113549.1.1.4': ['rsa', 'md5', 'MD5-RSA'],
  '1.2.840.113549.1.1.5': ['rsa', 'sha1', 'SHA1-RSA'],
  '1.3.14.3.2.29': ['rsa', 'sha1', 'SHA1-RSA'],
  '1.2.840.113549.1.1.14': ['rsa', 'sha224', 'SHA224-RSA'],
  '1.2.840.113549.1.1.11': ['rsa', 'sha256', 'SHA256-RSA'],
  '1.2.840.113549.1.1.12': ['rsa', 'sha384', 'SHA384-RSA'],
  '1.2.840.113549.1.1.13': ['rsa', 'sha512', 'SHA512-RSA'],
  '1.2.840.10045.4.1': ['ecdsa', 'sha1', 'SHA1-ECDSA'],
  '1.2.840.10045.4.3.1': ['ecdsa', 'sha224', 'SHA224-ECDSA'],
  '1.2.840.10045.4.3.2': ['ecdsa', 'sha256', 'SHA256-ECDSA'],
  '1.2.840.10045.4.3.3': ['ecdsa', 'sha384', 'SHA384-ECDSA'],
  '1.2.840.10045.4.3.4': ['ecdsa', 'sha512', 'SHA512-ECDSA'],
  '1.2.840.10040.4.3': ['dsa', 'sha1', 'SHA1-DSA'],
  '2.16.840.1.101.3.4.3.2': ['dsa', 'sha256', 'SHA256-DSA'],
  '1.3.101.112': ['eddsa', undefined, 'Ed25519'],
  '1.3.101.113': ['eddsa', undefined, 'Ed448'],
  '1.2.156.10197.1.501': ['sm2', 'sm3', 'SM3-SM2'],
}

/** Throws `DerError`. */
export function readSignatureAlgorithm(node: DerNode | undefined): SignatureAlgorithm {
  const [oidNode, parameters] = sequenceOf(node, 'signature algorithm')
  const oid = readOid(oidNode)
  if (oid === '1.2.840.113549.1.1.10') return readPss(parameters)
  const [scheme, hash, name] = ALGORITHMS[oid] ?? ['unknown', undefined, oid]
  // RSA carries NULL (some CAs leave it out, and OpenSSL and browsers take that too); the others carry nothing.
  const wellFormed =
    parameters === undefined ||
    scheme === 'unknown' ||
    ((scheme === 'rsa' || scheme === 'sm2') &&
      isUniversal(parameters, Tag.null) &&
      parameters.value.length === 0)
  return { name, scheme, hash, wellFormed }
}

/** RFC 4055, 3.1: every field has a default, and all of them together mean SHA-1. */
function readPss(parameters: DerNode | undefined): SignatureAlgorithm {
  const fields = isUniversal(parameters, Tag.sequence) ? childrenOf(parameters) : []
  const field = (tag: number) => {
    const found = fields.find((candidate) => isContext(candidate, tag))
    return found === undefined ? undefined : childrenOf(found)[0]
  }
  const hashOf = (node: DerNode | undefined) =>
    node === undefined ? 'sha1' : HASHES[readOid(sequenceOf(node, 'hash')[0])]
  const hash = hashOf(field(0))
  const mask = field(1)
  const maskHash = mask === undefined ? 'sha1' : hashOf(sequenceOf(mask, 'mask generation')[1])
  const salt = field(2)
  const saltLength = salt === undefined ? 20 : readSmallInteger(salt)
  const trailer = field(3)
  return {
    name: `${(hash ?? 'unknown').toUpperCase()}-RSA-PSS`,
    scheme: 'rsa-pss',
    hash,
    saltLength,
    wellFormed:
      parameters !== undefined &&
      hash !== undefined &&
      maskHash === hash &&
      saltLength <= 64 &&
      (trailer === undefined || readSmallInteger(trailer) === 1),
  }
}

const KEYS_OF_SCHEME: Record<SignatureAlgorithm['scheme'], readonly string[]> = {
  rsa: ['RSA'],
  'rsa-pss': ['RSA', 'RSA-PSS'],
  ecdsa: ['ECC'],
  dsa: [],
  eddsa: ['Ed25519', 'Ed448'],
  sm2: [],
  unknown: [],
}

/** True if `signature` over `signed` was made with the private half of `key`. Never throws. */
export function signatureIsValid(
  algorithm: SignatureAlgorithm,
  signed: Uint8Array,
  signature: Uint8Array,
  key: PublicKey,
): boolean {
  const { scheme, hash, saltLength } = algorithm
  if (!KEYS_OF_SCHEME[scheme].includes(key.algorithm) || !key.forOpenssl) return false
  if (hash === undefined && scheme !== 'eddsa') return false
  const object = key.object()
  if (object === undefined) return false
  try {
    return verify(
      hash ?? null,
      signed,
      scheme === 'rsa-pss'
        ? { key: object, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: saltLength ?? 20 }
        : object,
      signature,
    )
  } catch {
    return false
  }
}
