import { day, hour, minute } from '../base/clock.ts'
import type { FailureReport } from '../base/failure.ts'
import { isRecord, isStrings, isTexts } from '../base/shape.ts'
import { isInstant, parseJson } from '../watch/alert-memory.ts'
import type { Digest } from '../watch/notice.ts'

/** What has not reached a channel yet: `status/outbox.json`. Never a URL: channels are known by name. */
export interface Outbox {
  schema: 1
  pending: Pending[]
  /** Last result by channel, for the page. */
  channels: Record<string, ChannelRecord>
}

export interface Pending {
  channel: string
  digest: Digest
  queuedAt: string
  attempts: number
  /** Not tried before this instant. */
  notBefore?: string
}

export interface ChannelRecord {
  lastSuccess?: string
  lastFailure?: { at: string; failure: FailureReport }
  /** Messages given up: too old, or too many waiting. */
  dropped: number
}

/** A channel that is down for long must not fill the store, nor flood people when it is back. */
export const outboxLimits = { perChannel: 20, maxAge: 3 * day } as const

export function emptyOutbox(): Outbox {
  return { schema: 1, pending: [], channels: {} }
}

/** A missing or damaged file counts as empty. */
export function readOutbox(text: string | undefined): Outbox {
  const value = parseJson(text)
  if (!isRecord(value) || value.schema !== 1 || !Array.isArray(value.pending)) return emptyOutbox()
  const pending = value.pending.filter(isPending)
  const channels = Object.entries(isRecord(value.channels) ? value.channels : {}).filter(
    (entry): entry is [string, ChannelRecord] => isRecord(entry[1]) && typeof entry[1].dropped === 'number',
  )
  return { schema: 1, pending, channels: Object.fromEntries(channels) }
}

function isPending(value: unknown): value is Pending {
  if (!isRecord(value) || typeof value.channel !== 'string' || typeof value.attempts !== 'number')
    return false
  if (!isInstant(value.queuedAt) || !isRecord(value.digest)) return false
  return (
    typeof value.digest.id === 'string' &&
    isInstant(value.digest.at) &&
    Array.isArray(value.digest.notices) &&
    value.digest.notices.length > 0 &&
    value.digest.notices.every(isNotice)
  )
}

/** As far as every format reads it: one that cannot be rendered would silence all that come after it. */
function isNotice(value: unknown): boolean {
  return isTexts(value, 'kind', 'key', 'at', 'severity', 'next', 'action') && isStrings(value.where)
}

/** Adds this run's messages and forgets those of channels that are configured no more. The newest are kept. */
export function queue(
  outbox: Outbox,
  messages: readonly { channel: string; digest: Digest }[],
  configured: ReadonlySet<string>,
  now: Date,
): Outbox {
  const added = messages
    .filter(
      ({ channel, digest }) =>
        !outbox.pending.some((p) => p.channel === channel && p.digest.id === digest.id),
    )
    .map(({ channel, digest }): Pending => ({ channel, digest, queuedAt: now.toISOString(), attempts: 0 }))
  const channels: Outbox['channels'] = {}
  for (const name of configured) channels[name] = outbox.channels[name] ?? { dropped: 0 }
  const pending: Pending[] = []
  const waiting = new Map<string, number>()
  for (const item of [...outbox.pending, ...added].reverse()) {
    const record = channels[item.channel]
    if (record === undefined) continue
    const count = (waiting.get(item.channel) ?? 0) + 1
    const old = now.getTime() - Date.parse(item.queuedAt) > outboxLimits.maxAge
    if (count > outboxLimits.perChannel || old) {
      channels[item.channel] = { ...record, dropped: record.dropped + 1 }
      continue
    }
    waiting.set(item.channel, count)
    pending.unshift(item)
  }
  return { schema: 1, pending, channels }
}

/** What is tried now, oldest first. */
export function due(outbox: Outbox, now: Date): Pending[] {
  return outbox.pending.filter((item) => {
    if (item.notBefore === undefined) return true
    const wait = Date.parse(item.notBefore) - now.getTime()
    // A wait longer than any that is ever set comes from a clock that ran ahead.
    return wait <= 0 || wait > 7 * hour
  })
}

/**
 * Messages that have reached nobody they are for: a channel sends in order, so one that has taken anything since has
 * taken them too.
 */
export function untold(
  outbox: Outbox,
  channelsOf: (audience: string | undefined) => readonly string[],
): Pending[] {
  return outbox.pending.filter(({ digest, queuedAt }) =>
    channelsOf(digest.audience).every((name) => {
      const { lastSuccess } = outbox.channels[name] ?? {}
      return lastSuccess === undefined || Date.parse(lastSuccess) < Date.parse(queuedAt)
    }),
  )
}

/** Notes one result: delivered, or kept with a growing wait. A refusal is kept, too: a corrected URL still delivers. */
export function settle(
  outbox: Outbox,
  item: Pending,
  now: Date,
  failure?: FailureReport,
  retryAfterMs = 0,
): Outbox {
  const record = outbox.channels[item.channel] ?? { dropped: 0 }
  const same = (other: Pending) => other.channel === item.channel && other.digest.id === item.digest.id
  if (failure === undefined) {
    const { lastFailure: _, ...rest } = record
    return {
      schema: 1,
      pending: outbox.pending.filter((other) => !same(other)),
      channels: { ...outbox.channels, [item.channel]: { ...rest, lastSuccess: now.toISOString() } },
    }
  }
  const attempts = item.attempts + 1
  const wait = Math.min(6 * hour, Math.max(retryAfterMs, minute * 2 ** Math.min(attempts - 1, 10)))
  const notBefore = new Date(now.getTime() + wait).toISOString()
  return {
    schema: 1,
    pending: outbox.pending.map((other) => (same(other) ? { ...other, attempts, notBefore } : other)),
    channels: {
      ...outbox.channels,
      [item.channel]: { ...record, lastFailure: { at: now.toISOString(), failure } },
    },
  }
}
