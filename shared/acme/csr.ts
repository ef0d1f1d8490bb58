import { createPrivateKey, createPublicKey, sign } from 'node:crypto'
import type { Secret } from '../base/secret.ts'

const SEQUENCE = 0x30
const SET = 0x31
const OID = 0x06
const OCTET_STRING = 0x04
const BIT_STRING = 0x03
const INTEGER = 0x02
const NULL = 0x05
/** `[0]` of the attributes, `[2]` of a dNSName: context-specific. */
const ATTRIBUTES = 0xa0
const DNS_NAME = 0x82

const extensionRequest = oid('2a864886f70d01090e')
const subjectAltName = oid('551d11')
/** RFC 4055, section 5, and RFC 5758, section 3.2. */
const signatures = {
  rsa: { hash: 'sha256', algorithm: der(SEQUENCE, oid('2a864886f70d01010b'), der(NULL)) },
  'P-256': { hash: 'sha256', algorithm: der(SEQUENCE, oid('2a8648ce3d040302')) },
  'P-384': { hash: 'sha384', algorithm: der(SEQUENCE, oid('2a8648ce3d040303')) },
}

/**
 * A certificate signing request (PKCS#10, RFC 2986) in DER for these DNS names, as A-labels. The subject stays empty: all
 * names are alternative names, where clients look (RFC 8555, section 7.4). Throws where the key is no RSA key and not on
 * P-256 or P-384.
 */
export function certificateRequest(key: Secret, names: readonly string[]): Buffer {
  const privateKey = createPrivateKey(key.reveal())
  const publicKey = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  const curve = { prime256v1: 'P-256', secp384r1: 'P-384' }[
    privateKey.asymmetricKeyDetails?.namedCurve ?? ''
  ] as 'P-256' | 'P-384' | undefined
  const kind = signatures[privateKey.asymmetricKeyType === 'rsa' ? 'rsa' : curve!]
  if (!kind) throw new Error('a certificate is ordered for an RSA key or one on P-256 or P-384')
  const alternatives = der(SEQUENCE, ...names.map((name) => der(DNS_NAME, Buffer.from(name, 'ascii'))))
  const extensions = der(SEQUENCE, der(SEQUENCE, subjectAltName, der(OCTET_STRING, alternatives)))
  const info = der(
    SEQUENCE,
    der(INTEGER, Buffer.of(0)),
    der(SEQUENCE),
    publicKey,
    der(ATTRIBUTES, der(SEQUENCE, extensionRequest, der(SET, extensions))),
  )
  const signature = sign(kind.hash, info, privateKey)
  return der(SEQUENCE, info, kind.algorithm, der(BIT_STRING, Buffer.of(0), signature))
}

function der(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents)
  const { length } = content
  const size =
    length < 0x80
      ? Buffer.of(length)
      : length < 0x100
        ? Buffer.of(0x81, length)
        : Buffer.of(0x82, length >> 8, length & 0xff)
  if (length > 0xffff) throw new RangeError('more names than a certificate can have')
  return Buffer.concat([Buffer.of(tag), size, content])
}

function oid(hex: string): Buffer {
  return der(OID, Buffer.from(hex, 'hex'))
}
