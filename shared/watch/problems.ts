import { day } from '../base/clock.ts'
import type { Config } from '../config/schema.ts'
import { isDone } from '../rotation/state.ts'
import type { Condition } from './conditions.ts'
import { isPast } from './expiry.ts'
import type { CertificateFacts } from './facts.ts'
import type { ProblemNotice } from './notice.ts'
import { countText, instantText, listText } from './words.ts'

/** What a watch needs to know of the config. */
export interface WatchSettings {
  now: Date
  thresholds: readonly string[]
  escalateFrom?: string
  /** Milliseconds. */
  unfinishedAfter: number
  /** Milliseconds, of this certificate. */
  waitForPair: number
}

export function watchSettings(
  now: Date,
  alerts: Config['alerts'],
  waitForPair: number | undefined,
): WatchSettings {
  return {
    now,
    thresholds: alerts.thresholds,
    ...(alerts.escalation === undefined ? {} : { escalateFrom: alerts.escalation.from }),
    unfinishedAfter: alerts.unfinishedAfter,
    waitForPair: waitForPair ?? day,
  }
}

/** Until when the domains are safe whatever fails now: the first end among what they serve. */
export function earliestEnd(facts: CertificateFacts): Date | undefined {
  const ends = facts.leaves.map((leaf) => leaf.notAfter.getTime())
  return ends.length === 0 ? undefined : new Date(Math.min(...ends))
}

/** Common facts of every notice about one certificate. */
export function commonFacts(facts: CertificateFacts, { now, escalateFrom }: WatchSettings) {
  const end = earliestEnd(facts)
  const escalate = facts.leaves.some((leaf) => isPast(leaf, escalateFrom, now))
  return {
    at: now.toISOString(),
    certificate: facts.name,
    ...(facts.owner === undefined ? {} : { owner: facts.owner }),
    escalate,
    ...(end === undefined ? {} : { until: end.toISOString() }),
  }
}

export function hostsOf(facts: CertificateFacts): string[] {
  return facts.domains.map(({ host }) => host)
}

/** Everything but expiry that is wrong with one certificate now. */
export function problemsOf(facts: CertificateFacts, settings: WatchSettings): Condition[] {
  return [
    ...concludedProblem(facts, settings),
    ...unfinishedProblem(facts, settings),
    ...waitingProblem(facts, settings),
    ...renewalProblem(facts, settings),
    ...servedProblems(facts, settings),
  ]
}

function concludedProblem(facts: CertificateFacts, settings: WatchSettings): Condition[] {
  const outcome = facts.concluded
  if (outcome === undefined || outcome.status === 'rotated' || outcome.status === 'already deployed')
    return []
  const signature = `${outcome.status} ${outcome.bundle?.digest ?? outcome.failures.map(({ code }) => code).join(' ')}`
  const bare = outcome.domains
    .filter(({ status }) => status === 'without certificate')
    .map(({ host }) => host)
  const common = {
    ...commonFacts(facts, settings),
    key: `${facts.name}/rotation`,
    severity: bare.length > 0 ? ('critical' as const) : ('warning' as const),
    where: bare.length > 0 ? bare : hostsOf(facts),
    action: outcome.failures[0]?.next ?? 'Read result.json beside the bundle and hand in another one.',
  }
  const retryAt = facts.state?.retry?.notBefore
  const kept =
    bare.length > 0
      ? `${listText(bare)} ${bare.length === 1 ? 'is' : 'are'} without a certificate; the next run closes that first.`
      : ''
  let notice: ProblemNotice
  if (outcome.status === 'refused') {
    const reasons = outcome.checks.filter(({ result }) => result === 'refused').map(({ message }) => message)
    const next = 'The domains keep what they serve; the same bundle is not tried again.'
    notice = { ...common, kind: 'refused', sentence: outcome.sentence, reasons, next }
  } else if (outcome.status === 'rolled back') {
    const { refused } = facts.state ?? {}
    const mayComeAgain = refused?.digest === outcome.bundle?.digest && refused?.notBefore !== undefined
    const next = `The predecessor is in service again; the same bundle is ${mayComeAgain ? 'tried again when it is dropped again' : 'not tried again unless the config changes'}.`
    notice = {
      ...common,
      kind: 'rolled back',
      sentence: outcome.sentence,
      failures: outcome.failures,
      next: kept || next,
    }
  } else {
    const again =
      retryAt === undefined
        ? 'It is not tried again by itself.'
        : `It is tried again after ${instantText(retryAt)}.`
    notice = {
      ...common,
      kind: 'failed',
      sentence: outcome.sentence,
      failures: outcome.failures,
      next: kept || again,
    }
  }
  return [{ key: notice.key, signature, settles: false, notice }]
}

function unfinishedProblem(facts: CertificateFacts, settings: WatchSettings): Condition[] {
  const current = facts.state?.current
  if (current === undefined || current.status !== 'running') return []
  if (settings.now.getTime() - Date.parse(current.startedAt) < settings.unfinishedAfter) return []
  const recorded = Object.values(current.domains)
  const retryAt = facts.state?.retry?.notBefore
  const notice: ProblemNotice = {
    ...commonFacts(facts, settings),
    kind: 'unfinished',
    key: `${facts.name}/unfinished`,
    severity: 'warning',
    where: recorded.map(({ host }) => host),
    since: current.startedAt,
    done: recorded.filter(isDone).length,
    total: recorded.length,
    next:
      retryAt === undefined
        ? 'The next tick goes on where it stopped.'
        : `It goes on after ${instantText(retryAt)}.`,
    action:
      facts.state?.retry?.failure.next ??
      'Run "cert-rotation rotate" with more time, or look at the log of the last ticks.',
  }
  return [{ key: notice.key, signature: current.bundle.digest, settles: false, notice }]
}

function waitingProblem(facts: CertificateFacts, settings: WatchSettings): Condition[] {
  const since = facts.state?.waitingSince
  if (since === undefined || settings.now.getTime() - Date.parse(since) < settings.waitForPair) return []
  const outcome = facts.state?.outcomes.find(({ status }) => status === 'waiting')
  const notice: ProblemNotice = {
    ...commonFacts(facts, settings),
    kind: 'waiting for pair',
    key: `${facts.name}/waiting`,
    severity: 'warning',
    where: [`incoming/${facts.name}/`],
    since,
    missing: outcome?.sentence ?? 'The bundle in the drop folder is not complete.',
    next: 'Nothing happens until the other half arrives.',
    action: `Put the missing half into incoming/${facts.name}/, or remove what lies there.`,
  }
  return [{ key: notice.key, signature: since, settles: false, notice }]
}

function renewalProblem(facts: CertificateFacts, settings: WatchSettings): Condition[] {
  const failing = facts.renewal?.failing
  if (failing === undefined) return []
  const notice: ProblemNotice = {
    ...commonFacts(facts, settings),
    kind: 'renewal failing',
    key: `${facts.name}/renewal`,
    severity: 'warning',
    where: hostsOf(facts),
    since: failing.since,
    attempts: failing.attempts,
    failure: failing.failure,
    next:
      failing.nextAt === undefined
        ? 'The next tick orders again.'
        : `The next order is placed after ${instantText(failing.nextAt)}.`,
    action: failing.failure.next,
  }
  return [{ key: notice.key, settles: false, notice }]
}

/** One condition per host, so that each settles by itself; `watch.ts` makes one notice of what is told together. */
function servedProblems(facts: CertificateFacts, settings: WatchSettings): Condition[] {
  if (facts.rolling) return []
  return facts.domains.flatMap(({ host, gateway, verdict }) => {
    if (
      verdict.verdict === 'expected' ||
      verdict.verdict === 'not looked at' ||
      verdict.verdict === 'not reached'
    )
      return []
    const problem = verdict.verdict
    const severe = problem === 'nobody' || problem === 'wrong name' || problem === 'foreign'
    const notice: ProblemNotice = {
      ...commonFacts(facts, settings),
      kind: 'not served',
      key: `${facts.name}/served`,
      severity: severe ? 'critical' : 'warning',
      where: [host],
      domains: [{ host, gateway, problem, detail: verdict.detail }],
      next: 'Bindings that this tool did not change are left alone; the next tick looks again.',
      action: servedAction[problem],
    }
    return [{ key: servedKey(gateway, host), signature: problem, settles: true, notice }]
  })
}

const servedAction = {
  nobody: 'See at the gateway whether a certificate is bound to the domain, and run "cert-rotation plan".',
  older: 'Run "cert-rotation plan" to see what is bound; somebody may have put the old certificate back.',
  foreign: 'Find out who bound this certificate; hand in a bundle to put yours back.',
  'incomplete chain':
    'Hand in a bundle with all intermediates; many clients cannot build the chain without them.',
  'wrong name': 'See which certificate is bound to the domain; clients refuse this one.',
} as const

export function servedKey(gateway: string, host: string): string {
  return `served/${gateway}/${host}`
}

export function manyHosts(hosts: readonly string[]): string {
  return hosts.length > 5 ? countText(hosts.length, 'domain') : listText(hosts)
}
