import { Failure } from '../base/failure.ts'
import { isCertificateName, keys } from '../base/names.ts'

/** One object that an event says was written. */
export interface UploadedKey {
  bucket: string
  /** Decoded. */
  key: string
  /** Exactly as it came. */
  keyAsSent: string
  /**
   * The key as it came, and decoded where that differs: some senders URL-encode keys, and none says so. The
   * first that exists in the store is the one that was meant.
   */
  candidates: string[]
  /** ISO 8601, UTC, where the event has a time that can be trusted. */
  eventTime?: string
}

export interface UploadTrigger {
  kind: 'upload'
  objects: UploadedKey[]
  /** Records that are none of ours: own writes, deletions, folder markers, other folders. */
  ignored: { key: string; reason: string }[]
  /** Records that could not be read; the others are done all the same. `index` counts from 0. */
  bad: { index: number; reason: string }[]
}

export interface TimerTrigger {
  kind: 'timer'
  name: string
  /** Jobs that the trigger's user event selects; undefined: all of them. */
  jobs?: string[]
}

/** Somebody asks whether everything works from here: `{ "doctor": true }`, or a timer whose user event is that. */
export interface DoctorTrigger {
  kind: 'doctor'
  readOnly: boolean
  send: boolean
}

export type Trigger = UploadTrigger | TimerTrigger | DoctorTrigger

/** More records than any sender puts into one event; more is not read. */
const MOST_RECORDS = 1_000

/**
 * What started the function, whichever way the clouds say it: FunctionGraph's OBS event, EventGrid's OBS event,
 * S3's, an OBS notification inside an SMN message, FunctionGraph's timer, a schedule of AWS EventBridge.
 * Fails with `event.unknown-shape` for anything else. Pure: an event is a hint, and the store is asked later.
 */
export function readEvent(event: unknown): Trigger {
  const fields = record(event)
  if (fields) {
    if (Array.isArray(fields.Records)) return upload(fields.Records)
    if (Array.isArray(fields.record)) return upload(fields.record.flatMap(fromSmn))
    if (isEventGrid(fields)) return upload(fromEventGrid(fields))
    if (fields.trigger_type === 'TIMER') {
      return timer(text(fields.trigger_name) ?? 'timer', fields.user_event)
    }
    if (fields['detail-type'] === 'Scheduled Event' || fields.source === 'aws.events') {
      const [rule] = Array.isArray(fields.resources) ? fields.resources : []
      return timer(text(rule)?.split('/').at(-1) ?? 'schedule', fields.detail)
    }
  }
  const asked = fields && doctorIn(fields)
  if (asked) return asked
  // EventGrid can hand over a batch.
  if (Array.isArray(event) && event.length > 0 && event.every((item) => isEventGrid(record(item) ?? {}))) {
    return upload(event.flatMap((item) => fromEventGrid(record(item)!)))
  }
  throw unknownShape(event)
}

/** The certificates whose folders the event names, each once, in the order of the event. */
export function certificatesNamed(trigger: Trigger): string[] {
  if (trigger.kind !== 'upload') return []
  const names = trigger.objects.flatMap(({ candidates }) => candidates.map(certificateOf))
  return [...new Set(names.filter((name) => name !== undefined))]
}

/** A record as one of the senders writes it, or why it can not be read. */
type Raw = { name: string; bucket: string; key: string; time?: string | undefined } | { unreadable: string }

function upload(records: readonly unknown[]): UploadTrigger {
  const trigger: UploadTrigger = { kind: 'upload', objects: [], ignored: [], bad: [] }
  const seen = new Set<string>()
  records.slice(0, MOST_RECORDS).forEach((item, index) => {
    const raw = isRaw(item) ? item : fromS3Record(item)
    if ('unreadable' in raw) {
      trigger.bad.push({ index, reason: raw.unreadable })
      return
    }
    const { bucket, key, name, time } = raw
    const candidates = decodings(key)
    const reasons = candidates.map((candidate) => reasonToIgnore(candidate, name))
    const kept = candidates.filter((_, i) => reasons[i] === undefined)
    if (kept.length === 0) {
      trigger.ignored.push({ key: shortened(key), reason: reasons[0] ?? 'not an upload' })
      return
    }
    // The same object twice in one event is one hint.
    const identity = JSON.stringify([bucket, kept])
    if (seen.has(identity)) return
    seen.add(identity)
    trigger.objects.push({
      bucket,
      key: candidates.at(-1)!,
      keyAsSent: key,
      candidates: kept,
      ...(time === undefined ? {} : { eventTime: time }),
    })
  })
  if (records.length > MOST_RECORDS) {
    trigger.bad.push({
      index: MOST_RECORDS,
      reason: `the event has ${records.length} records; the rest is left to the timer`,
    })
  }
  return trigger
}

/** Marks what an envelope was opened to, so that it is not taken for a record of S3. */
const opened = new WeakSet<object>()

function open(raw: Raw): Raw {
  opened.add(raw)
  return raw
}

function isRaw(item: unknown): item is Raw {
  return typeof item === 'object' && item !== null && opened.has(item)
}

/** FunctionGraph's OBS trigger (event names without `s3:`), AWS S3 and Ceph (some with it). */
function fromS3Record(item: unknown): Raw {
  const fields = record(item)
  if (!fields) return { unreadable: 'the record is not an object' }
  const s3 = record(fields.s3) ?? record(fields.obs)
  return located(s3, fields.eventName, fields.eventTime)
}

/** CloudEvents 1.0. `data.eventTime` is local time with a false Z; the envelope's `time` is right. */
function fromEventGrid(fields: Record<string, unknown>): Raw[] {
  const items = Array.isArray(fields.data) ? fields.data : [fields.data]
  return items.map((item) => {
    const data = record(item)
    if (!data) return open({ unreadable: 'data is not an object' })
    const name = text(data.eventName) ?? text(fields.type)?.replace(/^OBS:DWR:/, '')
    return open(located(record(data.obs) ?? record(data.s3), name, fields.time))
  })
}

/** The notification's text is itself a JSON document with Records. */
function fromSmn(item: unknown): Raw[] {
  const message = record(record(item)?.smn)?.message
  if (typeof message !== 'string') return [open({ unreadable: 'the SMN record has no message' })]
  let parsed: unknown
  try {
    parsed = JSON.parse(message)
  } catch {
    return [open({ unreadable: 'the SMN message is not JSON' })]
  }
  const fields = record(parsed)
  if (fields && isEventGrid(fields)) return fromEventGrid(fields)
  if (!fields || !Array.isArray(fields.Records))
    return [open({ unreadable: 'the SMN message has no Records' })]
  return fields.Records.map((inner) => open(fromS3Record(inner)))
}

function located(storage: Record<string, unknown> | undefined, eventName: unknown, time: unknown): Raw {
  const bucket = record(storage?.bucket)
  const bucketName = text(bucket?.name) ?? text(bucket?.bucket)
  const key = text(record(storage?.object)?.key)
  const name = text(eventName)
  if (!storage) return { unreadable: 'neither s3 nor obs says which object' }
  if (!bucketName) return { unreadable: 'the name of the bucket is missing' }
  if (!key) return { unreadable: 'the key of the object is missing' }
  if (!name) return { unreadable: 'eventName is missing' }
  const instant = typeof time === 'string' ? new Date(time) : new Date(Number.NaN)
  return {
    bucket: bucketName,
    key,
    name: name.replace(/^s3:/, ''),
    time: Number.isNaN(instant.getTime()) ? undefined : instant.toISOString(),
  }
}

function isEventGrid(fields: Record<string, unknown>): boolean {
  return typeof fields.specversion === 'string' && /^OBS:/.test(text(fields.type) ?? '') && 'data' in fields
}

/** `true`, or what is wanted of it; everything else in the event is somebody else's. */
function doctorIn(fields: Record<string, unknown>): DoctorTrigger | undefined {
  const { doctor, jobs } = fields
  const only = Array.isArray(jobs) && jobs.length === 1 && jobs[0] === 'doctor'
  const options = record(doctor) ?? (doctor === true || only ? {} : undefined)
  return options && { kind: 'doctor', readOnly: options.readOnly === true, send: options.send === true }
}

function timer(name: string, selection: unknown): TimerTrigger | DoctorTrigger {
  const chosen = record(parsedSelection(selection))
  const asked = chosen && doctorIn(chosen)
  if (asked) return asked
  const jobs = selectedJobs(chosen)
  return { kind: 'timer', name, ...(jobs === undefined ? {} : { jobs }) }
}

/** The user event is free text; only JSON with `jobs` or `doctor` means something here. */
function parsedSelection(selection: unknown): unknown {
  if (typeof selection !== 'string') return selection
  try {
    return JSON.parse(selection)
  } catch {
    return undefined
  }
}

function selectedJobs(chosen: Record<string, unknown> | undefined): string[] | undefined {
  const jobs = chosen?.jobs
  return Array.isArray(jobs) && jobs.length > 0 && jobs.every((job) => typeof job === 'string')
    ? jobs
    : undefined
}

function reasonToIgnore(key: string, eventName: string): string | undefined {
  if (/^(ObjectRemoved|ObjectDeleted|LifecycleExpiration)/.test(eventName)) return 'a deletion'
  if (!/^ObjectCreated(:|$)/.test(eventName)) return 'not an upload'
  if (/^(state|deployed|rejected|status|renew|config|accounts?)\//.test(key)) return 'written by this tool'
  if (!key.startsWith(keys.incoming())) return 'outside of incoming/'
  if (key.endsWith('/')) return 'a folder marker'
  if (/(^|\/)\.{0,2}(\/|$)|[\0-\x1f\x7f\\]/.test(key)) return 'not a usable name'
  if (certificateOf(key) === undefined) return 'not in the folder of a certificate'
  return undefined
}

/** `incoming/<name>/<object>` → name. */
function certificateOf(key: string): string | undefined {
  const [folder, name, ...rest] = key.split('/')
  return `${folder}/` === keys.incoming() &&
    name !== undefined &&
    isCertificateName(name) &&
    rest.join('/') !== ''
    ? name
    : undefined
}

function decodings(key: string): string[] {
  // S3 encodes a space as a plus. A malformed escape means that the key was not encoded.
  try {
    return [...new Set([key, decodeURIComponent(key.replaceAll('+', ' '))])]
  } catch {
    return [key]
  }
}

function unknownShape(event: unknown): Failure {
  const fields = record(event)
  const names = fields
    ? Object.keys(fields)
        .slice(0, 20)
        .map((name) => printable(shortened(name)))
    : []
  const seen = fields
    ? names.length > 0
      ? `an object with ${names.join(', ')}`
      : 'an empty object'
    : Array.isArray(event)
      ? `a list of ${event.length}`
      : event === null
        ? 'null'
        : `a ${typeof event}`
  return new Failure({
    code: 'event.unknown-shape',
    kind: 'never',
    message: `The event has a shape that is not known: ${seen}`,
    next: 'Use an OBS, EventGrid, SMN or timer trigger; events/README.md shows what each of them sends.',
    facts: { fields: names },
  })
}

function printable(name: string): string {
  return JSON.stringify(name).replace(
    /[\u007f-\uffff]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function shortened(value: string): string {
  return value.length > 200 ? `${value.slice(0, 200)}…` : value
}

function record(value: unknown): Record<string, unknown> | undefined {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined
}
