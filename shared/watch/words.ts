import { day, hour, minute, second } from '../base/clock.ts'

/** `2026-12-04 06:13 UTC`: one form everywhere, because a night shift and its log are seldom in one zone. */
export function instantText(instant: string | Date): string {
  const iso = typeof instant === 'string' ? new Date(instant) : instant
  if (Number.isNaN(iso.getTime())) return 'an unknown instant'
  return `${iso.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

/** `12 days`, `5 hours`, `90 seconds`: the largest unit of which there are at least two, rounded down. */
export function durationText(milliseconds: number): string {
  const ms = Math.abs(milliseconds)
  for (const [unit, name] of [
    [day, 'day'],
    [hour, 'hour'],
    [minute, 'minute'],
    [second, 'second'],
  ] as const) {
    if (ms >= 2 * unit) return `${Math.floor(ms / unit)} ${name}s`
  }
  return ms >= second ? '1 second' : `${Math.round(ms)} ms`
}

/** `in 12 days` or `12 days ago`. */
export function relativeText(instant: string | Date, now: Date): string {
  const at = typeof instant === 'string' ? Date.parse(instant) : instant.getTime()
  const difference = at - now.getTime()
  if (Math.abs(difference) < second) return 'just now'
  return difference >= 0 ? `in ${durationText(difference)}` : `${durationText(difference)} ago`
}

/** `a, b, c and 12 more`. */
export function listText(items: readonly string[], most = 5): string {
  const shown = items.slice(0, most)
  const rest = items.length - shown.length
  if (rest > 0) return `${shown.join(', ')} and ${rest} more`
  return shown.length < 2 ? shown.join('') : `${shown.slice(0, -1).join(', ')} and ${shown.at(-1)}`
}
