import { asFailure } from '../../base/failure.ts'
import { digestOf } from '../../base/names.ts'
import type { UploadedObject } from '../../certificate/bundle.ts'
import { contradiction, getCertain, getListed, putCertain } from '../../store/certain.ts'
import type { Store } from '../../store/port.ts'
import { inParallel } from '../parallel.ts'
import type { SourceObject } from '../record/state.ts'
import { MAX_OBJECT_BYTES, MAX_OBJECTS, stampOf, type Upload } from './incoming.ts'

const MOVED_AT_ONCE = 4
/** Listings after which a deletion that was confirmed and not carried out is given up. */
const ROUNDS = 4

/** Copies objects that were judged, each read back: the original is deleted on the strength of it. */
export async function copyObjects(store: Store, objects: UploadedObject[], to: string): Promise<void> {
  for (const { name, bytes } of objects) await putCertain(store, `${to}${name}`, bytes)
}

/** Copies what was not read together, a few at a time. What was replaced since is no part of it and stays. */
export async function copyUnread(store: Store, upload: Upload, from: string, to: string): Promise<void> {
  await inParallel(MOVED_AT_ONCE, upload.unread, async ({ key, digest }) => {
    const found = await getCertain(store, key, { maxBytes: MAX_OBJECT_BYTES }).catch(unlessForbidden)
    if (found && digestOf(found.bytes) === digest)
      await putCertain(store, `${to}${key.slice(from.length)}`, found.bytes)
  })
}

/**
 * Deletes the objects that were judged, and looks again whether they are gone. What somebody has uploaded under the
 * same key meanwhile stays, were it the same bytes again; between the look and the delete lies one round trip in which
 * an upload could still be lost, since object storage without conditional deletes leaves no way to close it.
 */
export async function removeSources(store: Store, folder: string, sources: SourceObject[]): Promise<void> {
  for (let round = 1; round <= ROUNDS; round++) {
    let unsure = false
    await lookAtSources(store, folder, sources, async (key, now) => {
      if (now === 'as judged') await store.delete(key)
      // Gone only when a listing no longer has it.
      unsure ||= now !== 'replaced'
    })
    if (!unsure) return
  }
  throw contradiction(store, folder, 'what was deleted is still there')
}

/** Whether somebody has uploaded anew, under its key, what was judged: refused for a half that came too early, perhaps. */
export async function isReplaced(store: Store, folder: string, sources: SourceObject[]): Promise<boolean> {
  let replaced = false
  await lookAtSources(store, folder, sources, async (_, now) => {
    replaced ||= now === 'replaced'
  })
  return replaced
}

/** What lies under the keys of the sources now; nothing is told of those that no listing has. */
async function lookAtSources(
  store: Store,
  folder: string,
  sources: SourceObject[],
  see: (key: string, now: 'as judged' | 'replaced' | 'unsure') => Promise<void>,
): Promise<void> {
  const wanted = new Map(sources.filter(({ stays }) => !stays).map((source) => [source.key, source]))
  const listed = (await store.list(folder)).filter(({ key }) => wanted.has(key))
  await inParallel(sources.length > MAX_OBJECTS ? MOVED_AT_ONCE : 1, listed, async (object) => {
    const found = await getListed(store, object, { maxBytes: MAX_OBJECT_BYTES }).catch(unlessForbidden)
    if (found === undefined) return see(object.key, 'unsure')
    const { digest, stamp = stampOf(object) } = wanted.get(object.key)!
    const isJudged = found !== null && digestOf(found.bytes) === digest && stampOf(object) === stamp
    return see(object.key, isJudged ? 'as judged' : 'replaced')
  })
}

/** Replaced by something that is not read: a link out of the store, something large. Not what was judged. */
function unlessForbidden(thrown: unknown): null {
  const failure = asFailure(thrown)
  if (failure.code === 'store.bad-key' || failure.code === 'store.too-large') return null
  throw failure
}
