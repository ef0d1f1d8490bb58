import { derFromBer } from './ber.ts'
import { childrenOf, DerError, isContext, isUniversal, readDer, readOid, sequenceOf, Tag } from './der.ts'
import type { Work } from './limits.ts'

const SIGNED_DATA = '1.2.840.113549.1.7.2'

/**
 * The certificates of a PKCS#7 / CMS SignedData (RFC 5652, 5.1): the way Windows and some CAs deliver a chain.
 * Nothing else of it is looked at, the signature neither: it carries no authority here. Throws `DerError`.
 */
export function readPkcs7(bytes: Uint8Array, work: Work): Uint8Array[] {
  const [type, content] = sequenceOf(readDer(derFromBer(bytes, work)), 'PKCS#7')
  if (readOid(type) !== SIGNED_DATA || !isContext(content, 0))
    throw new DerError('is a PKCS#7 that holds no certificates')
  const signedData = sequenceOf(childrenOf(content)[0], 'signed data')
  const certificates = signedData.find((field) => isContext(field, 0))
  if (certificates === undefined) throw new DerError('is a PKCS#7 that holds no certificates')
  // Attribute certificates (context tags) may stand among them.
  return childrenOf(certificates)
    .filter((node) => isUniversal(node, Tag.sequence))
    .map((node) => node.raw)
}
