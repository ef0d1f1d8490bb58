import { beforeEach, describe, expect, it } from 'vitest'
import { usualPace } from '../../shared/acme/context.ts'
import type { OrderRecord } from '../../shared/acme/state.ts'
import { heedRetryAfter, StillWaiting, waitFor } from '../../shared/acme/still-waiting.ts'
import { day, hour, minute, second } from '../../shared/base/clock.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

describe('an order that can only wait', () => {
  let clock: VirtualClock
  let record: OrderRecord
  beforeEach(() => {
    clock = new VirtualClock()
    record = { challenges: {} } as unknown as OrderRecord
  })
  const context = () => ({ clock: clock.eager, pace: usualPace, save: async () => {} })
  const wait = (askedMs = 0, what: 'visible' | 'issued' = 'issued') =>
    waitFor(context(), record, { for: what, sentence: 'it waits', patienceMs: 10 * minute, askedMs }).then(
      () => 'over',
      (thrown: StillWaiting) => thrown.lookAt.getTime() - clock.eager.now().getTime(),
    )

  it.each([
    [0, 2 * second],
    [5 * second, 5 * second],
    [hour, hour],
    [day, hour],
    [31 * day, hour],
  ])('that is to be left alone for %d ms is looked at again after %d ms', async (asked, pause) => {
    expect(await wait(asked)).toBe(pause)
  })

  it('is looked at less often the longer it lasts, and fails when its patience is over, whatever the ticks', async () => {
    const pauses: unknown[] = []
    for (const passed of [0, 8 * second, 52 * second, 5 * minute, 4 * minute]) {
      clock.advance(passed)
      pauses.push(await wait())
    }
    expect(pauses).toEqual([2 * second, 4 * second, 30 * second, minute, 'over'])
    expect(record.waiting).toBeUndefined()
  })

  it('does not ask the CA before the instant that it has named, and does after it, or after an hour', async () => {
    await wait(30 * minute)
    expect(() => heedRetryAfter(context(), record)).toThrow(StillWaiting)
    clock.advance(30 * minute - 1)
    expect(() => heedRetryAfter(context(), record)).toThrow('it waits')
    clock.advance(1)
    heedRetryAfter(context(), record)
  })

  it('is not put off by a clock that was set back', async () => {
    await wait(hour)
    clock.setWallClock(-31 * day)
    heedRetryAfter(context(), record)
    expect(await wait()).toBe(2 * second)
    clock.advance(10 * minute)
    expect(await wait()).toBe('over')
  })

  it('waits anew where it waits for something else', async () => {
    await wait(0, 'visible')
    clock.advance(9 * minute)
    expect(await wait(0, 'issued')).toBe(2 * second)
    expect(record.waiting?.for).toBe('issued')
  })
})
