import { createPrivateKey, createPublicKey, type KeyObject } from 'node:crypto'
import { Secret } from '../base/secret.ts'
import type { PublicKeyAlgorithm } from './bundle.ts'
import { DerError, expectUniversal, isUniversal, readDer, sequenceOf, Tag } from './der.ts'
import { type KeyForm, kindOfKey } from './key-shape.ts'
import type { Work } from './limits.ts'
import { TooMuchWork } from './limits.ts'
import { decryptDekInfo, decryptWithPassword } from './password-encryption.ts'
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

const KEY_LABELS: Record<string, KeyForm | 'encrypted'> = {
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
  if (block.headers['Proc-Type']?.includes('ENCRYPTED')) {
    const dekInfo = block.headers['DEK-Info'] ?? ''
    return tryPasswords(passwords, work, block.der.length, form, (password) =>
      decryptDekInfo(dekInfo, block.der, password, work),
    )
  }
  return readPlainKey(block.der, form, work)
}

/**
 * A key without encryption, in DER. Tries the forms if none is named. Only what `kindOfKey` has looked at reaches
 * OpenSSL, which computes with whatever sizes a key claims. Never throws.
 */
export function readPlainKey(der: Uint8Array, form: KeyForm | undefined, work: Work): KeyResult {
  return guarded(work, der.length, () => plainKey(der, form))
}

function plainKey(der: Uint8Array, form: KeyForm | undefined): KeyResult {
  const fields = sequenceOf(readDer(der), 'private key')
  const type =
    form ??
    (isUniversal(fields[1], Tag.sequence)
      ? 'pkcs8'
      : isUniversal(fields[1], Tag.octetString)
        ? 'sec1'
        : 'pkcs1')
  if (kindOfKey(type, fields) === 'SM2') return { key: { ...plainFacts('SM2', der), bits: 256 } }
  try {
    return { key: openKey(createPrivateKey({ key: Buffer.from(der), format: 'der', type })) }
  } catch {
    return unreadable('is damaged or of a kind that is not known here')
  }
}

/** PKCS#8 `EncryptedPrivateKeyInfo` (RFC 5958, 8018). Never throws. */
export function readEncryptedKey(der: Uint8Array, passwords: readonly Secret[], work: Work): KeyResult {
  return tryPasswords(passwords, work, der.length, 'pkcs8', (password) => {
    const [algorithm, encrypted] = sequenceOf(readDer(der), 'encrypted private key')
    return decryptWithPassword(
      algorithm,
      expectUniversal(encrypted, Tag.octetString, 'encrypted key').value,
      password,
      work,
    )
  })
}

/** Opened here and not by OpenSSL, so that what comes out of it is looked at before OpenSSL computes with it. */
function tryPasswords(
  passwords: readonly Secret[],
  work: Work,
  bytes: number,
  form: KeyForm,
  open: (password: string) => Uint8Array | undefined,
): KeyResult {
  return guarded(work, bytes, () => {
    if (passwords.length === 0)
      return { problem: { code: 'password-missing', message: 'is encrypted, and no password is configured' } }
    for (const password of passwords) {
      const opened = open(password.reveal())
      if (opened === undefined || !isSequence(opened)) continue
      return plainKey(opened, form)
    }
    return {
      problem: {
        code: 'password-wrong',
        message: 'is encrypted, and the configured password does not open it (or it is damaged)',
      },
    }
  })
}

/** One time in 256 a wrong password leaves a padding that looks right, but hardly ever a sequence as well. */
function isSequence(opened: Uint8Array): boolean {
  try {
    sequenceOf(readDer(opened), 'private key')
    return true
  } catch {
    return false
  }
}

function guarded(work: Work, bytes: number, read: () => KeyResult): KeyResult {
  try {
    work.key(bytes)
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
