import { day, hour, minute } from '../base/clock.ts'
import type { Failure, FailureReport } from '../base/failure.ts'
import { isRecord, isStrings, isTexts } from '../base/shape.ts'
import { isInstant, parseJson } from '../watch/alert-memory.ts'
import type { Digest, Notice } from '../watch/notice.ts'
import { worstSeverity } from '../watch/notice.ts'
import { instantText } from '../watch/words.ts'
import { answered, endedBy, isProblem, stillToTell, withOlder } from './overtaking.ts'

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
}

export interface ChannelRecord {
  lastSuccess?: string
  /** Since the last success: how often in a row, and how long the service asked to be left alone. */
  lastFailure?: { at: string; failure: FailureReport; attempts?: number; retryAfterMs?: number }
  /** Keys of problems that people have, or may have, been told by this channel and whose end they have not. */
  told?: string[]
  /** Messages given up: too old, or too many waiting. */
  dropped: number
}

/** A channel that is down for long must not fill the store, nor flood people when it is back. */
export const outboxLimits = { perChannel: 20, maxAge: 3 * day, toldKeys: 1_000 } as const

export function emptyOutbox(): Outbox {
  return { schema: 1, pending: [], channels: {} }
}

/** A missing or damaged file counts as empty. */
export function readOutbox(text: string | undefined): Outbox {
  const value = parseJson(text)
  if (!isRecord(value) || value.schema !== 1 || !Array.isArray(value.pending)) return emptyOutbox()
  const pending = value.pending.filter(isPending)
  const channels = Object.entries(isRecord(value.channels) ? value.channels : {}).filter(
    (entry): entry is [string, ChannelRecord] =>
      isRecord(entry[1]) &&
      typeof entry[1].dropped === 'number' &&
      (entry[1].told === undefined || isStrings(entry[1].told)),
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
  if (!isTexts(value, 'kind', 'key', 'at', 'severity', 'next', 'action') || !isStrings(value.where))
    return false
  const { kind, domains, solves } = value
  if (kind === 'rotated') return isStrings(solves)
  return (
    kind !== 'not served' ||
    (Array.isArray(domains) && domains.every((domain) => isTexts(domain, 'host', 'gateway')))
  )
}

/**
 * Adds this run's messages and forgets those of channels that are configured no more. The newest are kept, and of
 * one condition only its newest state: what was over before it could be told is not told, nor that it is over.
 */
export function queue(
  outbox: Outbox,
  messages: readonly { channel: string; digest: Digest }[],
  configured: ReadonlySet<string>,
  now: Date,
): Outbox {
  const fresh = messages.filter(
    ({ channel, digest }) =>
      !outbox.pending.some((item) => item.channel === channel && item.digest.id === digest.id),
  )
  const of = (channel: string, items: readonly { channel: string; digest: Digest }[]) =>
    items.filter((item) => item.channel === channel).flatMap(({ digest }) => digest.notices)
  const waiting = outbox.pending.map((item) => {
    const newer = of(item.channel, fresh)
    return withNotices(item, (notices) => notices.flatMap((notice) => stillToTell(notice, newer)))
  })
  const added = fresh.map(({ channel, digest }): Pending => {
    const older = of(channel, outbox.pending)
    const told = outbox.channels[channel]?.told ?? []
    const item = { channel, digest, queuedAt: now.toISOString(), attempts: 0 }
    return withNotices(item, (notices) =>
      notices
        .filter((notice) => !answered(notice, older, told))
        .map((notice) => withOlder(notice, older, digest.notices)),
    )
  })
  const channels: Outbox['channels'] = {}
  for (const name of configured) channels[name] = outbox.channels[name] ?? { dropped: 0 }
  const pending: Pending[] = []
  const counts = new Map<string, number>()
  for (const item of [...waiting, ...added].reverse()) {
    const record = channels[item.channel]
    if (record === undefined || item.digest.notices.length === 0) continue
    const count = (counts.get(item.channel) ?? 0) + 1
    const old = now.getTime() - Date.parse(item.queuedAt) > outboxLimits.maxAge
    if (count > outboxLimits.perChannel || old) {
      channels[item.channel] = { ...record, dropped: record.dropped + 1 }
      continue
    }
    counts.set(item.channel, count)
    pending.unshift(item)
  }
  return { schema: 1, pending, channels }
}

function withNotices(item: Pending, change: (notices: readonly Notice[]) => Notice[]): Pending {
  return { ...item, digest: { ...item.digest, notices: change(item.digest.notices) } }
}

/**
 * What is tried now, by channel in this order: oldest first, but what a channel has refused before lets the others
 * pass (a critical message only after three times), so that one it never takes holds up nothing for ever.
 */
export function due(outbox: Outbox, now: Date): Pending[] {
  const rank = (item: Pending) => item.attempts - (isCritical(item) ? 3 : 0)
  return outbox.pending
    .filter(({ channel }) => !rests(outbox, channel, now))
    .sort((a, b) => rank(a) - rank(b))
}

function isCritical({ digest }: Pending): boolean {
  return worstSeverity(digest.notices) === 'critical'
}

function rests(outbox: Outbox, channel: string, now: Date): boolean {
  const failed = Date.parse(outbox.channels[channel]?.lastFailure?.at ?? '')
  // A failure that is yet to come was noted by a clock that ran ahead.
  return failed <= now.getTime() && now.getTime() < failed + waitMs(outbox, channel)
}

/**
 * How long a channel is left alone after its last failure, in milliseconds. What a service asks for is heard within
 * bounds: somebody waits for what is in the message, and a maintenance page says "in a month" as easily as "in a minute".
 */
function waitMs(outbox: Outbox, channel: string): number {
  const { attempts = 1, retryAfterMs = 0 } = outbox.channels[channel]?.lastFailure ?? {}
  const critical = outbox.pending.some((item) => item.channel === channel && isCritical(item))
  const own = Math.min(minute * 2 ** (attempts - 1), critical ? 5 * minute : hour)
  return Math.max(own, Math.min(retryAfterMs, critical ? 15 * minute : hour))
}

/** Why a channel took nothing last time, and when what waits for it is tried again. */
export function lastFailure(outbox: Outbox, channel: string): FailureReport | undefined {
  const last = outbox.channels[channel]?.lastFailure
  if (last === undefined || !outbox.pending.some((item) => item.channel === channel)) return last?.failure
  const again = instantText(new Date(Date.parse(last.at) + waitMs(outbox, channel)))
  const next = `${last.failure.next} The message is kept and sent with the first tick after ${again}.`
  return { ...last.failure, next }
}

/** Messages that have reached nobody they are for. */
export function untold(
  outbox: Outbox,
  channelsOf: (audience: string | undefined) => readonly string[],
): Pending[] {
  return outbox.pending.filter(({ digest, queuedAt }) =>
    channelsOf(digest.audience).every((name) => {
      const { lastSuccess } = outbox.channels[name] ?? {}
      // A channel that was configured later has not taken it, though nothing waits for it there.
      if (lastSuccess === undefined || Date.parse(lastSuccess) < Date.parse(queuedAt)) return true
      return outbox.pending.some((item) => item.channel === name && item.digest.id === digest.id)
    }),
  )
}

/** Notes one result: delivered, or kept while the channel rests. A refusal is kept, too: a corrected URL still delivers. */
export function settle(outbox: Outbox, item: Pending, now: Date, failure?: Failure): Outbox {
  const record = outbox.channels[item.channel] ?? { dropped: 0 }
  const same = (other: Pending) => other.channel === item.channel && other.digest.id === item.digest.id
  const { lastFailure: before, ...rest } = record
  const mayHaveCome = failure === undefined || failure.effect === 'unknown'
  const told = mayHaveCome ? toldBy(item.digest, record.told ?? [], failure === undefined) : record.told
  const changed: ChannelRecord = { ...rest, ...(told === undefined ? {} : { told }) }
  if (failure === undefined)
    return {
      schema: 1,
      pending: outbox.pending.filter((other) => !same(other)),
      channels: { ...outbox.channels, [item.channel]: { ...changed, lastSuccess: now.toISOString() } },
    }
  const { retryAfterMs } = failure
  changed.lastFailure = {
    at: now.toISOString(),
    failure: failure.toJSON(),
    attempts: (before?.attempts ?? 0) + 1,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  }
  return {
    schema: 1,
    pending: outbox.pending.map((other) =>
      same(other) ? { ...other, attempts: other.attempts + 1 } : other,
    ),
    channels: { ...outbox.channels, [item.channel]: changed },
  }
}

function toldBy({ notices }: Digest, before: readonly string[], certainly: boolean): string[] {
  const told = new Set(before)
  for (const notice of notices) {
    if (isProblem(notice)) told.add(notice.key)
    else if (certainly) for (const key of endedBy(notice)) told.delete(key)
  }
  return [...told].slice(-outboxLimits.toldKeys)
}
