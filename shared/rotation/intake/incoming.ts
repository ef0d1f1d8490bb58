import { keys } from '../../base/names.ts'
import { printable } from '../../base/printable.ts'
import type { CheckResult, Half, UploadedObject } from '../../certificate/bundle.ts'
import { cutShort } from '../../certificate/cut-short.ts'
import type { ReadOptions } from '../../certificate/found.ts'
import { isTemporaryName } from '../../certificate/temporary-name.ts'
import type { ObjectSummary } from '../../store/port.ts'
import type { Job, Parties } from '../parties.ts'
import type { SourceObject } from '../record/state.ts'
import { readSettled } from './settled.ts'

/** Larger than any certificate, key or PKCS#12; what is larger is no part of a bundle and stays where it is. */
export const MAX_OBJECT_BYTES = 256 * 1024
export const MAX_OBJECTS = 64
/** Of a flood, this many are moved in one go; the rest follows in the next round. */
const MAX_MOVED_OBJECTS = 500

/** What lies in `incoming/<name>/` right now, oldest upload first, without temporary names. */
export interface Upload {
  objects: UploadedObject[]
  sources: SourceObject[]
  newestAt: Date
  /** Why this cannot be a bundle: `objects` is empty then, and what is to be moved stands in `unread`. */
  refusal: CheckResult | undefined
  /** Objects that are moved without having been read together. */
  unread: SourceObject[]
  /** Still being written, empty or cut short: waited for as half a pair is, and moved by nobody. Safe to print. */
  unfinished: string[]
  /** What stays where it is: too large for a bundle, or not to be read. Safe to print. */
  leftAlone: string[]
}

/** Stops with `OutOfTime` when the time is over before what lies there could be believed. */
export async function collectUpload(
  parties: Pick<Parties, 'store' | 'clock'>,
  name: string,
  signal: AbortSignal,
): Promise<Upload> {
  const folder = keys.incoming(name)
  const shown = ({ key }: Pick<ObjectSummary, 'key'>) => printable(key.slice(folder.length))
  let listed: ObjectSummary[] = []
  const found = await readSettled(
    parties,
    folder,
    {
      choose(all) {
        listed = sorted(all, folder)
        const small = listed.filter(({ size }) => size <= MAX_OBJECT_BYTES)
        return small.length > MAX_OBJECTS ? small.slice(0, MAX_MOVED_OBJECTS) : small
      },
      keepBytes: (chosen) => chosen.length <= MAX_OBJECTS,
      maxBytes: MAX_OBJECT_BYTES,
    },
    signal,
  )
  const rest = listed.filter(({ size }) => size <= MAX_OBJECT_BYTES)
  const upload: Upload = {
    objects: [],
    sources: [],
    newestAt: rest.at(-1)?.modifiedAt ?? new Date(0),
    refusal: tooMany(rest, folder),
    unread: [],
    unfinished: found.changing.map((object) => `${shown(object)} (still being written)`),
    leftAlone: [
      ...listed
        .filter(({ size }) => size > MAX_OBJECT_BYTES)
        .slice(0, MAX_OBJECTS)
        .map(
          (object) =>
            `${shown(object)} (${object.size} bytes, far too large for a bundle: upload the certificate and its key only)`,
        ),
      ...found.forbidden.map(({ listed, why }) => `${shown(listed)} (${why})`),
    ],
  }
  for (const { listed, digest, bytes } of found.objects) {
    const { key } = listed
    const unfinished = bytes && cutShort(bytes)
    if (unfinished) {
      upload.unfinished.push(`${shown(listed)} (${unfinished})`)
      continue
    }
    const source = { key, digest, stamp: stampOf(listed) }
    upload.sources.push(source)
    if (bytes) upload.objects.push({ name: key.slice(folder.length), bytes })
    else upload.unread.push(source)
  }
  return upload
}

/** What goes where the bundle goes. What may be half of a newer one stays, also where the bundle needs a copy of it. */
export function withoutHalves(upload: Upload, halves: Half[] = []): Upload {
  const is = new Map(halves.map((half) => [half.name, half.is]))
  const nameOf = (key: string) => key.split('/').slice(2).join('/')
  return {
    ...upload,
    objects: upload.objects.filter(({ name }) => is.get(name) !== 'alone'),
    sources: upload.sources.flatMap((source) => {
      const half = is.get(nameOf(source.key))
      if (half === 'alone') return []
      return half === 'shared' ? [{ ...source, stays: true }] : [source]
    }),
  }
}

/** Tells two uploads of the same bytes apart. */
export function stampOf({ modifiedAt, version = '' }: ObjectSummary): string {
  return `${modifiedAt.toISOString()} ${version}`
}

/** Nothing that could be a bundle, nothing that has to be told. */
export function isEmpty(upload: Upload): boolean {
  return upload.sources.length + upload.unfinished.length + upload.leftAlone.length === 0
}

/** A temporary name says that somebody is still at work on it: not read, not moved, not deleted. */
function sorted(listed: ObjectSummary[], folder: string): ObjectSummary[] {
  return listed
    .filter(({ key }) => key !== folder && !isTemporaryName(key.slice(folder.length)))
    .sort((a, b) => a.modifiedAt.getTime() - b.modifiedAt.getTime() || (a.key < b.key ? -1 : 1))
}

function tooMany(listed: ObjectSummary[], folder: string): CheckResult | undefined {
  if (listed.length <= MAX_OBJECTS) return undefined
  return {
    code: 'too-many-objects',
    result: 'refused',
    message: `${folder} holds ${listed.length} objects; a bundle has a handful, ${MAX_OBJECTS} at the most. Upload only what belongs to the certificate.`,
    facts: { objects: listed.length, most: MAX_OBJECTS },
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
