import { digestOf } from '../base/names.ts'
import { type AlertMemory, emptyAlertMemory, type RunMemory, readAlertMemory } from './alert-memory.ts'
import { watchCertificate } from './certificate-watch.ts'
import { advance, type Condition } from './conditions.ts'
import {
  allCertificateFacts,
  type CertificateFacts,
  certificateFacts,
  type DiscoveredCertificate,
  type Gathered,
} from './facts.ts'
import { timerLateness } from './last-tick.ts'
import type { Digest, Notice, ProblemNotice } from './notice.ts'
import { byUrgency } from './notice.ts'
import { watchSettings } from './problems.ts'
import { judgeServed } from './served.ts'
import { troubleAt } from './trouble.ts'
import { durationText, instantText } from './words.ts'

export interface WatchResult {
  /** Most urgent first; empty when there is nothing to say. */
  notices: Notice[]
  /** Field `alerts` of each state file, by certificate; only those that differ from before are worth a write. */
  memories: Map<string, AlertMemory>
  /** `status/alerts.json`. */
  runMemory: RunMemory
}

/**
 * The whole watch of one tick. Pure: the caller stores the memories (and the outbox with what is to be said)
 * before anything is sent, so that a crash in between says nothing twice and loses nothing.
 */
export function watch(gathered: Gathered, runMemory: RunMemory): WatchResult {
  const { now, config, states } = gathered
  const notices: Notice[] = []
  const memories = new Map<string, AlertMemory>()
  for (const facts of allCertificateFacts(gathered)) {
    const settings = watchSettings(now, config.alerts, config.certificates[facts.name]?.waitForPair)
    const result = watchCertificate(facts, settings, readAlertMemory(states.get(facts.name)?.alerts))
    notices.push(...result.notices)
    memories.set(facts.name, result.memory)
  }
  const discovered = watchDiscovered(gathered, runMemory)
  const standing = advance({
    now,
    // This tick is the proof that the timer runs: what another door told about it is solved.
    present: [
      ...quotaConditions(gathered, runMemory),
      ...gatewayConditions(gathered),
      ...leftConditions(gathered),
    ],
    memory: runMemory.conditions,
    muted: false,
    unknown: (key) =>
      (key.startsWith('quota/') && !gathered.quotas.some(({ where }) => key === `quota/${where}`)) ||
      (key.startsWith(LEFT) && gathered.left === undefined),
  })
  notices.push(...discovered.notices, ...standing.tell.map(({ notice }) => notice))
  for (const { key, memory } of standing.solved) {
    notices.push({
      kind: 'solved',
      key,
      at: now.toISOString(),
      severity: 'info',
      escalate: memory.escalated === true,
      where: memory.where,
      of: memory.kind,
      toldAt: memory.toldAt ?? memory.since,
      remaining: 0,
      next: solvedTexts[memory.kind] ?? 'There is room again.',
      action: '',
    })
  }
  return {
    notices: notices.sort(byUrgency),
    memories,
    runMemory: { schema: 1, conditions: standing.memory, discovered: discovered.memories },
  }
}

/** One certificate only, for the door that rotates it: the same memory, so the timer does not say it again. */
export function watchOne(gathered: Gathered, name: string): { notices: Notice[]; memory: AlertMemory } {
  const observations = gathered.observations.filter((observation) => observation.certificate === name)
  const facts = certificateFacts(gathered, name, observations)
  const settings = watchSettings(
    gathered.now,
    gathered.config.alerts,
    gathered.config.certificates[name]?.waitForPair,
  )
  return watchCertificate(facts, settings, readAlertMemory(gathered.states.get(name)?.alerts))
}

/**
 * The other door's check of the timer: nothing else is judged or forgotten. The timer's own tick finds the condition
 * in the memory and says when it is solved.
 */
export function watchTimer(
  gathered: Pick<Gathered, 'now' | 'lastTick'>,
  runMemory: RunMemory,
): { notices: Notice[]; runMemory: RunMemory } {
  const present = timerConditions(gathered)
  if (present.length === 0) return { notices: [], runMemory }
  const { tell, memory } = advance({
    now: gathered.now,
    present,
    memory: runMemory.conditions,
    muted: false,
    unknown: () => true,
  })
  return { notices: tell.map(({ notice }) => notice), runMemory: { ...runMemory, conditions: memory } }
}

function timerConditions({ now, lastTick }: Pick<Gathered, 'now' | 'lastTick'>): Condition[] {
  const lateMs = timerLateness(now, lastTick)
  if (lateMs === undefined || lastTick === undefined) return []
  const notice: ProblemNotice = {
    kind: 'timer did not run',
    key: 'timer',
    at: now.toISOString(),
    severity: 'critical',
    escalate: true,
    where: ['the timer'],
    lastTick: lastTick.at,
    lateMs,
    next: 'Until it runs again nothing is renewed, finished, watched or cleaned up; uploads still rotate.',
    action: "See whether the timer trigger is enabled and what the function's log says since then.",
  }
  return [{ key: notice.key, signature: lastTick.at, settles: false, notice }]
}

const solvedTexts: Record<string, string> = {
  'timer did not run': 'The timer runs again.',
  'gateway not read': 'Its list can be read again.',
  'no longer watched': 'It stands in rotation.yaml again, or was cleared away.',
}

const LEFT = 'left/'

/** Once: whoever takes a certificate out of the config, or renames it, learns what that means. */
function leftConditions({ now, left = [] }: Gathered): Condition[] {
  return left.map(({ name, unwatched, stays }) => {
    const notice: ProblemNotice = {
      kind: 'no longer watched',
      key: `${LEFT}${name}`,
      at: now.toISOString(),
      certificate: name,
      severity: unwatched.length > 0 ? 'warning' : 'info',
      escalate: false,
      where: unwatched.length > 0 ? unwatched : stays,
      unwatched,
      stays,
      next: unwatched.length > 0 ? 'What is bound stays until it ends; nothing renews it.' : 'Nothing.',
      action: `Write ${name} into rotation.yaml again, or delete ${stays.join(' and ')}.`,
    }
    return { key: notice.key, signature: unwatched.join(' '), settles: false, notice }
  })
}

export const unreadKey = (where: string) => `gateway/${where}`

/** Told at once: a domain without a certificate could stand in a list that nobody can read. */
function gatewayConditions({ now, unread = [] }: Gathered): Condition[] {
  return unread
    .filter(({ list }) => list)
    .map(({ where, failure }) => {
      const notice: ProblemNotice = {
        kind: 'gateway not read',
        key: unreadKey(where),
        at: now.toISOString(),
        severity: 'warning',
        escalate: false,
        where: [where],
        failure,
        next: 'Each tick asks again; meanwhile only handshakes tell what is served there.',
        action: failure.next,
      }
      return { key: notice.key, settles: false, notice }
    })
}

/** Told at 90 % and solved below 85 %: a rotation always adds one certificate and retires one later. */
function quotaConditions({ now, quotas }: Gathered, memory: RunMemory): Condition[] {
  return quotas.flatMap(({ where, used, limit }) => {
    const key = `quota/${where}`
    const bar = memory.conditions[key]?.toldAt === undefined ? 0.9 : 0.85
    if (limit <= 0 || used < limit * bar) return []
    const left = Math.max(0, limit - used)
    const notice: ProblemNotice = {
      kind: 'quota nearly used',
      key,
      at: now.toISOString(),
      severity: left === 0 ? 'critical' : 'warning',
      escalate: false,
      where: [where],
      used,
      limit,
      next:
        left === 0
          ? 'The next rotation must retire a predecessor first, or fails before it touches anything.'
          : `${left} more certificates fit.`,
      action: 'Delete certificates that nothing uses, shorten retire.after, or ask for a higher quota.',
    }
    return [{ key, settles: false, notice }]
  })
}

function watchDiscovered(gathered: Gathered, runMemory: RunMemory) {
  const notices: Notice[] = []
  const memories: Record<string, AlertMemory> = {}
  for (const certificate of gathered.discovered) {
    const id = `${certificate.where}/${certificate.id}`
    const settings = watchSettings(gathered.now, gathered.config.alerts, undefined)
    const memory = runMemory.discovered[id] ?? emptyAlertMemory()
    const facts = discoveredFacts(certificate, gathered.now, memory.conditions)
    const result = watchCertificate(facts, settings, memory)
    notices.push(...result.notices)
    memories[id] = result.memory
  }
  // What is not listed in this tick may be gone or only out of reach: forgotten when its last leaf has long ended.
  for (const [id, memory] of Object.entries(runMemory.discovered)) {
    const ends = Object.values(memory.leaves).map(({ notAfter }) => Date.parse(notAfter))
    if (memories[id] === undefined && Math.max(0, ...ends) > gathered.now.getTime() - 7 * 86_400_000)
      memories[id] = memory
  }
  return { notices, memories }
}

/**
 * A discovered certificate matters where it is bound; one that nothing is bound to may end in peace. What is served
 * there was never taken over: a person should know of it, and nobody is got out of bed. Without a memory (for the
 * page) one look is enough.
 */
export function discoveredFacts(
  certificate: DiscoveredCertificate,
  now: Date,
  memory?: AlertMemory['conditions'],
): CertificateFacts {
  const hosts = certificate.hosts.map(({ host }) => host)
  const leaf = {
    fingerprint: certificate.id,
    commonName: certificate.commonName,
    ...(certificate.notBefore === undefined ? {} : { notBefore: certificate.notBefore }),
    notAfter: certificate.notAfter,
    hosts,
  }
  return {
    name: certificate.name,
    leaves: hosts.length === 0 ? [] : [leaf],
    domains: certificate.hosts.map(({ host, result }) => {
      const verdict = judgeServed({ host, predecessors: [], result })
      const served = result?.reached ? result.served : undefined
      const place = { gateway: certificate.where, host, seenTwice: memory === undefined }
      const trouble = troubleAt({ place, verdict, memory: memory ?? {}, now })
      return {
        host,
        gateway: certificate.where,
        verdict,
        ...(served === undefined ? {} : { served }),
        ...(trouble === undefined ? {} : { trouble: { ...trouble, critical: false } }),
      }
    }),
    rolling: false,
  }
}

/** Who is told: one digest per audience and run, none where there is nothing to say. */
export function digestsOf(
  notices: readonly Notice[],
  now: Date,
  alerts: { owners: Readonly<Record<string, unknown>>; escalation?: unknown },
): Digest[] {
  const audiences = new Map<string | undefined, Notice[]>()
  const add = (audience: string | undefined, notice: Notice) => {
    const list = audiences.get(audience)
    if (list === undefined) audiences.set(audience, [notice])
    else list.push(notice)
  }
  for (const notice of notices) {
    const known = notice.owner !== undefined && Object.hasOwn(alerts.owners, notice.owner)
    add(known ? `owner ${notice.owner}` : undefined, notice)
    if (notice.escalate && alerts.escalation !== undefined) add('escalation', notice)
  }
  return [...audiences].map(([audience, told]) => ({
    id: digestOf(now.toISOString(), audience ?? '', ...told.map(({ kind, key }) => `${kind} ${key}`)),
    ...(audience === undefined ? {} : { audience }),
    at: now.toISOString(),
    notices: [...told].sort(byUrgency),
  }))
}

/** For the log: what was noticed, in one line. */
export function noticeLine(notice: Notice): string {
  const subject = notice.certificate ?? notice.where[0] ?? 'cert-rotation'
  const late =
    notice.kind === 'timer did not run'
      ? ` since ${instantText(notice.lastTick)} (${durationText(notice.lateMs)} late)`
      : ''
  return `${subject}: ${notice.kind}${late}`
}
