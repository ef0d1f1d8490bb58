import { digestOf } from '../base/names.ts'
import type { Bundle, Certificate, CheckResult, Reading, Repair, UploadedObject } from './bundle.ts'
import { examine, type Found, type FoundObject, type ReadOptions } from './found.ts'
import { halvesBeside } from './halves.ts'
import { TooMuchWork, type Work } from './limits.ts'
import { matchingKey, uniqueKeys } from './matching-key.ts'
import { issuersOf, orderChain, unique } from './order-chain.ts'
import { nameOf } from './path.ts'
import { printable, printableList } from './printable.ts'
import type { FoundKey } from './private-key.ts'
import { isTemporaryName } from './temporary-name.ts'
import type { X509 } from './x509.ts'

export type { ReadOptions } from './found.ts'

/**
 * Reads what lies in one folder: any mix of PEM, DER, PKCS#7, PKCS#12 and ZIP archives of them, told apart by content.
 * Names matter only for what is left alone (temporary names, notes) and for the trusted root CA for client certificates:
 *
 * - `trusted-root-ca.pem` always is one;
 * - `ca.crt` is one unless a certificate in it issued the leaf or one of its issuers. Kubernetes and
 *   cert-manager write the server's own issuer there; taking that for a client CA would silently ask every
 *   visitor for a certificate. Whoever means exactly that names the file `trusted-root-ca.pem`; a repair says so.
 *
 * Never throws for what is in the objects.
 */
export function readObjects(uploaded: readonly UploadedObject[], options: ReadOptions = {}): Reading {
  return assemble(examine(uploaded, options), options)
}

export interface AssembleOptions extends Pick<ReadOptions, 'judgedBy'> {
  /** `inspect`: a bundle without a key is complete. */
  keyOptional?: boolean
}

/** One object that is none of these does not spoil a pair that needs nothing of it. */
const SIDE_PROBLEMS = new Set(['unreadable', 'not-recognised', 'empty-object'])
/** Nor does one of these spoil a leaf with its key, where the issuer may come from elsewhere. */
const FOREIGN = new Set(['archive', 'keystore', 'document'])

/** Decides what belongs together; see `readObjects`. */
export function assemble(found: Found, options: AssembleOptions = {}): Reading {
  try {
    return assembled(found, options)
  } catch (thrown) {
    if (!(thrown instanceof TooMuchWork)) throw thrown
    return unreadable('too-much-work', `What is in this folder ${thrown.message}.`)
  }
}

/** `alone`: leaf, key and an issuer are there; nothing has to be looked for elsewhere. */
type Assembled = Exclude<Reading, { kind: 'complete' }> | (Whole & { alone: boolean })
type Whole = Extract<Reading, { kind: 'complete' }>

function assembled(found: Found, options: AssembleOptions): Reading {
  const problems = [...found.problems, ...found.keyProblems]
  if (found.problems.some(({ code }) => !SIDE_PROBLEMS.has(code) && !FOREIGN.has(code)))
    return { kind: 'unreadable', problems }
  const reading = assembleReadable(found, options)
  const isWhole = reading.kind === 'complete' && reading.alone
  const isPair = reading.kind === 'complete' && reading.bundle.privateKey !== undefined
  // What cannot be read may be what is missing.
  if (found.problems.some(({ code }) => !(FOREIGN.has(code) ? isPair : isWhole)))
    return { kind: 'unreadable', problems }
  if (reading.kind !== 'complete') return reading
  const { alone: _alone, ...whole } = reading
  return whole
}

function assembleReadable(found: Found, options: AssembleOptions): Assembled {
  const clientCa = found.objects
    .filter((object) => isNamed(object, 'trusted-root-ca.pem'))
    .flatMap((object) => object.certificates)
  const maybeClientCa = found.objects
    .filter((object) => isNamed(object, 'ca.crt'))
    .flatMap((object) => object.certificates)
  const pool = found.objects
    .filter((object) => !isNamed(object, 'trusted-root-ca.pem'))
    .flatMap((object) => object.certificates)
  const keys = uniqueKeys(found.objects.flatMap((object) => object.keys))
  const waiting = (missing: 'certificate' | 'private key'): Assembled => ({
    kind: 'waiting',
    missing,
    found: found.objects.filter(({ format }) => format !== 'ignored').map(({ name }) => printable(name)),
    ignored: found.objects
      .filter((object) => isLeftAlone(object) && !isTemporaryName(object.name))
      .map(({ name, note }) => `${printable(name)} (${note})`),
  })

  const usable = pool.filter(
    (certificate) => !maybeClientCa.includes(certificate) || matchingKey(certificate, keys) !== undefined,
  )
  const leafs = chooseLeaf(usable, keys, found.work)
  if ('problem' in leafs) return { kind: 'unreadable', problems: [leafs.problem] }
  const { leaf, key } = leafs
  if (leaf === undefined) {
    if (keys.length === 0 && usable.length === 0 && found.keyProblems.length > 0)
      return { kind: 'unreadable', problems: found.keyProblems }
    return waiting('certificate')
  }
  if (key === undefined && options.keyOptional !== true) {
    // The right key may be the one that could not be opened.
    if (found.keyProblems.length > 0) return { kind: 'unreadable', problems: found.keyProblems }
    if (keys.length === 0) return waiting('private key')
  }
  if (key === undefined && keys.length > 1)
    return unreadable(
      'several-keys',
      `None of the ${keys.length} private keys belongs to the certificate ${nameOf(leaf)}.`,
    )

  const home = found.objects.find((object) => object.certificates.includes(leaf))
  const candidates = pool.filter((certificate) => !isOtherLeaf(certificate, leaf, leafs.others))
  const order = { together: home?.certificates, judgedBy: options.judgedBy, work: found.work }
  let ordered = orderChain(leaf, candidates, order)
  const notes: Repair[] = []
  if (maybeClientCa.length > 0) {
    const serving = [leaf, ...ordered.chain]
    const isIssuer = serving.some(
      (certificate) =>
        maybeClientCa.includes(certificate) || issuersOf(certificate, maybeClientCa, found.work).length > 0,
    )
    if (isIssuer) notes.push(CA_CRT_IS_ISSUER)
    else {
      clientCa.push(...maybeClientCa)
      ordered = orderChain(
        leaf,
        candidates.filter((certificate) => !maybeClientCa.includes(certificate)),
        order,
      )
    }
  }
  const repairs = [...ordered.repairs, ...notes, ...leafs.repairs, ...ignoredOf(found), ...spoiltOf(found)]
  const own = key ?? keys[0]
  return {
    kind: 'complete',
    alone: key !== undefined && (ordered.chain.length > 0 || leaf.selfIssued),
    bundle: toBundle(leaf, ordered.chain, own, unique(clientCa), repairs),
    halves: own === undefined ? [] : halvesBeside(found.objects, leaf, own),
  }
}

const CA_CRT_IS_ISSUER: Repair = {
  code: 'ca-crt-is-issuer',
  message:
    'ca.crt holds an issuer of the certificate itself, so it is not used as the CA for client certificates; name it trusted-root-ca.pem if it shall be.',
}

function isNamed(object: FoundObject, name: string): boolean {
  return object.name.split('/').at(-1)!.toLowerCase() === name
}

function unreadable(code: string, message: string): Extract<Reading, { kind: 'unreadable' }> {
  return { kind: 'unreadable', problems: [{ code, result: 'refused', message }] }
}

const MOST_CANDIDATES = 16

interface LeafChoice {
  leaf: X509 | undefined
  key: FoundKey | undefined
  /** Leafs that lost. */
  others: X509[]
  repairs: Repair[]
}

/**
 * The leaf is the certificate that one of the keys belongs to. Of several the newest wins if it covers all names
 * of the others (a renewal beside its predecessor); otherwise nobody can know which one is meant. Without a
 * fitting key it is the only certificate that issued none of the others and is not a CA.
 */
function chooseLeaf(
  certificates: readonly X509[],
  keys: readonly FoundKey[],
  work: Work,
): LeafChoice | { problem: CheckResult } {
  const all = unique(certificates)
  const keyed = all.filter((certificate) => matchingKey(certificate, keys) !== undefined)
  const endEntities = all.filter((certificate) => certificate.extensions.basicConstraints?.ca !== true)
  // Each question costs a signature; a crowd of candidates is ambiguous anyway.
  const issued = (certificate: X509) =>
    all.length <= MOST_CANDIDATES && all.some((other) => issuersOf(other, [certificate], work).length > 0)
  let leafs = preferEndEntities(keyed)
  if (leafs.length === 0) {
    const outer = endEntities.filter((certificate) => !issued(certificate))
    leafs = outer.length > 0 ? outer : endEntities
    // A CA alone is waiting for its leaf; a single certificate is judged as what it claims to be.
    if (leafs.length === 0 && all.length === 1 && (keys.length === 0 || all[0]!.selfIssued))
      leafs = all.slice(0, 1)
  }
  if (leafs.length === 0) return { leaf: undefined, key: undefined, others: [], repairs: [] }
  const [newest, ...others] = leafs.sort(byAge) as [X509, ...X509[]]
  const next = others[0]
  if (next !== undefined && (byAge(newest, next) === 0 || !others.every((other) => covers(newest, other)))) {
    const listed = printableList(leafs.map(nameOf))
    return {
      problem: {
        code: 'several-leafs',
        result: 'refused',
        message: `There are ${leafs.length} server certificates (${listed}) and it is not clear which one is meant.`,
        facts: { count: leafs.length },
      },
    }
  }
  const repairs: Repair[] =
    others.length === 0
      ? []
      : [
          {
            code: 'took-newest',
            message: `Of ${leafs.length} server certificates for the same names the newest was taken.`,
          },
        ]
  return { leaf: newest, key: matchingKey(newest, keys), others, repairs }
}

function preferEndEntities(certificates: readonly X509[]): X509[] {
  const endEntities = certificates.filter(
    (certificate) => certificate.extensions.basicConstraints?.ca !== true,
  )
  return endEntities.length > 0 ? endEntities : [...certificates]
}

function byAge(a: X509, b: X509): number {
  return (
    b.certificate.notBefore.getTime() - a.certificate.notBefore.getTime() ||
    b.certificate.notAfter.getTime() - a.certificate.notAfter.getTime()
  )
}

function covers(newer: X509, older: X509): boolean {
  // RSA and ECDSA side by side are a pair for one domain, not a renewal and its predecessor.
  if (newer.certificate.algorithm !== older.certificate.algorithm) return false
  const names = new Set(newer.certificate.names)
  return older.certificate.names.every((name) => names.has(name))
}

function isOtherLeaf(certificate: X509, leaf: X509, others: readonly X509[]): boolean {
  return (
    certificate !== leaf &&
    others.some((other) => other.certificate.fingerprint === certificate.certificate.fingerprint)
  )
}

/** Told with its reason, and that it did not matter. */
function spoiltOf(found: Found): Repair[] {
  return found.problems.map(({ code, message }) => ({
    code: 'ignored-object',
    message: `${message.replace(/\.$/, '')}; ${FOREIGN.has(code) ? 'the certificate and its key' : 'the certificate, its key and its issuer'} are complete without it.`,
  }))
}

/** All of it, or something that was packed in it. */
function isLeftAlone({ format, note }: FoundObject): boolean {
  return format === 'ignored' || (format === 'zip' && note !== undefined)
}

function ignoredOf(found: Found): Repair[] {
  return found.objects.filter(isLeftAlone).map(({ format, name, note }) => ({
    code: 'ignored-object',
    message: `${printable(name)}${format === 'zip' ? `: ${note}` : ` was left alone: it ${note}`}.`,
  }))
}

function toBundle(
  leaf: X509,
  chain: readonly X509[],
  key: FoundKey | undefined,
  trustedRootCa: readonly X509[],
  repairs: Repair[],
): Bundle {
  const bundle: Bundle = {
    digest: '',
    leaf: leaf.certificate,
    chain: chain.map((certificate) => certificate.certificate),
    privateKey: key?.pkcs8,
    trustedRootCa: [],
    repairs,
  }
  return withTrustedRootCa(
    bundle,
    trustedRootCa.map((certificate) => certificate.certificate),
  )
}

/** The same bundle with another CA for client certificates, which its digest tells. */
export function withTrustedRootCa(bundle: Bundle, trustedRootCa: Certificate[]): Bundle {
  const digest = digestOf(
    ...[bundle.leaf, ...bundle.chain].map(({ der }) => der),
    'trusted-root-ca',
    ...trustedRootCa.map(({ der }) => der),
  )
  return { ...bundle, trustedRootCa, digest }
}
