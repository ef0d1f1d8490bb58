import { isRecord, isStrings } from '../base/shape.ts'
import type { ProblemKind } from './notice.ts'

/**
 * What one certificate's watch remembers: field `alerts` of its state file. Everything is an instant or a label,
 * so that a crash, an overlap or a jumping clock can at worst delay a message, never repeat one.
 */
export interface AlertMemory {
  schema: 1
  /** By leaf, `<fingerprint>@<notAfter in milliseconds>`: a new certificate starts with a clean slate. */
  leaves: Record<string, LeafMemory>
  /** Standing conditions by key. */
  conditions: Record<string, ConditionMemory>
  /** `at` and status of the concluded outcome that was handled last. */
  outcome?: string
}

export interface LeafMemory {
  notAfter: string
  /** Hosts that served it when it was last seen. */
  hosts: string[]
  /** The most urgent crossing told: its label and the instant the crossing lies at. */
  told?: { threshold: string; crossing: string; at: string; escalated: boolean }
  /** The person was told that this certificate no longer matters. */
  solved?: boolean
  /** First of the consecutive ticks that did not see it, and how many. */
  absent?: { since: string; ticks: number }
  /** Since when the clock has been well behind the told crossing: it was told by a clock that ran ahead. */
  behindSince?: string
}

export interface ConditionMemory {
  kind: ProblemKind
  /** First of the consecutive sightings, and how many. */
  since: string
  seen: number
  /** When it was seen last. */
  seenAt?: string
  /** Since when it is no passing thing: looked at twice in one tick, or seen in two. */
  certainAt?: string
  /** Seen in the gateway's own list, which can be asked where no handshake is possible. */
  bare?: boolean
  /** A condition with another signature is another condition: told again. */
  signature?: string
  toldAt?: string
  /** Told under an earlier signature: solved is owed even if the new form goes away before it is told. */
  toldEarlier?: string
  escalated?: boolean
  /** First of the consecutive ticks that found it gone, and how many. */
  gone?: { since: string; ticks: number }
  where: string[]
}

/** Memory of what belongs to no state file: discovered certificates, quotas, the timer. `status/alerts.json`. */
export interface RunMemory {
  schema: 1
  conditions: Record<string, ConditionMemory>
  /** By `<where>/<certificate id>`. */
  discovered: Record<string, AlertMemory>
  /** Of certificates that somebody was working on while they were told about, until their state file can take it. */
  kept?: Record<string, AlertMemory>
}

/** Where the run-wide files lie in the store. */
export const watchKeys = {
  memory: 'status/alerts.json',
  outbox: 'status/outbox.json',
  lastTick: 'status/last-tick.json',
} as const

export function emptyAlertMemory(): AlertMemory {
  return { schema: 1, leaves: {}, conditions: {} }
}

export function emptyRunMemory(): RunMemory {
  return { schema: 1, conditions: {}, discovered: {} }
}

/** Reads field `alerts` of a state file; anything that is not ours (older, damaged) counts as no memory. */
export function readAlertMemory(value: unknown): AlertMemory {
  if (!isRecord(value) || value.schema !== 1) return emptyAlertMemory()
  const leaves = recordOf(value.leaves, isLeafMemory)
  const conditions = recordOf(value.conditions, isConditionMemory)
  const outcome = typeof value.outcome === 'string' ? value.outcome : undefined
  return { schema: 1, leaves, conditions, ...(outcome === undefined ? {} : { outcome }) }
}

/** Reads `status/alerts.json` as text; a missing or damaged file counts as no memory. */
export function readRunMemory(text: string | undefined): RunMemory {
  return runMemoryOf(parseJson(text))
}

export function runMemoryOf(value: unknown): RunMemory {
  if (!isRecord(value) || value.schema !== 1) return emptyRunMemory()
  const kept = memoriesIn(value.kept)
  return {
    schema: 1,
    conditions: recordOf(value.conditions, isConditionMemory),
    discovered: memoriesIn(value.discovered),
    ...(Object.keys(kept).length === 0 ? {} : { kept }),
  }
}

export function memoriesIn(value: unknown): Record<string, AlertMemory> {
  const entries = Object.entries(isRecord(value) ? value : {})
  return Object.fromEntries(entries.map(([id, memory]) => [id, readAlertMemory(memory)]))
}

export function parseJson(text: string | undefined): unknown {
  if (text === undefined) return undefined
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function isInstant(value: unknown): value is string {
  return typeof value === 'string' && !Number.isNaN(Date.parse(value))
}

function recordOf<T>(value: unknown, accepts: (item: unknown) => item is T): Record<string, T> {
  if (!isRecord(value)) return {}
  const entries = Object.entries(value).filter(
    (entry): entry is [string, T] => entry[0] !== '__proto__' && accepts(entry[1]),
  )
  return Object.fromEntries(entries)
}

function isLeafMemory(value: unknown): value is LeafMemory {
  if (!isRecord(value) || !isInstant(value.notAfter) || !isStrings(value.hosts)) return false
  const { told, absent, solved, behindSince } = value
  return (
    (told === undefined || isTold(told)) &&
    (absent === undefined || isCounted(absent)) &&
    (solved === undefined || typeof solved === 'boolean') &&
    (behindSince === undefined || isInstant(behindSince))
  )
}

function isTold(value: unknown): boolean {
  return (
    isRecord(value) &&
    typeof value.threshold === 'string' &&
    isInstant(value.crossing) &&
    isInstant(value.at) &&
    typeof value.escalated === 'boolean'
  )
}

function isConditionMemory(value: unknown): value is ConditionMemory {
  if (!isRecord(value) || typeof value.kind !== 'string' || !isInstant(value.since)) return false
  if (typeof value.seen !== 'number' || !isStrings(value.where)) return false
  const { gone, signature, toldAt, toldEarlier, escalated } = value
  return (
    (gone === undefined || isCounted(gone)) &&
    (signature === undefined || typeof signature === 'string') &&
    (toldAt === undefined || isInstant(toldAt)) &&
    (toldEarlier === undefined || isInstant(toldEarlier)) &&
    (escalated === undefined || typeof escalated === 'boolean')
  )
}

function isCounted(value: unknown): boolean {
  return isRecord(value) && isInstant(value.since) && typeof value.ticks === 'number'
}
