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
import { DIGEST_BYTES, hashAgain, iterationPrice } from './iterated-hash.ts'
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

/**
 * What is tried on something encrypted. PKCS#12 tells the empty password from none at all (`null`), which BouncyCastle,
 * node-forge and GnuTLS write where no password is given; to everything else they are the same.
 */
export type Password = string | null

/**
 * Opens something under an AlgorithmIdentifier with a password: PBES2 (PBKDF2 or scrypt with AES or 3DES) and
 * PKCS#12's schemes (3DES, RC2). Undefined if the password does not fit. Throws `DerError` for what is not
 * known or malformed, `TooMuchWork` if it would cost more than is left.
 */
export function decryptWithPassword(
  algorithm: DerNode | undefined,
  encrypted: Uint8Array,
  password: Password,
  work: Work,
): Uint8Array | undefined {
  const [oidNode, parameters] = sequenceOf(algorithm, 'encryption algorithm')
  const oid = readOid(oidNode)
  if (oid === PBES2) return openPbes2(parameters, encrypted, password ?? '', work)
  const scheme = PKCS12_SCHEMES[oid]
  if (scheme === undefined) throw new DerError(`is encrypted with a scheme that is not known here (${oid})`)
  const [cipher, keyBytes] = scheme
  const [saltNode, iterationsNode] = sequenceOf(parameters, 'parameters')
  const salt = expectUniversal(saltNode, Tag.octetString, 'salt').value
  const iterations = readSmallInteger(iterationsNode)
  const derive = (id: 1 | 2, bytes: number) =>
    pkcs12Key({ digest: 'sha1', password, salt, iterations, id, bytes }, work)
  const key = derive(1, keyBytes)
  const iv = derive(2, 8)
  if (cipher === 'rc2') {
    work.spend(encrypted.length * RC2_BYTE, 'decrypting RC2')
    return rc2Decrypt(key, iv, encrypted)
  }
  const whole = keyBytes === 16 ? Buffer.concat([key, key.subarray(0, 8)]) : key
  return decipher('des-ede3-cbc', whole, iv, encrypted, work)
}

/** Prices of one byte, in rounds: RC2 is decrypted in JavaScript, 3DES is the slowest of OpenSSL's. */
const RC2_BYTE = 2
const CIPHER_BYTE = 1 / 8
const HASHED_BYTE = 1 / 32

function openPbes2(
  parameters: DerNode | undefined,
  encrypted: Uint8Array,
  password: string,
  work: Work,
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
      ? scryptKey(values, password, cipher[1], work)
      : pbkdf2Key(derivation, password, cipher[1], work)
  return decipher(cipher[0], key, iv, encrypted, work)
}

/** PBKDF2 by RFC 8018, A.2, paid for before it starts. `bytes` is used where the file does not say how many. */
export function pbkdf2Key(
  derivation: DerNode | undefined,
  password: string,
  bytes: number,
  work: Work,
): Buffer {
  const [kind, values] = sequenceOf(derivation, 'key derivation')
  if (readOid(kind) !== PBKDF2) throw new DerError('derives its key in a way that is not known here')
  const numbers = sequenceOf(values, 'parameters of the key derivation')
  const salt = expectUniversal(numbers[0], Tag.octetString, 'salt').value
  const iterations = readSmallInteger(numbers[1])
  if (iterations < 1) throw new DerError('derives its key in no rounds at all')
  const length = isUniversal(numbers[2], Tag.integer) ? readSmallInteger(numbers[2]) : bytes
  if (length < 1 || length > LONGEST_KEY)
    throw new DerError(`derives a key of ${length} bytes, which nothing here takes`)
  const prf = prfOf(numbers)
  const blocks = Math.ceil(length / DIGEST_BYTES[prf]!)
  // Each block hashes the salt once.
  work.spend(blocks * (iterations * PBKDF2_ROUND[prf]! + salt.length * HASHED_BYTE), 'password hashing')
  return pbkdf2Sync(password, salt, iterations, length, prf)
}

/** The longest that any cipher or integrity code here takes. */
const LONGEST_KEY = 64

/** SHA-512 works on blocks twice as long. */
const PBKDF2_ROUND: Record<string, number> = { sha1: 1, sha224: 1, sha256: 1, sha384: 2, sha512: 2 }

function prfOf(parameters: DerNode[]): string {
  const node = parameters.slice(2).find((field) => isUniversal(field, Tag.sequence))
  if (node === undefined) return 'sha1'
  const oid = readOid(sequenceOf(node, 'hash')[0])
  const prf = HMACS[oid]
  if (prf === undefined) throw new DerError(`derives its key with a hash that is not known here (${oid})`)
  return prf
}

/** RFC 7914, 7.1. */
function scryptKey(values: DerNode | undefined, password: string, bytes: number, work: Work): Buffer {
  const [saltNode, ...numbers] = sequenceOf(values, 'parameters of scrypt')
  const salt = expectUniversal(saltNode, Tag.octetString, 'salt').value
  const N = readSmallInteger(numbers[0])
  const r = readSmallInteger(numbers[1])
  const p = readSmallInteger(numbers[2])
  // The mixing, and the two PBKDF2 around it, which see p blocks of 128 r bytes.
  work.spend(p * r * (2 * N + 16) + salt.length * p * r, 'password hashing')
  try {
    return scryptSync(password, salt, bytes, { N, r, p, maxmem: MOST_SCRYPT_MEMORY })
  } catch {
    throw new DerError('has parameters of scrypt that are not possible or too large')
  }
}

const MOST_SCRYPT_MEMORY = 64 << 20

function decipher(
  name: string,
  key: Uint8Array,
  iv: Uint8Array,
  encrypted: Uint8Array,
  work: Work,
): Uint8Array | undefined {
  work.spend(encrypted.length * CIPHER_BYTE, 'decrypting')
  try {
    const opened = createDecipheriv(name, key, iv)
    return Buffer.concat([opened.update(encrypted), opened.final()])
  } catch {
    return undefined
  }
}

/** OpenSSL's own `DEK-Info` encryption of PEM: the key is MD5 over password and initial value, one round. */
export function decryptDekInfo(
  dekInfo: string,
  encrypted: Uint8Array,
  password: string,
  work: Work,
): Uint8Array | undefined {
  const [name = '', ivHex = ''] = dekInfo.split(',').map((part) => part.trim())
  const cipher = DEK_CIPHERS[name.toUpperCase()]
  if (cipher === undefined)
    throw new DerError('is encrypted with a cipher that is not known here (DEK-Info in its header)')
  const [openssl, keyBytes, ivBytes] = cipher
  if (!/^([0-9A-Fa-f]{2})+$/.test(ivHex) || ivHex.length !== 2 * ivBytes)
    throw new DerError('has an initial value of a wrong length (DEK-Info in its header)')
  const iv = Buffer.from(ivHex, 'hex')
  const parts: Buffer[] = []
  for (let made = 0; made < keyBytes; made += 16) {
    const before = parts.at(-1) ?? Buffer.alloc(0)
    parts.push(hash('md5', Buffer.concat([before, Buffer.from(password), iv.subarray(0, 8)]), 'buffer'))
  }
  return decipher(openssl, Buffer.concat(parts).subarray(0, keyBytes), iv, encrypted, work)
}

const DEK_CIPHERS: Record<string, [name: string, keyBytes: number, ivBytes: number]> = {
  'AES-128-CBC': ['aes-128-cbc', 16, 16],
  'AES-192-CBC': ['aes-192-cbc', 24, 16],
  'AES-256-CBC': ['aes-256-cbc', 32, 16],
  'DES-EDE3-CBC': ['des-ede3-cbc', 24, 8],
}

export interface Pkcs12Derivation {
  digest: string
  password: Password
  salt: Uint8Array
  iterations: number
  /** 1 derives a key, 2 an initial value, 3 a key for the integrity code. */
  id: 1 | 2 | 3
  bytes: number
}

/** RFC 7292, B.2, paid for before it starts, every block of it. */
export function pkcs12Key(derivation: Pkcs12Derivation, work: Work): Buffer {
  const { digest: algorithm, password, salt, iterations, id, bytes } = derivation
  const block = algorithm === 'sha384' || algorithm === 'sha512' ? 128 : 64
  // UTF-16 with a closing zero (B.1); no password at all is no bytes.
  const text = password === null ? Buffer.alloc(0) : Buffer.from(`${password}\0`, 'utf16le').swap16()
  const fill = (source: Uint8Array) => {
    const length = block * Math.ceil(source.length / block)
    return length === 0 ? Buffer.alloc(0) : Buffer.alloc(length, source)
  }
  const state = Buffer.concat([fill(salt), fill(text)])
  const blocks = Math.ceil(bytes / DIGEST_BYTES[algorithm]!)
  work.spend(
    blocks *
      (Math.max(1, iterations) * iterationPrice(algorithm) + state.length * STATE_BYTE + DERIVED_BLOCK),
    'password hashing',
  )
  const diversifier = Buffer.alloc(block, id)
  const result: Buffer[] = []
  for (let made = 0; made < blocks; made++) {
    const first = hash(algorithm, Buffer.concat([diversifier, state]), 'buffer')
    const digest = hashAgain(algorithm, first, iterations - 1)
    result.push(digest)
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

/** Hashing the state and counting it up, byte by byte in JavaScript. */
const STATE_BYTE = 1 / 16
const DERIVED_BLOCK = 16
