import { describe, expect, test } from 'vitest'
import { buildStatus } from '../../shared/status/build.ts'
import type { RenewalFacts } from '../../shared/watch/facts.ts'
import { renewalOutlook } from '../../shared/watch/renewal-outlook.ts'
import { watch } from '../../shared/watch/watch.ts'
import { bundle, config, deployed, gathered, later, seen, serving, start } from './support.ts'

const days = (count: number) => later(count * 86_400_000)
const end = days(2)
const failure = {
  code: 'acme.not-in-service',
  kind: 'later' as const,
  message: 'it was refused',
  next: 'Read it.',
  facts: {},
}

const rows: {
  what: string
  renewal: RenewalFacts | undefined
  next: RegExp
  action: RegExp
  inTime: boolean
}[] = [
  {
    what: 'no renewal',
    renewal: undefined,
    next: /Nothing happens by itself/,
    action: /^Drop a new bundle/,
    inTime: false,
  },
  {
    what: 'before the end',
    renewal: { renewAt: days(1).toISOString() },
    next: /renewed by itself from/,
    action: /^Nothing while/,
    inTime: true,
  },
  {
    what: 'due already',
    renewal: { renewAt: days(-1).toISOString() },
    next: /renewed by itself from/,
    action: /^Nothing while/,
    inTime: true,
  },
  {
    what: 'behind the end',
    renewal: { renewAt: days(60).toISOString() },
    next: /too late/,
    action: /cert-rotation plan/,
    inTime: false,
  },
  {
    what: 'refused, whatever the date says',
    renewal: {
      renewAt: days(-1).toISOString(),
      failing: { since: start.toISOString(), attempts: 1, failure, nextAt: days(1).toISOString() },
    },
    next: /has failed once; the next order is placed after/,
    action: /^Read it/,
    inTime: false,
  },
  {
    what: 'issued, and not rotated yet',
    renewal: {
      renewAt: days(-1).toISOString(),
      waiting: { notAfter: days(90).toISOString(), since: start.toISOString() },
    },
    next: /waits in incoming\/shop\/ for its rotation/,
    action: /cert-rotation rotate shop/,
    inTime: false,
  },
]

describe('what the renewal means for a certificate that nears its end', () => {
  test.each(rows)('$what', ({ renewal, next, action, inTime }) => {
    const outlook = renewalOutlook({ name: 'shop', ...(renewal && { renewal }) }, end)
    expect(outlook.next).toMatch(next)
    expect(outlook.action).toMatch(action)
    expect(outlook.inTime).toBe(inTime)
  })

  test('a date behind its end is no comfort: not in the alert, not in the health and not as the next act', () => {
    const old = bundle('shop', 1, days(-45))
    const settings = config({ shop: { gateways: [] } }, { thresholds: ['20%'] })
    const facts = gathered(start, settings, {
      states: new Map([['shop', deployed('shop', old, days(-45))]]),
      observations: [seen('shop', 'shop.example', serving(old))],
    })
    const shown = (renewAt: Date) => {
      const all = { ...facts, renewals: new Map([['shop', { renewAt: renewAt.toISOString() }]]) }
      const notice = watch(all, { schema: 1, conditions: {}, discovered: {} }).notices.find(
        ({ kind }) => kind === 'near expiry',
      )
      const outbox = { schema: 1 as const, pending: [], channels: {} }
      const [status] = buildStatus({ ...all, outbox }).certificates
      return { told: `${notice?.next} ${notice?.action}`, next: status?.next.act, at: status?.next.at }
    }
    const soon = shown(days(1))
    expect(soon.told).toContain('Nothing while that works')
    expect(soon).toMatchObject({ next: 'renew', at: days(1).toISOString() })
    const far = shown(days(60))
    expect(far.told).not.toMatch(/[Nn]othing while/)
    expect(far.told).toContain('comes too late for it')
    expect(far).toMatchObject({ next: 'expires', at: old.notAfter })
  })
})
