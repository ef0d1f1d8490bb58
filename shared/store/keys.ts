import { Failure } from '../base/failure.ts'
import { printable } from '../base/printable.ts'

/** S3 and OBS allow 1024 bytes; ours keep some for a store's prefix. */
const MAX_KEY_BYTES = 1000

/**
 * The key as it came, or `store.bad-key`: every store refuses the same keys, so that what works in a folder
 * works in a bucket, and no name leads out of the folder on any operating system.
 */
export function requireKey(key: string, description: string): string {
  const wrong = wrongWithKey(key)
  if (!wrong) return key
  throw badKey(key, description, wrong, 'Use names of letters, digits, dots, hyphens and underscores.')
}

/** A prefix may end anywhere in a key, and may be empty. */
export function requirePrefix(prefix: string, description: string): string {
  if (prefix === '') return prefix
  // What follows completes the last segment: "a/." may be the start of "a/.b".
  const whole = prefix.endsWith('/') ? prefix.slice(0, -1) : prefix
  const wrong = /(^|\/)\.{1,2}$/.test(whole) && !prefix.endsWith('/') ? undefined : wrongWithKey(whole)
  if (!wrong) return prefix
  throw badKey(prefix, description, wrong, 'Use a prefix such as incoming/ or incoming/shop/.')
}

/** A prefix as `children` takes it. */
export function requireFolder(prefix: string, description: string): string {
  if (prefix.endsWith('/')) return requirePrefix(prefix, description)
  throw badKey(prefix, description, 'names no folder', 'Use a prefix such as incoming/.')
}

export function isKey(key: string): boolean {
  return wrongWithKey(key) === undefined
}

export function badKey(
  key: string,
  description: string,
  wrong: string,
  next: string,
  cause?: unknown,
): Failure {
  const shown = `"${printable(key)}"`
  return new Failure({
    code: 'store.bad-key',
    kind: 'never',
    message: `The object name ${shown} ${wrong} (${description})`,
    next,
    facts: { key: shown },
    cause,
  })
}

/** Object storage lists by the bytes of UTF-8, JavaScript sorts by UTF-16: they differ above U+FFFF. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a, 'utf8'), Buffer.from(b, 'utf8'))
}

function wrongWithKey(key: string): string | undefined {
  if (key === '') return 'is empty'
  if (Buffer.byteLength(key, 'utf8') > MAX_KEY_BYTES) return `is longer than ${MAX_KEY_BYTES} bytes`
  if (/[\u0000-\u001f\u007f]/.test(key)) return 'contains a control character'
  if (key.includes('\\')) return 'contains a backslash'
  if (/\p{Surrogate}/u.test(key)) return 'is not valid Unicode'
  for (const segment of key.split('/')) {
    if (segment === '') return 'starts or ends with a slash or has two in a row'
    if (segment === '.' || segment === '..') return `contains the segment ${segment}`
  }
  return undefined
}
