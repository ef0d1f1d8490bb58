import { asFailure } from '../base/failure.ts'
import { digestOf, keys } from '../base/names.ts'
import { printable } from '../base/printable.ts'
import type { CheckResult, UploadedObject } from '../certificate/bundle.ts'
import { isTemporaryName, type ReadOptions } from '../certificate/found.ts'
import type { ObjectSummary, Store } from '../store/port.ts'
import { inParallel } from './parallel.ts'
import type { Job, Parties } from './parties.ts'
import type { SourceObject } from './state.ts'

/** Larger than any certificate, key or PKCS#12; smaller than what a hostile upload would like. */
const MAX_OBJECT_BYTES = 256 * 1024
const MAX_OBJECTS = 64
/** What is too large to be read is still moved, a few at a time; a larger one would cost the function its memory. */
const MAX_MOVED_BYTES = 4 * 1024 * 1024
const MOVED_AT_ONCE = 4
/** Of a flood, this many are moved in one go; the rest follows in the next round. */
const MAX_MOVED_OBJECTS = 500

/** What lies in `incoming/<name>/` right now, oldest upload first, without temporary names. */
export interface Upload {
  objects: UploadedObject[]
  sources: SourceObject[]
  newestAt: Date
  /** Why this cannot be a bundle: `objects` is empty then, and what is to be moved stands in `unread`. */
  refusal: CheckResult | undefined
  /** Keys of objects that are moved without having been read together. */
  unread: string[]
  /** What stays where it is: too large even to be moved, or a link out of the store. Safe to print. */
  leftAlone: string[]
}

export async function collectUpload(store: Store, name: string): Promise<Upload> {
  const folder = keys.incoming(name)
  // A temporary name says that somebody is still at work on it: not read, not moved, not deleted.
  const listed = (await store.list(folder)).filter(
    ({ key }) => key !== folder && !isTemporaryName(key.slice(folder.length)),
  )
  listed.sort((a, b) => a.modifiedAt.getTime() - b.modifiedAt.getTime() || (a.key < b.key ? -1 : 1))
  const shown = ({ key }: Pick<ObjectSummary, 'key'>) => printable(key.slice(folder.length))
  const huge = listed.filter(({ size }) => size > MAX_MOVED_BYTES)
  const rest = listed.filter(({ size }) => size <= MAX_MOVED_BYTES)
  const upload: Upload = {
    objects: [],
    sources: [],
    newestAt: rest.at(-1)?.modifiedAt ?? new Date(0),
    refusal: overTheLimits(rest, folder, shown),
    unread: [],
    leftAlone: huge
      .slice(0, MAX_OBJECTS)
      .map((object) => `${shown(object)} (${object.size} bytes, far too large for a bundle)`),
  }
  const wanted = upload.refusal ? rest.slice(0, MAX_MOVED_OBJECTS) : rest
  const digests = new Map<string, string>()
  const read = new Map<string, Uint8Array>()
  await inParallel(upload.refusal ? MOVED_AT_ONCE : MAX_OBJECTS, wanted, async (object) => {
    const found = await getUnlessForbidden(store, object.key, MAX_MOVED_BYTES)
    if (found === 'forbidden')
      upload.leftAlone.push(`${shown(object)} (leads out of the store and is not followed)`)
    else if (found) {
      digests.set(object.key, digestOf(found))
      if (!upload.refusal) read.set(object.key, found)
    }
  })
  for (const { key } of wanted) {
    const digest = digests.get(key)
    if (digest === undefined) continue
    upload.sources.push({ key, digest })
    const bytes = read.get(key)
    if (bytes) upload.objects.push({ name: key.slice(folder.length), bytes })
    else upload.unread.push(key)
  }
  return upload
}

/** Nothing that could be a bundle, nothing that has to be told. */
export function isEmpty(upload: Upload): boolean {
  return upload.sources.length === 0 && upload.leftAlone.length === 0
}

/** Copies what was not read together, a few at a time. */
export async function copyUnread(store: Store, upload: Upload, from: string, to: string): Promise<void> {
  await inParallel(MOVED_AT_ONCE, upload.unread, async (key) => {
    const bytes = await getUnlessForbidden(store, key, MAX_MOVED_BYTES)
    if (bytes && bytes !== 'forbidden') await store.put(`${to}${key.slice(from.length)}`, bytes)
  })
}

function overTheLimits(
  listed: ObjectSummary[],
  folder: string,
  shown: (object: ObjectSummary) => string,
): CheckResult | undefined {
  const large = listed.find(({ size }) => size > MAX_OBJECT_BYTES)
  if (listed.length > MAX_OBJECTS)
    return {
      code: 'too-many-objects',
      result: 'refused',
      message: `${folder} holds ${listed.length} objects; a bundle has a handful, ${MAX_OBJECTS} at the most. Upload only what belongs to the certificate.`,
      facts: { objects: listed.length, most: MAX_OBJECTS },
    }
  if (large)
    return {
      code: 'too-large',
      result: 'refused',
      message: `${shown(large)} has ${large.size} bytes where at most ${MAX_OBJECT_BYTES} are read: a certificate with its chain has some thousand. Upload the certificate files only.`,
      facts: { object: shown(large), bytes: large.size, most: MAX_OBJECT_BYTES },
    }
  return undefined
}

async function getUnlessForbidden(
  store: Store,
  key: string,
  maxBytes: number,
): Promise<Uint8Array | 'forbidden' | undefined> {
  try {
    return (await store.get(key, { maxBytes }))?.bytes
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (failure.code === 'store.bad-key' || failure.code === 'store.too-large') return 'forbidden'
    throw failure
  }
}

/** How a bundle of this certificate is read: its password, and the roots that decide between several possible chains. */
export function readOptions(
  job: Pick<Job, 'config' | 'trust'>,
  parties: Pick<Parties, 'clock'>,
): ReadOptions {
  return {
    passwords: job.config.password ? [job.config.password] : [],
    judgedBy: { trust: job.trust, at: parties.clock.now() },
  }
}

/** The certificates' names that have something lying in `incoming/`, also those that no config knows. */
export async function namesWithUploads(store: Store): Promise<string[]> {
  const prefix = keys.incoming()
  const names = new Set<string>()
  for (const { key } of await store.list(prefix)) {
    const [name, rest] = key.slice(prefix.length).split('/', 2)
    if (name && rest) names.add(name)
  }
  return [...names].sort()
}

/**
 * Deletes the objects a rotation was made from, unless somebody has uploaded something new under the same key
 * meanwhile. Between this look and the delete lies one round trip in which an upload could still be lost;
 * object storage without conditional deletes leaves no way to close it.
 */
export async function removeSources(store: Store, sources: SourceObject[]): Promise<void> {
  await inParallel(sources.length > MAX_OBJECTS ? MOVED_AT_ONCE : 1, sources, async ({ key, digest }) => {
    const bytes = await getUnlessForbidden(store, key, MAX_MOVED_BYTES)
    if (bytes && bytes !== 'forbidden' && digestOf(bytes) === digest) await store.delete(key)
  })
}
