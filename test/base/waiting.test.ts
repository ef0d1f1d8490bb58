import { afterEach, describe, expect, it, vi } from 'vitest'
import { day, hour, second, systemClock } from '../../shared/base/clock.ts'
import { retryAfterMs } from '../../shared/base/retry-after.ts'

describe('a wait of a month', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  it('is a wait of a month, although the platform’s timers fire at once beyond 24.8 days', async () => {
    vi.useFakeTimers()
    let over = false
    const waiting = systemClock.sleep(31 * day).then(() => {
      over = true
    })
    await vi.advanceTimersByTimeAsync(31 * day - second)
    expect(over).toBe(false)
    await vi.advanceTimersByTimeAsync(second)
    expect(over).toBe(true)
    await waiting
  })

  it('ends with its signal, also in its second part', async () => {
    vi.useFakeTimers()
    const controller = new AbortController()
    const waiting = systemClock.sleep(31 * day, controller.signal)
    const ended = expect(waiting).rejects.toThrow('enough')
    await vi.advanceTimersByTimeAsync(30 * day)
    controller.abort(new Error('enough'))
    await ended
    expect(vi.getTimerCount()).toBe(0)
  })
})

describe('Retry-After', () => {
  const now = new Date('2026-11-22T06:00:00Z')
  it.each<[string | string[] | undefined, number | undefined]>([
    ['7', 7_000],
    [['7', '9'], 7_000],
    [' 0 ', 0],
    ['Sun, 22 Nov 2026 06:01:30 GMT', 90_000],
    ['Sat, 21 Nov 2026 06:01:30 GMT', 0],
    ['86400', day],
    // A month, and what a broken header may say: no instant can be made of it.
    ['2678400', 48 * hour],
    ['9'.repeat(400), 48 * hour],
    ['Tue, 22 Dec 2026 06:00:00 GMT', 48 * hour],
    ['', undefined],
    ['soon', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    [undefined, undefined],
  ])('%j asks for %j ms', (header, expected) => {
    expect(retryAfterMs(header, now)).toBe(expected)
  })
})
