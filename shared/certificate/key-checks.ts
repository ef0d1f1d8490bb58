import { createPrivateKey, createPublicKey, sign, verify } from 'node:crypto'
import { passed, refused, warning } from './check-result.ts'
import type { Check } from './checks.ts'
import { MOST_RSA_BITS } from './public-key.ts'

/** Leaf and private key are both there. */
const complete: Check = ({ bundle, options }) => {
  const count = bundle.chain.length
  const parts = `the certificate, ${count} intermediate${count === 1 ? '' : 's'}`
  if (bundle.privateKey !== undefined)
    return passed('complete', `The bundle holds ${parts} and the private key.`, { intermediates: count })
  if (options.keyOptional)
    return warning(
      'complete',
      `The bundle holds ${parts} but no private key: everything but the key is judged.`,
      { intermediates: count },
    )
  return refused('complete', 'private-key-missing', 'The bundle holds no private key.', {
    intermediates: count,
  })
}

/**
 * The gateways take RSA and ECDSA (API page "Creating an SSL Certificate", `algorithm_type`). Browsers take RSA from 2048
 * bits and the curves P-256 and P-384; Chromium offers no P-521 in its handshake, so a P-521 leaf reaches nobody there.
 */
const keyAlgorithm: Check = ({ leaf }) => {
  const { algorithm, bits, curve, explicitCurve, weakExponent, forOpenssl } = leaf.publicKey
  const facts = { algorithm, bits, ...(curve === undefined ? {} : { curve }) }
  const refuse = (reason: string, message: string) => refused('key-algorithm', reason, message, facts)
  if ((algorithm === 'RSA' || algorithm === 'ECC') && forOpenssl && leaf.publicKey.object() === undefined)
    return refuse(
      'key-unreadable',
      'The public key in the certificate is damaged: it is not a point of its curve or not a number.',
    )
  if (algorithm === 'RSA') {
    if (bits < 2048)
      return refuse(
        'key-too-short',
        `The RSA key has ${bits} bits; browsers and gateways want at least 2048.`,
      )
    if (bits > MOST_RSA_BITS)
      return refuse(
        'key-too-long',
        `The RSA key has ${bits} bits; more than ${MOST_RSA_BITS} makes every handshake a burden and is not taken.`,
      )
    if (weakExponent)
      return refuse(
        'key-weak',
        'The RSA key has an exponent that protects nothing or that browsers do not take (1, even, or above 33 bits).',
      )
    if (bits % 8 !== 0)
      return warning(
        'key-algorithm',
        `The RSA key has ${bits} bits, which is not a whole number of bytes; public CAs may not certify it.`,
        facts,
      )
    return passed('key-algorithm', `The key is RSA with ${bits} bits.`, facts)
  }
  if (algorithm === 'ECC') {
    if (explicitCurve)
      return refuse(
        'curve-not-named',
        'The key writes its curve out instead of naming it, which RFC 5480 forbids.',
      )
    if (curve === 'P-521')
      return refuse(
        'curve-not-offered',
        'The key is on the curve P-521, which Chromium does not offer: its users could not connect.',
      )
    if (curve !== 'P-256' && curve !== 'P-384')
      return refuse('curve-not-supported', `The key is on the curve ${curve}; browsers take P-256 and P-384.`)
    return passed('key-algorithm', `The key is ECDSA on ${curve}.`, facts)
  }
  const what = algorithm === 'unknown' ? 'of a kind that is not known here' : algorithm
  return refuse(
    'algorithm-not-supported',
    `The key is ${what}; the gateways take RSA and ECDSA only. Ask for a certificate with an RSA or ECDSA key.`,
  )
}

/** The private key belongs to the leaf, shown by signing something with it: a key can have the right public half and still be damaged. */
const keyMatches: Check = ({ bundle, leaf }) => {
  if (bundle.privateKey === undefined) return undefined
  const expected = leaf.publicKey.object()
  // Kinds that node:crypto does not know, and sizes that would cost seconds, are refused by `key-algorithm`.
  if (expected === undefined || (leaf.publicKey.algorithm !== 'RSA' && leaf.publicKey.algorithm !== 'ECC'))
    return undefined
  try {
    const key = createPrivateKey(bundle.privateKey.reveal())
    if (!createPublicKey(key).equals(expected))
      return refused(
        'key-matches',
        'another-certificate',
        'The private key belongs to another certificate: upload the pair that was issued together.',
      )
    const challenge = Buffer.from('cert-rotation: does this key sign for this certificate?')
    if (verify('sha256', challenge, expected, sign('sha256', challenge, key)))
      return passed('key-matches', 'The private key belongs to the certificate.')
  } catch {
    // Falls through: OpenSSL's words about a private key are not repeated.
  }
  return refused(
    'key-matches',
    'key-damaged',
    'The private key is damaged: what it signs does not fit the certificate.',
  )
}

export const keyChecks: readonly Check[] = [complete, keyAlgorithm, keyMatches]
