import { childrenOf, DerError, type DerNode, isContext, readDerPrefix, Tag } from './der.ts'

export type BinaryKind = 'certificate' | 'pkcs7' | 'pkcs12' | 'private-key' | 'encrypted-key'

const SIGNED_DATA = '2a864886f70d010702'

const is = (node: DerNode | undefined, tag: number): boolean =>
  node?.tagClass === 'universal' && node.tag === tag

/** What a binary object is, by its first fields only; undefined if it is nothing of ours. */
export function looksLike(bytes: Uint8Array): BinaryKind | undefined {
  if (bytes[0] !== 0x30) return undefined
  // PKCS#12 and PKCS#7 of some tools (NSS, Windows, Java) come in BER with indefinite lengths.
  if (bytes[1] === 0x80) return looksLikeBer(bytes.subarray(2))
  try {
    const [first, second, third] = childrenOf(readDerPrefix(bytes), 3)
    if (first === undefined) return undefined
    if (is(first, Tag.oid))
      return Buffer.from(first.value).toString('hex') === SIGNED_DATA ? 'pkcs7' : undefined
    if (is(first, Tag.integer)) {
      if (first.value.length === 1 && first.value[0] === 3 && is(second, Tag.sequence)) return 'pkcs12'
      if (is(second, Tag.sequence) && is(third, Tag.octetString)) return 'private-key'
      if (is(second, Tag.octetString) || is(second, Tag.integer)) return 'private-key'
      return undefined
    }
    if (!is(first, Tag.sequence)) return undefined
    if (is(second, Tag.octetString)) return 'encrypted-key'
    const [version] = childrenOf(first, 1)
    return is(second, Tag.sequence) && (isContext(version, 0) || is(version, Tag.integer))
      ? 'certificate'
      : undefined
  } catch (thrown) {
    if (thrown instanceof DerError) return undefined
    throw thrown
  }
}

function looksLikeBer(content: Uint8Array): BinaryKind | undefined {
  const start = Buffer.from(content.subarray(0, 12)).toString('hex')
  if (start.startsWith(`0609${SIGNED_DATA}`)) return 'pkcs7'
  return start.startsWith('02010330') ? 'pkcs12' : undefined
}
