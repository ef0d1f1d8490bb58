import {
  childrenOf,
  DerError,
  type DerNode,
  expectUniversal,
  isUniversal,
  readDerPrefix,
  readOid,
  sequenceOf,
  Tag,
} from './der.ts'
import { bitLength, CURVES, isUsableExponent, MOST_RSA_BITS } from './public-key.ts'

/** How a private key is written down: RFC 5958, RFC 8017 (A.1.2), RFC 5915. */
export type KeyForm = 'pkcs8' | 'pkcs1' | 'sec1'

const RSA = '1.2.840.113549.1.1.1'
const RSA_PSS = '1.2.840.113549.1.1.10'
const EC = '1.2.840.10045.2.1'
const EDWARDS: Record<string, true> = { '1.3.101.112': true, '1.3.101.113': true }
const NAMES: Record<string, string> = {
  '1.2.840.10040.4.1': 'DSA',
  '1.2.840.113549.1.3.1': 'Diffie-Hellman',
  '1.2.840.10046.2.1': 'Diffie-Hellman',
  '1.3.101.110': 'X25519',
  '1.3.101.111': 'X448',
}

/**
 * Looks at the fields of a private key before anything computes with them: RSA up to 8192 bits whose numbers are as long
 * as they should be, a curve that is named and known, Ed25519 and Ed448. A DSA key of 16 KB kept OpenSSL busy for half
 * a minute while it was merely read; an RSA exponent as long as the file does the same when the key first signs.
 * Throws `DerError` for everything else, with what it is. `SM2` is known but not to OpenSSL.
 */
export function kindOfKey(form: KeyForm, fields: DerNode[]): 'RSA' | 'ECC' | 'EdDSA' | 'SM2' {
  if (form === 'pkcs1') return checkRsa(fields)
  if (form === 'sec1') return checkEc(fields, undefined)
  const [, algorithmId, octets] = fields
  const [oidNode, parameters] = sequenceOf(algorithmId, 'key algorithm')
  const oid = readOid(oidNode)
  const inner = () =>
    sequenceOf(readDerPrefix(expectUniversal(octets, Tag.octetString, 'private key').value), 'private key')
  if (oid === RSA || oid === RSA_PSS) return checkRsa(inner())
  if (oid === EC) return checkEc(inner(), curveOf(parameters))
  if (EDWARDS[oid]) return 'EdDSA'
  const name = NAMES[oid]
  throw new DerError(
    name === undefined
      ? 'is damaged or of a kind that is not known here'
      : `is a ${name} key; gateways take RSA and ECDSA`,
  )
}

/** version, n, e, d, p, q, dP, dQ, qInv. Whether they fit one another shows when the key signs. */
function checkRsa(fields: DerNode[]): 'RSA' {
  const [version, modulus, exponent, secret, ...crt] = fields.map(
    (field) => expectUniversal(field, Tag.integer, 'number of an RSA key').value,
  )
  if (version?.length !== 1 || version[0] !== 0 || crt.length !== 5 || !modulus || !exponent || !secret)
    throw new DerError('is an RSA key that does not have the nine numbers of one')
  const bits = bitLength(modulus)
  if (bits > MOST_RSA_BITS)
    throw new DerError(`is an RSA key of ${bits} bits, where at most ${MOST_RSA_BITS} are taken`)
  if (!isUsableExponent(exponent)) throw new DerError('is an RSA key with an exponent that nobody takes')
  // Two primes of one size make the modulus, and nothing else is longer than one of them.
  const longest = Math.ceil(bits / 2) + 8
  if (bitLength(secret) > bits || crt.some((number) => bitLength(number) > longest))
    throw new DerError('is an RSA key with numbers that are longer than its size allows')
  return 'RSA'
}

/** version, octets, [0] curve, [1] public key. OpenSSL prefers the inner curve to the one outside. */
function checkEc(fields: DerNode[], outer: string | undefined): 'ECC' | 'SM2' {
  const context = fields.find((field) => field.tagClass === 'context' && field.tag === 0)
  const inner = context === undefined ? undefined : curveOf(childrenOf(context)[0])
  const curve = CURVES[inner ?? outer ?? '']
  if (curve === undefined || (inner !== undefined && outer !== undefined && inner !== outer))
    throw new DerError('is an EC key that does not say which curve it is on')
  if (curve[0] === 'SM2') return 'SM2'
  const { length } = expectUniversal(fields[1], Tag.octetString, 'number of an EC key').value
  if (length > Math.ceil(curve[1] / 8) + 1)
    throw new DerError('is an EC key with a number that is longer than its curve allows')
  return 'ECC'
}

function curveOf(parameters: DerNode | undefined): string {
  if (!isUniversal(parameters, Tag.oid))
    throw new DerError('is an EC key that writes its curve out instead of naming it, which RFC 5480 forbids')
  const oid = readOid(parameters)
  if (CURVES[oid] === undefined) throw new DerError(`is an EC key on a curve that nobody takes (${oid})`)
  return oid
}
