import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto'
import { Failure } from '../base/failure.ts'
import { Secret } from '../base/secret.ts'

/** A secret as it lies in the store: AES-256-GCM, key by scrypt (RFC 7914) from the configured passphrase. */
export interface Envelope {
  v: 1
  /** log2 of scrypt's cost, then block size and parallelism. */
  scrypt: [number, number, number]
  /** Base64url each. */
  salt: string
  iv: string
  tag: string
  data: string
}

/** 32 MiB and some 60 ms: only when an order is due. A passphrase of a config file may be weak. */
const cost: [number, number, number] = [15, 8, 1]
const costLimit = 18

/**
 * `purpose` is authenticated: an envelope moved to another place in the store does not open there.
 */
export async function seal(secret: Secret, passphrase: Secret, purpose: string): Promise<Envelope> {
  const salt = saltOf(passphrase)
  const iv = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', await derive(passphrase, salt, cost), iv)
  cipher.setAAD(Buffer.from(purpose))
  const data = Buffer.concat([cipher.update(secret.reveal(), 'utf8'), cipher.final()])
  const text = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
  return {
    v: 1,
    scrypt: cost,
    salt: text(salt),
    iv: text(iv),
    tag: text(cipher.getAuthTag()),
    data: text(data),
  }
}

/** Fails with `acme.key-unreadable` (never) where the passphrase is another one or the envelope was changed. */
export async function open(envelope: Envelope, passphrase: Secret, purpose: string): Promise<Secret> {
  const bytes = (text: string) => Buffer.from(text, 'base64url')
  try {
    const [logN] = envelope.scrypt
    if (envelope.v !== 1 || logN > costLimit) throw new Error('not an envelope of this version')
    const key = await derive(passphrase, bytes(envelope.salt), envelope.scrypt)
    const decipher = createDecipheriv('aes-256-gcm', key, bytes(envelope.iv), { authTagLength: 16 })
    decipher.setAAD(Buffer.from(purpose))
    decipher.setAuthTag(bytes(envelope.tag))
    const plain = Buffer.concat([decipher.update(bytes(envelope.data)), decipher.final()])
    return new Secret(plain.toString('utf8'))
  } catch (cause) {
    throw new Failure({
      code: 'acme.key-unreadable',
      kind: 'never',
      message: `The stored key of ${purpose} does not open with the configured accountKeySecret.`,
      next: 'Put back the accountKeySecret it was stored with, or delete that file below renew/ to start with a new key.',
      facts: { purpose },
      cause,
    })
  }
}

/** One salt per passphrase and process: stretching costs its time once, and every envelope has its own nonce. */
const salts = new WeakMap<Secret, Buffer>()

function saltOf(passphrase: Secret): Buffer {
  const salt = salts.get(passphrase) ?? randomBytes(16)
  salts.set(passphrase, salt)
  return salt
}

/** One tick opens the same envelope several times; the keys live as long as the passphrase they come from. */
const derived = new WeakMap<Secret, Map<string, Promise<Buffer>>>()

function derive(passphrase: Secret, salt: Uint8Array, parameters: Envelope['scrypt']): Promise<Buffer> {
  const known = derived.get(passphrase) ?? new Map<string, Promise<Buffer>>()
  derived.set(passphrase, known)
  const id = `${parameters.join()}:${Buffer.from(salt).toString('hex')}`
  const key = known.get(id) ?? stretched(passphrase, salt, parameters)
  known.set(id, key)
  return key
}

function stretched(passphrase: Secret, salt: Uint8Array, [logN, r, p]: Envelope['scrypt']): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { N: 2 ** logN, r, p, maxmem: 256 * 1024 * 1024 }
    scrypt(passphrase.reveal(), salt, 32, options, (error, key) => (error ? reject(error) : resolve(key)))
  })
}
