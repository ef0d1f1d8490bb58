import type { Secret } from '../base/secret.ts'
import type { CheckResult, UploadedObject } from './bundle.ts'
import { DerError, readDerPrefix } from './der.ts'
import { defaultLimits, type Limits, TooMuchWork, Work } from './limits.ts'
import { readPemBlocks, textOf } from './pem.ts'
import { readPkcs7 } from './pkcs7.ts'
import { readPkcs12 } from './pkcs12.ts'
import { printable } from './printable.ts'
import {
  type FoundKey,
  isKeyLabel,
  type KeyResult,
  readEncryptedKey,
  readKeyBlock,
  readPlainKey,
} from './private-key.ts'
import { looksLike } from './sniff.ts'
import { isTemporaryName } from './temporary-name.ts'
import type { Trust } from './trust.ts'
import { readX509, type X509 } from './x509.ts'

export interface ReadOptions {
  /**
   * What the chain will be judged by. Several certificates can stand for one issuer (cross-signing, roll-over);
   * with these the reader takes those that lead to a trusted root, without them those that last longest.
   */
  judgedBy?: { trust: Trust; at: Date }
  /** Tried in this order on everything that is encrypted. */
  passwords?: readonly Secret[]
  limits?: Partial<Limits>
}

/** What one object turned out to be. */
export interface FoundObject {
  /** As uploaded: not safe to print. */
  name: string
  bytes: number
  /** `ignored` says why in `note`. */
  format: 'pem' | 'der' | 'pkcs7' | 'pkcs12' | 'ignored' | 'unknown'
  certificates: X509[]
  keys: FoundKey[]
  /** Why it was left alone; safe to print. */
  note: string | undefined
}

/** Everything that was in a folder, before anybody decides what belongs together. */
export interface Found {
  objects: FoundObject[]
  /** What cannot be read, one entry each. */
  problems: CheckResult[]
  /** Of the problems, those about private keys: they do not matter when another key fits. */
  keyProblems: CheckResult[]
  /** What is left of the limits. */
  work: Work
}

/** Notes that tools and this one leave beside a bundle. */
const NOTES = /(^|\/)(readme(\.\w+)?|result\.json|.*\.(json|md|conf))$/i
const EXPECTED = /\.(pem|crt|cer|cert|key|der|p12|pfx|p7b|p7c|p7s)$/i

/** Reads every object by its content. Never throws for what is in them. */
export function examine(uploaded: readonly UploadedObject[], options: ReadOptions = {}): Found {
  const limits = { ...defaultLimits, ...options.limits }
  const work = new Work(limits)
  const found: Found = { objects: [], problems: [], keyProblems: [], work }
  const objects = uploaded.filter((object) => !object.name.endsWith('/'))
  if (objects.length > limits.objects) {
    found.problems.push(
      problem(
        'too-many-objects',
        `There are ${objects.length} objects where at most ${limits.objects} are read`,
      ),
    )
    return found
  }
  for (const object of objects) {
    const here: FoundObject = {
      name: object.name,
      bytes: object.size ?? object.bytes.length,
      format: 'unknown',
      certificates: [],
      keys: [],
      note: undefined,
    }
    found.objects.push(here)
    if (isTemporaryName(object.name)) ignore(here, 'has a temporary name')
    else if (NOTES.test(object.name)) ignore(here, 'is a note, not a bundle')
    else if (object.bytes.length === 0) refuse(found, here, 'empty-object', 'is empty')
    else if (here.bytes > limits.objectBytes)
      refuse(found, here, 'too-large', `has ${here.bytes} bytes where at most ${limits.objectBytes} are read`)
    else readObject(found, here, object.bytes, options.passwords ?? [], work)
  }
  return found
}

function ignore(here: FoundObject, note: string) {
  here.format = 'ignored'
  here.note = note
}

function problem(code: string, message: string, name?: string): CheckResult {
  return {
    code,
    result: 'refused',
    message: `${message}.`,
    facts: name === undefined ? {} : { object: printable(name) },
  }
}

function refuse(found: Found, here: FoundObject, code: string, what: string) {
  found.problems.push(problem(code, `${printable(here.name)} ${what}`, here.name))
}

function readObject(
  found: Found,
  here: FoundObject,
  bytes: Uint8Array,
  passwords: readonly Secret[],
  work: Work,
) {
  try {
    work.spend(OBJECT + bytes.length * OBJECT_BYTE, 'reading an object')
    const text = textOf(bytes)
    if (text?.includes('-----BEGIN ')) {
      here.format = 'pem'
      readPem(found, here, text, passwords, work)
      return
    }
    readBinary(found, here, bytes, passwords, work)
  } catch (thrown) {
    if (thrown instanceof TooMuchWork) refuse(found, here, 'too-much-work', thrown.message)
    else if (thrown instanceof DerError)
      refuse(found, here, 'unreadable', `cannot be read: it ${thrown.message}`)
    else throw thrown
  }
}

/** Names what people take for a bundle and nobody here opens, and what helps. */
function whatElse(bytes: Uint8Array, name: string): string {
  const start = Buffer.from(bytes.subarray(0, 6)).toString('hex')
  const is = (...magics: string[]) => magics.some((magic) => start.startsWith(magic))
  if (is('feedfeed', 'cececece')) {
    const keytool = `keytool -importkeystore -srckeystore ${name} -destkeystore ${name}.p12 -deststoretype PKCS12`
    return `is a Java keystore: make a PKCS#12 of it with ${keytool}`
  }
  if (is('504b0304', '504b0506')) return 'is a ZIP archive: unpack it and upload the PEM files'
  const isTar = Buffer.from(bytes.subarray(257, 262)).toString('latin1') === 'ustar'
  if (isTar || is('1f8b', '425a68', 'fd377a585a', '377abcaf271c', '526172211a'))
    return 'is an archive: unpack it and upload the PEM files'
  return 'is nothing that is known here'
}

/** Prices in rounds. */
const OBJECT = 100
const OBJECT_BYTE = 1 / 16

function readPem(found: Found, here: FoundObject, text: string, passwords: readonly Secret[], work: Work) {
  const blocks = readPemBlocks(text)
  for (const [i, block] of blocks.entries()) {
    const where = blocks.length === 1 ? '' : `block ${i + 1} (${block.label}) `
    if (isKeyLabel(block.label)) {
      addKey(found, here, readKeyBlock(block, passwords, work), where)
      continue
    }
    const isCertificate = /^(X509 |TRUSTED )?CERTIFICATE$/.test(block.label)
    const isChain = /^(PKCS ?#?7|CMS|PKCS7)$/.test(block.label)
    // Parameters, requests and CRLs are common company and mean nothing here.
    if (!isCertificate && !isChain) continue
    if (block.problem !== undefined) {
      refuse(found, here, 'unreadable', `${where}${block.problem}`)
      continue
    }
    try {
      // OpenSSL's TRUSTED CERTIFICATE has settings of its own behind the certificate; they are not for us.
      if (isChain) addCertificates(here, readPkcs7(block.der, work), work)
      else
        addCertificates(
          here,
          [block.label === 'TRUSTED CERTIFICATE' ? readDerPrefix(block.der).raw : block.der],
          work,
        )
    } catch (thrown) {
      if (!(thrown instanceof DerError) || thrown instanceof TooMuchWork) throw thrown
      refuse(found, here, 'unreadable', `${where}cannot be read: it ${thrown.message}`)
    }
  }
  if (here.certificates.length === 0 && here.keys.length === 0 && here.note === undefined)
    here.note = 'holds neither certificate nor private key'
}

function readBinary(
  found: Found,
  here: FoundObject,
  bytes: Uint8Array,
  passwords: readonly Secret[],
  work: Work,
) {
  switch (looksLike(bytes)) {
    case 'certificate':
      here.format = 'der'
      addCertificates(here, [bytes], work)
      return
    case 'pkcs7':
      here.format = 'pkcs7'
      addCertificates(here, readPkcs7(bytes, work), work)
      return
    case 'pkcs12': {
      here.format = 'pkcs12'
      const result = readPkcs12(bytes, passwords, work)
      if ('problem' in result) {
        addKey(found, here, result, '')
        return
      }
      addCertificates(here, result.certificates, work)
      for (const key of result.keys) addKey(found, here, key, '')
      return
    }
    case 'private-key':
      here.format = 'der'
      addKey(found, here, readPlainKey(bytes, undefined, work), '')
      return
    case 'encrypted-key':
      here.format = 'der'
      addKey(found, here, readEncryptedKey(bytes, passwords, work), '')
      return
    default:
      if (EXPECTED.test(here.name))
        refuse(found, here, 'not-recognised', 'is neither PEM, DER, PKCS#7 nor PKCS#12')
      else ignore(here, whatElse(bytes, printable(here.name)))
  }
}

function addCertificates(here: FoundObject, ders: readonly Uint8Array[], work: Work) {
  for (const der of ders) {
    work.certificate(der.length)
    here.certificates.push(readX509(der))
  }
}

function addKey(found: Found, here: FoundObject, result: KeyResult, where: string) {
  if ('key' in result) {
    here.keys.push(result.key)
    return
  }
  here.note = `private key ${result.problem.message}`
  found.keyProblems.push(
    problem(
      result.problem.code,
      `The private key in ${printable(here.name)} ${where === '' ? '' : `${where.trim()} `}${result.problem.message}`,
      here.name,
    ),
  )
}
