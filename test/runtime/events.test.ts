import { readdirSync, readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import {
  certificatesNamed,
  readEvent,
  type TimerTrigger,
  type UploadTrigger,
} from '../../shared/runtime/events.ts'

const folder = new URL('../../events/', import.meta.url)
const sample = (name: string): unknown => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8'))
const uploadOf = (event: unknown) => readEvent(event) as UploadTrigger
const keysOf = (event: unknown) => uploadOf(event).objects.map(({ candidates }) => candidates)
const record = (key: string, eventName = 'ObjectCreated:Put') => ({
  Records: [{ eventName, s3: { bucket: { name: 'b' }, object: { key } } }],
})

test.each([
  ['obs-put', [['incoming/shop/bundle.pem']]],
  ['obs-encoded-key', [['incoming/shop/bundle.pem']]],
  [
    'obs-several-records',
    [['incoming/shop/fullchain.pem'], ['incoming/shop/privkey.pem'], ['incoming/blog/bundle.p12']],
  ],
  ['obs-repeated-delivery', [['incoming/shop/bundle.pem']]],
  ['eventgrid-put', [['incoming/shop/bundle.pem']]],
  ['eventgrid-list-data', [['incoming/shop/fullchain.pem'], ['incoming/shop/privkey.pem']]],
  [
    's3-put',
    [
      ['incoming/shop/my+bundle+%28new%29.pem', 'incoming/shop/my bundle (new).pem'],
      ['incoming/shop/bundle.pem'],
    ],
  ],
  ['smn-obs', [['incoming/shop/bundle.pem']]],
  ['bad-record', [['incoming/shop/bundle.pem']]],
])('The sample %s names what was uploaded', (name, expected) => {
  expect(keysOf(sample(name))).toEqual(expected)
  expect(uploadOf(sample(name)).objects.every(({ bucket }) => bucket === 'my-certificates')).toBe(true)
  expect(certificatesNamed(readEvent(sample(name)))[0]).toBe('shop')
})

test.each([
  ['timer', { kind: 'timer', name: 'cert-rotation-tick' }],
  ['timer-jobs', { kind: 'timer', name: 'cert-rotation-renew', jobs: ['finish', 'renew'] }],
  ['eventbridge-schedule', { kind: 'timer', name: 'cert-rotation-tick' }],
])('The sample %s is a timer', (name, expected) => {
  expect(readEvent(sample(name))).toEqual(expected)
  expect(certificatesNamed(readEvent(sample(name)))).toEqual([])
})

test.each<[string, unknown, object | undefined]>([
  ['the sample', sample('doctor'), { readOnly: false, send: false }],
  ['options', { doctor: { readOnly: true, send: true } }, { readOnly: true, send: true }],
  ['a timer', { trigger_type: 'TIMER', user_event: '{"doctor":true}' }, { readOnly: false, send: false }],
  ['a job', { trigger_type: 'TIMER', user_event: '{"jobs":["doctor"]}' }, { readOnly: false, send: false }],
  ['another job beside it', { trigger_type: 'TIMER', user_event: '{"jobs":["doctor","renew"]}' }, undefined],
  ['an upload that says so', { ...record('incoming/shop/a.pem'), doctor: true }, undefined],
  ['a no', { trigger_type: 'TIMER', user_event: '{"doctor":false}' }, undefined],
])('The doctor is asked for by an event: %s', (_case, event, expected) => {
  const trigger = readEvent(event)
  if (expected) expect(trigger).toEqual({ kind: 'doctor', ...expected })
  else expect(trigger.kind).not.toBe('doctor')
  if (expected) expect(certificatesNamed(trigger)).toEqual([])
})

test('Every sample is described in the table, and every line of the table has its sample', () => {
  const files = readdirSync(folder).filter((name) => name.endsWith('.json'))
  const table = readFileSync(new URL('README.md', folder), 'utf8').matchAll(/^\| `([a-z0-9-]+\.json)` +\|/gm)
  expect([...table].map(([, name]) => name).sort()).toEqual(files.sort())
})

test("EventGrid's own time is taken, not the local time with a false Z inside", () => {
  expect(uploadOf(sample('eventgrid-put')).objects[0]?.eventTime).toBe('2026-11-22T07:50:50.000Z')
})

test('The key is offered as it came first and decoded second, and only what lies in incoming/ is offered', () => {
  expect(uploadOf(record('incoming/shop/a%20b.pem')).objects[0]).toMatchObject({
    keyAsSent: 'incoming/shop/a%20b.pem',
    key: 'incoming/shop/a b.pem',
    candidates: ['incoming/shop/a%20b.pem', 'incoming/shop/a b.pem'],
  })
  expect(keysOf(record('incoming/shop/100%.pem'))).toEqual([['incoming/shop/100%.pem']])
  expect(keysOf(record('incoming%2Fshop%2Fbundle.pem'))).toEqual([['incoming/shop/bundle.pem']])
})

test('Own writes, folder markers and deletions are ignored, each with its reason', () => {
  const { objects, ignored, bad } = uploadOf(sample('own-write'))
  expect([objects, bad]).toEqual([[], []])
  expect(ignored.map(({ reason }) => reason)).toEqual([
    ...Array(4).fill('written by this tool'),
    'a folder marker',
    'a deletion',
  ])
})

test.each([
  ['other/shop/bundle.pem', 'outside of incoming/'],
  ['incoming', 'outside of incoming/'],
  ['incoming/bundle.pem', 'not in the folder of a certificate'],
  ['incoming/.hidden/bundle.pem', 'not in the folder of a certificate'],
  ['incoming/../state/shop.json', 'not a usable name'],
  ['incoming/shop/../../state/x', 'not a usable name'],
  ['incoming/shop//bundle.pem', 'not a usable name'],
  ['incoming/shop/a\nb', 'not a usable name'],
  ['incoming%2F..%2Fstate%2Fshop.json', 'outside of incoming/'],
])('An upload to %j is ignored', (key, reason) => {
  const { objects, ignored } = uploadOf(record(key))
  expect(objects).toEqual([])
  expect(ignored).toEqual([{ key, reason }])
})

describe('A record that cannot be read is reported by its place, and the others are done', () => {
  const good = record('incoming/shop/bundle.pem').Records[0]
  test.each([
    [null, 'the record is not an object'],
    ['text', 'the record is not an object'],
    [{}, 'neither s3 nor obs says which object'],
    [
      { eventName: 'ObjectCreated:Put', s3: { object: { key: 'incoming/x/y' } } },
      'the name of the bucket is missing',
    ],
    [
      { eventName: 'ObjectCreated:Put', s3: { bucket: { name: 'b' }, object: { key: 7 } } },
      'the key of the object is missing',
    ],
    [{ s3: { bucket: { name: 'b' }, object: { key: 'incoming/x/y' } } }, 'eventName is missing'],
    [
      { unreadable: 'x', bucket: 'b', key: 'incoming/shop/x', name: 'ObjectCreated:Put' },
      'neither s3 nor obs says which object',
    ],
  ])('%j', (broken, reason) => {
    const trigger = uploadOf({ Records: [good, broken, good] })
    expect(trigger.objects).toHaveLength(1)
    expect(trigger.bad).toEqual([{ index: 1, reason }])
  })

  test.each([
    [{}, 'the SMN record has no message'],
    [{ smn: { message: 'hello' } }, 'the SMN message is not JSON'],
    [{ smn: { message: '{"a":1}' } }, 'the SMN message has no Records'],
    [{ smn: { message: 'null' } }, 'the SMN message has no Records'],
  ])('inside SMN: %j', (broken, reason) => {
    expect(uploadOf({ record: [broken] }).bad).toEqual([{ index: 0, reason }])
  })
})

test('A batch of EventGrid events is read like its parts', () => {
  expect(keysOf([sample('eventgrid-put'), sample('eventgrid-list-data')])).toHaveLength(3)
})

test('A user event that selects nothing selects every job', () => {
  for (const user_event of [
    undefined,
    '',
    'text',
    '[]',
    '{"jobs":[]}',
    '{"jobs":[1]}',
    'null',
    '{"jobs":"finish"}',
  ]) {
    const trigger = readEvent({ trigger_type: 'TIMER', trigger_name: 't', user_event }) as TimerTrigger
    expect(trigger).toEqual({ kind: 'timer', name: 't' })
  }
})

test('An unknown shape is refused by the names of its fields, escaped, never by their values', () => {
  const failureOf = (event: unknown) => {
    try {
      readEvent(event)
    } catch (error) {
      expect(error).toBeInstanceOf(Failure)
      return error as Failure
    }
    throw new Error('it was accepted')
  }
  const failure = failureOf(sample('unknown'))
  expect([failure.code, failure.kind]).toEqual(['event.unknown-shape', 'never'])
  expect(failure.message).toContain(
    '"version", "requestContext", "httpMethod", "path", "body", "isBase64Encoded"',
  )
  expect(failure.message).not.toContain('/rotate')
  expect(failureOf({ 'a\n\u001b[31mb\u202e': 'hunter2' }).message).toBe(
    'The event has a shape that is not known: an object with "a\\n\\u001b[31mb\\u202e"',
  )
  for (const event of [null, undefined, 7, 'text', [], [1], {}]) {
    expect(failureOf(event).code).toBe('event.unknown-shape')
  }
})

test('Whatever arrives is read or refused, and no name outside of incoming/ comes out', () => {
  const key = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc
      .array(fc.constantFrom('incoming', '/', '..', 'shop', '%2F', '%', '+', 'state', '.', 'x.pem'))
      .map((p) => p.join('')),
  )
  const wild = fc.oneof(
    fc.jsonValue(),
    fc.record({
      Records: fc.array(
        fc.oneof(
          fc.jsonValue(),
          key.map((k) => record(k).Records[0]),
        ),
      ),
    }),
  )
  fc.assert(
    fc.property(wild, (event) => {
      try {
        const trigger = readEvent(event)
        if (trigger.kind !== 'upload') return true
        return trigger.objects
          .flatMap(({ candidates }) => candidates)
          .every(
            (candidate) =>
              /^incoming\/[A-Za-z0-9._-]+\/./.test(candidate) && !/(^|\/)\.{0,2}(\/|$)/.test(candidate),
          )
      } catch (error) {
        return error instanceof Failure && error.code === 'event.unknown-shape'
      }
    }),
  )
})
