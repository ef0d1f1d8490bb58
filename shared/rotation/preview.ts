import type { CheckResult, Repair } from '../certificate/bundle.ts'
import { findingsOf } from './attach-habit.ts'
import { clientCaFacts, requireClientCa, withClientCa } from './client-ca.ts'
import { isNotYetValid, judgeInPlace } from './decide.ts'
import { asDelivered } from './delivered.ts'
import { collectUpload, isEmpty } from './incoming.ts'
import { emptyState, readState } from './journal.ts'
import { lookAtGateways, probeBefore } from './look.ts'
import { makePlan } from './make-plan.ts'
import { factsOf } from './material.ts'
import type { Job, Parties } from './parties.ts'
import { type Step, sentenceFor } from './plan.ts'
import type { BundleFacts, GatewayFinding } from './state.ts'
import { readUpload } from './waiting.ts'

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
  /** What the gateways were seen to do in earlier rotations. */
  gateways: GatewayFinding[]
}

/** Looks at everything a rotation looks at, without the lease and without changing anything. */
export async function preview(job: Job, parties: Parties): Promise<Preview> {
  const base = { certificate: job.name, checks: [], repairs: [], steps: [], gateways: [] }
  const found = await collectUpload(parties, job.name, parties.deadline.signal)
  const upload = await asDelivered(job, found)
  if (isEmpty(upload))
    return { ...base, decision: 'no bundle', sentence: `nothing lies in incoming/${job.name}/` }
  const reading = await readUpload(upload, job, parties)
  if (reading.kind === 'waiting')
    return {
      ...base,
      decision: 'wait',
      sentence: `the ${reading.missing} is still missing; there is ${reading.found.join(', ')}`,
    }
  if (reading.kind === 'unreadable')
    return {
      ...base,
      decision: 'refuse',
      sentence: reading.problems[0]?.message ?? 'unreadable',
      checks: reading.problems,
    }
  const state = (await readState(job.name, parties)) ?? emptyState(job.name)
  const bundle = withClientCa(reading.bundle, await clientCaFacts(job, parties, state.deployed))
  const { repairs } = bundle
  const views = await lookAtGateways(job, parties)
  await probeBefore(views, parties)
  const verdict = await judgeInPlace(job, parties, bundle, views)
  const facts = factsOf(bundle)
  const refusal = verdict.checks.find((check) => check.result === 'refused')
  if (refusal && isNotYetValid(verdict))
    return {
      ...base,
      decision: 'wait',
      sentence: `the certificate is not valid before ${facts.notBefore}`,
      bundle: facts,
      checks: verdict.checks,
    }
  if (refusal)
    return {
      ...base,
      decision: 'refuse',
      sentence: refusal.message,
      bundle: facts,
      checks: verdict.checks,
      repairs,
    }
  requireClientCa(
    job,
    bundle,
    views.flatMap((view) => view.domains),
  )
  const { plan } = await makePlan(job, parties, { state }, facts, views)
  const steps = plan.steps.map((step) => ({ step: step.kind, key: step.key, sentence: sentenceFor(step) }))
  return {
    ...base,
    bundle: facts,
    checks: verdict.checks,
    repairs,
    steps,
    gateways: findingsOf(
      state,
      views.map(({ key }) => key),
      facts,
    ),
    decision: steps.length > 0 ? 'rotate' : 'nothing to do',
    sentence:
      steps.length > 0
        ? `${steps.length} steps for ${Object.keys(plan.domains).length} domains`
        : 'this bundle is in service everywhere',
  }
}
