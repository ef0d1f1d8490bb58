import { createHash } from 'node:crypto'
import { Failure } from './failure.ts'

/**
 * A certificate's name in rotation.yaml: it becomes a folder of the store and part of a gateway name, so it
 * can be neither a path nor start with a dot.
 */
export const CERTIFICATE_NAME = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?$/

export function isCertificateName(name: string): boolean {
  return CERTIFICATE_NAME.test(name) && !name.includes('..')
}

export function requireCertificateName(name: string): string {
  if (isCertificateName(name)) return name
  throw new Failure({
    code: 'name.invalid',
    kind: 'never',
    message: `${JSON.stringify(name)} is not a certificate name`,
    next: 'Use 1 to 64 letters, digits, dots, hyphens and underscores, starting and ending with a letter or digit.',
  })
}

/** Where everything lies in the store; `<name>` is a certificate's name. */
export const keys = {
  incoming: (name?: string) => (name === undefined ? 'incoming/' : `incoming/${name}/`),
  deployed: (name: string) => `deployed/${name}/`,
  rejected: (name: string) => `rejected/${name}/`,
  state: (name: string) => `state/${name}.json`,
  /** A state file that does not parse is kept here, never deleted. */
  brokenState: (name: string, instant: string) => `state/${name}.broken-${instant}.json`,
  lease: (name: string) => `state/${name}.lease/`,
} as const

/** `2026-11-22T06-13-05Z`: sorts by time and is safe in an object key and on every file system. */
export function instantForKey(at: Date): string {
  return at
    .toISOString()
    .replace(/\.\d+Z$/, 'Z')
    .replaceAll(':', '-')
}

/** The folder a bundle is moved to, below `deployed/<name>/` or `rejected/<name>/`: sorts by time, tells bundles apart. */
export function bundleFolder(at: Date, bundleDigest: string): string {
  return `${instantForKey(at)}-${bundleDigest.slice(0, 8)}`
}

/** Whether `bundleFolder` could have given this name. What could not have been ours is nothing of ours. */
export function isBundleFolder(folder: string): boolean {
  return /^\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ-(?:[0-9a-f]{8}|unreadab)$/.test(folder)
}

/** The first 32 hex digits of a SHA-256 over the parts, each preceded by its length so that none can leak into the next. */
export function digestOf(...parts: (string | Uint8Array)[]): string {
  const hash = createHash('sha256')
  for (const part of parts) {
    const bytes = typeof part === 'string' ? Buffer.from(part, 'utf8') : part
    hash.update(`${bytes.length}:`).update(bytes)
  }
  return hash.digest('hex').slice(0, 32)
}

/** What `renew/` notes of a pair before it is dropped into `incoming/`: tells it from whatever lies beside it there. */
export function deliveryDigest(key: string | Uint8Array, chain: string | Uint8Array): string {
  return digestOf('acme-delivery', key, chain)
}

/** The idempotency key of one step: the same bundle, step and target give the same key, whoever asks. */
export function idempotencyKey(bundleDigest: string, step: string, target: string): string {
  return digestOf(bundleDigest, step, target)
}

/**
 * The name a bundle's certificate gets at the gateway and in SCM: `cr_<readable>_<hash of name and bundle>`.
 * Derived, so that *look* finds what a crashed run created. 4–50 letters, digits and underscores, starting
 * with a letter (API page "Creating an SSL Certificate", field `name`); SCM allows more.
 */
export function remoteCertificateName(certificateName: string, bundleDigest: string): string {
  return `${remotePrefix(certificateName)}${digestOf(certificateName, bundleDigest).slice(0, 24)}`
}

/** Strategy `add` makes one certificate per domain, so each needs a name of its own. */
export function remoteNameForHost(certificateName: string, bundleDigest: string, host: string): string {
  return remoteCertificateName(certificateName, `${bundleDigest} ${host}`)
}

/** Whether a name has the form of those that are derived for this certificate, whichever bundle and host it is of. */
export function isRemoteNameForm(certificateName: string, remoteName: string): boolean {
  const prefix = remotePrefix(certificateName)
  return remoteName.startsWith(prefix) && /^[0-9a-f]{24}$/.test(remoteName.slice(prefix.length))
}

function remotePrefix(certificateName: string): string {
  const readable = certificateName
    .replace(/[^A-Za-z0-9]+/g, '_')
    .replace(/^_+|_+$/g, '')
    .slice(0, 21)
  return `cr_${readable}_`
}
