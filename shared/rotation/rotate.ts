import { asFailure, type Failure } from '../base/failure.ts'
import type { Bundle, CheckResult } from '../certificate/bundle.ts'
import { judge, type Verdict } from '../certificate/verdict.ts'
import { withClientCa } from './client-ca.ts'
import { conclude, finishMove, rememberOutcome } from './conclude.ts'
import { rememberCreated } from './create.ts'
import { closeGaps } from './gap.ts'
import { collectUpload, isEmpty, readOptions, type Upload } from './incoming.ts'
import { type Journal, openJournal } from './journal.ts'
import { type GatewayView, lookAtGateways, probeBefore } from './look.ts'
import { makePlan } from './make-plan.ts'
import { factsOf, materialOf } from './material.ts'
import {
  domainOutcomes,
  failuresOf,
  makeOutcome,
  type OutcomeInit,
  runSentence,
  runStatus,
} from './outcome.ts'
import type { HeldLease, Job, Parties } from './parties.ts'
import { nameAt, type Plan } from './plan.ts'
import { requireRoom } from './retire.ts'
import { forgetWait, postpone, tooEarly } from './retry.ts'
import { runPlan } from './run.ts'
import { CallTimes, type Run } from './run-context.ts'
import type { CurrentRotation, Outcome, RotationState } from './state.ts'
import { requireUpdatable } from './update.ts'
import { chainMayFollow, forgetWaiting, namesOf, readUpload, restMayFollow, waitForRest } from './waiting.ts'

/**
 * One certificate, from whatever lies in `incoming/<name>/` to every domain serving it:
 * lease → close gaps → bundle → verdict → look → plan → run → outcome. Returns what came of each bundle it
 * found; nothing at all where nothing lay there. Throws only where not even the outcome could be written.
 */
export async function rotate(job: Job, parties: Parties): Promise<Outcome[]> {
  const answer = await parties.lease(job.name)
  if (!answer.held) return [heldElsewhere(job, parties, answer.heldBy, answer.until)]
  const { lease } = answer
  try {
    const journal = await openJournal(job.name, parties)
    await closeGaps(job, parties, lease, journal)
    await finishMove(parties, journal)
    const outcomes: Outcome[] = []
    let seen = ''
    // A bundle that arrived while another was being rotated is taken up at once, under the same lease.
    while (!parties.deadline.signal.aborted && !lease.signal.aborted) {
      const upload = await collectUpload(parties.store, job.name)
      const sources = JSON.stringify(upload.sources)
      if (isEmpty(upload)) await forgetWaiting(journal)
      // The same objects again: the store took their deletion and did not carry it out.
      if (isEmpty(upload) || sources === seen) break
      seen = sources
      const outcome = await rotateUpload(job, parties, lease, journal, upload, outcomes)
      if (outcome) outcomes.push(outcome)
      if (!outcome || outcome.status === 'waiting' || outcome.status === 'unfinished') break
      if (outcome.status === 'failed' && journal.state.retry) break
    }
    return outcomes
  } finally {
    await lease.release()
  }
}

/** One bundle. Undefined where its growing wait is not over; what it replaced is told to `outcomes`. */
async function rotateUpload(
  job: Job,
  parties: Parties,
  lease: HeldLease,
  journal: Journal,
  upload: Upload,
  outcomes: Outcome[],
): Promise<Outcome | undefined> {
  const begunAt = parties.clock.now()
  const outcome = (init: Omit<OutcomeInit, 'certificate' | 'begunAt' | 'endedAt'>) =>
    makeOutcome({ certificate: job.name, begunAt, endedAt: parties.clock.now(), ...init })

  const reading = readUpload(upload, readOptions(job, parties))
  if (reading.kind === 'waiting') return await waitForRest(job, parties, journal, upload, reading, outcome)
  if (reading.kind === 'unreadable') {
    const refusal = outcome({
      status: 'refused',
      sentence: firstRefusal(reading.problems),
      checks: reading.problems,
    })
    await conclude(job, parties, journal, { outcome: refusal, upload, to: 'rejected' })
    return refusal
  }

  let { bundle } = reading
  const about = { bundle: factsOf(bundle), repairs: bundle.repairs }
  const tellBundle = `${bundle.leaf.commonName || bundle.leaf.names[0]}, ${bundle.leaf.algorithm}, valid until ${bundle.leaf.notAfter.toISOString().slice(0, 10)}`
  parties.progress({ kind: 'bundle', certificate: job.name, sentence: tellBundle })
  const refuse = async (verdict: Verdict) => {
    const refusal = outcome({
      ...about,
      status: 'refused',
      sentence: firstRefusal(verdict.checks),
      checks: verdict.checks,
    })
    await conclude(job, parties, journal, { outcome: refusal, upload, to: 'rejected', bundle })
    return refusal
  }

  const known = refusedBefore(job, journal, bundle)
  if (known) return await refuse({ decision: 'refuse', checks: [known] })
  const offline = judgeBundle(job, parties, bundle, configuredHosts(job))
  if (chainMayFollow(job, offline, upload, parties))
    return await waitForRest(
      job,
      parties,
      journal,
      upload,
      { missing: 'intermediate certificates', found: namesOf(upload) },
      outcome,
    )
  if (restMayFollow(offline, upload, parties, journal))
    return await waitForRest(
      job,
      parties,
      journal,
      upload,
      { missing: 'other half of the newer bundle', found: namesOf(upload) },
      outcome,
    )
  await forgetWaiting(journal)
  if (offline.decision === 'refuse') return await refuse(offline)
  if (tooEarly(job, parties, journal, bundle)) return undefined

  try {
    const views = await lookAtGateways(job, parties)
    await probeBefore(views, parties)
    const verdict = judgeBundle(job, parties, bundle, hostsOf(views), servedBy(views, bundle))
    if (verdict.decision === 'refuse') return await refuse(verdict)
    bundle = await withClientCa(job, parties, journal.state.deployed, bundle, views)
    const { plan, existing, made } = await makePlan(job, parties, journal, factsOf(bundle), views)
    await requireUpdatable(job, parties, plan, views, bundle, journal.state)
    await requireRoom(job, parties, lease, journal, plan, views)

    const before = journal.state.current
    const first = before?.bundle.digest !== bundle.digest || before.status === 'running'
    outcomes.push(...supersede(job, parties, journal, bundle))
    const current = beginRotation(parties, journal, bundle, plan, existing)
    const run: Run = {
      job,
      parties,
      lease,
      journal,
      current,
      bundle,
      material: materialOf(bundle),
      views: new Map(views.map((view) => [view.key, view])),
      times: new CallTimes(),
      troubles: new Map(),
      boundHere: new Set(),
    }
    rememberOurs(run, existing)
    for (const one of made) rememberCreated(run, one.where, one.id, one.name, one.digest)
    if (plan.steps.length > 0) await journal.save()
    const end = await runPlan(run, plan)
    const status = runStatus(run, end, first, plan.steps.length > 0)
    const result = outcome({
      ...about,
      status,
      sentence: runSentence(run, status),
      checks: verdict.checks,
      domains: domainOutcomes(run, begunAt),
      pushed: pushOutcomes(run),
      failures: failuresOf(run),
    })
    await settle(run, result, upload)
    return result
  } catch (thrown) {
    return await interrupted(job, parties, journal, asFailure(thrown), upload, bundle, outcome)
  }
}

/** Everything that ends a run: moved to `deployed/` or `rejected/`, or left in `incoming/` for the next tick. */
async function settle(run: Run, result: Outcome, upload: Upload): Promise<void> {
  const { job, parties, journal, current, bundle } = run
  if (result.status === 'unfinished') {
    const later = [...run.troubles.values()].find((failure) => failure.kind !== 'never')
    if (later) postpone(job, parties, journal, bundle.digest, later)
    else forgetWait(journal)
    await journal.save()
    return
  }
  forgetWait(journal)
  const inService =
    result.status !== 'rolled back' && Object.values(current.domains).every((one) => !one.givenUp)
  const refused = result.status === 'rolled back' || result.status === 'failed'
  for (const one of journal.state.created)
    if (one.digest === current.bundle.digest) {
      const used = current.certificates[one.where] ?? one.id
      if (result.status === 'rolled back' || used !== one.id) one.neverServed = true
      else delete one.neverServed
    }
  const deployed = { ...current.bundle, at: result.at }
  await conclude(job, parties, journal, {
    outcome: result,
    upload,
    to: result.status === 'rolled back' ? 'rejected' : 'deployed',
    bundle,
    status: inService ? 'done' : 'failed',
    ...(refused ? { refused: refusedNow(job, bundle, result) } : {}),
    ...(result.status === 'rolled back' ? {} : { deployed }),
  })
}

/**
 * Something outside stood in the way before or during the run: nothing is lost, the bundle stays where it is. A
 * gateway that refuses the certificate itself has given a verdict on the bundle, which is then rejected.
 */
async function interrupted(
  job: Job,
  parties: Parties,
  journal: Journal,
  failure: Failure,
  upload: Upload,
  bundle: Bundle,
  outcome: (init: Omit<OutcomeInit, 'certificate' | 'begunAt' | 'endedAt'>) => Outcome,
): Promise<Outcome> {
  parties.log.error(failure.message, { failure })
  const about = {
    bundle: factsOf(bundle),
    repairs: bundle.repairs,
    sentence: failure.message,
    failures: [failure],
  }
  if (isVerdictOnBundle(failure)) {
    const refusal = outcome({ ...about, status: 'refused' })
    const refused = refusedNow(job, bundle, refusal)
    const conclusion = { outcome: refusal, upload, bundle, refused, status: 'failed' as const }
    await conclude(job, parties, journal, { ...conclusion, to: 'rejected' })
    return refusal
  }
  const result = outcome({
    ...about,
    status: failure.code === 'rotation.out-of-time' ? 'unfinished' : 'failed',
  })
  postpone(job, parties, journal, bundle.digest, failure)
  if (journal.state.outcomes[0]?.sentence !== result.sentence) rememberOutcome(journal, result)
  await journal.save()
  return result
}

/** The gateway's own content checks: key, chain, dates, names (reference 1.7). Anything else is about the world. */
const CONTENT_REFUSALS = new Set([
  '2101',
  '2102',
  '2103',
  '2104',
  '2105',
  '2106',
  '2109',
  '3148',
  '3708',
  '3709',
])

function isVerdictOnBundle(failure: Failure): boolean {
  const [, number] = /^APIG\.(\d+)$/.exec(String(failure.facts.errorCode)) ?? []
  return failure.kind === 'never' && number !== undefined && CONTENT_REFUSALS.has(number)
}

function refusedNow(job: Job, bundle: Bundle, outcome: Outcome): NonNullable<RotationState['refused']> {
  const { at, failures } = outcome
  return { digest: bundle.digest, configDigest: job.configDigest, at, failures }
}

/** Found by their derived names: made by an earlier run that died, or whose state file is lost. */
function rememberOurs(run: Run, existing: Record<string, string>): void {
  const facts = { certificateName: run.job.name, bundle: run.current.bundle }
  for (const view of run.views.values()) {
    const id = existing[view.key]
    if (id) rememberCreated(run, view.key, id, run.current.remoteName)
    for (const { host, binding } of view.domains)
      for (const one of binding.certificates)
        if (one.name === nameAt(view, host, facts)) rememberCreated(run, view.key, one.id, one.name)
  }
}

/** From here on the state file knows the way back of every domain. */
function beginRotation(
  parties: Parties,
  journal: Journal,
  bundle: Bundle,
  plan: Plan,
  existing: Record<string, string>,
): CurrentRotation {
  const { state } = journal
  const before = state.current
  if (before?.bundle.digest === bundle.digest) {
    before.domains = plan.domains
    before.certificates = { ...before.certificates, ...existing }
    if (plan.steps.length > 0) before.status = 'running'
    return before
  }
  state.current = {
    bundle: factsOf(bundle),
    remoteName: plan.remoteName,
    startedAt: parties.clock.now().toISOString(),
    status: 'running',
    domains: plan.domains,
    certificates: { ...existing },
    notes: {},
  }
  return state.current
}

/** A newer bundle wins over one that was on its way, or that lies beside it; the older one is told of, once. */
function supersede(job: Job, parties: Parties, journal: Journal, bundle: Bundle): Outcome[] {
  const before = journal.state.current
  if (before?.bundle.digest === bundle.digest) return []
  const newer = `superseded by a newer bundle (${bundle.leaf.fingerprint.slice(0, 12)}…)`
  const beside = bundle.repairs.some((repair) => repair.code === 'took-newest')
  if (before?.status !== 'running' && !beside) return []
  const at = parties.clock.now()
  const superseded = makeOutcome({
    certificate: job.name,
    status: 'superseded',
    begunAt: at,
    endedAt: at,
    sentence:
      before?.status === 'running'
        ? `${newer} before it was in service everywhere`
        : `an older bundle in the same folder is ${newer}`,
    ...(before?.status === 'running' ? { bundle: before.bundle } : {}),
  })
  rememberOutcome(journal, superseded)
  return [superseded]
}

function judgeBundle(
  job: Job,
  parties: Parties,
  bundle: Bundle,
  domains: string[],
  served?: Parameters<typeof judge>[1]['served'],
): Verdict {
  return judge(bundle, {
    at: parties.clock.now(),
    domains,
    trust: job.trust,
    allowDowngrade: job.config.allowDowngrade,
    ...(served ? { served } : {}),
  })
}

function configuredHosts(job: Job): string[] {
  return job.config.gateways.flatMap((gateway) =>
    gateway.domains.flatMap((domain) =>
      typeof domain === 'string' ? [domain] : domain.host ? [domain.host] : [],
    ),
  )
}

function hostsOf(views: GatewayView[]): string[] {
  return [...new Set(views.flatMap((view) => view.domains.map((domain) => domain.host)))]
}

/** What the domains serve now, without what this bundle put there in an earlier run. */
function servedBy(views: GatewayView[], bundle: Bundle) {
  return views
    .flatMap((view) => view.domains)
    .flatMap(({ servedBefore }) =>
      servedBefore && servedBefore.fingerprint !== bundle.leaf.fingerprint ? [servedBefore] : [],
    )
}

function firstRefusal(checks: CheckResult[]): string {
  return checks.find((check) => check.result === 'refused')?.message ?? 'the bundle was refused'
}

/** The same refused bundle is tried again only when it or the config changed, or a person asks. */
function refusedBefore(job: Job, journal: Journal, bundle: Bundle): CheckResult | undefined {
  const { refused } = journal.state
  if (job.asked || refused?.digest !== bundle.digest || refused.configDigest !== job.configDigest)
    return undefined
  const why = refused.failures[0]?.message
  return {
    code: 'refused-before',
    result: 'refused',
    message: `this bundle was refused at ${refused.at} and neither it nor the config has changed${why ? `: ${why}` : ''}`,
  }
}

function heldElsewhere(job: Job, parties: Parties, heldBy: string, until: Date): Outcome {
  const at = parties.clock.now()
  const sentence = `another run is at work on it (${heldBy}, until ${until.toISOString()} at the latest)`
  return makeOutcome({ certificate: job.name, status: 'unfinished', begunAt: at, endedAt: at, sentence })
}

function pushOutcomes(run: Run): Outcome['pushed'] {
  return run.job.config.push.map((target) => {
    const failure = run.troubles.get(`${target.service}:${target.project}`) ?? run.troubles.get('scm')
    if (failure) return { ...target, status: 'failed' as const, failure: failure.toJSON() }
    const noted = Object.values(run.current.notes).some(
      (note) => note.step === 'push' && note.target === `${target.service}:${target.project}`,
    )
    return { ...target, status: noted ? ('pushed' as const) : ('failed' as const) }
  })
}
