import type { Bundle, CheckResult, Half, UploadedObject } from '../certificate/bundle.ts'
import { hostMatches } from '../certificate/host-name.ts'
import type { Served, Verdict } from '../certificate/verdict.ts'
import type { Attempt } from './intake/attempt.ts'
import { withClientCa } from './intake/client-ca.ts'
import { readOptions } from './intake/incoming.ts'
import { isHalfReplaced, namesOf, otherHalfMayFollow, readUpload, whatMayFollow } from './intake/waiting.ts'
import { configuredHosts, type Job, type Parties } from './parties.ts'
import type { GatewayView } from './plan/look.ts'
import { judgeOf } from './record/judged.ts'
import { type Wait, waitFor } from './record/retry.ts'

/** What is to become of an upload, as far as that can be said without asking a gateway. */
export type Decision =
  | { kind: 'rotate'; bundle: Bundle; halves: Half[] }
  | { kind: 'refuse'; checks: CheckResult[]; bundle?: Bundle; halves?: Half[] }
  /** Half of it: the rest may still arrive. */
  | { kind: 'wait'; missing: string; found: string[]; ignored?: string[]; until?: Date; because?: string }
  /** Halves of two bundles, and neither got its other half in time. */
  | { kind: 'torn'; checks: CheckResult[]; bundle?: Bundle; halves?: Half[] }
  /** Good, but not valid yet. */
  | { kind: 'not yet'; bundle: Bundle }
  /** Failed a while ago, and its growing wait is not over. */
  | { kind: 'too early'; bundle: Bundle; wait: Wait }

/** All that deciding takes: neither the lease nor a journal that can be written. */
export type Question = Pick<Attempt, 'job' | 'parties' | 'upload' | 'clientCa'> & {
  journal: Pick<Attempt['journal'], 'state'>
}

export async function decide(attempt: Question): Promise<Decision> {
  const { job, parties, journal, upload } = attempt
  const reading = await readUpload(upload, job, parties)
  if (reading.kind === 'waiting') {
    const { missing, found, ignored } = reading
    return { kind: 'wait', missing, found, ignored }
  }
  if (reading.kind === 'unreadable') {
    const { problems } = reading
    const rest = otherHalfMayFollow(attempt, problems)
    if (rest) return { kind: 'wait', ...rest, found: namesOf(upload) }
    return { kind: isHalfReplaced(problems) ? 'torn' : 'refuse', checks: problems }
  }
  const { halves } = reading
  const bundle = withClientCa(reading.bundle, attempt.clientCa)
  const known = refusedBefore(attempt, bundle)
  if (known) return { kind: 'refuse', checks: [known], bundle, halves }
  const verdict = await judgeBundle(job, parties, bundle, configuredHosts(job.config))
  const rest = whatMayFollow(attempt, verdict)
  if (rest) return { kind: 'wait', ...rest, found: [...namesOf(upload), ...upload.unfinished] }
  if (isNotYetValid(verdict)) return { kind: 'not yet', bundle }
  if (verdict.decision === 'refuse' && !lacksNamesOnly(verdict))
    return {
      kind: isHalfReplaced(verdict.checks) ? 'torn' : 'refuse',
      checks: verdict.checks,
      bundle,
      halves,
    }
  const wait = waitFor(job, parties, journal, bundle)
  return wait ? { kind: 'too early', bundle, wait } : { kind: 'rotate', bundle, halves }
}

/** Nothing but its first day stands against it. */
function isNotYetValid({ checks }: Verdict): boolean {
  const refusals = checks.filter((check) => check.result === 'refused')
  return refusals.length > 0 && refusals.every((check) => check.facts?.reason === 'not-yet-valid')
}

/** The gateways have the last word on names: one that they do not know is a slip in the config, not in the bundle. */
function lacksNamesOnly({ checks }: Verdict): boolean {
  const refusals = checks.filter((check) => check.result === 'refused')
  return refusals.every((check) => check.facts?.reason === 'name-not-covered')
}

/**
 * For a bundle that covers every domain the gateways know: fails with `gateway.unknown-domain` for a name that
 * neither the bundle nor its gateway has, since only the config has it.
 */
export function requireKnownNames({ leaf }: Bundle, views: GatewayView[]): void {
  const covers = (host: string) => leaf.names.some((name) => hostMatches(host, name))
  const doubtful = views
    .flatMap(({ missing }) => missing)
    .find(({ host }) => host !== undefined && !covers(host))
  if (doubtful) throw doubtful.failure
}

/** The whole verdict: for every domain the gateways know, and against what they serve now. */
export function judgeInPlace(
  job: Job,
  parties: Pick<Parties, 'clock' | 'reader'>,
  bundle: Bundle,
  views: GatewayView[],
): Promise<Verdict> {
  const domains = views.flatMap((view) => view.domains)
  const hosts = [...new Set(domains.map((domain) => domain.host))]
  // What this bundle put there in an earlier run is no predecessor of it. What is not for this name is none either:
  // whoever answers in the domain's place would else have good renewals refused.
  const served = domains.flatMap(({ host, servedBefore }) =>
    servedBefore &&
    servedBefore.fingerprint !== bundle.leaf.fingerprint &&
    servedBefore.names.some((name) => hostMatches(host, name))
      ? [servedBefore]
      : [],
  )
  return judgeBundle(job, parties, bundle, hosts, served)
}

/**
 * Whether these objects would be taken now, as far as that can be said without asking a gateway: for a bundle that
 * was refused and may have become acceptable by time, config or trusted roots.
 */
export async function wouldAccept(
  job: Job,
  parties: Pick<Parties, 'clock' | 'reader'>,
  objects: readonly UploadedObject[],
): Promise<boolean> {
  const reading = await parties.reader.read(objects, readOptions(job, parties))
  if (reading.kind !== 'complete') return false
  const verdict = await judgeBundle(job, parties, reading.bundle, configuredHosts(job.config))
  return verdict.decision === 'accept'
}

export function firstRefusal(checks: CheckResult[]): string {
  return checks.find((check) => check.result === 'refused')?.message ?? 'the bundle was refused'
}

function judgeBundle(
  job: Job,
  parties: Pick<Parties, 'clock' | 'reader'>,
  bundle: Bundle,
  domains: string[],
  served: Served[] = [],
): Promise<Verdict> {
  const { trust, config } = job
  return parties.reader.judge(bundle, {
    at: parties.clock.now(),
    domains,
    trust,
    served,
    allowDowngrade: config.allowDowngrade,
  })
}

/** What the service said about the content holds until the bundle or the config changes, or a person asks. */
function refusedBefore({ job, journal }: Question, bundle: Bundle): CheckResult | undefined {
  const { refused } = journal.state
  if (job.asked || refused?.digest !== bundle.digest || refused.configDigest !== job.configDigest)
    return undefined
  if (!refused.failures.some((failure) => judgeOf(failure) === 'content')) return undefined
  const why = refused.failures[0]?.message
  return {
    code: 'refused-before',
    result: 'refused',
    message: `this bundle was refused at ${refused.at} and neither it nor the config has changed${why ? `: ${why}` : ''}`,
  }
}
