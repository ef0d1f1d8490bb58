import { day } from '../base/clock.ts'
import type { LeafMemory } from './alert-memory.ts'
import { settleTime } from './conditions.ts'
import { type Crossing, crossingsOf, lifetimeOf, type Validity } from './threshold.ts'

/** One end-entity certificate that somebody is served, or that was deployed and cannot be seen from here. */
export interface LeafFacts extends Validity {
  /** SHA-256 of the DER or, where only a list is known, the service's id of it. */
  fingerprint: string
  commonName: string
  /** Hosts that serve it. */
  hosts: readonly string[]
  /** Not the deployed one, and seen so briefly that it may be a roll-out: nothing of it is told yet. */
  settling?: boolean
}

export interface ExpiryInput {
  now: Date
  leaves: readonly LeafFacts[]
  /** As in the config: `33%`, `3d`. */
  thresholds: readonly string[]
  /** Threshold from which on the second list of channels is told, too. */
  escalateFrom?: string
  memory: Readonly<Record<string, LeafMemory>>
  /** Every host that is still looked at: one that is configured no more keeps nothing open. */
  watched: readonly string[]
  /** Snoozed: nothing is told and nothing counts as told. */
  muted: boolean
}

export interface ToldCrossing {
  leaf: LeafFacts
  crossing: Crossing
  escalated: boolean
  /** A tenth of the lifetime or three days are left, whichever is less. */
  critical: boolean
}

export interface SolvedExpiry {
  memory: LeafMemory
}

/** A leaf is what it is by its bytes and its end; a list without bytes may reuse an id for a renewed certificate. */
export function leafKey(leaf: LeafFacts): string {
  return `${leaf.fingerprint.slice(0, 32)}@${leaf.notAfter.getTime()}`
}

/**
 * Which crossings are told now. Per leaf only the most urgent one that lies behind, and only if it is more urgent
 * than what was told before: so an outage of the timer ends in one message, and a clock that goes back and forth
 * crosses nothing twice. Pure; the caller stores the memory before it sends anything.
 */
export function crossings(input: ExpiryInput): {
  tell: ToldCrossing[]
  solved: SolvedExpiry[]
  memory: Record<string, LeafMemory>
} {
  const { now } = input
  const tell: ToldCrossing[] = []
  const memory: Record<string, LeafMemory> = {}
  let healthyUntil = 0

  for (const leaf of input.leaves) {
    const points = crossingsOf(leaf, input.thresholds)
    const passed = points.filter((point) => point.at.getTime() <= now.getTime()).at(-1)
    if (passed === undefined) healthyUntil = Math.max(healthyUntil, leaf.notAfter.getTime())
    const entry = seen(leaf, points, input)
    memory[leafKey(leaf)] = entry
    if (passed === undefined || input.muted || leaf.settling === true) continue
    if (entry.told !== undefined && Date.parse(entry.told.crossing) >= passed.at.getTime()) continue
    const escalated = isEscalated(leaf, passed, input)
    entry.told = {
      threshold: passed.threshold,
      crossing: passed.at.toISOString(),
      at: now.toISOString(),
      escalated,
    }
    delete entry.solved
    tell.push({ leaf, crossing: passed, escalated, critical: isCritical(leaf, now) })
  }

  const { solved, kept } = absentLeaves(input, memory, healthyUntil)
  return { tell, solved, memory: { ...kept, ...memory } }
}

function seen(leaf: LeafFacts, points: readonly Crossing[], { now, memory }: ExpiryInput): LeafMemory {
  const known = memory[leafKey(leaf)]
  const { absent: _, behindSince, ...rest } = known ?? { hosts: [] }
  const entry: LeafMemory = {
    ...rest,
    notAfter: leaf.notAfter.toISOString(),
    hosts: [...leaf.hosts].slice(0, 20),
  }
  if (entry.told === undefined) return entry
  const { told } = entry

  // A crossing told well ahead of its time was told by a clock that ran ahead, or this clock is behind. One tick
  // cannot know which; a whole day of ticks that agree can. A clock before the certificate's birth is behind.
  const ahead = Date.parse(told.crossing) - now.getTime()
  const plausible = leaf.notBefore === undefined || now.getTime() >= leaf.notBefore.getTime()
  if (ahead <= day || !plausible) return entry
  const since =
    behindSince !== undefined && Date.parse(behindSince) <= now.getTime()
      ? Date.parse(behindSince)
      : now.getTime()
  if (now.getTime() - since < day) return { ...entry, behindSince: new Date(since).toISOString() }
  const passed = points.filter((point) => point.at.getTime() <= now.getTime()).at(-1)
  if (passed === undefined) delete entry.told
  else entry.told = { ...told, threshold: passed.threshold, crossing: passed.at.toISOString() }
  return entry
}

function absentLeaves(
  { now, memory, leaves, watched }: ExpiryInput,
  present: Readonly<Record<string, LeafMemory>>,
  healthyUntil: number,
): { solved: SolvedExpiry[]; kept: Record<string, LeafMemory> } {
  const solved: SolvedExpiry[] = []
  const kept: Record<string, LeafMemory> = {}
  const open = new Set(watched)
  for (const host of leaves.flatMap(({ hosts }) => hosts)) open.delete(host)
  for (const [key, known] of Object.entries(memory)) {
    if (present[key] !== undefined) continue
    const since =
      known.absent !== undefined && Date.parse(known.absent.since) <= now.getTime()
        ? known.absent.since
        : now.toISOString()
    const absent = { since, ticks: (known.absent?.ticks ?? 0) + 1 }
    const settled = absent.ticks >= 2 && now.getTime() - Date.parse(since) >= settleTime
    // Only a healthy successor on every host that served it says that it is solved: it may just be out of reach.
    const succeeded =
      known.hosts.every((host) => !open.has(host)) && healthyUntil > Date.parse(known.notAfter)
    const replaced = settled && succeeded
    const forgotten = now.getTime() - Date.parse(known.notAfter) > 90 * day
    if (replaced && known.told !== undefined && known.solved !== true) solved.push({ memory: known })
    if (!replaced && !forgotten) kept[key] = { ...known, absent }
  }
  return { solved, kept }
}

/** Whether a leaf is past the threshold from which on other people are told, too. */
export function isPast(leaf: Validity, threshold: string | undefined, now: Date): boolean {
  if (threshold === undefined) return false
  const point = crossingsOf(leaf, [threshold])[0]
  return point !== undefined && point.at.getTime() <= now.getTime()
}

function isEscalated(leaf: LeafFacts, passed: Crossing, { now, escalateFrom }: ExpiryInput): boolean {
  if (escalateFrom === undefined) return false
  return passed.threshold === 'expired' || isPast(leaf, escalateFrom, now)
}

function isCritical(leaf: LeafFacts, now: Date): boolean {
  const left = leaf.notAfter.getTime() - now.getTime()
  return left <= Math.min(3 * day, lifetimeOf(leaf) / 10)
}
