import { day, hour, minute } from '../base/clock.ts'
import type { Failure, FailureReport } from '../base/failure.ts'
import { isRecord, isStrings, isTextRecord, isTexts } from '../base/shape.ts'
import {
  type AlertMemory,
  isInstant,
  memoriesIn,
  parseJson,
  type RunMemory,
  runMemoryOf,
} from '../watch/alert-memory.ts'
import type { Digest, Notice } from '../watch/notice.ts'
import { worstSeverity } from '../watch/notice.ts'
import { instantText } from '../watch/words.ts'
import { answered, endedBy, isProblem, stillToTell, withOlder } from './overtaking.ts'

/** What has not reached a channel yet: `status/outbox.json`. Never a URL: channels are known by name. */
export interface Outbox {
  schema: 1
  pending: Pending[]
  /**
   * The watch's memory as it is once these messages are queued, until it stands in its own files: one write, so that
   * nothing is queued that nobody knows of, nor known as told and not queued.
   */
  remember?: Remembered
  /** Last result by channel, for the page. */
  channels: Record<string, ChannelRecord>
}

export interface Remembered {
  run: RunMemory
  certificates: Record<string, AlertMemory>
}

export interface Pending {
  channel: string
  digest: Digest
  queuedAt: string
  attempts: number
  /**
   * Written before it is sent, with the names of its incidents by key: whoever finds it does not know whether it has
   * come.
   */
  begun?: Record<string, string>
}

export interface ChannelRecord {
  lastSuccess?: string
  /** Since the last success: how often in a row, and how long the service asked to be left alone. */
  lastFailure?: { at: string; failure: FailureReport; attempts?: number; retryAfterMs?: number }
  /** Keys of problems that people have, or may have, been told by this channel and whose end they have not. */
  told?: string[]
  /** By key, the name of the incident that was opened for it; the key itself where none is noted. */
  toldAs?: Record<string, string>
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
  const stored = value.pending.filter(isPending)
  const channels = Object.entries(isRecord(value.channels) ? value.channels : {}).filter(
    (entry): entry is [string, ChannelRecord] =>
      isRecord(entry[1]) &&
      typeof entry[1].dropped === 'number' &&
      (entry[1].told === undefined || isStrings(entry[1].told)) &&
      (entry[1].toldAs === undefined || isTextRecord(entry[1].toldAs)),
  )
  const outbox: Outbox = { schema: 1, pending: [], channels: Object.fromEntries(channels) }
  if (isRecord(value.remember)) {
    const { run, certificates } = value.remember
    outbox.remember = { run: runMemoryOf(run), certificates: memoriesIn(certificates) }
  }
  for (const item of stored) {
    outbox.pending.push(notBegun(item))
    // Its process died between sending it and saying so.
    const record = outbox.channels[item.channel]
    if (item.begun && record) outbox.channels[item.channel] = { ...record, ...toldBy(item, record, false) }
  }
  return outbox
}

function isPending(value: unknown): value is Pending {
  if (!isRecord(value) || typeof value.channel !== 'string' || typeof value.attempts !== 'number')
    return false
  if (!isInstant(value.queuedAt) || !isRecord(value.digest)) return false
  if (value.begun !== undefined && !isTextRecord(value.begun)) return false
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
      // Whoever was told of a problem hears of its end, however late.
      const owed = item.digest.notices.filter((notice) =>
        endedBy(notice).some((key) => record.told?.includes(key)),
      )
      if (owed.length > 0) pending.unshift(withNotices(item, () => owed))
      if (owed.length < item.digest.notices.length)
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

/**
 * Notes on what is due that it is under way. An incident keeps the name under which it was opened until its end is
 * told, whatever the installation is called by then; `scope` names this installation in those that are opened now.
 */
export function begin(outbox: Outbox, now: Date, scope: string): Outbox {
  const sent = new Set(due(outbox, now))
  return { ...outbox, pending: outbox.pending.map((item) => (sent.has(item) ? begun(item) : item)) }

  function begun(item: Pending): Pending {
    const { told = [], toldAs = {} } = outbox.channels[item.channel] ?? {}
    const keys = item.digest.notices.flatMap((one) => (isProblem(one) ? [one.key] : endedBy(one)))
    const name = (key: string) => (told.includes(key) ? (toldAs[key] ?? key) : `${scope}/${key}`)
    return { ...item, begun: Object.fromEntries(keys.map((key) => [key, name(key)])) }
  }
}

/** What was left alone after all is not under way any more. */
export function ended(outbox: Outbox): Outbox {
  return { ...outbox, pending: outbox.pending.map(notBegun) }
}

function notBegun({ begun: _, ...item }: Pending): Pending {
  return item
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
  const changed: ChannelRecord = {
    ...rest,
    ...(mayHaveCome ? toldBy(item, record, failure === undefined) : {}),
  }
  if (failure === undefined)
    return {
      ...outbox,
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
    ...outbox,
    pending: outbox.pending.map((other) =>
      same(other) ? { ...notBegun(other), attempts: other.attempts + 1 } : other,
    ),
    channels: { ...outbox.channels, [item.channel]: changed },
  }
}

/** What a channel's people know once they have, or may have, had this message. */
function toldBy(
  { digest, begun = {} }: Pending,
  record: ChannelRecord,
  certainly: boolean,
): Pick<ChannelRecord, 'told' | 'toldAs'> {
  const told = new Set(record.told)
  const names = { ...record.toldAs }
  for (const notice of digest.notices) {
    if (isProblem(notice)) {
      told.add(notice.key)
      const name = begun[notice.key]
      if (name !== undefined) names[notice.key] = name
    } else if (certainly) for (const key of endedBy(notice)) told.delete(key)
  }
  const kept = [...told].slice(-outboxLimits.toldKeys)
  const toldAs = kept.flatMap((key) => (names[key] === undefined ? [] : [[key, names[key]]]))
  return { told: kept, ...(toldAs.length === 0 ? {} : { toldAs: Object.fromEntries(toldAs) }) }
}
