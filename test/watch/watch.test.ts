import { describe, expect, test } from 'vitest'
import { day, hour, minute } from '../../shared/base/clock.ts'
import type { RotationState } from '../../shared/rotation/record/state.ts'
import {
  emptyRunMemory,
  type RunMemory,
  readAlertMemory,
  readRunMemory,
} from '../../shared/watch/alert-memory.ts'
import type { Gathered } from '../../shared/watch/facts.ts'
import type { Notice } from '../../shared/watch/notice.ts'
import { digestsOf, watch } from '../../shared/watch/watch.ts'
import { bundle, config, deployed, gathered, later, outcome, seen, serving, start, state } from './support.ts'

const settings = config(
  { shop: { owner: 'shop-team' } },
  { unfinishedAfter: '6h', owners: { 'shop-team': [{ console: true }] } },
)
const current = bundle('shop', 2, later(-5 * day))
/** Long-lived, so that only what is served is told here, not its end. */
const older = bundle('shop', 1, later(-36 * day), 90)
const failure = {
  code: 'gateway.refused',
  kind: 'never' as const,
  message: 'APIG said no',
  next: 'Ask APIG why.',
  facts: {},
}

/** A run of ticks that keeps its memory where the product keeps it, through JSON. */
function ticker(name = 'shop') {
  let runMemory: RunMemory = emptyRunMemory()
  let alerts: unknown
  return (now: Date, state: RotationState | undefined, more: Partial<Gathered> = {}): Notice[] => {
    const states = new Map(
      state === undefined ? [] : [[name, { ...state, alerts: alerts as Record<string, unknown> }]],
    )
    const result = watch(
      gathered(now, more.config ? (more.config as typeof settings) : settings, { ...more, states }),
      runMemory,
    )
    runMemory = readRunMemory(JSON.stringify(result.runMemory))
    alerts = JSON.parse(JSON.stringify(result.memories.get(name) ?? null))
    return result.notices
  }
}

const kinds = (notices: readonly Notice[]) => notices.map(({ kind }) => kind)

describe('what one tick says', () => {
  test('is nothing when nothing happened', () => {
    const tick = ticker()
    const observations = [seen('shop', 'shop.example', serving(current))]
    expect(tick(start, deployed('shop', current, later(-5 * day)), { observations })).toEqual([])
  })

  test('is one notice for a rotation, with the longest gap, and not again', () => {
    const tick = ticker()
    const domains = [
      { gateway: 'apig 0a1b', host: 'shop.example', status: 'served' as const, gapMs: 90 },
      { gateway: 'apig 0a1b', host: 'www.shop.example', status: 'served' as const, gapMs: 120 },
    ]
    const after = deployed('shop', current, start, {
      outcomes: [outcome('shop', 'rotated', start, { bundle: current, domains })],
    })
    const [notice, ...rest] = tick(later(minute), after)
    expect(rest).toEqual([])
    expect(notice).toMatchObject({
      kind: 'rotated',
      certificate: 'shop',
      owner: 'shop-team',
      domains: 2,
      longestGapMs: 120,
      severity: 'info',
    })
    expect(tick(later(hour), after)).toEqual([])
  })

  test('is one notice for a failure however often it is repeated, and the rotation that follows solves it', () => {
    const tick = ticker()
    const failed = (at: Date) =>
      deployed('shop', older, later(-36 * day), {
        outcomes: [outcome('shop', 'failed', at, { bundle: current, failures: [failure] })],
      })
    expect(tick(start, failed(start))).toMatchObject([
      { kind: 'failed', action: 'Ask APIG why.', failures: [{ code: 'gateway.refused' }] },
    ])
    expect(tick(later(hour), failed(later(hour)))).toEqual([])
    expect(tick(later(2 * hour), failed(later(2 * hour)))).toEqual([])
    const done = deployed('shop', current, later(3 * hour), {
      outcomes: [outcome('shop', 'rotated', later(3 * hour), { bundle: current })],
    })
    expect(tick(later(3 * hour), done)).toMatchObject([{ kind: 'rotated', solves: ['shop/rotation'] }])
    expect(tick(later(4 * hour), done)).toEqual([])
  })

  test('is a failure for a rotation that nobody could verify where that is required, and nothing more where it is not', () => {
    const unseen = (required: boolean) => {
      const report = { ...failure, code: 'served.not-verified', facts: { required } }
      const domains = [
        { gateway: 'apig', host: 'shop.example', status: 'bound, not verified' as const, failure: report },
      ]
      return deployed('shop', current, start, {
        outcomes: [outcome('shop', 'rotated', start, { bundle: current, domains })],
      })
    }
    expect(ticker()(later(minute), unseen(true))).toMatchObject([
      { kind: 'failed', action: 'Ask APIG why.', next: 'The new certificate is bound, and stays so.' },
    ])
    expect(kinds(ticker()(later(minute), unseen(false)))).toEqual(['rotated'])
  })

  test('names another refused bundle, but the same one only once', () => {
    const tick = ticker()
    const refused = (digest: string) =>
      state('shop', {
        outcomes: [
          outcome('shop', 'refused', start, {
            bundle: { ...current, digest },
            checks: [{ code: 'expired', result: 'refused', message: 'It ended yesterday.' }],
          }),
        ],
      })
    expect(tick(start, refused('a'))).toMatchObject([{ kind: 'refused', reasons: ['It ended yesterday.'] }])
    expect(tick(later(hour), refused('a'))).toEqual([])
    expect(kinds(tick(later(2 * hour), refused('b')))).toEqual(['refused'])
  })

  test('tells an unfinished rotation after the configured time, and half a pair after its own', () => {
    const tick = ticker()
    const recorded = {
      groupId: 'g',
      domainId: 'd',
      gateway: 'apig 0a1b',
      host: 'shop.example',
      clientVerification: false,
      hasTrustedRootCa: false,
    }
    const running = state('shop', {
      current: {
        bundle: current,
        remoteName: 'cr_shop',
        startedAt: start.toISOString(),
        status: 'running',
        domains: { a: recorded },
        certificates: {},
        notes: {},
      },
    })
    expect(tick(later(5 * hour), running)).toEqual([])
    expect(tick(later(7 * hour), running)).toMatchObject([{ kind: 'unfinished', done: 0, total: 1 }])
    expect(tick(later(8 * hour), running)).toEqual([])

    const other = ticker()
    const waiting = state('shop', { waitingSince: start.toISOString() })
    expect(other(later(23 * hour), waiting)).toEqual([])
    expect(kinds(other(later(25 * hour), waiting))).toEqual(['waiting for pair'])
    expect(other(later(26 * hour), state('shop'))).toMatchObject([{ kind: 'solved', of: 'waiting for pair' }])
  })

  test('tells a failing renewal once with the words of the CA, and that it works again', () => {
    const tick = ticker()
    const renewals = new Map([
      [
        'shop',
        {
          failing: {
            since: start.toISOString(),
            attempts: 3,
            failure: { ...failure, message: 'CAA forbids' },
          },
        },
      ],
    ])
    expect(tick(start, state('shop'), { renewals })).toMatchObject([
      { kind: 'renewal failing', failure: { message: 'CAA forbids' } },
    ])
    expect(tick(later(hour), state('shop'), { renewals })).toEqual([])
    expect(tick(later(2 * hour), state('shop'))).toMatchObject([{ kind: 'solved', of: 'renewal failing' }])
  })
})

describe('a domain that does not serve the expected certificate', () => {
  const own = deployed('shop', current, later(-5 * day), {
    outcomes: [
      outcome('shop', 'already deployed', later(-5 * day), { bundle: current }),
      outcome('shop', 'rotated', later(-36 * day), { bundle: older }),
    ],
  })
  const serves = (a: typeof current, b: typeof current) => ({
    observations: [seen('shop', 'shop.example', serving(a)), seen('shop', 'www.shop.example', serving(b))],
  })

  test('is told after two looks, all hosts in one notice, and solved after two good ones', () => {
    const tick = ticker()
    expect(tick(start, own, serves(older, older))).toEqual([])
    const [told, ...rest] = tick(later(hour), own, serves(older, older))
    expect(rest).toEqual([])
    expect(told).toMatchObject({
      kind: 'not served',
      where: ['shop.example', 'www.shop.example'],
      domains: [{ problem: 'older' }, { problem: 'older' }],
    })
    expect(tick(later(2 * hour), own, serves(older, older))).toEqual([])
    expect(tick(later(3 * hour), own, serves(current, older))).toEqual([])
    expect(tick(later(4 * hour), own, serves(current, older))).toMatchObject([
      { kind: 'solved', where: ['shop.example'], remaining: 1 },
    ])
    expect(tick(later(5 * hour), own, serves(current, current))).toEqual([])
    expect(tick(later(6 * hour), own, serves(current, current))).toMatchObject([
      { kind: 'solved', where: ['www.shop.example'], remaining: 0 },
    ])
    expect(tick(later(7 * hour), own, serves(current, current))).toEqual([])
  })

  test('is not told while old and new alternate, however long that takes', () => {
    const tick = ticker()
    const told = Array.from({ length: 100 }, (_, i) =>
      tick(later(i * 2 * minute), own, i % 2 === 0 ? serves(older, older) : serves(current, current)),
    )
    expect(told.flat()).toEqual([])
  })

  const running = (domains: Record<string, unknown> = {}) => ({
    ...own,
    current: {
      bundle: current,
      remoteName: 'cr',
      startedAt: start.toISOString(),
      status: 'running' as const,
      domains: domains as never,
      certificates: {},
      notes: {},
    },
  })

  test('is told while a rotation is running, too, where it is neither what was there nor what is coming', () => {
    const stranger = { ...bundle('other', 1, later(-5 * day)), names: ['shop.example', 'www.shop.example'] }
    const tick = ticker()
    expect(tick(start, running(), serves(older, current))).toEqual([])
    expect(kinds(tick(later(hour), running(), serves(older, current)))).toEqual(['not served'])

    const rolling = ticker()
    const record = (host: string) => ({
      gateway: 'apig 0a1b',
      groupId: 'g',
      domainId: host,
      host,
      clientVerification: false,
      hasTrustedRootCa: false,
      servedBefore: older.fingerprint,
    })
    const domains = { a: record('shop.example'), b: record('www.shop.example') }
    // One has the new certificate, one still the old: that is what a roll-out looks like.
    for (const hours of [0, 1, 2, 3])
      expect(rolling(later(hours * hour), running(domains), serves(older, current))).toEqual([])
    expect(rolling(later(4 * hour), running(domains), serves(older, stranger))).toEqual([])
    const verified = { ...domains, b: { ...domains.b, servedAt: start.toISOString() } }
    expect(rolling(later(5 * hour), running(verified), serves(older, older))).toEqual([])
    expect(rolling(later(5.5 * hour), running(verified), serves(older, older))).toMatchObject([
      { kind: 'not served', severity: 'critical', escalate: true, where: ['www.shop.example'] },
    ])
  })

  test('is not judged when it cannot be reached', () => {
    const tick = ticker()
    const away = {
      observations: [seen('shop', 'shop.example', { reached: false as const, reason: 'ECONNREFUSED' })],
    }
    for (const hours of [4, 5, 6]) expect(tick(later(hours * hour), own, away)).toEqual([])
  })

  test('stays told while it cannot be reached', () => {
    const tick = ticker()
    tick(start, own, serves(older, current))
    expect(kinds(tick(later(hour), own, serves(older, current)))).toEqual(['not served'])
    const away = {
      observations: [seen('shop', 'shop.example', { reached: false as const, reason: 'ETIMEDOUT' })],
    }
    for (const hours of [2, 3, 4]) expect(tick(later(hours * hour), own, away)).toEqual([])
    expect(tick(later(5 * hour), own, serves(older, current))).toEqual([])
  })
})

describe('what is not in rotation.yaml', () => {
  const certificate = {
    where: 'apig 0a1b',
    id: 'c1',
    name: 'legacy',
    commonName: 'legacy.example',
    names: ['legacy.example'],
    notBefore: later(-89 * day),
    notAfter: later(13 * hour),
  }

  test('is told near its end where it is bound, and left in peace where it is not', () => {
    const tick = ticker()
    const bound = { ...certificate, hosts: [{ host: 'legacy.example' }] }
    expect(tick(start, undefined, { discovered: [{ ...certificate, hosts: [] }] })).toEqual([])
    expect(tick(later(hour), undefined, { discovered: [bound] })).toMatchObject([
      { kind: 'near expiry', certificate: 'legacy', threshold: '1d', severity: 'critical' },
    ])
    expect(tick(later(2 * hour), undefined, { discovered: [bound] })).toEqual([])
  })

  test('counts for the quota: told at 90 %, solved below 85 %, silent in between', () => {
    const tick = ticker()
    const used = (count: number) => ({ quotas: [{ where: 'apig 0a1b', used: count, limit: 50 }] })
    expect(tick(start, undefined, used(44))).toEqual([])
    expect(tick(later(hour), undefined, used(45))).toMatchObject([
      { kind: 'quota nearly used', used: 45, limit: 50 },
    ])
    expect(tick(later(2 * hour), undefined, used(43))).toEqual([])
    expect(tick(later(3 * hour), undefined, used(46))).toEqual([])
    expect(tick(later(4 * hour), undefined, {})).toEqual([])
    expect(tick(later(5 * hour), undefined, used(40))).toMatchObject([
      { kind: 'solved', of: 'quota nearly used' },
    ])
  })
})

test('snoozing holds everything back until its date, then the standing problems are told', () => {
  const snoozed = config({ shop: { snoozeUntil: '2026-11-25' } })
  const tick = ticker()
  const failed = deployed('shop', older, later(-36 * day), {
    outcomes: [outcome('shop', 'failed', start, { bundle: current, failures: [failure] })],
  })
  const old = { config: snoozed, observations: [seen('shop', 'shop.example', serving(older))] }
  expect(tick(start, failed, old)).toEqual([])
  expect(tick(later(2 * day), failed, old)).toEqual([])
  expect(kinds(tick(later(3 * day), failed, old))).toEqual(['failed'])
})

test('a damaged memory is an empty one', () => {
  for (const value of [
    null,
    'x',
    [],
    { schema: 2 },
    { schema: 1, leaves: [], conditions: { a: 1 } },
    { schema: 1, leaves: { a: { notAfter: 'never' } } },
  ]) {
    expect(readAlertMemory(value)).toEqual({ schema: 1, leaves: {}, conditions: {} })
  }
  expect(readRunMemory('{')).toEqual(emptyRunMemory())
})

test('one digest for each owner and one for everybody else, escalated notices in a third; nothing for nothing', () => {
  const notice = (certificate: string, owner: string | undefined, escalate: boolean): Notice => ({
    kind: 'expired',
    key: `${certificate}/expiry`,
    certificate,
    ...(owner === undefined ? {} : { owner }),
    escalate,
    at: start.toISOString(),
    severity: 'critical',
    where: [],
    next: '',
    action: '',
    commonName: certificate,
    notAfter: start.toISOString(),
  })
  const alerts = { owners: { a: [] }, escalation: {} }
  const digests = digestsOf(
    [notice('1', 'a', false), notice('2', 'a', true), notice('3', 'b', false), notice('4', undefined, false)],
    start,
    alerts,
  )
  expect(
    digests.map(({ audience, notices }) => [audience, notices.map(({ certificate }) => certificate)]),
  ).toEqual([
    ['owner a', ['1', '2']],
    ['escalation', ['2']],
    [undefined, ['3', '4']],
  ])
  expect(new Set(digests.map(({ id }) => id)).size).toBe(3)
  expect(digestsOf([], start, alerts)).toEqual([])
})
