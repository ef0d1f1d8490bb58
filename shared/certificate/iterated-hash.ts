import { hash } from 'node:crypto'

/** Bytes of a digest, by the name that `node:crypto` has for it. */
export const DIGEST_BYTES: Record<string, number> = {
  sha1: 20,
  sha224: 28,
  sha256: 32,
  sha384: 48,
  sha512: 64,
}

/** What hashing a digest once more costs, in rounds of HMAC-SHA-256. */
export function iterationPrice(algorithm: string): number {
  return algorithm === 'sha1' || algorithm === 'sha256' ? 1 : 5
}

/**
 * Hashes a digest `times` times over. Every call of OpenSSL costs a microsecond before it does anything, and PKCS#12 as
 * GnuTLS and careful people write it asks for 600,000 in a row: SHA-1 and SHA-256 of so short a text are quicker here.
 */
export function hashAgain(algorithm: string, digest: Uint8Array, times: number): Buffer {
  const compress = algorithm === 'sha1' ? sha1Again : algorithm === 'sha256' ? sha256Again : undefined
  if (compress === undefined) {
    let last = Buffer.from(digest)
    for (let i = 0; i < times; i++) last = hash(algorithm, last, 'buffer')
    return last
  }
  const bytes = Buffer.from(digest)
  const words = Int32Array.from({ length: bytes.length / 4 }, (_, i) => bytes.readInt32BE(4 * i))
  compress(words, times)
  for (const [i, word] of words.entries()) bytes.writeInt32BE(word, 4 * i)
  return bytes
}

/** FIPS 180-4, 5.1.1: a digest of `words` words fills one block with its padding. */
function pad(block: Int32Array, words: number): void {
  block.fill(0, words, 15)
  block[words] = 0x80000000
  block[15] = words * 32
}

const schedule1 = new Int32Array(80)

/** FIPS 180-4, 6.1.2. */
function sha1Again(digest: Int32Array, times: number): void {
  const w = schedule1
  for (let left = times; left > 0; left--) {
    w.set(digest)
    pad(w, 5)
    for (let i = 16; i < 80; i++) {
      const x = w[i - 3]! ^ w[i - 8]! ^ w[i - 14]! ^ w[i - 16]!
      w[i] = (x << 1) | (x >>> 31)
    }
    let a = 0x67452301
    let b = 0xefcdab89 | 0
    let c = 0x98badcfe | 0
    let d = 0x10325476
    let e = 0xc3d2e1f0 | 0
    for (let i = 0; i < 80; i++) {
      const f =
        i < 20
          ? ((b & c) | (~b & d)) + 0x5a827999
          : i < 40
            ? (b ^ c ^ d) + 0x6ed9eba1
            : i < 60
              ? ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc
              : (b ^ c ^ d) + 0xca62c1d6
      const next = (((a << 5) | (a >>> 27)) + f + e + w[i]!) | 0
      e = d
      d = c
      c = (b << 30) | (b >>> 2)
      b = a
      a = next
    }
    digest[0] = 0x67452301 + a
    digest[1] = 0xefcdab89 + b
    digest[2] = 0x98badcfe + c
    digest[3] = 0x10325476 + d
    digest[4] = 0xc3d2e1f0 + e
  }
}

/** The first 32 bits of the fractional parts of the roots of the first primes (FIPS 180-4, 4.2.2 and 5.3.3). */
function fractions(count: number, root: (prime: number) => number): Int32Array {
  const primes: number[] = []
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime !== 0)) primes.push(n)
  return Int32Array.from(primes, (prime) => Math.floor((root(prime) % 1) * 2 ** 32))
}

const K = fractions(64, Math.cbrt)
const START = fractions(8, Math.sqrt)
const schedule256 = new Int32Array(64)

/** FIPS 180-4, 6.2.2. */
function sha256Again(digest: Int32Array, times: number): void {
  const w = schedule256
  for (let left = times; left > 0; left--) {
    w.set(digest)
    pad(w, 8)
    for (let i = 16; i < 64; i++) {
      const x = w[i - 15]!
      const y = w[i - 2]!
      w[i] =
        (w[i - 16]! +
          (((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)) +
          w[i - 7]! +
          (((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10))) |
        0
    }
    let a = START[0]!
    let b = START[1]!
    let c = START[2]!
    let d = START[3]!
    let e = START[4]!
    let f = START[5]!
    let g = START[6]!
    let h = START[7]!
    for (let i = 0; i < 64; i++) {
      const first =
        (h +
          (((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))) +
          ((e & f) ^ (~e & g)) +
          K[i]! +
          w[i]!) |
        0
      const second =
        ((((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))) +
          ((a & b) ^ (a & c) ^ (b & c))) |
        0
      h = g
      g = f
      f = e
      e = (d + first) | 0
      d = c
      c = b
      b = a
      a = (first + second) | 0
    }
    digest[0] = START[0]! + a
    digest[1] = START[1]! + b
    digest[2] = START[2]! + c
    digest[3] = START[3]! + d
    digest[4] = START[4]! + e
    digest[5] = START[5]! + f
    digest[6] = START[6]! + g
    digest[7] = START[7]! + h
  }
}
