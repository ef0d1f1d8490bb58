import { expect, test } from 'vitest'
import { day, hour, minute, systemClock } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { silentLog } from '../../shared/base/log.ts'
import { addressed } from '../../shared/notify/addressed.ts'
import { createChannels } from '../../shared/notify/channels.ts'
import { deliver } from '../../shared/notify/deliver.ts'
import {
  due,
  emptyOutbox,
  lastFailure,
  outboxLimits,
  queue,
  readOutbox,
  settle,
  untold,
} from '../../shared/notify/outbox.ts'
import type { Channel } from '../../shared/notify/port.ts'
import type { Notice } from '../../shared/watch/notice.ts'
import { digestsOf } from '../../shared/watch/watch.ts'
import { config, later, start } from '../watch/support.ts'
import { channel, digest, expiry, never, receiver, rotated, solved } from './support.ts'

const message = (id: string, channel = 'a') => ({
  channel,
  digest: { ...digest({ ...expiry, key: id }), id },
})
const failure = new Failure({ code: 'notify.unreachable', kind: 'later', message: 'no', next: 'Wait.' })
const good = { ...expiry, severity: 'info' as const, key: 'good' }
const key = 'shop/served'
const bare = (...hosts: string[]): Notice => ({
  ...expiry,
  kind: 'not served',
  key,
  where: hosts,
  domains: hosts.map((host) => ({ host, gateway: 'apig', problem: 'nobody', detail: 'nothing is bound' })),
})
const well = (remaining: number, ...hosts: string[]) =>
  ({ ...solved, key, where: hosts, remaining }) as Notice

const delivery = { from: { scope: 'here' }, save: async () => {} }

/** One channel over several ticks: what it is given, and what comes of it. */
function line(send: Channel['send'], name = 'a') {
  let outbox = emptyOutbox()
  let count = 0
  const tick = async (at: Date, ...notices: Notice[]) => {
    const { signal } = new AbortController()
    const messages =
      notices.length === 0 ? [] : [{ channel: name, digest: { ...digest(...notices), id: `${++count}` } }]
    outbox = queue(readOutbox(JSON.stringify(outbox)), messages, new Set([name]), at)
    const clock = { ...systemClock, now: () => at }
    outbox = await deliver({ ...delivery, channels: [{ name, send }], outbox, clock, log: silentLog, signal })
    return outbox
  }
  return { tick, outbox: () => outbox }
}

/** A channel that answers as it is told and notes what it was asked to take. */
function scripted() {
  const asked: string[][] = []
  const taken: string[][] = []
  const state: { failure: Failure | undefined } = { failure: undefined }
  const send: Channel['send'] = async ({ notices }) => {
    const said = notices.map((notice) => `${notice.kind} ${notice.where.join(' ')}`)
    asked.push(said)
    if (state.failure) throw state.failure
    taken.push(said)
  }
  return { asked, taken, state, send }
}

const throttled = (retryAfterMs?: number) =>
  new Failure({
    code: 'notify.throttled',
    kind: 'later',
    message: '429',
    next: 'Wait.',
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })

test.each([
  ['good news, nothing asked', good, undefined, [0, 1, 3, 7, 15, 31, 63, 123, 183]],
  ['good news, a day', good, day, [0, 60, 120, 180]],
  ['critical, nothing asked', bare('www'), undefined, [0, 1, 3, 7, 12, 17, 22]],
  ['critical, ten minutes', bare('www'), 10 * minute, [0, 10, 20, 30]],
  ['critical, a month', bare('www'), 30 * day, [0, 15, 30, 45]],
])(
  'a message that is not taken is kept and tried again within bounds: %s',
  async (_, notice, asked, expected) => {
    const { tick } = line(async () => {
      tried.push(at)
      throw throttled(asked)
    })
    const tried: number[] = []
    let at = 0
    for (; at <= (expected.at(-1) ?? 0); at++) await tick(later(at * minute), ...(at === 0 ? [notice] : []))
    expect(tried).toEqual(expected)
  },
)

test('a wait is the channel’s, not the message’s: a critical one shortens it, and a message that is taken ends it', async () => {
  const { asked, taken, state, send } = scripted()
  const { tick, outbox } = line(send)
  state.failure = throttled(day)
  await tick(start, good)
  expect(lastFailure(outbox(), 'a')?.next).toContain('with the first tick after 2026-11-22 07:00 UTC')
  await tick(later(5 * minute), bare('www'))
  // Nobody is asked again too early, and the page says when.
  expect(asked).toHaveLength(1)
  expect(lastFailure(outbox(), 'a')?.next).toContain('with the first tick after 2026-11-22 06:15 UTC')
  state.failure = undefined
  await tick(later(15 * minute))
  expect(taken).toEqual([['not served www'], ['near expiry shop.example *.shop.example']])
  expect(outbox()).toMatchObject({
    pending: [],
    channels: { a: { lastSuccess: later(15 * minute).toISOString() } },
  })
  expect(lastFailure(outbox(), 'a')).toBeUndefined()
})

test('a message that a channel never takes holds up no other', async () => {
  const taken: string[] = []
  const { tick } = line(async ({ notices: [first] }) => {
    if (first?.key === key) throw throttled()
    taken.push(first?.key ?? '')
  })
  await tick(start, bare('www'))
  for (const hours of [1, 2, 3, 4]) await tick(later(hours * hour), { ...good, key: `good ${hours}` })
  expect(taken).toEqual(expect.arrayContaining(['good 1', 'good 2', 'good 3', 'good 4']))
})

const rotatedNow = { ...rotated, solves: [key] } as Notice
test.each<[string, Notice[][], string[]]>([
  ['what is over', [[bare('www')], [well(0, 'www')]], []],
  ['what a rotation ended', [[bare('www')], [rotatedNow]], ['rotated mail.example']],
  ['one of two', [[bare('www', 'api')], [well(1, 'www')]], ['not served api']],
  ['one after the other', [[bare('www', 'api')], [well(1, 'www')], [well(0, 'api')]], []],
  ['one more', [[bare('www')], [bare('api')]], ['not served api www']],
  ['one for another', [[bare('www')], [bare('api'), well(1, 'www')]], ['not served api']],
  ['over and there again', [[bare('www')], [well(0, 'www')], [bare('www')]], ['not served www']],
  ['a rotation, and there again', [[rotatedNow], [bare('www')]], ['not served www', 'rotated mail.example']],
  [
    'another thing in the same message',
    [[bare('www'), good], [well(0, 'www')]],
    ['near expiry shop.example *.shop.example'],
  ],
])('while a channel takes nothing, only the newest state is kept: %s', async (_, said, expected) => {
  const { taken, state, send } = scripted()
  const { tick } = line(send)
  state.failure = throttled(day)
  for (const [index, notices] of said.entries()) await tick(later(index * minute), ...notices)
  state.failure = undefined
  await tick(later(8 * hour))
  expect(taken.flat()).toEqual(expected)
})

test.each([
  ['was told', undefined],
  [
    'may have been told',
    new Failure({ ...failure, code: 'notify.timeout', message: 'no', effect: 'unknown' }),
  ],
])('whoever %s of a problem is told of its end, even when its newest form was not', async (_, first) => {
  const { taken, state, send } = scripted()
  const { tick, outbox } = line(send)
  state.failure = first
  await tick(start, bare('www'))
  state.failure = throttled(day)
  await tick(later(hour), bare('api'))
  await tick(later(3 * hour), well(0, 'www', 'api'))
  state.failure = undefined
  await tick(later(5 * hour))
  expect(taken.flat().at(-1)).toBe('solved www api')
  expect(taken.flat().filter((text) => text.includes('api'))).toHaveLength(1)
  expect(outbox().channels.a?.told).toEqual([])
})

test('at PagerDuty no trigger follows the resolve of its incident', async () => {
  let status = 429
  const server = await receiver((_, response) =>
    response.writeHead(status, { 'retry-after': '86400' }).end('{}'),
  )
  try {
    const pagerduty = channel('pagerduty', server.url('/v2'), 'routing')
    const { tick } = line((what, signal) => pagerduty.send(what, signal))
    await tick(start, bare('www'), { ...expiry, key: 'docs/expiry' })
    status = 202
    await tick(later(5 * minute), well(0, 'www'))
    await tick(later(hour))
    const [, ...events] = server.received.map(({ json }) => `${json.event_action} ${json.dedup_key}`)
    expect(events).toEqual(['trigger cert-rotation/here/docs/expiry'])
  } finally {
    await server.close()
  }
})

test('a message of which a part was taken may have been told', async () => {
  let refused = true
  const server = await receiver(({ json }, response) =>
    response.writeHead(refused && json.dedup_key !== `cert-rotation/here/${key}` ? 429 : 202).end('{}'),
  )
  try {
    const pagerduty = channel('pagerduty', server.url('/v2'), 'routing')
    const { tick } = line((what, signal) => pagerduty.send(what, signal))
    await tick(start, bare('www'), { ...expiry, key: 'docs/expiry' })
    refused = false
    await tick(later(hour), well(0, 'www'))
    const events = server.received.map(({ json }) => `${json.event_action} ${json.dedup_key}`)
    expect(events).toContain(`resolve cert-rotation/here/${key}`)
    expect(events.filter((event) => event === `trigger cert-rotation/here/${key}`)).toHaveLength(1)
  } finally {
    await server.close()
  }
})

test('a channel that has taken another message has not told this one', async () => {
  const { tick, outbox } = line(async ({ notices: [first] }) => {
    if (first?.key === key) throw throttled()
  })
  await tick(start, bare('www'))
  for (const hours of [1, 2, 3, 4]) await tick(later(hours * hour), { ...good, key: `good ${hours}` })
  expect(outbox().channels.a?.lastSuccess).toBe(later(4 * hour).toISOString())
  expect(untold(outbox(), () => ['a'])).toHaveLength(1)
  expect(untold(outbox(), () => ['a', 'b'])).toHaveLength(1)
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

test('whoever was told of a problem hears of its end after any outage of the channel', async () => {
  const { taken, state, send } = scripted()
  const { tick, outbox } = line(send)
  await tick(start, bare('www'))
  state.failure = throttled(day)
  await tick(later(hour), well(0, 'www'), good)
  for (const days of [1, 4, 5]) await tick(later(days * day))
  expect(outbox().channels.a?.dropped).toBe(1)
  state.failure = undefined
  await tick(later(6 * day))
  expect(taken.at(-1)).toEqual(['solved www'])
  expect(outbox()).toMatchObject({ pending: [], channels: { a: { told: [] } } })
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

test('a failure noted by a clock that ran ahead does not silence a channel', () => {
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
      return Promise.resolve(undefined)
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
    ...delivery,
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
