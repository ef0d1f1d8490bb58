import type { FailureReport } from '../base/failure.ts'
import type { CheckResult, Repair } from '../certificate/bundle.ts'
import { requireUpdatable } from './act/update.ts'
import { decide, firstRefusal, judgeInPlace, requireKnownNames } from './decide.ts'
import { clientCaFacts, requireClientCa } from './intake/client-ca.ts'
import { asDelivered } from './intake/delivered.ts'
import { collectUpload, isEmpty } from './intake/incoming.ts'
import { factsOf } from './intake/material.ts'
import { oldHalfInTheWay, waitingSentence } from './intake/waiting.ts'
import { bundleGone } from './outcome.ts'
import type { Job, Parties } from './parties.ts'
import { findingsOf } from './plan/attach-habit.ts'
import { differenceFor } from './plan/difference-facts.ts'
import { lookAtGateways, probeBefore } from './plan/look.ts'
import { makePlan } from './plan/make-plan.ts'
import { type Step, sentenceFor } from './plan/plan.ts'
import type { Difference } from './record/difference.ts'
import { emptyState, readState } from './record/journal.ts'
import type { BundleFacts, GatewayFinding } from './record/state.ts'
import { notYet, stillWaiting } from './settle.ts'

export interface PlannedStep {
  step: Step['kind']
  /** Idempotency key. */
  key: string
  sentence: string
}

/** What a rotation would do now, and why; `cert-rotation plan`. */
export interface Preview {
  certificate: string
  decision: 'rotate' | 'nothing to do' | 'refuse' | 'wait' | 'no bundle'
  sentence: string
  bundle?: BundleFacts
  checks: CheckResult[]
  /** What was put right by itself, and which CA for client certificates is used where that is a question. */
  repairs: Repair[]
  steps: PlannedStep[]
  /** What would change by it; missing where no domain gets another certificate. */
  difference?: Difference
  /** What the gateways were seen to do in earlier rotations. */
  gateways: GatewayFinding[]
  /** What keeps the rotation from its end: domains that no gateway has, a bundle that was taken away. */
  failures: FailureReport[]
}

/** Looks at everything a rotation looks at, without the lease and without changing anything. */
export async function preview(job: Job, parties: Parties): Promise<Preview> {
  const base = { certificate: job.name, checks: [], repairs: [], steps: [], gateways: [], failures: [] }
  const found = await collectUpload(parties, job.name, parties.deadline.signal)
  const upload = await asDelivered(job, found)
  const state = (await readState(job.name, parties)) ?? emptyState(job.name)
  if (isEmpty(upload)) {
    const [gone] = bundleGone({ job, parties, begunAt: parties.clock.now(), journal: { state } })
    const failures = gone?.failures ?? []
    if (gone) return { ...base, decision: 'wait', sentence: gone.sentence, bundle: gone.bundle!, failures }
    return { ...base, decision: 'no bundle', sentence: `nothing lies in incoming/${job.name}/` }
  }
  const clientCa = await clientCaFacts(job, parties, state.deployed)
  const attempt = { job, parties, journal: { state }, upload, clientCa, begunAt: parties.clock.now() }
  const decision = await decide(attempt)
  if (decision.kind === 'wait') return { ...base, decision: 'wait', sentence: waitingSentence(decision) }
  const parting = decision.kind === 'torn' ? await oldHalfInTheWay(attempt) : undefined
  if (parting) {
    const moved = `${parting.names} belongs to the bundle that is in service and is moved beside it`
    return { ...base, decision: 'wait', sentence: `${waitingSentence(parting.rest)}; ${moved}` }
  }
  const { bundle } = decision
  const read = bundle ? { ...base, bundle: factsOf(bundle), repairs: bundle.repairs } : base
  const refusedFor = (checks: CheckResult[]): Preview => ({
    ...read,
    decision: 'refuse',
    sentence: firstRefusal(checks),
    checks,
  })
  if (decision.kind === 'refuse' || decision.kind === 'torn') return refusedFor(decision.checks)
  if (decision.kind === 'not yet' || decision.kind === 'too early') {
    const { sentence } =
      decision.kind === 'not yet'
        ? notYet(attempt, decision.bundle)
        : stillWaiting(attempt, decision.bundle, decision.wait)
    return { ...read, decision: 'wait', sentence }
  }
  const rotating = decision.bundle
  const facts = factsOf(rotating)
  const views = await lookAtGateways(job, parties)
  await probeBefore(views, parties)
  const verdict = await judgeInPlace(job, parties, rotating, views)
  if (verdict.decision === 'refuse') return refusedFor(verdict.checks)
  requireKnownNames(rotating, views)
  requireClientCa(
    job,
    rotating,
    views.flatMap((view) => view.domains),
  )
  const { plan } = await makePlan(job, parties, { state }, facts, views)
  await requireUpdatable(job, parties, plan, views, rotating, state)
  const difference = await differenceFor(rotating, views, plan, state)
  const steps = plan.steps.map((step) => ({ step: step.kind, key: step.key, sentence: sentenceFor(step) }))
  return {
    ...read,
    checks: verdict.checks,
    steps,
    ...(difference ? { difference } : {}),
    gateways: findingsOf(
      state,
      views.map(({ key }) => key),
      facts,
    ),
    failures: views.flatMap(({ missing }) => missing.map(({ failure }) => failure.toJSON())),
    decision: steps.length > 0 ? 'rotate' : 'nothing to do',
    sentence:
      steps.length > 0
        ? `${steps.length} steps for ${Object.keys(plan.domains).length} domains`
        : 'this bundle is in service everywhere',
  }
}
