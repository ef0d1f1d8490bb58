import { describe, expect, it } from 'vitest'
import { minute } from '../../shared/base/clock.ts'
import { silentLog } from '../../shared/base/log.ts'
import { keys } from '../../shared/base/names.ts'
import { Secret } from '../../shared/base/secret.ts'
import { pagerduty } from '../../shared/notify/formats/pagerduty.ts'
import type { Channel } from '../../shared/notify/port.ts'
import type { Parties } from '../../shared/rotation/parties.ts'
import { readState } from '../../shared/rotation/record/journal.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { tellAll } from '../../shared/runtime/tell.ts'
import type { Wiring } from '../../shared/wire/cloud.ts'
import { Boundaries, type Fault } from '../support/boundaries.ts'
import { HistoryStore } from '../support/history-store.ts'
import { VirtualClock } from '../support/virtual-clock.ts'
import { config, gathered } from '../watch/support.ts'

/** One of a certificate's own (its memory is its state file) and one of the whole run. */
const certificate = {
  since: '2026-11-22T00:00:00.000Z',
  attempts: 3,
  failure: { code: 'acme.refused', kind: 'later' as const, message: 'no', next: 'Wait.', facts: {} },
}
const quota = { where: 'apig 0a1b', used: 50, limit: 50 }

/** Ticks of one installation; each is a process of its own, and any of them may die. */
class Story {
  readonly clock = new VirtualClock()
  readonly store = new HistoryStore(this.clock.lazy)
  readonly incidents = new Map<string, string[]>()
  name: string | undefined

  async tick(wrong: boolean, boundaries = new Boundaries()): Promise<string[]> {
    this.clock.advance(30 * minute)
    const settings = config({ shop: { gateways: [] } })
    const channel = boundaries.wrap<Channel>('channel', {
      name: 'pagerduty 1',
      send: async (digest) => {
        for (const { body } of pagerduty.requests({
          digest,
          now: this.clock.lazy.now(),
          secret: new Secret('k'),
        })) {
          const { event_action: action, dedup_key: key } = JSON.parse(body)
          this.incidents.set(key, [...(this.incidents.get(key) ?? []), action])
        }
      },
    })
    const store = boundaries.wrap('store', this.store)
    const parties = {
      store,
      clock: this.clock.lazy,
      log: silentLog,
      deadline: noDeadline(),
      lease: async () => ({ held: true, lease: { release: async () => {} } }),
    } as unknown as Parties
    const wiring = {
      config: settings,
      installation: this.name === undefined ? { scope: 'store' } : { name: this.name, scope: this.name },
      channels: async () => ({ all: [channel], of: () => [channel.name] }),
    } as unknown as Wiring
    const state = await readState('shop', { ...parties, store: this.store })
    const seen = gathered(this.clock.lazy.now(), settings, {
      states: new Map(state ? [['shop', state]] : []),
      renewals: new Map(wrong ? [['shop', { failing: certificate }]] : []),
      quotas: [wrong ? quota : { ...quota, used: 1 }],
    })
    await tellAll(wiring, parties, seen).catch(() => {})
    return boundaries.seen
  }

  /** What the receiver shows now. */
  open(): string[] {
    return [...this.incidents].flatMap(([key, events]) => (events.at(-1) === 'trigger' ? [key] : []))
  }
}

const boundariesOf = async (before: boolean[], then: boolean) => {
  const story = new Story()
  for (const wrong of before) await story.tick(wrong)
  const seen = await story.tick(then)
  expect(seen).toContain('channel.send')
  expect(seen.filter((name) => name === 'store.put').length).toBeGreaterThanOrEqual(4)
  return seen.flatMap((name, index) =>
    (['killed before', 'killed after'] as Fault[]).map((fault) => ({ name, at: index + 1, fault })),
  )
}

const both = ['cert-rotation/store/quota/apig 0a1b', 'cert-rotation/store/shop/renewal']

describe('a process that dies while it tells people', () => {
  it('of a problem leaves nothing open once that is over, wherever it died', async () => {
    for (const { name, at, fault } of await boundariesOf([], true)) {
      const story = new Story()
      await story.tick(true, new Boundaries(at, fault))
      await story.tick(false)
      await story.tick(false)
      expect(story.open(), `${fault} ${name} (${at})`).toEqual([])
    }
  })

  it('of a problem that stays has told it once or, where nobody can know, twice', async () => {
    const all = await boundariesOf([], true)
    const send = all.find(({ name }) => name === 'channel.send')!.at
    for (const { name, at, fault } of all) {
      const story = new Story()
      await story.tick(true, new Boundaries(at, fault))
      await story.tick(true)
      await story.tick(true)
      expect(story.open().sort(), `${fault} ${name} (${at})`).toEqual(both)
      const unknown = at > send || (at === send && fault === 'killed after')
      for (const events of story.incidents.values())
        expect(events.length).toBeLessThanOrEqual(unknown ? 2 : 1)
    }
  })

  it('of the end of a problem has told that end, wherever it died', async () => {
    for (const { name, at, fault } of await boundariesOf([true], false)) {
      const story = new Story()
      await story.tick(true)
      expect(story.open()).toHaveLength(2)
      await story.tick(false, new Boundaries(at, fault))
      await story.tick(false)
      expect(story.open(), `${fault} ${name} (${at})`).toEqual([])
    }
  })

  it('of a problem that comes back has told that', async () => {
    for (const { name, at, fault } of await boundariesOf([true], false)) {
      const story = new Story()
      await story.tick(true)
      await story.tick(false, new Boundaries(at, fault))
      await story.tick(true)
      await story.tick(true)
      expect(story.open().sort(), `${fault} ${name} (${at})`).toEqual(both)
    }
  })
})

describe('an incident', () => {
  it('keeps the name under which it was opened when the installation gets another, and new ones have the new', async () => {
    const story = new Story()
    await story.tick(true)
    expect(story.open().sort()).toEqual(both)
    story.name = 'production'
    await story.tick(false)
    expect(story.open()).toEqual([])
    await story.tick(true)
    expect(story.open().sort()).toEqual(both.map((key) => key.replace('/store/', '/production/')))
    story.name = undefined
    await story.tick(false)
    expect(story.open()).toEqual([])
  })

  it('that was opened before installations had names is ended as it was opened', async () => {
    const story = new Story()
    await story.tick(true)
    const outbox = JSON.parse(story.store.text('status/outbox.json') ?? '')
    delete outbox.channels['pagerduty 1'].toldAs
    await story.store.put('status/outbox.json', JSON.stringify(outbox))
    story.incidents.clear()
    await story.tick(false)
    expect([...story.incidents].sort()).toEqual(both.map((key) => [key.replace('/store/', '/'), ['resolve']]))
  })
})

it('what is remembered with the messages is forgotten once it stands in its own files', async () => {
  const story = new Story()
  await story.tick(true)
  expect(JSON.parse(story.store.text('status/outbox.json') ?? '')).not.toHaveProperty('remember')
  expect(story.store.text(keys.state('shop'))).toContain('shop/renewal')
  const before = story.store.text('status/outbox.json')
  await story.tick(true)
  expect(story.store.text('status/outbox.json')).toBe(before)
})
