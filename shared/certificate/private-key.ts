import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { Secret } from '../base/secret.ts'
import type { PublicKeyAlgorithm } from './bundle.ts'
import { childrenOf, DerError, type DerNode, isUniversal, readDer, readOid, sequenceOf, Tag } from './der.ts'
import type { Work } from './limits.ts'
import { TooMuchWork } from './limits.ts'
import { derivationCost } from './password-encryption.ts'
import type { PemBlock } from './pem.ts'
import { readPublicKey } from './public-key.ts'

/** A private key, opened. */
export interface FoundKey {
  /** Unencrypted PKCS#8 PEM. */
  pkcs8: Secret
  algorithm: PublicKeyAlgorithm
  bits: number
  /** SubjectPublicKeyInfo of its public half; undefined for kinds that OpenSSL has no name for. */
  spki: Uint8Array | undefined
  publicObject: KeyObject | undefined
}

/** Why a private key cannot be had. */
export interface KeyProblem {
  code: 'password-missing' | 'password-wrong' | 'key-unreadable' | 'too-much-work'
  /** A part of a sentence: "… is …". Safe to print. */
  message: string
}

export type KeyResult = { key: FoundKey } | { problem: KeyProblem }

const KEY_LABELS: Record<string, 'pkcs8' | 'pkcs1' | 'sec1' | 'encrypted'> = {
  'PRIVATE KEY': 'pkcs8',
  'RSA PRIVATE KEY': 'pkcs1',
  'EC PRIVATE KEY': 'sec1',
  'SM2 PRIVATE KEY': 'sec1',
  'ENCRYPTED PRIVATE KEY': 'encrypted',
}

export function isKeyLabel(label: string): boolean {
  return label in KEY_LABELS || label.endsWith(' PRIVATE KEY')
}

/** Opens the key in a PEM block: PKCS#8, PKCS#1, SEC1, each also encrypted. Never throws. */
export function readKeyBlock(block: PemBlock, passwords: readonly Secret[], work: Work): KeyResult {
  if (block.problem !== undefined) return unreadable(block.problem)
  const form = KEY_LABELS[block.label]
  if (form === undefined) return unreadable(`is of the unknown kind ${block.label}`)
  if (form === 'encrypted') return readEncryptedKey(block.der, passwords, work)
  if (block.headers['Proc-Type']?.includes('ENCRYPTED')) return readOldEncryptedKey(block, passwords, work)
  return readPlainKey(block.der, form, work)
}

/** A key without encryption, in DER. Tries the forms if none is named. Never throws. */
export function readPlainKey(
  der: Uint8Array,
  form: 'pkcs8' | 'pkcs1' | 'sec1' | undefined,
  work: Work,
): KeyResult {
  return guarded(work, () => {
    const fields = sequenceOf(readDer(der), 'private key')
    const kind =
      form ??
      (isUniversal(fields[1], Tag.sequence)
        ? 'pkcs8'
        : isUniversal(fields[1], Tag.octetString)
          ? 'sec1'
          : 'pkcs1')
    const named = kind === 'pkcs8' ? keyKindOf(fields[1]) : undefined
    if (named === 'SM2' || isSm2Sec1(kind, fields)) return { key: { ...plainFacts('SM2', der), bits: 256 } }
    try {
      return { key: openKey(createPrivateKey({ key: Buffer.from(der), format: 'der', type: kind })) }
    } catch {
      return unreadable('is damaged or of a kind that is not known here')
    }
  })
}

/** PKCS#8 `EncryptedPrivateKeyInfo` (RFC 5958, 8018). */
export function readEncryptedKey(der: Uint8Array, passwords: readonly Secret[], work: Work): KeyResult {
  return guarded(work, () => {
    const [algorithm] = sequenceOf(readDer(der), 'encrypted private key')
    const rounds = derivationCost(algorithm)
    return tryPasswords(passwords, work, rounds, (passphrase) =>
      createPrivateKey({ key: Buffer.from(der), format: 'der', type: 'pkcs8', passphrase }),
    )
  })
}

/** OpenSSL's old `DEK-Info` encryption: one round of MD5, whatever the cipher. */
function readOldEncryptedKey(block: PemBlock, passwords: readonly Secret[], work: Work): KeyResult {
  const body =
    Buffer.from(block.der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  const head = `Proc-Type: 4,ENCRYPTED\nDEK-Info: ${block.headers['DEK-Info'] ?? ''}`
  const pem = `-----BEGIN ${block.label}-----\n${head}\n\n${body.join('\n')}\n-----END ${block.label}-----\n`
  return guarded(work, () =>
    tryPasswords(passwords, work, 1, (passphrase) =>
      createPrivateKey({ key: pem, format: 'pem', passphrase }),
    ),
  )
}

function tryPasswords(
  passwords: readonly Secret[],
  work: Work,
  rounds: number,
  open: (password: string) => KeyObject,
): KeyResult {
  if (passwords.length === 0)
    return { problem: { code: 'password-missing', message: 'is encrypted, and no password is configured' } }
  for (const password of passwords) {
    work.hash(rounds)
    try {
      return { key: openKey(open(password.reveal())) }
    } catch {
      // The wrong password and a damaged key cannot be told apart: padding is all there is to go by.
    }
  }
  return {
    problem: {
      code: 'password-wrong',
      message: 'is encrypted, and the configured password does not open it (or it is damaged)',
    },
  }
}

function guarded(work: Work, read: () => KeyResult): KeyResult {
  try {
    work.key()
    return read()
  } catch (thrown) {
    if (thrown instanceof TooMuchWork) return { problem: { code: 'too-much-work', message: thrown.message } }
    if (thrown instanceof DerError) return unreadable(thrown.message)
    throw thrown
  }
}

function unreadable(message: string): { problem: KeyProblem } {
  return { problem: { code: 'key-unreadable', message } }
}

function openKey(object: KeyObject): FoundKey {
  const publicObject = createPublicKey(object)
  const spki = publicObject.export({ format: 'der', type: 'spki' })
  const { algorithm, bits } = readPublicKey(readDer(spki))
  const pkcs8 = new Secret(object.export({ format: 'pem', type: 'pkcs8' }) as string)
  return { pkcs8, algorithm, bits, spki, publicObject }
}

function plainFacts(algorithm: PublicKeyAlgorithm, der: Uint8Array): FoundKey {
  const body =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? []
  const pkcs8 = new Secret(`-----BEGIN PRIVATE KEY-----\n${body.join('\n')}\n-----END PRIVATE KEY-----\n`)
  return { pkcs8, algorithm, bits: 0, spki: undefined, publicObject: undefined }
}

const SM2_CURVE = '1.2.156.10197.1.301'

function keyKindOf(algorithmId: DerNode | undefined): 'SM2' | undefined {
  const [, parameters] = sequenceOf(algorithmId, 'key algorithm')
  return isUniversal(parameters, Tag.oid) && readOid(parameters) === SM2_CURVE ? 'SM2' : undefined
}

function isSm2Sec1(kind: string, fields: DerNode[]): boolean {
  const parameters =
    kind === 'sec1' ? fields.find((field) => field.tagClass === 'context' && field.tag === 0) : undefined
  const curve = parameters === undefined ? undefined : childrenOf(parameters)[0]
  return isUniversal(curve, Tag.oid) && readOid(curve) === SM2_CURVE
}
