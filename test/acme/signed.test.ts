import { execFileSync } from 'node:child_process'
import { createHmac, createPublicKey, createSecretKey, generateKeyPairSync, verify } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { certificateRequest } from '../../shared/acme/csr.ts'
import { signerOf, thumbprint } from '../../shared/acme/jws.ts'
import { newKey } from '../../shared/acme/keys.ts'
import { Secret } from '../../shared/base/secret.ts'

const decoded = (text: string) => JSON.parse(Buffer.from(text, 'base64url').toString('utf8'))
const keyOf = (pem: { export(options: object): string | Buffer }) =>
  new Secret(pem.export({ type: 'pkcs8', format: 'pem' }).toString())

describe('a signed request', () => {
  it.each([
    ['RS256', 'sha256', generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey],
    ['ES256', 'sha256', generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey],
    ['ES384', 'sha384', generateKeyPairSync('ec', { namedCurve: 'P-384' }).privateKey],
    ['ES512', 'sha512', generateKeyPairSync('ec', { namedCurve: 'P-521' }).privateKey],
  ])('is signed by %s over address, nonce and body', (alg, hash, privateKey) => {
    const signer = signerOf(keyOf(privateKey))
    const target = { url: 'https://ca.example/new-order', nonce: 'abc', account: 'https://ca.example/acct/1' }
    const signed = signer.sign(target, { identifiers: [] })
    expect(decoded(signed.protected)).toEqual({ alg, nonce: 'abc', url: target.url, kid: target.account })
    expect(decoded(signed.payload)).toEqual({ identifiers: [] })
    const isRight = verify(
      hash,
      Buffer.from(`${signed.protected}.${signed.payload}`),
      { key: createPublicKey(privateKey), dsaEncoding: 'ieee-p1363' },
      Buffer.from(signed.signature, 'base64url'),
    )
    expect(isRight).toBe(true)
    expect(signer.sign(target, undefined).payload).toBe('')
  })

  it('of somebody without an account shows the public key, and nothing of the private one', () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const signed = signerOf(keyOf(privateKey)).sign({ url: 'u', nonce: 'n', account: undefined }, {})
    expect(Object.keys(decoded(signed.protected).jwk).sort()).toEqual(['crv', 'kty', 'x', 'y'])
  })

  it('binds the account of the CA by its HMAC key', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const hmac = Buffer.from('an hmac key of the authority')
    const bound = signerOf(keyOf(privateKey)).bind({
      url: 'https://ca.example/new-account',
      keyId: 'kid-1',
      hmacKey: new Secret(hmac.toString('base64url')),
    })
    expect(decoded(bound.protected)).toEqual({
      alg: 'HS256',
      kid: 'kid-1',
      url: 'https://ca.example/new-account',
    })
    expect(Object.keys(decoded(bound.payload)).sort()).toEqual(['e', 'kty', 'n'])
    const expected = createHmac('sha256', createSecretKey(hmac)).update(`${bound.protected}.${bound.payload}`)
    expect(bound.signature).toBe(expected.digest('base64url'))
  })

  it('is not made with a key that ACME knows nothing of', () => {
    const { privateKey } = generateKeyPairSync('ed25519')
    expect(() => signerOf(keyOf(privateKey))).toThrow('an account key must be RSA or an EC key')
  })

  it('names a key by the thumbprint of RFC 7638, section 3.1', () => {
    const jwk = {
      kty: 'RSA',
      n: '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw',
      e: 'AQAB',
      alg: 'RS256',
      kid: '2011-04-29',
    }
    expect(thumbprint(jwk)).toBe('NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs')
  })
})

describe('a certificate signing request', () => {
  it.each([
    ['P-256', 'ecdsa-with-SHA256'],
    ['P-384', 'ecdsa-with-SHA384'],
    ['RSA-2048', 'sha256WithRSAEncryption'],
  ] as const)('for a key of %s is one that OpenSSL reads and verifies', async (type, algorithm) => {
    const names = ['shop.example', '*.shop.example', 'xn--bcher-kva.example']
    const der = certificateRequest(await newKey(type), names)
    const text = execFileSync('openssl', ['req', '-inform', 'DER', '-verify', '-noout', '-text'], {
      input: der,
      stdio: ['pipe', 'pipe', 'ignore'],
    }).toString()
    expect(text).toMatch(/Subject: *\n/)
    expect(text).toContain(names.map((name) => `DNS:${name}`).join(', '))
    expect(text).toContain(`Signature Algorithm: ${algorithm}`)
  })

  it('holds as many names as a certificate can', async () => {
    const names = Array.from({ length: 100 }, (_, index) => `host-${index}.${'a'.repeat(60)}.example`)
    const der = certificateRequest(await newKey('P-256'), names)
    const text = execFileSync('openssl', ['req', '-inform', 'DER', '-noout', '-text'], {
      input: der,
    }).toString()
    expect(text.match(/DNS:/g)).toHaveLength(100)
  })
})
