/** Writes DER for tests that need what no tool would write. It shares nothing with the reader. */
export type Tree = { tag: number; children: Tree[] } | { tag: number; bytes: Uint8Array }

export function tlv(tag: number, ...parts: Uint8Array[]): Buffer {
  const content = Buffer.concat(parts)
  const digits: number[] = []
  for (let rest = content.length; rest > 0; rest = Math.floor(rest / 256)) digits.unshift(rest % 256)
  const header = content.length < 0x80 ? [tag, content.length] : [tag, 0x80 | digits.length, ...digits]
  return Buffer.concat([Buffer.from(header), content])
}

export const sequence = (...parts: Uint8Array[]) => tlv(0x30, ...parts)
export const octets = (...parts: Uint8Array[]) => tlv(4, ...parts)
export const bits = (...parts: Uint8Array[]) => tlv(3, Buffer.of(0), ...parts)
export const context = (tag: number, ...parts: Uint8Array[]) => tlv(0xa0 | tag, ...parts)
export const nothing = () => Buffer.from([5, 0])

/** A number, or bytes of one: positive, in its shortest form. */
export function integer(value: number | bigint | Uint8Array): Buffer {
  let bytes: Buffer
  if (value instanceof Uint8Array) bytes = Buffer.from(value)
  else {
    const hex = value.toString(16)
    bytes = Buffer.from(hex.length % 2 ? `0${hex}` : hex, 'hex')
  }
  return tlv(2, bytes[0]! & 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes)
}

export function oid(dotted: string): Buffer {
  const [first, second, ...rest] = dotted.split('.').map(Number) as [number, number, ...number[]]
  const arcs = [first * 40 + second, ...rest].flatMap((arc) => {
    const groups = [arc % 128]
    for (let left = Math.floor(arc / 128); left > 0; left = Math.floor(left / 128))
      groups.unshift(128 | (left % 128))
    return groups
  })
  return tlv(6, Buffer.from(arcs))
}

/** The bytes as a tree; octet and bit strings that hold DER themselves are opened too. Undefined if it is not DER. */
export function treeOf(bytes: Uint8Array): Tree | undefined {
  const found = readAt(bytes, 0)
  return found?.end === bytes.length ? found.tree : undefined
}

export function bytesOf(tree: Tree): Buffer {
  if ('bytes' in tree) return tlv(tree.tag, tree.bytes)
  const inner = tree.children.map(bytesOf)
  return tree.tag === 3 ? bits(...inner) : tlv(tree.tag, ...inner)
}

function readAt(bytes: Uint8Array, start: number): { tree: Tree; end: number } | undefined {
  const tag = bytes[start]
  const first = bytes[start + 1]
  if (tag === undefined || first === undefined || first === 0x80) return undefined
  let length = first
  let at = start + 2
  if (first > 0x80) {
    length = 0
    for (let i = first & 0x7f; i > 0; i--) length = length * 256 + (bytes[at++] ?? Number.NaN)
  }
  const end = at + length
  if (!(end <= bytes.length)) return undefined
  const value = bytes.subarray(at, end)
  const wrapped = tag === 4 ? value : tag === 3 && value[0] === 0 ? value.subarray(1) : undefined
  const children = tag & 0x20 ? childrenOf(value) : wrapped?.length ? childrenOf(wrapped) : undefined
  return { tree: children ? { tag, children } : { tag, bytes: value }, end }
}

function childrenOf(value: Uint8Array): Tree[] | undefined {
  const children: Tree[] = []
  for (let at = 0; at < value.length; ) {
    const found = readAt(value, at)
    if (found === undefined) return undefined
    children.push(found.tree)
    at = found.end
  }
  return children
}
