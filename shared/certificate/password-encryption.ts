import { createDecipheriv, hash, pbkdf2Sync, scryptSync } from 'node:crypto'
import {
  DerError,
  type DerNode,
  expectUniversal,
  isUniversal,
  readOid,
  readSmallInteger,
  sequenceOf,
  Tag,
} from './der.ts'
import type { Work } from './limits.ts'
import { rc2Decrypt } from './rc2.ts'

const PBES2 = '1.2.840.113549.1.5.13'
const PBKDF2 = '1.2.840.113549.1.5.12'
const SCRYPT = '1.3.6.1.4.1.11591.4.11'

/** Hash by the object identifier of its HMAC (RFC 8018, B.1.2). */
const HMACS: Record<string, string> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
}

const CIPHERS: Record<string, [name: string, keyBytes: number]> = {
  '2.16.840.1.101.3.4.1.2': ['aes-128-cbc', 16],
  '2.16.840.1.101.3.4.1.22': ['aes-192-cbc', 24],
  '2.16.840.1.101.3.4.1.42': ['aes-256-cbc', 32],
  '1.2.840.113549.3.7': ['des-ede3-cbc', 24],
}

/** The password schemes of RFC 7292, C, all over SHA-1. */
const PKCS12_SCHEMES: Record<string, [cipher: '3des' | 'rc2', keyBytes: number]> = {
  '1.2.840.113549.1.12.1.3': ['3des', 24],
  '1.2.840.113549.1.12.1.4': ['3des', 16],
  '1.2.840.113549.1.12.1.5': ['rc2', 16],
  '1.2.840.113549.1.12.1.6': ['rc2', 5],
}

/** What one step of RFC 7292's own derivation costs here, in rounds of HMAC (measured: 2 µs against 0.43 µs). */
const PKCS12_STEP = 5

/**
 * Opens something under an AlgorithmIdentifier with a password: PBES2 (PBKDF2 or scrypt with AES or 3DES) and
 * PKCS#12's schemes (3DES, RC2). Undefined if the password does not fit. Throws `DerError` for what is not
 * known or malformed, `TooMuchWork` if it would cost more than is left.
 */
export function decryptWithPassword(
  algorithm: DerNode | undefined,
  encrypted: Uint8Array,
  password: string,
  work: Work,
): Uint8Array | undefined {
  const [oidNode, parameters] = sequenceOf(algorithm, 'encryption algorithm')
  const oid = readOid(oidNode)
  const scheme = PKCS12_SCHEMES[oid]
  if (scheme === undefined && oid !== PBES2)
    throw new DerError(`is encrypted with a scheme that is not known here (${oid})`)
  work.hash(derivationCost(algorithm))
  if (scheme === undefined) return openPbes2(parameters, encrypted, password)
  const [cipher, keyBytes] = scheme
  const [saltNode, iterationsNode] = sequenceOf(parameters, 'parameters')
  const salt = expectUniversal(saltNode, Tag.octetString, 'salt').value
  const iterations = readSmallInteger(iterationsNode)
  const key = pkcs12Key('sha1', password, salt, iterations, 1, keyBytes)
  const iv = pkcs12Key('sha1', password, salt, iterations, 2, 8)
  if (cipher === 'rc2') return rc2Decrypt(key, iv, encrypted)
  return decipher(
    'des-ede3-cbc',
    keyBytes === 16 ? Buffer.concat([key, key.subarray(0, 8)]) : key,
    iv,
    encrypted,
  )
}

/**
 * What opening something under this AlgorithmIdentifier costs, in rounds of HMAC-SHA-256: PBES2, or one of the older
 * schemes, which all have `{ salt, iterations }` (RFC 8018, A.3; RFC 7292, C). Throws `DerError`.
 */
export function derivationCost(algorithm: DerNode | undefined): number {
  const [oid, parameters] = sequenceOf(algorithm, 'encryption algorithm')
  // Key and initial value take three or four steps per iteration.
  if (readOid(oid) !== PBES2)
    return 4 * PKCS12_STEP * readSmallInteger(sequenceOf(parameters, 'parameters')[1])
  const [derivation] = sequenceOf(parameters, 'parameters')
  const [kind, values] = sequenceOf(derivation, 'key derivation')
  const numbers = sequenceOf(values, 'parameters of the key derivation')
  if (readOid(kind) === SCRYPT) {
    const [cost, blockSize, parallel] = numbers.slice(1, 4).map((n) => readSmallInteger(n)) as [
      number,
      number,
      number,
    ]
    return 2 * (cost ?? 0) * (blockSize ?? 0) * (parallel ?? 0)
  }
  return pbkdf2Cost(readSmallInteger(numbers[1]), prfOf(numbers))
}

/** Two blocks of SHA-1 make an AES-256 key; the longer hashes are slower per block. */
function pbkdf2Cost(iterations: number, prf: string): number {
  return iterations * (prf === 'sha256' ? 1 : prf === 'sha1' || prf === 'sha224' ? 2 : 3)
}

function prfOf(parameters: DerNode[]): string {
  const node = parameters.slice(2).find((field) => isUniversal(field, Tag.sequence))
  if (node === undefined) return 'sha1'
  const oid = readOid(sequenceOf(node, 'hash')[0])
  const prf = HMACS[oid]
  if (prf === undefined) throw new DerError(`derives its key with a hash that is not known here (${oid})`)
  return prf
}

/** RFC 8018, A.2 and RFC 9579: salt, iterations, optional key length, hash. The caller has charged for it. */
export function pbkdf2Key(derivation: DerNode | undefined, password: string, keyBytes: number): Buffer {
  const [kind, values] = sequenceOf(derivation, 'key derivation')
  if (readOid(kind) !== PBKDF2) throw new DerError('derives its key in a way that is not known here')
  const numbers = sequenceOf(values, 'parameters of the key derivation')
  const salt = expectUniversal(numbers[0], Tag.octetString, 'salt').value
  const iterations = readSmallInteger(numbers[1])
  if (iterations < 1) throw new DerError('derives its key in no rounds at all')
  return pbkdf2Sync(password, salt, iterations, keyBytes, prfOf(numbers))
}

export function pbkdf2CostOf(derivation: DerNode | undefined): number {
  const numbers = sequenceOf(sequenceOf(derivation, 'key derivation')[1], 'parameters of the key derivation')
  // 64 bytes may be asked for: two blocks of SHA-256.
  return 2 * pbkdf2Cost(readSmallInteger(numbers[1]), prfOf(numbers))
}

function openPbes2(
  parameters: DerNode | undefined,
  encrypted: Uint8Array,
  password: string,
): Uint8Array | undefined {
  const [derivation, encryption] = sequenceOf(parameters, 'parameters')
  const [cipherOid, ivNode] = sequenceOf(encryption, 'cipher')
  const cipher = CIPHERS[readOid(cipherOid)]
  if (cipher === undefined)
    throw new DerError(`is encrypted with a cipher that is not known here (${readOid(cipherOid)})`)
  const iv = expectUniversal(ivNode, Tag.octetString, 'initial value').value
  const [kind, values] = sequenceOf(derivation, 'key derivation')
  const key =
    readOid(kind) === SCRYPT
      ? scryptKey(values, password, cipher[1])
      : pbkdf2Key(derivation, password, cipher[1])
  return decipher(cipher[0], key, iv, encrypted)
}

function scryptKey(values: DerNode | undefined, password: string, keyBytes: number): Buffer {
  const [saltNode, ...numbers] = sequenceOf(values, 'parameters of scrypt')
  const [N, r, p] = numbers.slice(0, 3).map((n) => readSmallInteger(n)) as [number, number, number]
  try {
    return scryptSync(password, expectUniversal(saltNode, Tag.octetString, 'salt').value, keyBytes, {
      N,
      r,
      p,
      maxmem: 64 << 20,
    })
  } catch {
    throw new DerError('has parameters of scrypt that are not possible or too large')
  }
}

function decipher(
  name: string,
  key: Uint8Array,
  iv: Uint8Array,
  encrypted: Uint8Array,
): Uint8Array | undefined {
  try {
    const opened = createDecipheriv(name, key, iv)
    return Buffer.concat([opened.update(encrypted), opened.final()])
  } catch {
    return undefined
  }
}

/** RFC 7292, B.2: id 1 derives a key, 2 an initial value, 3 a key for the integrity code. The caller has charged for it. */
export function pkcs12Key(
  algorithm: string,
  password: string,
  salt: Uint8Array,
  iterations: number,
  id: 1 | 2 | 3,
  bytes: number,
): Buffer {
  const block = algorithm === 'sha384' || algorithm === 'sha512' ? 128 : 64
  // UTF-16 with a closing zero (B.1).
  const text = Buffer.from(`${password}\0`, 'utf16le').swap16()
  const fill = (source: Uint8Array) => {
    const length = block * Math.ceil(source.length / block)
    return length === 0 ? Buffer.alloc(0) : Buffer.alloc(length, source)
  }
  const diversifier = Buffer.alloc(block, id)
  const state = Buffer.concat([fill(salt), fill(text)])
  const result: Buffer[] = []
  for (let made = 0; made < bytes; ) {
    let digest: Buffer = hash(algorithm, Buffer.concat([diversifier, state]), 'buffer')
    for (let i = 1; i < iterations; i++) digest = hash(algorithm, digest, 'buffer')
    result.push(digest)
    made += digest.length
    const addend = Buffer.alloc(block, digest)
    for (let start = 0; start < state.length; start += block) {
      let carry = 1
      for (let i = block - 1; i >= 0; i--) {
        const sum = state[start + i]! + addend[i]! + carry
        state[start + i] = sum & 0xff
        carry = sum >> 8
      }
    }
  }
  return Buffer.concat(result).subarray(0, bytes)
}

export function pkcs12MacCost(iterations: number): number {
  return PKCS12_STEP * iterations
}
