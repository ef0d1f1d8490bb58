import { textOf } from './pem.ts'
import { isZip } from './zip.ts'

const BEGIN = '-----BEGIN '
const BEGUN_LINE = /(^|\n)[ \t]*-{1,5}(B(E(G(I(N)?)?)?)?)?$/

/**
 * What says that an object is only the beginning of what somebody meant to write: nothing at all, a PEM block
 * without its end line, DER that announces more than there is, a ZIP without its directory, room that was reserved and
 * not filled yet. Undefined where it has an end, be it good or bad. Judges the last block only: whatever stands before it was written.
 */
export function cutShort(bytes: Uint8Array): 'empty' | 'cut short' | undefined {
  if (bytes[0] === 0x30 && (bytes.length === 1 || bytes[1]! > 0x80))
    return announced(bytes) > bytes.length ? 'cut short' : undefined
  if (isZip(bytes)) return hasDirectory(bytes) ? undefined : 'cut short'
  const written = withoutReserve(bytes)
  const text = textOf(written)
  if (text === undefined) return undefined
  if (text.trim() === '') return 'empty'
  if (BEGUN_LINE.test(text)) return 'cut short'
  const last = text.lastIndexOf(BEGIN)
  if (last < 0) return undefined
  const [, label] = /^([^-]*)-----/.exec(text.slice(last + BEGIN.length)) ?? []
  const hasEnd = label !== undefined && text.includes(`-----END ${label}-----`, last)
  return hasEnd && written.length === bytes.length ? undefined : 'cut short'
}

/** Bytes of the whole, from the definite length in the long form. */
function announced(bytes: Uint8Array): number {
  const octets = (bytes[1] ?? 0x84) & 0x7f
  if (bytes.length < 2 + octets) return Number.POSITIVE_INFINITY
  return 2 + octets + bytes.subarray(2, 2 + octets).reduce((sum, octet) => sum * 256 + octet, 0)
}

/** It stands at the end of a ZIP, with a comment of at most 64 KiB behind it. */
function hasDirectory(bytes: Uint8Array): boolean {
  return Buffer.from(bytes.subarray(-65_557)).includes(Buffer.from('504b0506', 'hex'))
}

function withoutReserve(bytes: Uint8Array): Uint8Array {
  // UTF-16 has zeros of its own.
  if (bytes[0] === 0xff || bytes[0] === 0xfe) return bytes
  let end = bytes.length
  while (end > 0 && bytes[end - 1] === 0) end--
  return bytes.subarray(0, end)
}
