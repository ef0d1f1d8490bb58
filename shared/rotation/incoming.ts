import { Failure } from '../base/failure.ts'
import { digestOf, keys } from '../base/names.ts'
import type { UploadedObject } from '../certificate/bundle.ts'
import type { ReadOptions } from '../certificate/read-objects.ts'
import type { Store } from '../store/port.ts'
import type { Job, Parties } from './parties.ts'
import type { SourceObject } from './state.ts'

/** Larger than any certificate, key or PKCS#12; smaller than what a hostile upload would like. */
const MAX_OBJECT_BYTES = 256 * 1024
const MAX_OBJECTS = 64

/** What lies in `incoming/<name>/` right now, oldest upload first. */
export interface Upload {
  objects: UploadedObject[]
  sources: SourceObject[]
  newestAt: Date
}

export async function collectUpload(store: Store, name: string): Promise<Upload> {
  const folder = keys.incoming(name)
  const listed = (await store.list(folder)).filter((object) => object.key !== folder)
  if (listed.length > MAX_OBJECTS)
    throw new Failure({
      code: 'bundle.too-many-objects',
      kind: 'never',
      message: `${folder} holds ${listed.length} objects; a bundle has a handful, ${MAX_OBJECTS} at the most`,
      next: 'Remove what does not belong to the bundle.',
      facts: { folder, objects: listed.length },
    })
  listed.sort((a, b) => a.modifiedAt.getTime() - b.modifiedAt.getTime() || (a.key < b.key ? -1 : 1))
  const found = await Promise.all(
    listed.map(async ({ key }) => ({ key, object: await store.get(key, { maxBytes: MAX_OBJECT_BYTES }) })),
  )
  const upload: Upload = { objects: [], sources: [], newestAt: listed.at(-1)?.modifiedAt ?? new Date(0) }
  for (const { key, object } of found) {
    if (!object) continue
    upload.objects.push({ name: key.slice(folder.length), bytes: object.bytes })
    upload.sources.push({ key, digest: digestOf(object.bytes) })
  }
  return upload
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
  for (const { key, digest } of sources) {
    const now = await store.get(key, { maxBytes: MAX_OBJECT_BYTES })
    if (now && digestOf(now.bytes) === digest) await store.delete(key)
  }
}
