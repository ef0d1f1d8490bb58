import { asFailure, type Failure } from '../../base/failure.ts'
import { OutOfTime } from '../out-of-time.ts'
import { inParallel } from '../parallel.ts'
import { type BindStep, isReplacing, type Plan, type Step } from '../plan/plan.ts'
import { isDone } from '../record/domain.ts'
import { judgeOf } from '../record/judged.ts'
import { bindDomain } from './bind.ts'
import { createOnce } from './create.ts'
import { lookAgain } from './look-again.ts'
import { importAndPush } from './push.ts'
import { rehearse } from './rehearse.ts'
import { restoreDomain } from './restore.ts'
import { LeaseLost, type Run, recordOf } from './run-context.ts'
import { updateCertificate } from './update.ts'
import { servesByNow, verifyDomain } from './verify.ts'

/** A gateway that fails for this many domains is left alone until the next run. */
const TROUBLES_PER_GATEWAY = 3
/** Handshakes are cheap and mostly waiting. */
const VERIFY_CONCURRENCY = 32

export type RunEnd = 'complete' | 'stopped at the canary' | 'out of time'

type ServingStep = BindStep | Extract<Step, { kind: 'update' }>

/** Carries a plan out: restore what was given up, rehearse the way back, create, canary, everybody else, import and push. */
export async function runPlan(run: Run, whole: Plan): Promise<RunEnd> {
  try {
    await restoreEveryone(run, whole)
    const plan = await rehearse(run, whole)
    await createEverywhere(run, plan)
    stage(run, 'bound', plan.steps.filter(isServing).flatMap(targetsOf).length)
    if (!(await canaryServes(run, plan))) return 'stopped at the canary'
    await serveEveryone(run, plan)
    if (somebodyIsServed(run) || run.job.config.gateways.length === 0) await importAndPush(run, plan)
    if (plan.steps.length > 0) await lookAgain(run)
    return 'complete'
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (failure instanceof OutOfTime || failure instanceof LeaseLost) {
      run.parties.log.info(failure.message, { failure })
      return 'out of time'
    }
    throw failure
  }
}

/** An undo that was cut short is brought to its end, and looked at: first all of the one, then of the other. */
async function restoreEveryone(run: Run, plan: Plan): Promise<void> {
  const steps = plan.steps.filter((step) => step.kind === 'restore')
  for (const { gateway, domain } of steps) {
    if (await servesByNow(run, gateway, domain)) continue
    if (!recordOf(run, domain).restoredAt) await restoreDomain(run, gateway, domain)
  }
  await inParallel(VERIFY_CONCURRENCY, steps, (step) => verifyDomain(run, step.gateway, step.domain))
}

/** At all gateways side by side; nothing is left under way when one of them fails. */
async function createEverywhere(run: Run, plan: Plan): Promise<void> {
  const creates = plan.steps.filter((step) => step.kind === 'create')
  const ends = await Promise.allSettled(creates.map((step) => createOnce(run, step)))
  await run.journal.save()
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

/**
 * One domain goes first, and the rest follow only when it serves the new certificate. A domain that is served
 * already (by an earlier invocation) is canary enough; one that cannot be verified from here does not hold the
 * others up.
 */
async function canaryServes(run: Run, plan: Plan): Promise<boolean> {
  if (somebodyIsServed(run)) return true
  if (somebodyIsGivenUp(run)) return false
  const bound = plan.steps.find((step) => step.kind === 'verify')
  const steps = plan.steps.filter(isServing)
  const canary = steps.find((step) => step.kind !== 'update') ?? steps[0]
  if (bound?.kind === 'verify') await verifyDomain(run, bound.gateway, bound.domain)
  else if (canary) await serve(run, canary)
  else return true
  const stays = [...run.troubles.values()].find(isWithoutWayBack)
  if (!stays) return !somebodyIsGivenUp(run) && !hasTroubleAt(run, canary)
  // Nobody else loses what could not come back either; whoever has nothing to lose does not wait for that.
  const bare = steps.find((step) => !mayLose(step))
  if (!bare) throw stays
  await serve(run, bare)
  return !somebodyIsGivenUp(run) && !hasTroubleAt(run, bare)
}

/** Whether this step takes off, or changes, what a domain has. */
function mayLose(step: ServingStep): boolean {
  return step.kind === 'update' || isReplacing(step)
}

function somebodyIsGivenUp(run: Run): boolean {
  return Object.values(run.current.domains).some((record) => record.givenUp)
}

/** It stays as it is, and nobody else follows: people have to know. */
function isWithoutWayBack({ code }: Failure): boolean {
  return code === 'rotation.no-proven-way-back' || code === 'rotation.way-back-refused'
}

function hasTroubleAt(run: Run, canary: ServingStep | undefined): boolean {
  if (!canary) return false
  const targets = canary.kind === 'update' ? canary.domains : [canary.domain]
  return targets.some((target) => run.troubles.has(target))
}

/** Gateways side by side, their domains with bounded concurrency; then all handshakes. */
async function serveEveryone(run: Run, plan: Plan): Promise<void> {
  const ends = await Promise.allSettled(
    [...run.views.keys()].map(async (gateway) => {
      const steps = plan.steps
        .filter(isServing)
        .filter((step) => step.gateway === gateway && !isBound(run, step))
        // Whoever is without a certificate first: a gateway that fails for too many others is left alone.
        .toSorted((one, other) => Number(mayLose(one)) - Number(mayLose(other)))
      const bindOne = async (step: ServingStep) => {
        if (troublesAt(run, gateway) < TROUBLES_PER_GATEWAY) await bind(run, step)
      }
      // By itself: it finds out what this gateway does, and the others rely on it.
      const first = run.habitsSeen.has(gateway) ? undefined : steps.find(isReplacing)
      if (first) await bindOne(first)
      await inParallel(
        run.job.concurrency,
        steps.filter((step) => step !== first),
        bindOne,
      )
    }),
  )
  const waiting = Object.entries(run.current.domains).filter(([, one]) => one.boundAt && !isDone(one))
  stage(run, 'served', waiting.length)
  await inParallel(VERIFY_CONCURRENCY, Object.entries(run.current.domains), ([target, record]) => {
    const verify = () => verifyDomain(run, record.gateway, target)
    return record.boundAt && !isDone(record) ? inTurn(run, [target], verify) : verify()
  })
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

async function serve(run: Run, step: ServingStep): Promise<void> {
  await bind(run, step)
  for (const target of step.kind === 'update' ? step.domains : [step.domain])
    await verifyDomain(run, step.gateway, target)
}

function bind(run: Run, step: ServingStep): Promise<void> {
  return inTurn(run, targetsOf(step), () =>
    step.kind === 'update' ? updateCertificate(run, step) : bindDomain(run, step),
  )
}

function stage({ job, parties }: Run, what: 'bound' | 'served', total: number): void {
  parties.progress({ kind: 'stage', certificate: job.name, stage: what, total })
}

async function inTurn(run: Run, targets: string[], act: () => Promise<void>): Promise<void> {
  const turn = { kind: 'turn', certificate: run.job.name, domains: targets.length } as const
  run.parties.progress({ ...turn, at: 'begun' })
  try {
    await act()
  } finally {
    const gaps = targets.flatMap((target) => run.current.domains[target]?.gapMs ?? [])
    run.parties.progress({ ...turn, at: 'ended', ...(gaps.length > 0 ? { gapMs: Math.max(...gaps) } : {}) })
  }
}

function isServing(step: Step): step is ServingStep {
  return step.kind === 'bind' || step.kind === 'add' || step.kind === 'update'
}

/** Done by the canary a moment ago. */
function isBound(run: Run, step: ServingStep): boolean {
  return (
    run.journal.noted(step.key) !== undefined &&
    targetsOf(step).every((target) => recordOf(run, target).boundAt)
  )
}

function targetsOf(step: ServingStep): string[] {
  return step.kind === 'update' ? step.domains : [step.domain]
}

function somebodyIsServed(run: Run): boolean {
  return Object.values(run.current.domains).some(isDone)
}

function troublesAt(run: Run, gateway: string): number {
  // A domain that is not there any more says nothing about the gateway.
  return [...run.troubles].filter(
    ([target, { code }]) => target.startsWith(`${gateway}/`) && !/-domain$|^gateway\.domain-/.test(code),
  ).length
}

/** What a run that did not end well leaves for the next one. */
export function laterFailure(run: Run): Failure | undefined {
  return [...run.troubles.values()].find((failure) => !judgeOf(failure))
}
