import { childrenOf, DerError, type DerNode, isContext, oidFromBytes, readOid } from './der.ts'
import { type DistinguishedName, readDistinguishedName } from './distinguished-name.ts'

/** A GeneralName of RFC 5280, 4.2.1.6, with what this product looks at read out. */
export type GeneralName =
  | { kind: 'dns' | 'email' | 'uri'; value: string }
  /** 4 or 16 octets; twice as many, with the mask, in a name constraint. */
  | { kind: 'ip'; value: Uint8Array }
  | { kind: 'directory'; value: DistinguishedName }
  /** otherName and registeredID, with their identifier: constrained only as a whole. */
  | { kind: 'other'; value: string }

const latin1 = new TextDecoder('latin1')

/** Throws `DerError`, also for characters that an IA5String cannot hold. */
export function readGeneralName(node: DerNode): GeneralName {
  if (node.tagClass !== 'context') throw new DerError('has something else where a name belongs')
  switch (node.tag) {
    case 1:
      return { kind: 'email', value: ascii(node) }
    case 2:
      return { kind: 'dns', value: ascii(node) }
    case 6:
      return { kind: 'uri', value: ascii(node) }
    case 7:
      if (node.constructed) throw new DerError('has a wrongly encoded IP address')
      return { kind: 'ip', value: node.value }
    case 4: {
      const inner = childrenOf(node)
      if (inner.length !== 1) throw new DerError('has a wrongly encoded directory name')
      return { kind: 'directory', value: readDistinguishedName(inner[0]) }
    }
    case 0: {
      const [type, value, ...rest] = childrenOf(node)
      if (!isContext(value, 0) || childrenOf(value).length !== 1 || rest.length > 0)
        throw new DerError('has a wrongly encoded name of another kind')
      return { kind: 'other', value: `0:${readOid(type)}` }
    }
    case 8:
      if (node.constructed) throw new DerError('has a wrongly encoded registered identifier')
      return { kind: 'other', value: `8:${oidFromBytes(node.value)}` }
    case 3:
    case 5:
      // Nobody issues them any more, and their insides would be one more thing that two readers can read differently.
      throw new DerError('has an X.400 or EDI name, which nothing here can check')
    default:
      throw new DerError('has a name of an unknown kind')
  }
}

function ascii(node: DerNode): string {
  if (node.constructed || !node.value.every((byte) => byte < 0x80))
    throw new DerError('has a name with characters that are not ASCII')
  return latin1.decode(node.value)
}

/** `192.0.2.1`, or IPv6 as RFC 5952 writes it. */
export function ipText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => ((bytes[2 * i]! << 8) | bytes[2 * i + 1]!).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

/** The octets of an address, or undefined if `text` is not one. Only the strict dotted form is an IPv4 address. */
export function ipBytes(text: string): Uint8Array | undefined {
  const bare = text.startsWith('[') && text.endsWith(']') ? text.slice(1, -1) : text
  if (/^\d{1,3}(\.\d{1,3}){3}$/.test(bare)) {
    const parts = bare.split('.')
    if (parts.some((part) => Number(part) > 255 || (part.length > 1 && part.startsWith('0'))))
      return undefined
    return Uint8Array.from(parts, Number)
  }
  if (!bare.includes(':') || !/^[0-9a-fA-F:.]+$/.test(bare) || !URL.canParse(`http://[${bare}]`))
    return undefined
  const [head = '', tail] = new URL(`http://[${bare}]`).hostname.slice(1, -1).split('::')
  const left = head === '' ? [] : head.split(':')
  const right = tail === undefined || tail === '' ? [] : tail.split(':')
  const groups =
    tail === undefined ? left : [...left, ...Array(8 - left.length - right.length).fill('0'), ...right]
  return Uint8Array.from(
    groups.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]),
  )
}
