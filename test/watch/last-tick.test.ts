import { expect, test } from 'vitest'
import { day, hour, minute } from '../../shared/base/clock.ts'
import { emptyRunMemory } from '../../shared/watch/alert-memory.ts'
import { type LastTick, nextLastTick, readLastTick, timerLateness } from '../../shared/watch/last-tick.ts'
import { watch, watchTimer } from '../../shared/watch/watch.ts'
import { config, gathered, later, start } from './support.ts'

function ticks(...instants: number[]): LastTick | undefined {
  return instants.reduce<LastTick | undefined>((last, ms) => nextLastTick(later(ms), last), undefined)
}

test('an hourly timer is late after more than two intervals, a daily one after more than two days', () => {
  const hourly = ticks(0, hour, 2 * hour)
  expect(timerLateness(later(4 * hour), hourly)).toBeUndefined()
  expect(timerLateness(later(4 * hour + 16 * minute), hourly)).toBeGreaterThan(hour)
  const daily = ticks(0, day, 2 * day)
  expect(timerLateness(later(4 * day), daily)).toBeUndefined()
  expect(timerLateness(later(4 * day + hour), daily)).toBeGreaterThan(day)
})

test('a tick by hand between two regular ones does not make the next regular one late', () => {
  const last = ticks(0, day, day + 10 * minute)
  expect(timerLateness(later(2 * day), last)).toBeUndefined()
})

test('a file that is missing or damaged is no reason to wake anybody', () => {
  expect(readLastTick(undefined)).toBeUndefined()
  expect(readLastTick('{"at":')).toBeUndefined()
  expect(readLastTick('{"at":"yesterday"}')).toBeUndefined()
  expect(timerLateness(start, undefined)).toBeUndefined()
})

test('a timer that stopped is told once by the other door and solved by its own next tick', () => {
  const lastTick = ticks(0, hour, 2 * hour)
  const first = watchTimer({ now: later(9 * hour), lastTick }, emptyRunMemory())
  expect(first.notices).toMatchObject([
    { kind: 'timer did not run', severity: 'critical', lastTick: later(2 * hour).toISOString() },
  ])
  const second = watchTimer({ now: later(10 * hour), lastTick }, first.runMemory)
  expect(second.notices).toEqual([])
  const tick = watch(gathered(later(11 * hour), config({}), { lastTick }), second.runMemory)
  expect(tick.notices).toMatchObject([{ kind: 'solved', of: 'timer did not run', key: 'timer' }])
  const next = watch(gathered(later(12 * hour), config({}), { lastTick }), tick.runMemory)
  expect(next.notices).toEqual([])
})
