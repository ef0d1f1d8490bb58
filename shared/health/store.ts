import { minute } from '../base/clock.ts'
import { asFailure, Failure } from '../base/failure.ts'
import { printable } from '../base/printable.ts'
import type { Store } from '../store/port.ts'
import { type HealthCheck, linesOf } from './port.ts'

/** The folders that this tool writes into; permissions are often given by folder. `incoming/` would start a run. */
const WRITTEN = ['state/', 'status/', 'deployed/', 'rejected/'] as const
const MARK = 'cert-rotation-doctor-'
/** A mark that is older was left by a doctor that was killed; a younger one may be somebody's at work. */
const FORGOTTEN_MS = 10 * minute

export interface StoreParts {
  store: Store
  now: Date
  /** Random hex, so that two at a time do not meet. */
  id: string
  /** Also keys of renewals. */
  renews: boolean
  signal: AbortSignal
}

/** Lists; nothing is written. Undefined where all is well, else why not. */
export async function unreadableStore({ store, signal }: StoreParts): Promise<Failure | undefined> {
  try {
    await store.list('incoming/', { signal })
    await store.list('state/', { signal })
    return undefined
  } catch (thrown) {
    return asFailure(thrown)
  }
}

/**
 * Writes, reads back, lists and deletes an object under a marked name in every folder that the tool writes into. What
 * was written is deleted whatever happens, and so is what a doctor that was killed has left.
 */
export async function writableStore(parts: StoreParts): Promise<HealthCheck[]> {
  const { store, renews } = parts
  const { passed, failure } = linesOf('store')
  const folders = [...WRITTEN, ...(renews ? ['renew/'] : [])]
  const tried = await Promise.all(folders.map((folder) => tryFolder(parts, folder)))
  const wrong = tried.flatMap((one) => one ?? [])
  if (wrong.length === 0)
    return [passed(store.description, `written, read back, listed and deleted in ${folders.join(', ')}`)]
  // One reason for all folders is one line.
  const [first] = wrong
  return wrong.length === folders.length
    ? [failure(store.description, first!.failure)]
    : wrong.map(({ folder, failure: why }) => failure(folder, why))
}

async function tryFolder(
  parts: StoreParts,
  folder: string,
): Promise<{ folder: string; failure: Failure } | undefined> {
  const { store, id, now, signal } = parts
  const key = `${folder}${MARK}${id}`
  let failure: Failure | undefined
  try {
    for (const old of await store.list(`${folder}${MARK}`, { signal }))
      if (now.getTime() - old.modifiedAt.getTime() > FORGOTTEN_MS) await store.delete(old.key, { signal })
    await store.put(key, id, { contentType: 'text/plain', signal })
    const back = await store.get(key, { signal })
    const listed = (await store.list(key, { signal })).some((one) => one.key === key)
    if (!back || Buffer.from(back.bytes).toString() !== id || !listed) failure = inconsistent(store, key)
  } catch (thrown) {
    failure = asFailure(thrown)
  }
  // Also when the time is over: without the signal.
  const left = await store.delete(key).then(
    () => undefined,
    (thrown) => asFailure(thrown),
  )
  failure ??= left
  return failure && { folder, failure }
}

function inconsistent(store: Store, key: string): Failure {
  return new Failure({
    code: 'store.inconsistent',
    kind: 'never',
    message: `What was just written to ${printable(key)} in ${store.description} is not what is read or listed there`,
    next: 'Use a store that shows every write at once; a cache or a copy stands in between here.',
  })
}

/** A bucket that keeps versions keeps every private key for ever, whatever is deleted. */
export async function versionedStore({ store, signal }: StoreParts): Promise<HealthCheck[]> {
  const { warning } = linesOf('store')
  if (!store.versioned) return []
  const answer = await store.versioned({ signal }).catch((thrown) => asFailure(thrown))
  const about = store.description
  if (answer instanceof Failure)
    return [
      warning(
        about,
        `whether it keeps old versions could not be asked: ${answer.message}`,
        'Allow obs:bucket:GetBucketVersioning, or look in the console: a bucket with versions keeps every private key.',
      ),
    ]
  return answer
    ? [
        warning(
          about,
          'keeps old versions: a private key that is deleted stays in it',
          'Switch versioning off, or add a lifecycle rule that deletes old versions after some days.',
        ),
      ]
    : []
}
