import { day } from '../base/clock.ts'
import { countText } from '../base/count-text.ts'
import { isDefinite } from '../base/definite.ts'
import { worstOf } from '../health/port.ts'
import { seenChecks } from '../health/seen.ts'
import { lastFailure, type Outbox } from '../notify/outbox.ts'
import {
  allCertificateFacts,
  type CertificateFacts,
  type Gathered,
  type ServedFacts,
} from '../watch/facts.ts'
import { lookKey } from '../watch/look-order.ts'
import type { ProblemNotice } from '../watch/notice.ts'
import { noticeText, plain } from '../watch/notice-text.ts'
import { mergeServed, problemsOf, watchSettings } from '../watch/problems.ts'
import { renewalOutlook } from '../watch/renewal-outlook.ts'
import { crossingsOf, lifetimeOf } from '../watch/threshold.ts'
import { discoveredFacts } from '../watch/watch.ts'
import { instantText, listText, relativeText } from '../watch/words.ts'
import {
  byUrgency,
  type CertificateStatus,
  type ChannelStatus,
  type DomainStatusRow,
  type Health,
  type LeafStatus,
  type NextAct,
  type ProblemStatus,
  type StatusModel,
  type StatusSummary,
} from './model.ts'
import { rotationsOf } from './rotations.ts'

export interface StatusInput extends Gathered {
  outbox: Outbox
}

/** Everything that the table, the page, the JSON and the metrics show. Pure. */
export function buildStatus(input: StatusInput): StatusModel {
  const { now, lastTick } = input
  const managed = allCertificateFacts(input).map((facts) => certificateStatus(facts, input, true))
  const discovered = input.discovered.map((certificate) => {
    const status = certificateStatus(discoveredFacts(certificate, now), input, false)
    const leaf = leafStatus(now, {
      commonName: certificate.commonName,
      names: certificate.names,
      fingerprint: certificate.id,
      chain: [],
      ...(certificate.notBefore === undefined ? {} : { notBefore: certificate.notBefore }),
      notAfter: certificate.notAfter,
    })
    return { ...status, where: certificate.where, leaf }
  })
  const certificates = [...managed, ...discovered].sort(byUrgency)
  const checks = seenChecks(input, input.outbox)
  return cleaned({
    schema: 1,
    ...(input.config.name === undefined ? {} : { name: input.config.name }),
    at: now.toISOString(),
    ...(lastTick === undefined
      ? {}
      : {
          lastTick: {
            at: lastTick.at,
            ...(lastTick.everyMs === undefined ? {} : { everyMs: lastTick.everyMs }),
          },
        }),
    summary: summaryOf(certificates),
    certificates,
    quotas: [...input.quotas],
    unread: (input.unread ?? []).map(({ where, failure }) => ({
      where,
      message: failure.message,
      next: failure.next,
      severity: isDefinite(failure) ? 'critical' : 'warning',
    })),
    ...(input.misplaced?.length
      ? { misplaced: input.misplaced.map(({ message, next }) => ({ message, next })) }
      : {}),
    channels: channelsOf(input.outbox),
    health: { result: worstOf(checks), checks },
  })
}

/** Every text of the model, whoever it came from, loses controls and bidirectional overrides in one place. */
function cleaned<T>(value: T): T {
  if (typeof value === 'string') return plain(value, 1_000) as T
  if (Array.isArray(value)) return value.map((item) => cleaned(item)) as T
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, cleaned(item)])) as T
}

function certificateStatus(facts: CertificateFacts, input: StatusInput, managed: boolean): CertificateStatus {
  const settings = watchSettings(
    input.now,
    input.config.alerts,
    input.config.certificates[facts.name]?.waitForPair,
  )
  const standing = mergeServed(problemsOf(facts, settings)).map((notice) => standingProblem(notice, facts))
  const expiry = expiryProblems(facts, settings.thresholds, input.now)
  // What is broken comes before what will be, unless the end itself is the breakage.
  const problems = [...expiry, ...standing, ...notSeen(facts, input)].sort((a, b) => weight(a) - weight(b))
  const leaf = leafOf(facts, input.now)
  return {
    name: facts.name,
    managed,
    ...(facts.owner === undefined ? {} : { owner: facts.owner }),
    ...(facts.snoozeUntil === undefined ? {} : { snoozeUntil: facts.snoozeUntil }),
    health: healthOf(facts, problems, leaf, input.now),
    problems,
    ...(leaf === undefined ? {} : { leaf }),
    domains: facts.domains.map(domainRow),
    domainsAsExpected: facts.domains.filter(({ verdict }) => verdict.verdict === 'expected').length,
    next: nextAct(facts, leaf, input.now),
    rotations: rotationsOf(facts.state),
  }
}

/** Not one handshake came about: then nobody has seen what is served, and an empty list of faults says nothing. */
function notSeen({ name, domains }: CertificateFacts, { notLookedAt }: StatusInput): ProblemStatus[] {
  const late = new Set(notLookedAt?.domains)
  const wanted = domains.filter(({ verdict }) => verdict.verdict !== 'not looked at')
  const [first] = wanted
  if (first?.verdict.verdict !== 'not reached') return []
  const unseen = wanted.every(
    (domain) => domain.verdict.verdict === 'not reached' && !domain.trouble && !late.has(lookKey(domain)),
  )
  if (!unseen) return []
  const title = `${name}: ${countText(wanted.length, 'domain')} cannot be seen from here`
  const lines = [
    { label: 'What', value: plain(`${first.host}: ${first.verdict.detail}`) },
    {
      label: 'You can',
      value:
        'Correct verify.connect and name resolution for where this runs; where there is no way to the domains, verify: false says so.',
    },
  ]
  return [{ kind: 'not seen', severity: 'warning', title, lines }]
}

function weight({ kind, severity }: ProblemStatus): number {
  if (kind === 'expired') return 0
  return (severity === 'critical' ? 1 : 3) + (kind === 'near expiry' ? 1 : 0)
}

function expiryProblems(facts: CertificateFacts, thresholds: readonly string[], now: Date): ProblemStatus[] {
  return facts.leaves.flatMap((leaf) => {
    const passed = crossingsOf(leaf, thresholds)
      .filter(({ at }) => at.getTime() <= now.getTime())
      .at(-1)
    if (passed === undefined) return []
    const over = passed.threshold === 'expired'
    const left = leaf.notAfter.getTime() - now.getTime()
    const severity = over || left <= Math.min(3 * day, lifetimeOf(leaf) / 10) ? 'critical' : 'warning'
    const when = `${instantText(leaf.notAfter)}, ${relativeText(leaf.notAfter, now)}`
    const title = over ? `${leaf.commonName} ended ${when}` : `${leaf.commonName} ends ${when}`
    const lines = [
      { label: 'Where', value: leaf.hosts.length === 0 ? 'as deployed' : listText(leaf.hosts, 8) },
      ...(over ? [] : [{ label: 'Passed', value: `threshold ${passed.threshold}` }]),
    ]
    return [{ kind: over ? 'expired' : 'near expiry', severity, title: plain(title), lines }]
  })
}

function standingProblem(notice: ProblemNotice, facts: CertificateFacts): ProblemStatus {
  const text = noticeText(notice)
  const severity = notice.severity === 'critical' ? 'critical' : 'warning'
  if (notice.kind !== 'not served') return { kind: notice.kind, severity, ...text }
  const found = facts.domains.flatMap(({ trouble }) => trouble?.foundAt ?? []).sort()[0]
  const age =
    found === undefined
      ? []
      : [
          {
            label: 'Found',
            value: `by the tick of ${instantText(found)}, ${relativeText(found, new Date(notice.at))}`,
          },
        ]
  return { kind: notice.kind, severity, title: text.title, lines: [...text.lines, ...age] }
}

function healthOf(
  facts: CertificateFacts,
  problems: ProblemStatus[],
  leaf: LeafStatus | undefined,
  now: Date,
): Health {
  if (problems.some(({ severity }) => severity === 'critical')) return 'critical'
  const scheduled = facts.leaves.every(({ notAfter }) => renewalOutlook(facts, notAfter).inTime)
  // A threshold passed a little before or while it is being renewed needs nobody yet.
  const serious = problems.filter(({ kind }) => kind !== 'near expiry' || !(scheduled || facts.rolling))
  if (serious.length > 0) return 'warning'
  const due = facts.renewal?.renewAt !== undefined && Date.parse(facts.renewal.renewAt) <= now.getTime()
  const waits = facts.state?.waitingSince !== undefined || facts.state?.validFrom !== undefined
  if (facts.rolling || due || problems.length > 0 || waits) return 'due'
  return leaf === undefined ? 'unknown' : 'ok'
}

function leafOf(facts: CertificateFacts, now: Date): LeafStatus | undefined {
  const deployed = facts.state?.deployed
  const earliest = [...facts.leaves].sort((a, b) => a.notAfter.getTime() - b.notAfter.getTime())[0]
  if (earliest === undefined && deployed === undefined) return undefined
  const served = facts.domains.find((domain) => domain.served?.fingerprint === earliest?.fingerprint)?.served
  if (deployed !== undefined && (earliest === undefined || earliest.fingerprint === deployed.fingerprint)) {
    return leafStatus(now, {
      ...deployed,
      ...(served === undefined ? {} : { issuer: served.issuer }),
      notBefore: new Date(deployed.notBefore),
      notAfter: new Date(deployed.notAfter),
    })
  }
  if (earliest === undefined) return undefined
  return leafStatus(now, {
    commonName: earliest.commonName,
    names: served?.names ?? [],
    ...(served === undefined ? {} : { issuer: served.issuer }),
    fingerprint: earliest.fingerprint,
    chain: served?.chain ?? [],
    ...(earliest.notBefore === undefined ? {} : { notBefore: earliest.notBefore }),
    notAfter: earliest.notAfter,
  })
}

interface LeafInput {
  commonName: string
  names: readonly string[]
  issuer?: string
  serial?: string
  fingerprint: string
  chain: readonly string[]
  algorithm?: string
  notBefore?: Date
  notAfter: Date
}

function leafStatus(now: Date, leaf: LeafInput): LeafStatus {
  const left = leaf.notAfter.getTime() - now.getTime()
  return {
    commonName: plain(leaf.commonName),
    names: leaf.names.map((name) => plain(name)),
    ...(leaf.issuer === undefined ? {} : { issuer: plain(leaf.issuer) }),
    ...(leaf.serial === undefined ? {} : { serial: leaf.serial }),
    fingerprint: leaf.fingerprint,
    chain: [...leaf.chain],
    ...(leaf.algorithm === undefined ? {} : { algorithm: leaf.algorithm }),
    ...(leaf.notBefore === undefined ? {} : { notBefore: leaf.notBefore.toISOString() }),
    notAfter: leaf.notAfter.toISOString(),
    secondsLeft: Math.floor(left / 1_000),
    shareLeft: Math.round(Math.min(1, Math.max(0, left / lifetimeOf(leaf))) * 1_000) / 1_000,
  }
}

function domainRow({ host, gateway, verdict, served, trouble }: ServedFacts): DomainStatusRow {
  return {
    host,
    gateway,
    verdict: verdict.verdict,
    ...('detail' in verdict ? { detail: plain(verdict.detail) } : {}),
    ...(trouble?.critical === true ? { critical: { problem: trouble.problem, since: trouble.since } } : {}),
    ...(trouble?.certain === false ? { unsettled: true as const } : {}),
    ...(served === undefined
      ? {}
      : {
          served: {
            commonName: plain(served.commonName),
            issuer: plain(served.issuer),
            fingerprint: served.fingerprint,
            notAfter: served.notAfter.toISOString(),
            chain: served.chain.length,
          },
        }),
  }
}

function nextAct(facts: CertificateFacts, leaf: LeafStatus | undefined, now: Date): NextAct {
  const { renewal, state } = facts
  const act = (name: string, at?: string): NextAct => ({ act: name, ...(at === undefined ? {} : { at }) })
  const bare = facts.domains.some(({ trouble }) => trouble?.problem === 'nobody')
  // Every run begins with that, whatever the rotation itself waits for.
  if (facts.rolling && bare) return act('close the gap')
  if (facts.rolling) return act('finish the rotation', state?.retry?.notBefore)
  if (state?.waitingSince !== undefined) return act('wait for the other half')
  if (state?.validFrom !== undefined) return act('rotate, valid from', state.validFrom)
  if (renewal?.failing !== undefined) return act('order again', renewal.failing.nextAt)
  if (state?.retry !== undefined) return act('try again', state.retry.notBefore)
  if (renewal?.waiting !== undefined) return act('rotate the renewed certificate')
  // A date behind the end of what is served is counted from another certificate: the end is what comes next.
  const inTime = leaf === undefined || renewalOutlook(facts, new Date(leaf.notAfter)).inTime
  if (renewal?.renewAt !== undefined && inTime) return act('renew', renewal.renewAt)
  if (leaf === undefined) return act('nothing known')
  return act(Date.parse(leaf.notAfter) <= now.getTime() ? 'expired' : 'expires', leaf.notAfter)
}

function summaryOf(certificates: readonly CertificateStatus[]): StatusSummary {
  const count = (health: Health) => certificates.filter((certificate) => certificate.health === health).length
  const domains = certificates.flatMap((certificate) => certificate.domains)
  return {
    certificates: certificates.length,
    critical: count('critical'),
    warning: count('warning'),
    due: count('due'),
    ok: count('ok'),
    unknown: count('unknown'),
    domains: domains.length,
    domainsAsExpected: domains.filter(({ verdict }) => verdict === 'expected').length,
    domainsNotSeen: domains.filter(({ verdict }) => verdict === 'not reached' || verdict === 'not looked at')
      .length,
  }
}

function channelsOf(outbox: Outbox): ChannelStatus[] {
  return Object.entries(outbox.channels).map(([name, record]) => {
    const failure = lastFailure(outbox, name)
    return {
      name,
      pending: outbox.pending.filter(({ channel }) => channel === name).length,
      dropped: record.dropped,
      ...(record.lastSuccess === undefined ? {} : { lastSuccess: record.lastSuccess }),
      ...(record.lastFailure === undefined || failure === undefined
        ? {}
        : {
            lastFailure: {
              at: record.lastFailure.at,
              code: failure.code,
              message: failure.message,
              next: failure.next,
            },
          }),
    }
  })
}
