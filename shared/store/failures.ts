import { Failure } from '../base/failure.ts'
import { printable } from '../base/printable.ts'

export function tooLarge(
  key: string,
  size: number | undefined,
  maxBytes: number,
  description: string,
): Failure {
  const has = size === undefined ? `more than ${maxBytes} bytes` : `${size} bytes, more than ${maxBytes}`
  return new Failure({
    code: 'store.too-large',
    kind: 'never',
    message: `The object "${printable(key)}" has ${has} (${description})`,
    next: 'Upload the certificate files only; a bundle has a few kilobytes.',
    facts: { key: printable(key), size, maxBytes, store: description },
  })
}

/** The caller's own reason where it is a failure already (a deadline, a lost lease). */
export function aborted(signal: AbortSignal, effect: 'none' | 'unknown' = 'none'): Failure {
  if (signal.reason instanceof Failure) return signal.reason
  return new Failure({
    code: 'store.aborted',
    kind: 'later',
    message: 'The work was called off before the storage request was done',
    next: 'The next run goes on from here.',
    effect,
    cause: signal.reason,
  })
}
