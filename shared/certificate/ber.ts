import { DerError } from './der.ts'

const DEEPEST = 24

/**
 * Rewrites BER (X.690) as DER as far as containers written by NSS, Java and Windows need it: indefinite lengths become definite,
 * long forms of lengths become short, and octet strings that come in pieces become one. Values are left as they are.
 * Throws `DerError`, also for a nest deeper than any real container.
 */
export function derFromBer(bytes: Uint8Array): Uint8Array {
  const { parts, end } = convert(bytes, 0, 0)
  if (end !== bytes.length) throw new DerError('has bytes behind its end')
  return Buffer.concat(parts)
}

interface Converted {
  parts: Uint8Array[]
  end: number
}

function convert(bytes: Uint8Array, start: number, depth: number): Converted {
  if (depth > DEEPEST) throw new DerError('is nested too deeply')
  const identifier = bytes[start]
  if (identifier === undefined) throw new DerError('ends where a value should begin')
  if ((identifier & 0x1f) === 0x1f) throw new DerError('uses a tag number above 30')
  const { length, content } = lengthAt(bytes, start + 1)
  const constructed = (identifier & 0x20) !== 0
  if (length === undefined && !constructed) throw new DerError('has a primitive value of indefinite length')
  const end = length === undefined ? undefined : content + length
  if (end !== undefined && end > bytes.length) throw new DerError('is cut short')
  if (!constructed) return { parts: [header(identifier, length!), bytes.subarray(content, end)], end: end! }
  const inner: Uint8Array[] = []
  const octets = (identifier & 0xdf) === 0x04
  let at = content
  while (end === undefined ? !(bytes[at] === 0 && bytes[at + 1] === 0) : at < end) {
    const child = convert(bytes, at, depth + 1)
    // The pieces of an octet string lose their own headers.
    if (octets) inner.push(...child.parts.slice(1))
    else inner.push(...child.parts)
    at = child.end
  }
  if (end !== undefined && at !== end) throw new DerError('has a value that reaches beyond the one around it')
  const size = inner.reduce((sum, part) => sum + part.length, 0)
  return { parts: [header(octets ? identifier & 0xdf : identifier, size), ...inner], end: end ?? at + 2 }
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

function header(identifier: number, length: number): Uint8Array {
  if (length < 0x80) return Uint8Array.of(identifier, length)
  const digits: number[] = []
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  return Uint8Array.of(identifier, 0x80 | digits.length, ...digits)
}
