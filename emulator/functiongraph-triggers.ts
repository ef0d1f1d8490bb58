import { randomUUID } from 'node:crypto'
import { invokeAsync } from './functiongraph-run.ts'
import { bad, type EmulatedFunction, functionsOf, type Trigger } from './functiongraph-state.ts'
import type { World } from './world.ts'

/** The kinds that the emulator can keep; it fires OBS and EVENTGRID by itself, TIMER when asked to. */
const KINDS: Record<string, string[]> = {
  TIMER: ['name', 'schedule_type', 'schedule'],
  OBS: ['bucket', 'events'],
  EVENTGRID: ['channel_id', 'source_name', 'trigger_name', 'bucket', 'event_types'],
  SMN: ['topic_urn'],
}

/** Reads and checks the body of a create request. */
export function readTrigger(world: World, fn: EmulatedFunction, body: Record<string, unknown>): Trigger {
  const type = String(body.trigger_type_code ?? '')
  const required = KINDS[type]
  if (required === undefined) throw bad(`trigger_type_code ${type} is not known here`)
  const data = body.event_data as Record<string, unknown> | undefined
  if (typeof data !== 'object' || data === null) throw bad('event_data is missing')
  const missing = required.find((name) => data[name] === undefined || data[name] === '')
  if (missing !== undefined) throw bad(`event_data.${missing} is missing`)
  if (type === 'TIMER' && !validSchedule(String(data.schedule_type), String(data.schedule)))
    throw bad(`schedule ${String(data.schedule)} is not valid`)
  if (fn.triggers.length >= 10) throw bad('there can be at most 10 triggers')
  if (type === 'OBS') {
    const others = [...functionsOf(world).functions.values()].flatMap(({ triggers }) => triggers)
    if (others.some((one) => one.type === 'OBS' && one.data.bucket === data.bucket))
      throw bad(`the bucket ${String(data.bucket)} has a trigger for a function already`)
  }
  const status = String(body.trigger_status ?? 'ACTIVE')
  if (status !== 'ACTIVE' && status !== 'DISABLED') throw bad('trigger_status must be ACTIVE or DISABLED')
  if (status === 'DISABLED' && type === 'OBS') throw bad('an OBS trigger cannot be disabled')
  const now = world.clock.now()
  const events = Array.isArray(data.events) ? { events: data.events.map(shortEvent) } : {}
  return { id: randomUUID(), type, status, data: { ...data, ...events }, createdAt: now, updatedAt: now }
}

/** Terraform reads back `ObjectCreated` for what others send as `s3:ObjectCreated:*` (fgs_function_trigger): the harsher answer. */
function shortEvent(name: unknown): unknown {
  return typeof name === 'string' ? name.replace(/^s3:/, '').replace(/:\*$/, '') : name
}

// Rate: 1–60 minutes, 1–24 hours, 1–30 days. Cron: seconds first, weekday optional, `@every` and a zone allowed.
function validSchedule(type: string, schedule: string): boolean {
  if (type === 'Rate') {
    const [, amount, unit] = /^(\d{1,2})([mhd])$/.exec(schedule) ?? []
    const most = { m: 60, h: 24, d: 30 }[unit ?? ''] ?? 0
    return Number(amount) >= 1 && Number(amount) <= most
  }
  if (type !== 'Cron') return false
  const expression = schedule.replace(/^CRON_TZ=\S+ /, '')
  return /^@every \S+$/.test(expression) || /^(\S+ ){4,5}\S+$/.test(expression)
}

/** An object was written: starts every function that wants to know, as the platform does, asynchronously. */
export function objectWritten(
  world: World,
  object: { bucket: string; key: string; etag: string; size: number },
): void {
  for (const fn of functionsOf(world).functions.values())
    for (const trigger of fn.triggers) {
      if (trigger.status !== 'ACTIVE' || trigger.data.bucket !== object.bucket) continue
      const { prefix = '', suffix = '' } = trigger.data as { prefix?: string; suffix?: string }
      if (!object.key.startsWith(prefix) || !object.key.endsWith(suffix)) continue
      if (trigger.type === 'OBS' && wants(trigger.data.events))
        void invokeAsync(world, fn, obsEvent(world, object, trigger), 'OBS')
      if (trigger.type === 'EVENTGRID' && JSON.stringify(trigger.data.event_types).includes('ObjectCreated'))
        void invokeAsync(world, fn, eventGridEvent(world, object), 'EVENTGRID')
    }
}

function wants(events: unknown): boolean {
  return Array.isArray(events) && events.some((name) => /^(s3:)?ObjectCreated(:\*|:Put)?$/.test(String(name)))
}

/** Fires the function's timer at once; for tests and the admin route. */
export function fireTimer(world: World, fn: EmulatedFunction): Promise<void> {
  const trigger = fn.triggers.find((one) => one.type === 'TIMER')
  const event = {
    version: 'v1.0',
    time: world.clock.now().toISOString(),
    trigger_type: 'TIMER',
    trigger_name: trigger?.data.name ?? 'timer',
    user_event: trigger?.data.user_event ?? '',
  }
  return invokeAsync(world, fn, event, 'TIMER')
}

function obsEvent(
  world: World,
  { bucket, key, etag, size }: { bucket: string; key: string; etag: string; size: number },
  trigger: Trigger,
) {
  return {
    Records: [
      {
        eventVersion: '2.0',
        eventSource: 'aws:s3',
        awsRegion: world.region,
        eventTime: world.clock.now().toISOString(),
        eventName: 'ObjectCreated:Put',
        userIdentity: { principalId: world.project.domainId },
        requestParameters: { sourceIPAddress: '127.0.0.1' },
        responseElements: { 'x-amz-request-id': randomUUID(), 'x-amz-id-2': randomUUID() },
        s3: {
          s3SchemaVersion: '1.0',
          configurationId: String(trigger.data.name ?? trigger.id),
          bucket: {
            name: bucket,
            ownerIdentity: { PrincipalId: world.project.domainId },
            arn: `arn:aws:s3:::${bucket}`,
          },
          object: {
            key,
            eTag: etag,
            size,
            versionId: 'null',
            sequencer: Date.now().toString(16).toUpperCase(),
          },
        },
      },
    ],
  }
}

function eventGridEvent(
  world: World,
  { bucket, key, etag, size }: { bucket: string; key: string; etag: string; size: number },
) {
  const now = world.clock.now()
  return {
    specversion: '1.0',
    id: randomUUID(),
    source: 'HC.OBS.DWR',
    type: 'OBS:DWR:ObjectCreated:PUT',
    subject: key,
    time: now.toISOString().replace(/\.\d+Z$/, 'Z'),
    datacontenttype: 'application/json',
    dataschema: '',
    ttl: '4000',
    data: {
      eventVersion: '3.0',
      eventSource: 'OBS',
      eventRegion: world.region,
      // Local time of UTC+8 with a false Z, as seen.
      eventTime: new Date(now.getTime() + 8 * 3_600_000).toISOString(),
      eventName: 'ObjectCreated:Put',
      obs: {
        Version: '1.0',
        bucket: { bucket, name: bucket, arn: '', ownerIdentity: { ID: world.project.domainId } },
        object: { key: encodeURIComponent(key), eTag: etag, size, versionId: 'null' },
      },
    },
  }
}
