/** `500ms`, `30s`, `10m`, `12h`, `7d`: the form of every duration in the config and on the command line. */
export const DURATION = /^\d+(ms|s|m|h|d)$/

/** Milliseconds; NaN where the text is no duration. */
export function durationMs(text: string): number {
  const unit = DURATION.exec(text)?.[1] ?? ''
  const factor = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }[unit] ?? Number.NaN
  return Number.parseInt(text, 10) * factor
}
