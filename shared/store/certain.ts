import { Failure } from '../base/failure.ts'
import { printable } from '../base/printable.ts'
import type { ObjectSummary, PutOptions, Store, StoredObject } from './port.ts'

/**
 * A store's single answer is not always the store's: a proxy answers for it, a cache is old, a write is confirmed and
 * not kept. What is irreversible (a verdict, a deletion) waits for two answers that agree.
 */

/** Tries until the answers agree; a false answer that lasts longer is somebody's to repair. */
const TRIES = 3
const DEFAULT_MAX_BYTES = 1024 * 1024

/**
 * The object that a listing has shown. Undefined where it is not that any more: deleted or written again since, or one
 * of the two answers was false. List again to know.
 */
export async function getListed(
  store: Store,
  listed: ObjectSummary,
  options: { maxBytes?: number; signal?: AbortSignal } = {},
): Promise<StoredObject | undefined> {
  const found = await store.get(listed.key, options)
  if (!found || found.bytes.length !== listed.size) return undefined
  return listed.version === undefined || found.version === undefined || found.version === listed.version
    ? found
    : undefined
}

/** As `get`, but believed only where a listing says the same: fails with `store.contradiction` where none does. */
export async function getCertain(
  store: Store,
  key: string,
  options: { maxBytes?: number; signal?: AbortSignal } = {},
): Promise<StoredObject | undefined> {
  const { maxBytes: _, ...listing } = options
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    const listed = (await store.list(key, listing)).find((object) => object.key === key)
    const found = listed ? await getListed(store, listed, options) : await store.get(key, options)
    if ((listed === undefined) === (found === undefined)) return found
  }
  throw contradiction(store, key, 'its listing and its object say different things')
}

/** As `put`, and read back. Fails with `store.contradiction` where the store does not keep what it confirms. */
export async function putCertain(
  store: Store,
  key: string,
  bytes: Uint8Array | string,
  options: PutOptions = {},
): Promise<void> {
  const wanted = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : Buffer.from(bytes)
  const maxBytes = Math.max(DEFAULT_MAX_BYTES, wanted.length)
  const signal = options.signal ? { signal: options.signal } : {}
  for (let attempt = 1; attempt <= TRIES; attempt++) {
    await store.put(key, bytes, options)
    const kept = await store.get(key, { maxBytes, ...signal })
    if (kept && wanted.equals(kept.bytes)) return
  }
  throw contradiction(store, key, 'what was written cannot be read back')
}

/** The store answers, and its answers do not fit together. Nothing was concluded from them. */
export function contradiction(store: Store, key: string, what: string): Failure {
  return new Failure({
    code: 'store.contradiction',
    kind: 'later',
    message: `The answers about "${printable(key)}" contradict each other: ${what} (${store.description})`,
    next: 'Nothing was lost or deleted; it is tried again. Where it lasts, look for a proxy or a cache between here and the store.',
    facts: { store: store.description, key: printable(key) },
    effect: 'unknown',
  })
}
