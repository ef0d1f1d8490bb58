import { createHash, createHmac, createPrivateKey, createPublicKey, type KeyObject, sign } from 'node:crypto'
import type { Secret } from '../base/secret.ts'

/** A flattened JSON Web Signature (RFC 7515, section 7.2.2), the body of every ACME request. */
export interface Jws {
  protected: string
  payload: string
  signature: string
}

type PublicJwk = Record<string, string>

/** RFC 7518, section 3.1: what an account key of each kind signs with. */
const ALGORITHMS: Record<string, { alg: string; hash: string }> = {
  RSA: { alg: 'RS256', hash: 'sha256' },
  'P-256': { alg: 'ES256', hash: 'sha256' },
  'P-384': { alg: 'ES384', hash: 'sha384' },
  'P-521': { alg: 'ES512', hash: 'sha512' },
}

/** Signs the requests of one account (RFC 8555, section 6.2). */
export interface Signer {
  /** Without an account's URL the key itself names it: only for a new account. Payload `undefined`: POST-as-GET. */
  sign(target: { url: string; nonce: string; account: string | undefined }, payload: unknown): Jws
  /** RFC 8555, section 7.3.4: the CA's customer, bound to this key. */
  bind(target: { url: string; keyId: string; hmacKey: Secret }): Jws
  /** `token.thumbprint` (RFC 8555, section 8.1). */
  keyAuthorization(token: string): string
}

/** `key`: PEM, RSA or one of the curves above. Throws where it is neither. */
export function signerOf(key: Secret): Signer {
  const privateKey = createPrivateKey(key.reveal())
  const jwk = publicJwk(privateKey)
  const kind = ALGORITHMS[jwk.kty === 'RSA' ? 'RSA' : (jwk.crv ?? '')]
  if (!kind) throw new Error('an account key must be RSA or an EC key on P-256, P-384 or P-521')
  return {
    sign: ({ url, nonce, account }, payload) =>
      jws(
        { alg: kind.alg, nonce, url, ...(account === undefined ? { jwk } : { kid: account }) },
        payload === undefined ? '' : JSON.stringify(payload),
        (input) => sign(kind.hash, Buffer.from(input), { key: privateKey, dsaEncoding: 'ieee-p1363' }),
      ),
    bind: ({ url, keyId, hmacKey }) =>
      jws({ alg: 'HS256', kid: keyId, url }, JSON.stringify(jwk), (input) =>
        createHmac('sha256', Buffer.from(hmacKey.reveal(), 'base64url')).update(input).digest(),
      ),
    keyAuthorization: (token) => `${token}.${thumbprint(jwk)}`,
  }
}

/** RFC 7638: over the members that make the key, in the order of their names. */
export function thumbprint(jwk: PublicJwk): string {
  const members = jwk.kty === 'RSA' ? ['e', 'kty', 'n'] : ['crv', 'kty', 'x', 'y']
  const text = JSON.stringify(Object.fromEntries(members.map((name) => [name, jwk[name]])))
  return createHash('sha256').update(text).digest('base64url')
}

function publicJwk(key: KeyObject): PublicJwk {
  return createPublicKey(key).export({ format: 'jwk' }) as PublicJwk
}

function jws(header: object, payload: string, signed: (input: string) => Buffer): Jws {
  const encoded = base64url(JSON.stringify(header))
  const body = base64url(payload)
  return { protected: encoded, payload: body, signature: signed(`${encoded}.${body}`).toString('base64url') }
}

function base64url(text: string): string {
  return Buffer.from(text, 'utf8').toString('base64url')
}
