import { expect, test } from 'vitest'
import { day, hour, minute, systemClock } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { silentLog } from '../../shared/base/log.ts'
import { addressed } from '../../shared/notify/addressed.ts'
import { createChannels } from '../../shared/notify/channels.ts'
import { deliver } from '../../shared/notify/deliver.ts'
import { due, emptyOutbox, outboxLimits, queue, readOutbox, settle } from '../../shared/notify/outbox.ts'
import type { Channel } from '../../shared/notify/port.ts'
import { digestsOf } from '../../shared/watch/watch.ts'
import { config, later, start } from '../watch/support.ts'
import { digest, expiry, never, solved } from './support.ts'

const message = (id: string, channel = 'a') => ({ channel, digest: { ...digest(expiry), id } })
const failure = { code: 'notify.unreachable', kind: 'later' as const, message: 'no', next: 'wait', facts: {} }

test('a message that was not sent is kept with a growing wait and sent once', () => {
  let outbox = queue(emptyOutbox(), [message('1')], new Set(['a']), start)
  let now = start
  const waits: number[] = []
  for (let attempt = 0; attempt < 12; attempt++) {
    const [item] = due(outbox, now)
    expect(item?.digest.id).toBe('1')
    outbox = readOutbox(JSON.stringify(settle(outbox, item!, now, failure)))
    expect(due(outbox, now)).toEqual([])
    const next = new Date(outbox.pending[0]?.notBefore ?? '')
    waits.push((next.getTime() - now.getTime()) / minute)
    now = next
  }
  expect(waits).toEqual([1, 2, 4, 8, 16, 32, 64, 128, 256, 360, 360, 360])
  outbox = settle(outbox, due(outbox, now)[0]!, now)
  expect(outbox).toEqual({
    schema: 1,
    pending: [],
    channels: { a: { dropped: 0, lastSuccess: now.toISOString() } },
  })
})

test('the outbox is bounded: too many and too old are given up and counted, the newest stay', () => {
  const many = Array.from({ length: 30 }, (_, index) => message(String(index)))
  const outbox = queue(emptyOutbox(), many, new Set(['a']), start)
  expect(outbox.pending.map((item) => item.digest.id)).toEqual(
    Array.from({ length: outboxLimits.perChannel }, (_, index) => String(index + 10)),
  )
  expect(outbox.channels.a?.dropped).toBe(10)
  expect(queue(outbox, [], new Set(['a']), later(4 * day)).channels.a?.dropped).toBe(30)
})

test('a digest that is queued twice is sent once, and a channel that is configured no more is forgotten', () => {
  const once = queue(emptyOutbox(), [message('1')], new Set(['a']), start)
  expect(queue(once, [message('1')], new Set(['a']), start).pending).toHaveLength(1)
  expect(queue(once, [], new Set(['b']), start)).toEqual({
    schema: 1,
    pending: [],
    channels: { b: { dropped: 0 } },
  })
})

test('a wait noted by a clock that ran ahead does not silence a channel', () => {
  const queued = queue(emptyOutbox(), [message('1')], new Set(['a']), start)
  const outbox = settle(queued, queued.pending[0]!, later(90 * day), failure)
  expect(due(outbox, later(hour))).toHaveLength(1)
})

test('a damaged outbox is an empty one', () => {
  for (const text of [undefined, '', '{', '[]', '{"schema":1,"pending":[{"channel":1}],"channels":{"a":3}}'])
    expect(readOutbox(text)).toEqual(emptyOutbox())
})

test('one channel that fails or hangs holds up no other, and nothing is thrown', async () => {
  const sent: string[] = []
  const channel = (name: string, send: Channel['send']): Channel => ({ name, send })
  const controller = new AbortController()
  const channels = [
    channel('good', (what) => {
      sent.push(what.id)
      if (sent.length === 2) controller.abort()
      return Promise.resolve()
    }),
    channel('bad', () =>
      Promise.reject(
        new Failure({
          code: 'notify.refused',
          kind: 'never',
          message: 'no',
          next: 'fix it',
          retryAfterMs: 3 * hour,
        }),
      ),
    ),
    channel('broken', () => Promise.reject(new TypeError('a defect'))),
    channel(
      'slow',
      (_, signal) =>
        new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    ),
  ]
  const names = channels.map(({ name }) => name)
  const before = queue(
    emptyOutbox(),
    names.flatMap((name) => [message('1', name), message('2', name)]),
    new Set(names),
    systemClock.now(),
  )
  const after = await deliver({
    channels,
    outbox: before,
    clock: systemClock,
    log: silentLog,
    signal: controller.signal,
  })
  expect(sent).toEqual(['1', '2'])
  expect(after.pending.map((item) => `${item.channel} ${item.digest.id} ${item.attempts}`)).toEqual([
    'bad 1 1',
    'bad 2 0',
    'broken 1 1',
    'broken 2 0',
    'slow 1 1',
    'slow 2 0',
  ])
  expect(after.channels.bad?.lastFailure?.failure.code).toBe('notify.refused')
  const wait = Date.parse(after.pending[0]?.notBefore ?? '') - systemClock.now().getTime()
  expect(wait).toBeGreaterThan(2 * hour)
})

test('owners are told by their own channels, the rest by the common ones, escalations by theirs, nobody twice', async () => {
  const { alerts } = config(
    {},
    {
      channels: [{ webhook: 'https://hooks.example/common', format: 'slack' }],
      owners: { 'shop-team': [{ webhook: 'https://hooks.example/shop', format: 'slack' }] },
      escalation: {
        from: '1d',
        channels: [{ webhook: 'https://hooks.example/common', format: 'slack' }, { console: true }],
      },
    },
  )
  const lines: string[] = []
  const channels = createChannels(alerts, {
    clock: systemClock,
    timeoutMs: 1_000,
    smn: () => {
      throw new Error('no topic is configured')
    },
    write: (text) => lines.push(text),
  })
  expect(channels.all.map(({ name }) => name.replace(/ [0-9a-f]{8}$/, ''))).toEqual([
    'slack',
    'slack',
    'console',
  ])
  expect(JSON.stringify(channels.all)).not.toContain('hooks.example')
  const urgent = { ...expiry, escalate: true }
  const work = addressed(digestsOf([urgent, solved], start, alerts), channels)
  const [shop, common] = channels.all.map(({ name }) => name)
  expect(work.map((item) => [item.channel, item.digest.notices.map(({ key }) => key)])).toEqual([
    [shop, ['shop/expiry']],
    [common, ['docs/served']],
    [common, ['shop/expiry']],
    ['console', ['shop/expiry']],
  ])
  await channels.all[2]?.send(digest(urgent), never)
  expect(lines.join('')).toContain(
    '🔴 shop expires in 24 hours\nWhat: shop.example has passed the threshold 1d.\nWhere: shop.example and *.shop.example\nUntil: 2026-11-23 06:00 UTC (in 24 hours)\nNext: ',
  )
})
