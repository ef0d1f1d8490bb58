import { day } from '../base/clock.ts'
import type { Config } from '../config/schema.ts'
import { isDone } from '../rotation/record/domain.ts'
import { notVerified } from '../rotation/record/state.ts'
import type { Condition } from './conditions.ts'
import { isPast } from './expiry.ts'
import type { CertificateFacts } from './facts.ts'
import type { ProblemNotice } from './notice.ts'
import { type DomainTrouble, servedKey } from './trouble.ts'
import { instantText, listText } from './words.ts'

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
  if (outcome === undefined) return []
  const unseen = notVerified(outcome).flatMap(({ required, failure }) => (required ? [failure] : []))
  const isIn = outcome.status === 'rotated' || outcome.status === 'already deployed'
  if (isIn && unseen.length === 0) return []
  const failures = [...outcome.failures, ...unseen]
  const signature = `${outcome.status} ${outcome.bundle?.digest ?? outcome.failures.map(({ code }) => code).join(' ')}`
  const bare = outcome.domains
    .filter(({ status }) => status === 'without certificate')
    .map(({ host }) => host)
  const common = {
    ...commonFacts(facts, settings),
    key: `${facts.name}/rotation`,
    severity: bare.length > 0 ? ('critical' as const) : ('warning' as const),
    where: bare.length > 0 ? bare : hostsOf(facts),
    action:
      failures[0]?.next ??
      `Read README.txt in ${outcome.movedTo ?? `the newest folder below rejected/${facts.name}/`} and hand in another bundle.`,
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
      failures,
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
      failures,
      next: isIn ? 'The new certificate is bound, and stays so.' : kept || again,
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

/** One condition per host, so that each settles by itself; `mergeServed` makes one notice of what is told together. */
function servedProblems(facts: CertificateFacts, settings: WatchSettings): Condition[] {
  return facts.domains.flatMap(({ host, gateway, bare, trouble }) => {
    if (trouble === undefined) return []
    const { problem, detail, critical, certain, since, before, refusal, remembered } = trouble
    const { until, ...common } = commonFacts(facts, settings)
    const notice: ProblemNotice = {
      ...common,
      // An outage has no term: it is there.
      ...(critical || until === undefined ? {} : { until }),
      kind: 'not served',
      key: `${facts.name}/served`,
      severity: critical ? 'critical' : 'warning',
      escalate: critical || common.escalate,
      where: [host],
      domains: [
        {
          host,
          gateway,
          problem,
          detail: certain ? detail : `${detail}; seen once so far`,
          ...(certain ? { since } : {}),
          ...(before === undefined ? {} : { before }),
          ...(refusal === undefined ? {} : { refusal: refusal.message }),
        },
      ],
      next: certain ? whatHappensNext(facts, trouble) : 'The next tick looks twice before it tells anybody.',
      action: whatHelps(facts, host, trouble),
    }
    return [
      {
        key: servedKey(gateway, host),
        signature: problem,
        settles: !certain,
        ...(bare === true ? { bare } : {}),
        ...(remembered === true ? { remembered } : {}),
        notice,
      },
    ]
  })
}

function whatHappensNext(facts: CertificateFacts, { problem }: DomainTrouble): string {
  if (!facts.rolling)
    return 'Nothing by itself: a binding that this tool did not leave so is left alone; the next tick looks again.'
  const again = facts.state?.retry?.notBefore
  const later = again === undefined ? 'The next tick' : `The first tick after ${instantText(again)}`
  return problem === 'nobody'
    ? 'The next tick tries to put a certificate on it before it does anything else.'
    : `${later} goes on with the rotation that is under way.`
}

/** The act that helps: first what is refused, then how the domain gets a certificate without waiting for that. */
function whatHelps(facts: CertificateFacts, host: string, trouble: DomainTrouble): string {
  const { problem, refusal, before } = trouble
  if (problem !== 'nobody') return servedAction[problem]
  const bind = `bind ${before ?? 'a certificate'} to ${host} at the gateway's console`
  if (refusal)
    return `${sentence(refusal.next)} Then run "cert-rotation rotate ${facts.name}"; until then ${bind}.`
  if (facts.rolling) return `Run "cert-rotation rotate ${facts.name}" now, or ${bind}.`
  return `${bind.charAt(0).toUpperCase()}${bind.slice(1)}, or hand in the bundle again.`
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`
}

const servedAction = {
  older: 'Run "cert-rotation plan" to see what is bound; somebody may have put the old certificate back.',
  foreign: 'Find out who bound this certificate; hand in a bundle to put yours back.',
  'incomplete chain':
    'Hand in a bundle with all intermediates; many clients cannot build the chain without them.',
  'wrong name': 'See which certificate is bound to the domain; clients refuse this one.',
} as const

/** What several hosts have in common is one notice, with a line for each of them. */
export function mergeServed(conditions: readonly Condition[]): ProblemNotice[] {
  const notices = conditions.map(({ notice }) => notice)
  const served = notices.filter((notice) => notice.kind === 'not served')
  const others = notices.filter((notice) => notice.kind !== 'not served')
  const worst = served.find(({ severity }) => severity === 'critical') ?? served[0]
  if (worst === undefined) return others
  const ordered = [worst, ...served.filter((notice) => notice !== worst)]
  const domains = ordered.flatMap((notice) => notice.domains)
  return [...others, { ...worst, where: domains.map(({ host }) => host), domains }]
}
