import type { Bundle } from '../certificate/bundle.ts'
import { rememberCreated } from './act/create.ts'
import { CallTimes, type Run } from './act/run-context.ts'
import type { Attempt } from './intake/attempt.ts'
import { rememberOutcome } from './intake/conclude.ts'
import { factsOf, materialOf } from './intake/material.ts'
import { type GatewayView, isMissing } from './plan/look.ts'
import type { MadePlan } from './plan/make-plan.ts'
import { nameAt } from './plan/plan.ts'
import type { Difference } from './record/difference.ts'
import { makeOutcome } from './record/make-outcome.ts'
import type { CurrentRotation, Outcome } from './record/state.ts'

/** From here on the state file knows the way back of every domain. */
export async function beginRun(
  attempt: Attempt,
  bundle: Bundle,
  views: GatewayView[],
  made: MadePlan,
  difference: Difference | undefined,
): Promise<Run> {
  const { job, parties, lease, journal } = attempt
  const run: Run = {
    job,
    parties,
    lease,
    journal,
    current: beginRotation(attempt, bundle, made, views, difference),
    bundle,
    material: materialOf(bundle),
    views: new Map(views.map((view) => [view.key, view])),
    times: new CallTimes(),
    handshakes: { made: 0, refused: 0 },
    troubles: new Map(
      views.flatMap(({ key, missing }) => missing.map(({ asked, failure }) => [`${key}/${asked}`, failure])),
    ),
    boundHere: new Set(),
    updated: new Set(made.updated),
    habitsSeen: new Set(),
    attachedAgain: new Map(),
    attachRefused: new Map(),
  }
  rememberOurs(run, made.existing)
  for (const one of made.made) rememberCreated(run, one.where, one.id, one.name, one.digest)
  if (made.plan.steps.length > 0) await journal.save()
  return run
}

function beginRotation(
  { parties, journal }: Attempt,
  bundle: Bundle,
  { plan, existing }: MadePlan,
  views: GatewayView[],
  difference: Difference | undefined,
): CurrentRotation {
  const { state } = journal
  const before = state.current
  if (before?.bundle.digest === bundle.digest) {
    const absent = Object.entries(before.domains).filter(([, record]) =>
      views.some((view) => isMissing(view, record)),
    )
    before.domains = { ...Object.fromEntries(absent), ...plan.domains }
    before.certificates = { ...before.certificates, ...existing }
    // What is left of an unfinished one tells less than what it began with.
    if (difference && !(before.status === 'running' && before.difference)) before.difference = difference
    if (plan.steps.length > 0) before.status = 'running'
    return before
  }
  state.current = {
    bundle: factsOf(bundle),
    remoteName: plan.remoteName,
    startedAt: parties.clock.now().toISOString(),
    status: 'running',
    ...(difference ? { difference } : {}),
    domains: plan.domains,
    certificates: { ...existing },
    notes: {},
  }
  return state.current
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

/** A newer bundle wins over one that was on its way, or that lies beside it; the older one is told of, once. */
export function supersede({ job, parties, journal }: Attempt, bundle: Bundle): Outcome[] {
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
