import type { Bundle, Certificate, CheckResult, Repair, UploadedObject } from './bundle.ts'
import { addedByClient, type JudgeOptions } from './facts.ts'
import { examine, type ReadOptions } from './found.ts'
import { printable } from './printable.ts'
import { assemble } from './read-objects.ts'
import { judgeWithFacts } from './verdict.ts'

/**
 * What `cert-rotation inspect --json` prints. A contract: fields are added, never changed or removed, while
 * `schema` stays the same. Instants are ISO 8601 in UTC. Every text in it is safe to print on a terminal.
 */
export interface InspectReport {
  schema: 1
  /** The instant that was judged at. */
  at: string
  trust: 'public' | 'private' | 'any'
  /** The host names that the certificate was held against. */
  hosts: string[]
  /** One entry per file, in the order given. */
  files: InspectedFile[]
  /** `complete`: there is a certificate to judge. `waiting`: a part is missing. `unreadable`: see `checks`. */
  reading: 'complete' | 'waiting' | 'unreadable'
  /** With `waiting`: what is missing. */
  missing?: 'certificate' | 'private key'
  /** With `complete`. */
  bundle?: InspectedBundle
  /** What was put right while reading. */
  repairs: Repair[]
  /** Each check in order; where nothing could be read, the problems instead. */
  checks: CheckResult[]
  verdict: InspectVerdict
}

export interface InspectVerdict {
  /** Whether `rotate` would put it into service (for `inspect` without a key: but for the key). */
  decision: 'accept' | 'refuse'
  /**
   * What a browser would say about certificate, chain and names alone: the checks about the private key, the limits
   * of the gateways, the predecessor and the CA for client certificates are left out. `unknown` if nothing could be read.
   */
  browser: 'accept' | 'refuse' | 'unknown'
  /** Codes of the checks that refuse. */
  refusedBy: string[]
  /** Codes of the checks that warn. */
  warnings: string[]
}

export interface InspectedFile {
  name: string
  bytes: number
  format: 'pem' | 'der' | 'pkcs7' | 'pkcs12' | 'zip' | 'ignored' | 'unknown'
  certificates: InspectedCertificate[]
  /** Kinds of the private keys, for example `RSA 2048`; nothing else of them is ever shown. */
  privateKeys: string[]
  note?: string
}

export interface InspectedBundle {
  digest: string
  leaf: InspectedCertificate
  /** As a server would send it, leaf's issuer first. */
  chain: InspectedCertificate[]
  /** What a client adds from its own store to reach a root; empty if no root was reached or asked for. */
  addedByClient: InspectedCertificate[]
  privateKey: boolean
  /** CA for client certificates. */
  trustedRootCa: InspectedCertificate[]
}

export interface InspectedCertificate {
  subject: string
  issuer: string
  commonName: string
  names: string[]
  serial: string
  /** SHA-256 of the DER, lower-case hex. */
  fingerprint: string
  notBefore: string
  notAfter: string
  algorithm: string
  keyBits: number
}

export interface InspectOptions
  extends Pick<ReadOptions, 'passwords' | 'limits'>,
    Omit<JudgeOptions, 'keyOptional'> {}

/** Reads and judges files as `rotate` would, changing nothing. Never throws for what is in them. */
export function inspectReport(objects: readonly UploadedObject[], options: InspectOptions): InspectReport {
  const { trust, at } = options
  const found = examine(objects, options)
  const reading = assemble(found, { keyOptional: true, judgedBy: { trust, at } })
  const report = emptyReport(options)
  report.reading = reading.kind
  report.files = found.objects.map((object) => ({
    name: printable(object.name, 200),
    bytes: object.bytes,
    format: object.format,
    certificates: object.certificates.map((x509) => certificateReport(x509.certificate)),
    privateKeys: object.keys.map((key) => `${key.algorithm} ${key.bits}`),
    ...(object.note === undefined ? {} : { note: object.note }),
  }))
  if (reading.kind === 'unreadable') report.checks = reading.problems
  else if (reading.kind === 'waiting') {
    report.missing = reading.missing
    report.checks = [
      {
        code: 'complete',
        result: 'refused',
        message: `The ${reading.missing} is missing.`,
        facts: { reason: 'waiting' },
      },
    ]
  } else judgeInto(report, reading.bundle, options, found.keyProblems)
  report.verdict.refusedBy = codesOf(report.checks, 'refused')
  report.verdict.warnings = codesOf(report.checks, 'warning')
  return report
}

/** The report on files that could not be looked into, for the reason in `check`. */
export function unreadReport(
  objects: readonly UploadedObject[],
  options: InspectOptions,
  check: CheckResult,
): InspectReport {
  const report = emptyReport(options)
  report.files = objects.map(({ name, bytes, size }) => ({
    name: printable(name, 200),
    bytes: size ?? bytes.length,
    format: 'unknown',
    certificates: [],
    privateKeys: [],
  }))
  report.checks = [check]
  report.verdict.refusedBy = [check.code]
  return report
}

function emptyReport({ at, trust, domains }: InspectOptions): InspectReport {
  return {
    schema: 1,
    at: at.toISOString(),
    trust: trust.kind,
    hosts: domains.map((domain) => printable(domain)),
    files: [],
    reading: 'unreadable',
    repairs: [],
    checks: [],
    verdict: { decision: 'refuse', browser: 'unknown', refusedBy: [], warnings: [] },
  }
}

/** Checks that a browser does not make. */
const NOT_OF_BROWSERS = new Set([
  'complete',
  'key-matches',
  'gateway-date-limit',
  'no-downgrade',
  'trusted-root-ca',
])

function judgeInto(
  report: InspectReport,
  bundle: Bundle,
  options: InspectOptions,
  keyProblems: readonly CheckResult[],
) {
  const { verdict, facts } = judgeWithFacts(bundle, { ...options, keyOptional: true })
  // A key that cannot be opened: `rotate` would refuse, and the rest can be judged all the same.
  const unopened = bundle.privateKey === undefined ? keyProblems : []
  report.checks = [...unopened, ...verdict.checks]
  report.repairs = bundle.repairs
  report.verdict.decision = unopened.length > 0 ? 'refuse' : verdict.decision
  report.verdict.browser = codesOf(verdict.checks, 'refused').some((code) => !NOT_OF_BROWSERS.has(code))
    ? 'refuse'
    : 'accept'
  report.bundle = {
    digest: bundle.digest,
    leaf: certificateReport(bundle.leaf),
    chain: bundle.chain.map(certificateReport),
    addedByClient: (facts === undefined ? [] : addedByClient(facts)).map((x509) =>
      certificateReport(x509.certificate),
    ),
    privateKey: bundle.privateKey !== undefined,
    trustedRootCa: bundle.trustedRootCa.map(certificateReport),
  }
}

function codesOf(checks: readonly CheckResult[], result: CheckResult['result']): string[] {
  return [...new Set(checks.filter((check) => check.result === result).map((check) => check.code))]
}

function certificateReport(certificate: Certificate): InspectedCertificate {
  const { subject, issuer, commonName, names, serial, fingerprint, notBefore, notAfter, algorithm, keyBits } =
    certificate
  return {
    subject,
    issuer,
    commonName,
    names,
    serial,
    fingerprint,
    notBefore: notBefore.toISOString(),
    notAfter: notAfter.toISOString(),
    algorithm,
    keyBits,
  }
}
