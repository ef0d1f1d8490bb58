/** One DER element (X.690): enough to walk a certificate that node:crypto has parsed already. */
export interface DerElement {
  tag: number
  content: Uint8Array
  children(): DerElement[]
}

/** The element that starts at `offset`. Throws a RangeError where the bytes end early. */
export function readDer(bytes: Uint8Array, offset = 0): DerElement {
  return element(bytes, offset).element
}

function element(bytes: Uint8Array, offset: number): { element: DerElement; end: number } {
  const tag = byteAt(bytes, offset)
  let length = byteAt(bytes, offset + 1)
  let start = offset + 2
  if (length >= 0x80) {
    const count = length & 0x7f
    if (count === 0 || count > 4) throw new RangeError('not a DER length')
    length = 0
    for (let i = 0; i < count; i++) length = length * 256 + byteAt(bytes, start + i)
    start += count
  }
  const end = start + length
  if (end > bytes.length) throw new RangeError('the DER element is longer than its bytes')
  const content = bytes.subarray(start, end)
  return { element: { tag, content, children: () => list(content) }, end }
}

function list(content: Uint8Array): DerElement[] {
  const found: DerElement[] = []
  for (let at = 0; at < content.length; ) {
    const next = element(content, at)
    found.push(next.element)
    at = next.end
  }
  return found
}

function byteAt(bytes: Uint8Array, index: number): number {
  const byte = bytes[index]
  if (byte === undefined) throw new RangeError('the DER bytes end early')
  return byte
}
