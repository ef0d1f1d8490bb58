import { asFailure } from '../../base/failure.ts'
import type { ManagedCertificate, Manager, PushTarget } from '../../manager/port.ts'
import { OutOfTime } from '../out-of-time.ts'
import type { Plan, Step } from '../plan/plan.ts'
import { rememberCreated } from './create.ts'
import { perform } from './perform.ts'
import { guarded, LeaseLost, patience, type Run, requireTime, say, trouble } from './run-context.ts'

/** Import into SCM once, then one push to each target. An APIG certificate id means nothing to SCM. */
export async function importAndPush(run: Run, plan: Plan): Promise<void> {
  const manager = run.parties.manager
  const steps = plan.steps.filter((step) => step.kind === 'import' || step.kind === 'push')
  if (!manager || steps.length === 0) return
  const guardedManager = guarded(manager, run, ['import', 'push', 'remove'])
  const imported = await importOnce(run, guardedManager, steps)
  if (!imported) return
  for (const step of steps) if (step.kind === 'push') await pushOnce(run, guardedManager, imported, step)
}

async function importOnce(
  run: Run,
  manager: Manager,
  steps: Step[],
): Promise<ManagedCertificate | undefined> {
  const step = steps.find((one) => one.kind === 'import')
  if (step?.kind !== 'import') return undefined
  try {
    requireTime(run, 'import into SCM', 1)
    const find = async () => (await manager.find(step.name))[0]
    const imported =
      (await find()) ??
      (await perform(patience(run, { makesAnew: true }), find, () => manager.import(step.name, run.material)))
    run.current.certificates.scm = imported.id
    rememberCreated(run, 'scm', imported.id, step.name)
    run.journal.note(step.key, 'import', 'scm', imported.id)
    say(run, 'import', 'scm', `imported into SCM as ${imported.id}`)
    return imported
  } catch (thrown) {
    remember(run, 'import', 'scm', thrown)
    return undefined
  }
}

async function pushOnce(
  run: Run,
  manager: Manager,
  imported: ManagedCertificate,
  step: Extract<Step, { kind: 'push' }>,
): Promise<void> {
  const { service, project } = step.target
  const target = `${service}:${project}`
  try {
    requireTime(run, `push to ${target}`, 1)
    const done = async () => {
      const targets = await manager.pushed(imported.id, [service])
      return targets.some((one) => isTarget(one, step.target, run.job.config.push)) ? true : undefined
    }
    const pushed = async () => {
      await manager.push(imported.id, step.target)
      return true
    }
    if (!(await done())) await perform(patience(run, { makesAnew: true }), done, pushed)
    run.journal.note(step.key, 'push', target, imported.id)
    say(run, 'push', target, `pushed to ${service} in ${project}`)
  } catch (thrown) {
    remember(run, 'push', target, thrown)
  }
}

/**
 * SCM names the places by region only, and CDN as `global`. A region stands for a sub-project of it where no
 * other push of ours goes to the same region.
 */
function isTarget(found: PushTarget, wanted: PushTarget, all: PushTarget[]): boolean {
  if (found.service !== wanted.service) return false
  if (found.project === wanted.project || found.project === 'global') return true
  const rivals = all.filter(
    (one) => one.service === wanted.service && one.project.split('_')[0] === found.project,
  )
  return wanted.project.startsWith(`${found.project}_`) && rivals.length === 1
}

function remember(run: Run, step: string, target: string, thrown: unknown): void {
  const failure = asFailure(thrown)
  if (failure instanceof OutOfTime || failure instanceof LeaseLost) throw failure
  run.troubles.set(target, failure)
  trouble(run, step, target, failure)
}
