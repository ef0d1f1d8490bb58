/**
 * A strict reader of DER (X.690, chapter 10): definite lengths in their shortest form, nothing behind the
 * value. Certificates are read with it because a signature covers exactly these bytes; what is tolerated here
 * could be read differently by the gateway and by a browser. Children are read on demand, so a deep nest
 * costs nothing until somebody walks into it.
 */
export class DerError extends Error {
  override readonly name = 'DerError'
}

export type TagClass = 'universal' | 'application' | 'context' | 'private'

export interface DerNode {
  tagClass: TagClass
  tag: number
  constructed: boolean
  /** The content octets. */
  value: Uint8Array
  /** Identifier, length and content octets. */
  raw: Uint8Array
}

export const Tag = {
  boolean: 1,
  integer: 2,
  bitString: 3,
  octetString: 4,
  null: 5,
  oid: 6,
  utf8String: 12,
  sequence: 16,
  set: 17,
  numericString: 18,
  printableString: 19,
  teletexString: 20,
  ia5String: 22,
  utcTime: 23,
  generalizedTime: 24,
  visibleString: 26,
  universalString: 28,
  bmpString: 30,
} as const

const CLASSES: TagClass[] = ['universal', 'application', 'context', 'private']

function readAt(bytes: Uint8Array, start: number): { node: DerNode; end: number } {
  const first = bytes[start]
  if (first === undefined) throw new DerError('ends where a value should begin')
  const tag = first & 0x1f
  // No structure read here uses tag numbers above 30.
  if (tag === 0x1f) throw new DerError('uses a tag number above 30')
  const lengthByte = bytes[start + 1]
  if (lengthByte === undefined) throw new DerError('ends inside a length')
  let length = lengthByte
  let offset = start + 2
  if (lengthByte === 0x80) throw new DerError('uses an indefinite length')
  if (lengthByte > 0x80) {
    const count = lengthByte & 0x7f
    if (count > 4) throw new DerError('has a length of more than four bytes')
    length = 0
    for (let i = 0; i < count; i++) {
      const byte = bytes[offset++]
      if (byte === undefined) throw new DerError('ends inside a length')
      if (i === 0 && byte === 0) throw new DerError('has a length that is not in its shortest form')
      length = length * 256 + byte
    }
    if (length < 0x80) throw new DerError('has a length that is not in its shortest form')
  }
  const end = offset + length
  if (end > bytes.length) throw new DerError('is cut short')
  return {
    node: {
      tagClass: CLASSES[first >> 6]!,
      tag,
      constructed: (first & 0x20) !== 0,
      value: bytes.subarray(offset, end),
      raw: bytes.subarray(start, end),
    },
    end,
  }
}

/** The one value that fills `bytes`. Throws `DerError`. */
export function readDer(bytes: Uint8Array): DerNode {
  const { node, end } = readAt(bytes, 0)
  if (end !== bytes.length) throw new DerError('has bytes behind its end')
  return node
}

/** The first value of `bytes`, whatever stands behind it: to measure a value inside a longer text. */
export function readDerPrefix(bytes: Uint8Array): DerNode {
  return readAt(bytes, 0).node
}

/** The values inside a constructed one, at most the first `most`. Throws `DerError`. */
export function childrenOf(node: DerNode, most = Number.POSITIVE_INFINITY): DerNode[] {
  if (!node.constructed) throw new DerError('has a primitive value where a constructed one belongs')
  const children: DerNode[] = []
  for (let offset = 0; offset < node.value.length && children.length < most; ) {
    const { node: child, end } = readAt(node.value, offset)
    children.push(child)
    offset = end
  }
  return children
}

export function isUniversal(node: DerNode | undefined, tag: number): node is DerNode {
  return node !== undefined && node.tagClass === 'universal' && node.tag === tag
}

export function isContext(node: DerNode | undefined, tag: number): node is DerNode {
  return node !== undefined && node.tagClass === 'context' && node.tag === tag
}

/** Throws `DerError` unless `node` is that universal type, naming `what` was expected. */
export function expectUniversal(node: DerNode | undefined, tag: number, what: string): DerNode {
  if (!isUniversal(node, tag)) throw new DerError(`has no ${what} where one belongs`)
  const constructed = tag === Tag.sequence || tag === Tag.set
  if (node.constructed !== constructed) throw new DerError(`has a wrongly encoded ${what}`)
  return node
}

export function sequenceOf(node: DerNode | undefined, what: string): DerNode[] {
  return childrenOf(expectUniversal(node, Tag.sequence, what))
}

/** Dotted decimal. */
export function readOid(node: DerNode | undefined): string {
  const { value } = expectUniversal(node, Tag.oid, 'object identifier')
  return oidFromBytes(value)
}

export function oidFromBytes(value: Uint8Array): string {
  // Real identifiers are short; a bound keeps a hostile one from costing anything.
  if (value.length === 0 || value.length > 64)
    throw new DerError('has an object identifier of a strange length')
  const arcs: bigint[] = []
  let arc = 0n
  let fresh = true
  for (const byte of value) {
    if (fresh && byte === 0x80)
      throw new DerError('has an object identifier that is not in its shortest form')
    arc = (arc << 7n) | BigInt(byte & 0x7f)
    fresh = (byte & 0x80) === 0
    if (fresh) {
      arcs.push(arc)
      arc = 0n
    }
  }
  if (!fresh) throw new DerError('has an object identifier that is cut short')
  const first = arcs[0]!
  const top = first < 40n ? 0n : first < 80n ? 1n : 2n
  return [top, first - top * 40n, ...arcs.slice(1)].join('.')
}

export function readBoolean(node: DerNode): boolean {
  const { value } = expectUniversal(node, Tag.boolean, 'truth value')
  if (value.length !== 1 || (value[0] !== 0 && value[0] !== 0xff))
    throw new DerError('has a truth value that is not DER')
  return value[0] === 0xff
}

/** The content octets of an INTEGER in its shortest form. */
export function readInteger(node: DerNode | undefined): Uint8Array {
  const { value } = expectUniversal(node, Tag.integer, 'integer')
  return checkedInteger(value)
}

/** The same rule for an INTEGER under an implicit tag. */
export function checkedInteger(value: Uint8Array): Uint8Array {
  if (value.length === 0) throw new DerError('has an empty integer')
  if (value.length > 1 && ((value[0] === 0 && value[1]! < 0x80) || (value[0] === 0xff && value[1]! >= 0x80)))
    throw new DerError('has an integer that is not in its shortest form')
  return value
}

/** A non-negative INTEGER small enough to be counted with. */
export function readSmallInteger(node: DerNode | undefined): number {
  return smallInteger(readInteger(node))
}

export function smallInteger(value: Uint8Array): number {
  if ((value[0]! & 0x80) !== 0) throw new DerError('has a negative number where a count belongs')
  if (value.length > 6) return Number.MAX_SAFE_INTEGER
  return value.reduce((number, byte) => number * 256 + byte, 0)
}

export interface BitString {
  bytes: Uint8Array
  unusedBits: number
}

export function readBitString(node: DerNode | undefined): BitString {
  const { value } = expectUniversal(node, Tag.bitString, 'bit string')
  return bitStringFrom(value)
}

export function bitStringFrom(value: Uint8Array): BitString {
  const unusedBits = value[0]
  if (unusedBits === undefined || unusedBits > 7 || (value.length === 1 && unusedBits > 0))
    throw new DerError('has a wrongly encoded bit string')
  const last = value.at(-1)!
  if (value.length > 1 && (last & ((1 << unusedBits) - 1)) !== 0)
    throw new DerError('has a bit string with stray bits at its end')
  return { bytes: value.subarray(1), unusedBits }
}

/** Bit 0 is the first one, as in the RFC's named bit lists. */
export function bitIsSet(bits: BitString, index: number): boolean {
  const byte = bits.bytes[index >> 3]
  return byte !== undefined && (byte & (0x80 >> (index & 7))) !== 0
}

const latin1 = new TextDecoder('latin1')
const utf8 = new TextDecoder('utf-8', { fatal: true })
const utf16 = new TextDecoder('utf-16le', { fatal: true })

/** Text of any string type; `undefined` where the bytes do not fit the type. */
export function readText(node: DerNode): string | undefined {
  if (node.tagClass !== 'universal' || node.constructed) return undefined
  const { tag, value } = node
  try {
    switch (tag) {
      case Tag.utf8String:
        return utf8.decode(value)
      case Tag.printableString:
      case Tag.ia5String:
      case Tag.numericString:
      case Tag.visibleString:
        return value.every((byte) => byte < 0x80) ? latin1.decode(value) : undefined
      case Tag.teletexString:
        return latin1.decode(value)
      case Tag.bmpString: {
        const swapped = Buffer.from(value)
        return swapped.length % 2 === 0 ? utf16.decode(swapped.swap16()) : undefined
      }
      case Tag.universalString: {
        if (value.length % 4 !== 0) return undefined
        const bytes = Buffer.from(value)
        let text = ''
        for (let i = 0; i < bytes.length; i += 4) text += String.fromCodePoint(bytes.readUInt32BE(i))
        return text
      }
      default:
        return undefined
    }
  } catch {
    return undefined
  }
}

/**
 * UTCTime or GeneralizedTime in the only forms RFC 5280 (4.1.2.5) allows: seconds present, `Z`, no fraction.
 * UTCTime years below 50 are 20xx.
 */
export function readTime(node: DerNode | undefined): Date {
  const short = isUniversal(node, Tag.utcTime)
  if (!short && !isUniversal(node, Tag.generalizedTime)) throw new DerError('has no time where one belongs')
  if (node.constructed) throw new DerError('has a wrongly encoded time')
  const text = latin1.decode(node.value)
  const match = (
    short ? /^(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/ : /^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})Z$/
  ).exec(text)
  if (match === null) throw new DerError('has a time in a form that RFC 5280 does not allow')
  const [year, month, day, hour, minute, second] = match.slice(1).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const fullYear = short ? (year < 50 ? 2000 + year : 1900 + year) : year
  const time = new Date(0)
  time.setUTCFullYear(fullYear, month - 1, day)
  time.setUTCHours(hour, minute, second)
  if (
    time.getUTCMonth() !== month - 1 ||
    time.getUTCDate() !== day ||
    hour > 23 ||
    minute > 59 ||
    second > 59
  )
    throw new DerError('has a time that does not exist')
  return time
}
