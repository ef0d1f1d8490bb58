import { day, hour, minute } from '../base/clock.ts'
import { isRecord } from '../base/shape.ts'
import { isInstant, parseJson } from './alert-memory.ts'

/** `status/last-tick.json`: the timer writes it as the last thing it does; every other door may check it. */
export interface LastTick {
  schema: 1
  at: string
  /** How long the timer waits between two ticks as it has been seen to, in milliseconds. */
  everyMs?: number
  /** Domains that it had no time to look at (`lookKey`): the next tick begins with them. */
  notLookedAt?: string[]
  /** Its heartbeat could not be sent. */
  heartbeatFailed?: true
}

/** A list that is longer than this helps nobody: the next tick looks at the first of them. */
const MOST_REMEMBERED = 2_000

/** A damaged file counts as none. */
export function readLastTick(text: string | undefined): LastTick | undefined {
  const value = parseJson(text)
  if (!isRecord(value) || !isInstant(value.at)) return undefined
  const everyMs = typeof value.everyMs === 'number' && value.everyMs > 0 ? value.everyMs : undefined
  const notLookedAt = Array.isArray(value.notLookedAt)
    ? value.notLookedAt.filter((one) => typeof one === 'string')
    : []
  return {
    schema: 1,
    at: value.at,
    ...(everyMs === undefined ? {} : { everyMs }),
    ...(notLookedAt.length === 0 ? {} : { notLookedAt }),
    ...(value.heartbeatFailed === true ? { heartbeatFailed: true } : {}),
  }
}

/**
 * The file after a tick at `now`. The interval is learnt from the ticks themselves, because a function does not know
 * its own timer: it follows a longer interval at once up to a day (a longer pause was an outage) and a shorter one
 * by halves, so that one tick by hand does not make the next regular one late.
 */
export function nextLastTick(
  now: Date,
  previous: LastTick | undefined,
  notLookedAt: readonly string[] = [],
): LastTick {
  const everyMs = nextEvery(now, previous)
  return {
    schema: 1,
    at: now.toISOString(),
    ...(everyMs === undefined ? {} : { everyMs }),
    ...(notLookedAt.length === 0 ? {} : { notLookedAt: notLookedAt.slice(0, MOST_REMEMBERED) }),
  }
}

function nextEvery(now: Date, previous: LastTick | undefined): number | undefined {
  if (previous === undefined) return undefined
  const seen = now.getTime() - Date.parse(previous.at)
  if (seen < minute || seen > day + hour) return previous.everyMs
  const known = previous.everyMs ?? seen
  return seen >= known ? seen : Math.round((seen + known) / 2)
}

/**
 * How late the timer is, in milliseconds, or undefined while it is not. Late means that two whole intervals have
 * passed and some: one tick may be lost or slow without anybody having to get up.
 */
export function timerLateness(now: Date, lastTick: LastTick | undefined): number | undefined {
  if (lastTick === undefined) return undefined
  const every = lastTick.everyMs ?? day
  const late = now.getTime() - Date.parse(lastTick.at) - (2 * every + 15 * minute)
  return late > 0 ? late + every + 15 * minute : undefined
}
