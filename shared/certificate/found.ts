import type { Secret } from '../base/secret.ts'
import type { CheckResult, UploadedObject } from './bundle.ts'
import { DerError, readDerPrefix } from './der.ts'
import { foreignKind, likeness } from './foreign.ts'
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
import { isZip, unzip } from './zip.ts'

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
  format: 'pem' | 'der' | 'pkcs7' | 'pkcs12' | 'zip' | 'ignored' | 'unknown'
  certificates: X509[]
  keys: FoundKey[]
  /** Why it was left alone, or what was in it; safe to print. */
  note: string | undefined
  /** Of a file in an archive: the name of the uploaded one. */
  archive?: string
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
    else if (isNote(object)) ignore(here, 'is a note, not a bundle')
    else if (object.bytes.length === 0) refuse(found, here, 'empty-object', 'is empty')
    else if (here.bytes > limits.objectBytes)
      refuse(found, here, 'too-large', `has ${here.bytes} bytes where at most ${limits.objectBytes} are read`)
    else readObject(found, here, object.bytes, options.passwords ?? [], work)
  }
  return found
}

/** JSON with a certificate in it is no note, whatever its name is. */
function isNote({ name, bytes }: UploadedObject): boolean {
  return NOTES.test(name) && !(/\.json$/i.test(name) && foreignKind(bytes, name))
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
  found.problems.push(problem(code, `${printable(here.name)} ${what}`, here.archive ?? here.name))
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
    if (isZip(bytes) && here.archive === undefined) {
      readZip(found, here, bytes, passwords, work)
      return
    }
    const foreign = foreignKind(bytes, here.name)
    if (foreign) {
      refuse(found, here, foreign.code, foreign.message)
      return
    }
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

/** Its files are read as if each had been uploaded, and stay one object: it is moved as a whole. */
function readZip(
  found: Found,
  here: FoundObject,
  bytes: Uint8Array,
  passwords: readonly Secret[],
  work: Work,
) {
  const unzipped = unzip(bytes, here.name, work)
  if ('problem' in unzipped) {
    refuse(found, here, 'archive', unzipped.problem)
    return
  }
  here.format = 'zip'
  const before = found.problems.length + found.keyProblems.length
  const alone: string[] = []
  for (const file of unzipped.files) {
    const inside: FoundObject = {
      ...{ name: file.name, archive: here.name, bytes: file.bytes.length },
      ...{ format: 'unknown', certificates: [], keys: [], note: undefined },
    }
    if (isTemporaryName(file.name)) ignore(inside, 'has a temporary name')
    else if (isNote(file)) ignore(inside, 'is a note')
    else if (file.bytes.length === 0) ignore(inside, 'is empty')
    else if (isZip(file.bytes)) refuse(found, inside, 'archive', 'is an archive in an archive: unpack both')
    else readObject(found, inside, file.bytes, passwords, work)
    here.certificates.push(...inside.certificates)
    here.keys.push(...inside.keys)
    if (inside.certificates.length + inside.keys.length === 0 && inside.note !== undefined)
      alone.push(`${printable(file.name.slice(here.name.length + 1))} ${inside.note}`)
  }
  const holds = alone.length === 0 ? 'nothing' : `nothing but ${alone.slice(0, 8).join(', ')}`
  if (here.certificates.length + here.keys.length > 0)
    here.note = alone.length === 0 ? undefined : `left alone in it: ${alone.slice(0, 8).join(', ')}`
  else if (found.problems.length + found.keyProblems.length === before)
    ignore(here, `is a ZIP archive without a certificate or key: it holds ${holds}`)
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
    const isChain = /^(PKCS ?#?7( SIGNED DATA)?|CMS)$/.test(block.label) || looksLike(block.der) === 'pkcs7'
    // Parameters, requests and CRLs are common company and mean nothing here. (Windows calls everything CERTIFICATE.)
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
    default: {
      const likely = likeness(bytes, here.name)
      if (EXPECTED.test(here.name))
        refuse(found, here, 'not-recognised', likely ?? 'is neither PEM, DER, PKCS#7 nor PKCS#12')
      else ignore(here, likely ?? 'is nothing that is known here')
    }
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
      here.archive ?? here.name,
    ),
  )
}
