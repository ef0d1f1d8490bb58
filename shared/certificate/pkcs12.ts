import { createHmac, timingSafeEqual } from 'node:crypto'
import { Secret } from '../base/secret.ts'
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
import { TooMuchWork, type Work } from './limits.ts'
import {
  decryptWithPassword,
  pbkdf2CostOf,
  pbkdf2Key,
  pkcs12Key,
  pkcs12MacCost,
} from './password-encryption.ts'
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
 * with the newer PBMAC1 (RFC 9579). The passwords are tried in order, the empty one last. Every derivation is
 * paid for before it starts, also those that only show inside an opened layer. Throws `DerError`.
 */
export function readPkcs12(
  bytes: Uint8Array,
  passwords: readonly Secret[],
  work: Work,
): Pkcs12 | { problem: KeyProblem } {
  const [version, authSafe, macData] = sequenceOf(readDer(derFromBer(bytes)), 'PKCS#12')
  if (readSmallInteger(version) !== 3) throw new DerError('is a PKCS#12 of a version that is not known here')
  const safe = dataOf(authSafe)
  for (const password of [...passwords, new Secret('')]) {
    try {
      if (macData !== undefined && !macFits(macData, safe, password.reveal(), work)) continue
      const opened: Pkcs12 = { certificates: [], keys: [] }
      if (readSafe(safe, password.reveal(), work, opened)) return opened
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
        message: 'is in a PKCS#12 with a password, and none is configured',
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

function macFits(macData: DerNode, safe: Uint8Array, password: string, work: Work): boolean {
  const [digestInfo, saltNode, iterationsNode] = sequenceOf(macData, 'integrity code')
  const [algorithm, expectedNode] = sequenceOf(digestInfo, 'integrity code')
  const [oidNode, parameters] = sequenceOf(algorithm, 'integrity code')
  const expected = octetsOf(expectedNode)
  const oid = readOid(oidNode)
  let digest = DIGESTS[oid]
  let key: Buffer
  if (oid === PBMAC1) {
    const [derivation, scheme] = sequenceOf(parameters, 'integrity code')
    digest = HMAC_DIGESTS[readOid(sequenceOf(scheme, 'integrity code')[0])]
    if (digest === undefined) throw new DerError('has an integrity code that is not known here')
    work.hash(pbkdf2CostOf(derivation))
    key = pbkdf2Key(derivation, password, expected.length)
  } else {
    if (digest === undefined) throw new DerError(`has an integrity code that is not known here (${oid})`)
    const iterations = iterationsNode === undefined ? 1 : readSmallInteger(iterationsNode)
    work.hash(pkcs12MacCost(iterations))
    key = pkcs12Key(digest, password, octetsOf(saltNode), iterations, 3, expected.length)
  }
  const actual = createHmac(digest, key).update(safe).digest()
  return actual.length === expected.length && timingSafeEqual(actual, expected)
}

const HMAC_DIGESTS: Record<string, string> = {
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
}

/** False if the password does not open every layer. */
function readSafe(safe: Uint8Array, password: string, work: Work, into: Pkcs12): boolean {
  for (const contentInfo of sequenceOf(readDer(derFromBer(safe)), 'list of contents')) {
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

function readBags(contents: Uint8Array, password: string, work: Work, into: Pkcs12, depth: number): boolean {
  if (depth > DEEPEST) throw new DerError('is nested too deeply')
  let bags: DerNode[]
  try {
    bags = sequenceOf(readDer(derFromBer(contents)), 'list of bags')
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
