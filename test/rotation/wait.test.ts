import { describe, expect, it } from 'vitest'
import { day, hour, minute } from '../../shared/base/clock.ts'
import { notBefore, waitFor } from '../../shared/rotation/record/retry.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const clock = new VirtualClock().lazy
const failure = { code: 'gateway.unreachable', message: 'no', next: '' }

describe('the growing wait of a bundle', () => {
  const wait = (inMs: number, more: { digest?: string; configDigest?: string; asked?: boolean } = {}) => {
    const retry = {
      digest: 'bundle',
      configDigest: 'config',
      attempts: 1,
      notBefore: new Date(clock.now().getTime() + inMs).toISOString(),
      failure,
    }
    const { digest = 'bundle', configDigest = 'config', asked = false } = more
    return waitFor({ asked, configDigest }, { clock }, { state: { retry } } as never, { digest } as never)
  }

  it.each([
    ['minutes', 5 * minute, {}, true],
    ['six hours', 6 * hour, {}, true],
    ['nothing any more', 0, {}, false],
    ['what is over', -minute, {}, false],
    // Nobody waits longer than six hours: the clock was ahead when this was written.
    ['a year', 365 * day, {}, false],
    ['minutes, and it is another bundle', 5 * minute, { digest: 'other' }, false],
    ['minutes, and the config has changed', 5 * minute, { configDigest: 'other' }, false],
    ['minutes, and a person asks', 5 * minute, { asked: true }, false],
  ])('of %s', (_, ms, more, waits) => {
    expect(wait(ms, more) !== undefined).toBe(waits)
  })

  it.each([
    [1, 0, minute],
    [2, 0, 2 * minute],
    [20, 0, 6 * hour],
    [1, 10 * minute, 10 * minute],
    [1, 7 * day, 6 * hour],
  ])('after %d tries and asked for %d ms is %d ms at the most', (attempts, asked, most) => {
    const until = notBefore({ clock, random: () => 1 }, attempts, asked)
    expect(Date.parse(until) - clock.now().getTime()).toBe(most)
  })
})
