import { minute } from '../base/clock.ts'
import type { ConditionMemory } from './alert-memory.ts'
import type { ProblemNotice } from './notice.ts'

/** Something that is wrong now, with the notice that would tell it. */
export interface Condition {
  key: string
  /** Another signature under the same key is another problem, for example another refused bundle. */
  signature?: string
  /** Told only when it has stayed: a roll-out lets old and new alternate for a while. */
  settles: boolean
  /** Of a domain: the gateway's own list shows that nothing is bound. */
  bare?: boolean
  /** Not seen by this run: what the last tick found where this one cannot look. */
  remembered?: boolean
  notice: ProblemNotice
}

export interface Advance {
  now: Date
  present: readonly Condition[]
  memory: Readonly<Record<string, ConditionMemory>>
  /** Snoozed: nothing new is told, and what is told later is told as if it had begun then. */
  muted: boolean
  /** Keys that this tick cannot judge (host not reached): neither there nor gone. */
  unknown: (key: string) => boolean
}

export interface Solved {
  key: string
  memory: ConditionMemory
}

/** A condition that settles must be seen, or be gone, in two consecutive ticks at least this far apart. */
export const settleTime = 5 * minute

/** One step of all standing conditions: what is told for the first time, what is over, and what is remembered. */
export function advance({ now, present, memory, muted, unknown }: Advance): {
  tell: Condition[]
  solved: Solved[]
  memory: Record<string, ConditionMemory>
} {
  const tell: Condition[] = []
  const solved: Solved[] = []
  const next: Record<string, ConditionMemory> = {}

  for (const condition of present) {
    const known = memory[condition.key]
    const same = known !== undefined && known.signature === condition.signature
    const entry = same ? seenAgain(known, condition, now) : firstSeen(condition, now, known)
    const certain = !condition.settles || hasSettled(entry.since, entry.seen, now)
    if (certain) entry.certainAt ??= now.toISOString()
    if (entry.toldAt === undefined && !muted && certain) {
      entry.toldAt = now.toISOString()
      if (condition.notice.escalate) entry.escalated = true
      tell.push(condition)
    }
    next[condition.key] = entry
  }

  for (const [key, known] of Object.entries(memory)) {
    if (next[key] !== undefined) continue
    if (unknown(key)) {
      // Two sightings with a blind tick between them are not consecutive.
      if (known.toldAt !== undefined || known.toldEarlier !== undefined) next[key] = known
      continue
    }
    const toldAt = known.toldAt ?? known.toldEarlier
    if (toldAt === undefined) continue
    const gone = { since: earlier(known.gone?.since, now), ticks: (known.gone?.ticks ?? 0) + 1 }
    const settles = known.kind === 'not served'
    if (!settles || hasSettled(gone.since, gone.ticks, now))
      solved.push({ key, memory: { ...known, toldAt } })
    else next[key] = { ...known, gone }
  }
  return { tell, solved, memory: next }
}

function firstSeen(condition: Condition, now: Date, earlierForm?: ConditionMemory): ConditionMemory {
  const toldEarlier = earlierForm?.toldAt ?? earlierForm?.toldEarlier
  return {
    kind: condition.notice.kind,
    since: now.toISOString(),
    seen: 1,
    seenAt: now.toISOString(),
    ...(condition.bare === true ? { bare: true } : {}),
    ...(condition.signature === undefined ? {} : { signature: condition.signature }),
    ...(toldEarlier === undefined ? {} : { toldEarlier }),
    ...(earlierForm?.escalated === true ? { escalated: true } : {}),
    where: [...condition.notice.where],
  }
}

function seenAgain(known: ConditionMemory, condition: Condition, now: Date): ConditionMemory {
  const { gone, bare: _, ...rest } = known
  // Not told yet and away in between: the sightings are not consecutive and begin again.
  if (gone !== undefined && known.toldAt === undefined) return firstSeen(condition, now, known)
  return {
    ...rest,
    since: earlier(known.since, now),
    seen: known.seen + 1,
    seenAt: now.toISOString(),
    ...(condition.bare === true ? { bare: true } : {}),
    where: [...condition.notice.where],
  }
}

/** A clock that went backwards must not make anything look settled, nor keep it from settling for ever. */
function earlier(since: string | undefined, now: Date): string {
  return since !== undefined && Date.parse(since) <= now.getTime() ? since : now.toISOString()
}

/** Whether this sighting makes it certain. */
export function hasSettled(since: string, ticks: number, now: Date): boolean {
  return ticks >= 2 && now.getTime() - Date.parse(since) >= settleTime
}
