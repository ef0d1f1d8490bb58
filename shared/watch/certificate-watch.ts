import { day } from '../base/clock.ts'
import { changesInWords } from '../rotation/record/difference-words.ts'
import { notVerified } from '../rotation/record/state.ts'
import type { AlertMemory, ConditionMemory, LeafMemory } from './alert-memory.ts'
import { advance, type Solved } from './conditions.ts'
import { crossings, type LeafFacts, type SolvedExpiry, type ToldCrossing } from './expiry.ts'
import { type CertificateFacts, isAcknowledged } from './facts.ts'
import type { Notice, ProblemNotice, RotatedNotice, SolvedNotice } from './notice.ts'
import { commonFacts, hostsOf, mergeServed, problemsOf, type WatchSettings } from './problems.ts'
import { renewalOutlook } from './renewal-outlook.ts'
import { isJudged, servedKey } from './trouble.ts'
import { instantText } from './words.ts'

/** What is said about one certificate in one run, and what is remembered of it. Pure. */
export function watchCertificate(
  facts: CertificateFacts,
  settings: WatchSettings,
  memory: AlertMemory,
): { notices: Notice[]; memory: AlertMemory } {
  const { now } = settings
  const muted = isAcknowledged(facts, now)
  const domains = new Map(facts.domains.map((domain) => [servedKey(domain.gateway, domain.host), domain]))
  const standing = advance({
    now,
    present: problemsOf(facts, settings).filter(({ remembered }) => remembered !== true),
    memory: memory.conditions,
    muted,
    unknown: (key) => {
      const domain = domains.get(key)
      return key.startsWith('served/') && !(domain && isJudged(domain, memory.conditions[key]))
    },
  })
  const expiry = crossings({
    now,
    leaves: settledLeaves(facts, standing.memory),
    thresholds: settings.thresholds,
    ...(settings.escalateFrom === undefined ? {} : { escalateFrom: settings.escalateFrom }),
    memory: memory.leaves,
    watched: hostsOf(facts),
    muted,
  })

  const notices: Notice[] = [
    ...expiry.tell.map((told) => expiryNotice(told, facts, settings)),
    ...mergeServed(standing.tell),
    ...solvedExpiries(expiry.solved, facts, settings),
    ...solvedConditions(standing.solved, standing.memory, facts, settings),
  ]
  const outcome = facts.concluded && `${facts.concluded.at} ${facts.concluded.status}`
  const fresh = facts.concluded !== undefined && isNews(facts.concluded.at, now, memory)
  // Told as a failure, then.
  const unproven = facts.concluded !== undefined && notVerified(facts.concluded).some((one) => one.required)
  const rotated =
    facts.concluded?.status === 'rotated' && !unproven && outcome !== memory.outcome && fresh && !muted
  if (!rotated)
    return { notices, memory: remember(expiry.memory, standing.memory, outcome ?? memory.outcome) }

  // One message for one fact: what the rotation solved is said by the rotation's own notice.
  const solvedNow = notices.filter((notice) => notice.kind === 'solved' && notice.remaining === 0)
  const rest = notices.filter((notice) => !solvedNow.includes(notice))
  const leaves = settleOlderLeaves(expiry.memory, facts)
  const solves = [
    ...new Set([...solvedNow.map(({ key }) => key), ...(leaves.solved ? [`${facts.name}/expiry`] : [])]),
  ]
  const escalate = solvedNow.some((notice) => notice.escalate) || leaves.escalated
  return {
    notices: [...rest, rotatedNotice(facts, settings, solves, escalate)],
    memory: remember(leaves.memory, standing.memory, outcome),
  }
}

/** Without a memory (first tick after an upgrade, damaged state) an old rotation is history, not news. */
function isNews(at: string, now: Date, memory: AlertMemory): boolean {
  return memory.outcome !== undefined || now.getTime() - Date.parse(at) < 2 * day
}

function remember(
  leaves: AlertMemory['leaves'],
  conditions: AlertMemory['conditions'],
  outcome: string | undefined,
): AlertMemory {
  return { schema: 1, leaves, conditions, ...(outcome === undefined ? {} : { outcome }) }
}

/**
 * A predecessor's end matters only where it has stayed in service against expectation: during a roll-out old and new
 * alternate, and the old one is near its end by nature.
 */
function settledLeaves(
  facts: CertificateFacts,
  conditions: Readonly<Record<string, ConditionMemory>>,
): LeafFacts[] {
  const deployed = facts.state?.deployed?.fingerprint
  if (deployed === undefined) return facts.leaves
  // Put back after a refusal, or told as wrong: there it stays until somebody acts.
  const stayed = new Set(
    facts.domains
      .filter(
        ({ gateway, host, verdict }) =>
          verdict.verdict === 'expected' || conditions[servedKey(gateway, host)]?.toldAt !== undefined,
      )
      .map(({ host }) => host),
  )
  return facts.leaves.map((leaf) => {
    if (leaf.fingerprint === deployed) return leaf
    const hosts = leaf.hosts.filter((host) => stayed.has(host))
    return hosts.length === 0 ? { ...leaf, settling: true } : { ...leaf, hosts }
  })
}

function expiryNotice(
  { leaf, crossing, escalated, critical }: ToldCrossing,
  facts: CertificateFacts,
  settings: WatchSettings,
): ProblemNotice {
  const outlook = renewalOutlook(facts, leaf.notAfter)
  const common = {
    ...commonFacts(facts, settings),
    key: `${facts.name}/expiry`,
    escalate: escalated,
    where: leaf.hosts.length > 0 ? leaf.hosts : hostsOf(facts),
    commonName: leaf.commonName,
    notAfter: leaf.notAfter.toISOString(),
    until: leaf.notAfter.toISOString(),
    next: facts.rolling ? 'A rotation is under way and goes on with the next tick.' : outlook.next,
    action: outlook.action,
  }
  if (crossing.threshold === 'expired') return { ...common, kind: 'expired', severity: 'critical' }
  const severity = critical ? 'critical' : 'warning'
  return { ...common, kind: 'near expiry', severity, threshold: crossing.threshold }
}

function solvedExpiries(
  solved: readonly SolvedExpiry[],
  facts: CertificateFacts,
  settings: WatchSettings,
): SolvedNotice[] {
  const latest = solved.at(-1)?.memory
  if (latest?.told === undefined) return []
  const of = latest.told.threshold === 'expired' ? 'expired' : 'near expiry'
  return [
    {
      ...commonFacts(facts, settings),
      kind: 'solved',
      key: `${facts.name}/expiry`,
      severity: 'info',
      escalate: latest.told.escalated,
      where: latest.hosts,
      of,
      toldAt: latest.told.at,
      remaining: 0,
      next: 'Its successor is served.',
      action: '',
    },
  ]
}

function solvedConditions(
  solved: readonly Solved[],
  left: Readonly<Record<string, ConditionMemory>>,
  facts: CertificateFacts,
  settings: WatchSettings,
): SolvedNotice[] {
  const served = solved.filter(({ memory }) => memory.kind === 'not served')
  const notice = (
    key: string,
    memory: ConditionMemory,
    where: string[],
    remaining: number,
  ): SolvedNotice => ({
    ...commonFacts(facts, settings),
    kind: 'solved',
    key,
    severity: 'info',
    escalate: memory.escalated === true,
    where,
    of: memory.kind,
    toldAt: memory.toldAt ?? memory.since,
    remaining,
    next: remaining === 0 ? 'Nothing is left to do.' : `${remaining} more are still told as open.`,
    action: '',
  })
  const others = solved
    .filter(({ memory }) => memory.kind !== 'not served')
    .map(({ key, memory }) => notice(key, memory, memory.where, 0))
  const first = served[0]
  if (first === undefined) return others
  const open = Object.values(left).filter(
    ({ kind, toldAt }) => kind === 'not served' && toldAt !== undefined,
  ).length
  const escalated = served.find(({ memory }) => memory.escalated === true) ?? first
  const where = served.flatMap(({ memory }) => memory.where)
  return [...others, notice(`${facts.name}/served`, escalated.memory, where, open)]
}

/** After a rotation the older leaves' warnings are settled, even if a handshake still shows one for a moment. */
function settleOlderLeaves(memory: Record<string, LeafMemory>, facts: CertificateFacts) {
  const end = facts.concluded?.bundle?.notAfter
  let solved = false
  let escalated = false
  const entries = Object.entries(memory).map(([key, leaf]): [string, LeafMemory] => {
    if (end === undefined || Date.parse(leaf.notAfter) >= Date.parse(end) || leaf.told === undefined)
      return [key, leaf]
    if (leaf.solved === true) return [key, leaf]
    solved = true
    escalated ||= leaf.told.escalated
    return [key, { ...leaf, solved: true }]
  })
  return { memory: Object.fromEntries(entries), solved, escalated }
}

function rotatedNotice(
  facts: CertificateFacts,
  settings: WatchSettings,
  solves: string[],
  escalate: boolean,
): RotatedNotice {
  const outcome = facts.concluded
  const gaps = (outcome?.domains ?? []).flatMap(({ gapMs }) => (gapMs === undefined ? [] : [gapMs]))
  const renewAt = facts.renewal?.renewAt
  return {
    ...commonFacts(facts, settings),
    kind: 'rotated',
    key: `${facts.name}/rotated`,
    severity: 'info',
    escalate,
    where: outcome?.domains.map(({ host }) => host) ?? [],
    commonName: outcome?.bundle?.commonName ?? facts.name,
    notAfter: outcome?.bundle?.notAfter ?? settings.now.toISOString(),
    ...(outcome?.bundle === undefined ? {} : { until: outcome.bundle.notAfter }),
    domains: outcome?.domains.length ?? 0,
    ...(gaps.length === 0 ? {} : { longestGapMs: Math.max(...gaps) }),
    ...(outcome?.difference === undefined ? {} : { changes: changesInWords(outcome.difference) }),
    solves,
    next:
      renewAt === undefined
        ? 'Nothing until it nears its end.'
        : `It is renewed by itself from ${instantText(renewAt)} on.`,
    action: clientCaWords(outcome),
  }
}

/** Who may come in is for people to know: a CA for client certificates that was taken over, changed or left out. */
function clientCaWords(outcome: CertificateFacts['concluded']): string {
  const notes = outcome?.repairs.filter(({ code }) => code.startsWith('client-ca-')) ?? []
  return notes.map(({ message }) => message).join(' ')
}
