import { DerError } from './der.ts'
import type { Work } from './limits.ts'

const DEEPEST = 24

/**
 * Rewrites BER (X.690) as DER as far as containers written by NSS, Java and Windows need it: indefinite lengths become definite,
 * long forms of lengths become short, and octet strings that come in pieces become one. Values are left as they are.
 * Throws `DerError`, also for a nest deeper than any real container.
 */
export function derFromBer(bytes: Uint8Array, work: Work): Uint8Array {
  work.spend(bytes.length * BYTE, 'reading a container')
  const conversion = new Conversion(bytes)
  if (conversion.measure(0, 0) !== bytes.length) throw new DerError('has bytes behind its end')
  return conversion.write()
}

/** In rounds, with what reads the result: a hostile container is nothing but headers. */
const BYTE = 2

/** First measures every value, then writes them all into one buffer: a container can hold a hundred thousand. */
class Conversion {
  readonly #bytes: Uint8Array
  /** Of the content as it will be written, and where the value ends now, in the order in which values begin. */
  readonly #sizes: number[] = []
  readonly #ends: number[] = []
  #out = new Uint8Array()
  #written = 0
  #next = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  /** Returns where the value ends. */
  measure(start: number, depth: number): number {
    if (depth > DEEPEST) throw new DerError('is nested too deeply')
    const bytes = this.#bytes
    const identifier = bytes[start]
    if (identifier === undefined) throw new DerError('ends where a value should begin')
    if ((identifier & 0x1f) === 0x1f) throw new DerError('uses a tag number above 30')
    const { length, content } = lengthAt(bytes, start + 1)
    if (length === undefined && !isConstructed(identifier))
      throw new DerError('has a primitive value of indefinite length')
    const end = length === undefined ? undefined : content + length
    if (end !== undefined && end > bytes.length) throw new DerError('is cut short')
    const me = this.#sizes.length
    this.#sizes.push(length ?? 0)
    this.#ends.push(end ?? 0)
    if (!isConstructed(identifier)) return end!
    let size = 0
    let at = content
    while (end === undefined ? !(bytes[at] === 0 && bytes[at + 1] === 0) : at < end) {
      const child = this.#sizes.length
      at = this.measure(at, depth + 1)
      const inner = this.#sizes[child]!
      // The pieces of an octet string lose their own headers.
      size += isOctets(identifier) ? inner : 1 + lengthBytes(inner) + inner
    }
    if (end !== undefined && at !== end)
      throw new DerError('has a value that reaches beyond the one around it')
    this.#sizes[me] = size
    this.#ends[me] = end ?? at + 2
    return this.#ends[me]!
  }

  write(): Uint8Array {
    const size = this.#sizes[0]!
    this.#out = new Uint8Array(1 + lengthBytes(size) + size)
    this.#value(0, false)
    return this.#out
  }

  #value(start: number, bare: boolean): void {
    const me = this.#next++
    const identifier = this.#bytes[start]!
    const { content } = lengthAt(this.#bytes, start + 1)
    if (!bare) this.#header(isOctets(identifier) ? identifier & 0xdf : identifier, this.#sizes[me]!)
    if (isConstructed(identifier)) {
      const end = this.#ends[me]!
      const last = this.#bytes[start + 1] === 0x80 ? end - 2 : end
      for (let at = content; at < last; ) {
        const child = this.#next
        this.#value(at, isOctets(identifier))
        at = this.#ends[child]!
      }
      return
    }
    const length = this.#sizes[me]!
    for (let i = 0; i < length; i++) this.#out[this.#written + i] = this.#bytes[content + i]!
    this.#written += length
  }

  #header(identifier: number, length: number): void {
    this.#out[this.#written++] = identifier
    const count = lengthBytes(length)
    if (count > 1) this.#out[this.#written++] = 0x7f + count
    for (let i = Math.max(1, count - 1); i > 0; i--)
      this.#out[this.#written++] = Math.floor(length / 256 ** (i - 1)) % 256
  }
}

function isConstructed(identifier: number): boolean {
  return (identifier & 0x20) !== 0
}

function isOctets(identifier: number): boolean {
  return (identifier & 0xdf) === 0x04
}

/** How many bytes the shortest form of a length takes. */
function lengthBytes(length: number): number {
  let count = 1
  if (length >= 0x80) for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) count++
  return count
}

function lengthAt(bytes: Uint8Array, start: number): { length: number | undefined; content: number } {
  const first = bytes[start]
  if (first === undefined) throw new DerError('ends inside a length')
  if (first < 0x80) return { length: first, content: start + 1 }
  if (first === 0x80) return { length: undefined, content: start + 1 }
  const count = first & 0x7f
  if (count > 4) throw new DerError('has a length of more than four bytes')
  let length = 0
  for (let i = 1; i <= count; i++) length = length * 256 + (bytes[start + i] ?? Number.NaN)
  if (Number.isNaN(length)) throw new DerError('ends inside a length')
  return { length, content: start + 1 + count }
}
