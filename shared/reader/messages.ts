import { Secret } from '../base/secret.ts'
import type { Bundle, Certificate, Reading, UploadedObject } from '../certificate/bundle.ts'
import type { Trust } from '../certificate/trust.ts'
import type { BundleReader } from './port.ts'

/** What can be asked of the worker. */
export type Method = Exclude<keyof BundleReader, 'close'>

/** One question; `args` are those of the method, packed. */
export interface Question {
  method: Method
  args: unknown[]
}

export type Answer = { value: unknown } | { failed: { message: string; stack: string | undefined } }

interface PackedSecret {
  secret: string
}

/**
 * For the way between two threads: structured clones know no classes, so secrets travel as what they hold and are wrapped
 * again at once. A view takes all of its buffer with it, so bytes are copied into one of their own.
 */
export function pack(value: unknown): unknown {
  if (value instanceof Secret) return { secret: value.reveal() } satisfies PackedSecret
  if (value instanceof Uint8Array) return Uint8Array.from(value)
  if (value instanceof Date || typeof value !== 'object' || value === null) return value
  if (Array.isArray(value)) return value.map(pack)
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, pack(one)]))
}

export function unpackSecret(value: unknown): Secret | undefined {
  return value === undefined ? undefined : new Secret((value as PackedSecret).secret)
}

/** In the worker: what a question was asked with. */
export function unpackArgs(args: unknown[], roots: Roots): unknown[] {
  const [subject, options] = args as [UploadedObject[] | Bundle, Record<string, unknown>]
  const unpacked: Record<string, unknown> = { ...options }
  if (Array.isArray(options.passwords)) unpacked.passwords = options.passwords.map(unpackSecret)
  if (options.trust !== undefined) unpacked.trust = roots.known(options.trust as Trust)
  const judgedBy = options.judgedBy as { trust: Trust; at: Date } | undefined
  if (judgedBy !== undefined) unpacked.judgedBy = { ...judgedBy, trust: roots.known(judgedBy.trust) }
  if (Array.isArray(subject)) return [subject, unpacked]
  return [{ ...subject, privateKey: unpackSecret(subject.privateKey) }, unpacked]
}

/** In the parent: what came back from `read`. */
export function unpackReading(packed: Reading): Reading {
  if (packed.kind !== 'complete') return packed
  const { bundle } = packed
  return { ...packed, bundle: { ...bundle, privateKey: unpackSecret(bundle.privateKey) } }
}

/** Roots come with every question; each is read once. */
export class Roots {
  readonly #known = new Map<string, Certificate>()

  known(trust: Trust): Trust {
    if (trust.kind === 'any') return trust
    const roots = trust.roots.map((root) => {
      const known = this.#known.get(root.fingerprint)
      if (known === undefined) this.#known.set(root.fingerprint, root)
      return known ?? root
    })
    return { ...trust, roots }
  }
}
