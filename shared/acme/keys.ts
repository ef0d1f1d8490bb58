import { createPrivateKey, createPublicKey, generateKeyPair, type X509Certificate } from 'node:crypto'
import { promisify } from 'node:util'
import { Secret } from '../base/secret.ts'

/** Key types a certificate can be ordered with. */
export type KeyType = 'P-256' | 'P-384' | 'RSA-2048' | 'RSA-3072' | 'RSA-4096'

const generate = promisify(generateKeyPair)

/** A new private key as unencrypted PKCS#8 PEM. */
export async function newKey(type: KeyType): Promise<Secret> {
  const { privateKey } = type.startsWith('P-')
    ? await generate('ec', { namedCurve: type })
    : await generate('rsa', { modulusLength: Number(type.slice('RSA-'.length)) })
  return new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' }).toString())
}

/** Whether an existing key is of the configured type: `reuseKey` ends where the type was changed. */
export function isKeyOfType(key: Secret, type: KeyType): boolean {
  const { asymmetricKeyType, asymmetricKeyDetails } = createPrivateKey(key.reveal())
  if (asymmetricKeyType === 'rsa') return type === `RSA-${asymmetricKeyDetails?.modulusLength}`
  const curves: Record<string, KeyType> = { prime256v1: 'P-256', secp384r1: 'P-384' }
  return asymmetricKeyType === 'ec' && curves[asymmetricKeyDetails?.namedCurve ?? ''] === type
}

export function belongsTo(key: Secret, leaf: X509Certificate): boolean {
  const own = createPublicKey(key.reveal()).export({ type: 'spki', format: 'der' })
  return own.equals(leaf.publicKey.export({ type: 'spki', format: 'der' }))
}
