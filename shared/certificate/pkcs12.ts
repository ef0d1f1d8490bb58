import { createHmac, timingSafeEqual } from 'node:crypto'
import type { Secret } from '../base/secret.ts'
import { derFromBer } from './ber.ts'
import {
  childrenOf,
  DerError,
  type DerNode,
  expectUniversal,
  isContext,
  isUniversal,
  readDer,
  readOid,
  readSmallInteger,
  sequenceOf,
  Tag,
} from './der.ts'
import { DIGEST_BYTES } from './iterated-hash.ts'
import { TooMuchWork, type Work } from './limits.ts'
import { decryptWithPassword, type Password, pbkdf2Key, pkcs12Key } from './password-encryption.ts'
import { type KeyProblem, type KeyResult, readPlainKey } from './private-key.ts'

const DATA = '1.2.840.113549.1.7.1'
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6'
const BAG = '1.2.840.113549.1.12.10.1.'
const X509_BAG = '1.2.840.113549.1.9.22.1'
const PBMAC1 = '1.2.840.113549.1.5.14'
const DEEPEST = 4

const DIGESTS: Record<string, string> = {
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
}

export interface Pkcs12 {
  /** DER, in the order of the file. */
  certificates: Uint8Array[]
  keys: KeyResult[]
}

/**
 * Opens a PKCS#12 (RFC 7292) as OpenSSL 3 (PBES2, SHA-256), OpenSSL 1, Windows and Java (3DES, RC2, SHA-1) write it, and
 * with the newer PBMAC1 (RFC 9579). The passwords are tried in order, then the empty one, then none at all. Every
 * derivation is paid for before it starts, also those that only show inside an opened layer. Throws `DerError`.
 */
export function readPkcs12(
  bytes: Uint8Array,
  passwords: readonly Secret[],
  work: Work,
): Pkcs12 | { problem: KeyProblem } {
  const [version, authSafe, macData] = sequenceOf(readDer(derFromBer(bytes, work)), 'PKCS#12')
  if (readSmallInteger(version) !== 3) throw new DerError('is a PKCS#12 of a version that is not known here')
  const safe = dataOf(authSafe)
  const tried: Password[] = [...new Set([...passwords.map((password) => password.reveal()), '']), null]
  for (const password of tried) {
    try {
      if (macData !== undefined && !macFits(macData, safe, password, work)) continue
      const opened: Pkcs12 = { certificates: [], keys: [] }
      if (readSafe(safe, password, work, opened)) return opened
    } catch (thrown) {
      if (thrown instanceof TooMuchWork)
        return { problem: { code: 'too-much-work', message: thrown.message } }
      throw thrown
    }
  }
  if (passwords.length === 0)
    return {
      problem: {
        code: 'password-missing',
        message:
          'is in a PKCS#12 with a password, and none is given: write password: of this certificate in rotation.yaml (--password-file FILE for inspect)',
      },
    }
  return {
    problem: {
      code: 'password-wrong',
      message: 'is in a PKCS#12 that the configured password does not open (or that is damaged)',
    },
  }
}

function octetsOf(node: DerNode | undefined): Uint8Array {
  return expectUniversal(node, Tag.octetString, 'octet string').value
}

function dataOf(contentInfo: DerNode | undefined): Uint8Array {
  const [type, content] = sequenceOf(contentInfo, 'content')
  if (readOid(type) !== DATA || !isContext(content, 0))
    throw new DerError('is a PKCS#12 protected by a key instead of a password')
  return octetsOf(childrenOf(content)[0])
}

function macFits(macData: DerNode, safe: Uint8Array, password: Password, work: Work): boolean {
  const [digestInfo, saltNode, iterationsNode] = sequenceOf(macData, 'integrity code')
  const [algorithm, expectedNode] = sequenceOf(digestInfo, 'integrity code')
  const [oidNode, parameters] = sequenceOf(algorithm, 'integrity code')
  const expected = octetsOf(expectedNode)
  const oid = readOid(oidNode)
  const digest =
    oid === PBMAC1
      ? HMAC_DIGESTS[readOid(sequenceOf(sequenceOf(parameters, 'integrity code')[1], 'integrity code')[0])]
      : DIGESTS[oid]
  if (digest === undefined) throw new DerError(`has an integrity code that is not known here (${oid})`)
  const bytes = DIGEST_BYTES[digest]!
  // Both sides are as long as the hash; what a file claims beyond that is nothing but work.
  if (expected.length !== bytes)
    throw new DerError(`has an integrity code of ${expected.length} bytes where ${digest} makes ${bytes}`)
  let key: Buffer
  if (oid === PBMAC1) {
    // Knows no difference between the empty password and none.
    if (password === null) return false
    key = pbkdf2Key(sequenceOf(parameters, 'integrity code')[0], password, bytes, work)
  } else {
    const iterations = iterationsNode === undefined ? 1 : readSmallInteger(iterationsNode)
    key = pkcs12Key({ digest, password, salt: octetsOf(saltNode), iterations, id: 3, bytes }, work)
  }
  work.spend(safe.length / 32, 'the integrity code')
  return timingSafeEqual(createHmac(digest, key).update(safe).digest(), expected)
}

const HMAC_DIGESTS: Record<string, string> = {
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
}

/** False if the password does not open every layer. */
function readSafe(safe: Uint8Array, password: Password, work: Work, into: Pkcs12): boolean {
  for (const contentInfo of sequenceOf(readDer(derFromBer(safe, work)), 'list of contents')) {
    const [type, content] = sequenceOf(contentInfo, 'content')
    const oid = readOid(type)
    if (oid === DATA) {
      if (!readBags(dataOf(contentInfo), password, work, into, 0)) return false
    } else if (oid === ENCRYPTED_DATA && isContext(content, 0)) {
      const [, encrypted] = sequenceOf(childrenOf(content)[0], 'encrypted content')
      const [, algorithm, octets] = sequenceOf(encrypted, 'encrypted content')
      if (octets === undefined) throw new DerError('has an encrypted content without content')
      const opened = decryptWithPassword(algorithm, implicitOctets(octets), password, work)
      if (opened === undefined || !readBags(opened, password, work, into, 0)) return false
    }
  }
  return true
}

/** `[0] IMPLICIT OCTET STRING`, which BER writers cut into pieces. */
function implicitOctets(node: DerNode): Uint8Array {
  return node.constructed ? Buffer.concat(childrenOf(node).map(octetsOf)) : node.value
}

function readBags(
  contents: Uint8Array,
  password: Password,
  work: Work,
  into: Pkcs12,
  depth: number,
): boolean {
  if (depth > DEEPEST) throw new DerError('is nested too deeply')
  let bags: DerNode[]
  try {
    bags = sequenceOf(readDer(derFromBer(contents, work)), 'list of bags')
  } catch (thrown) {
    // Without an integrity code a wrong password shows only here.
    if (thrown instanceof DerError && !(thrown instanceof TooMuchWork)) return false
    throw thrown
  }
  for (const bag of bags) {
    const [type, wrapped] = sequenceOf(bag, 'bag')
    if (!isContext(wrapped, 0)) continue
    const value = childrenOf(wrapped)[0]
    if (value === undefined) continue
    switch (readOid(type)) {
      case `${BAG}1`:
        into.keys.push(readPlainKey(value.raw, 'pkcs8', work))
        break
      case `${BAG}2`: {
        const [algorithm, octets] = sequenceOf(value, 'encrypted key')
        const opened = decryptWithPassword(algorithm, octetsOf(octets), password, work)
        if (opened === undefined) return false
        into.keys.push(readPlainKey(opened, 'pkcs8', work))
        break
      }
      case `${BAG}3`: {
        const [kind, certificate] = sequenceOf(value, 'certificate bag')
        if (readOid(kind) === X509_BAG && isContext(certificate, 0))
          into.certificates.push(octetsOf(childrenOf(certificate)[0]))
        break
      }
      case `${BAG}6`:
        if (isUniversal(value, Tag.sequence) && !readBags(value.raw, password, work, into, depth + 1))
          return false
        break
      default:
    }
  }
  return true
}
