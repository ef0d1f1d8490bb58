import { asFailure } from '../../base/failure.ts'
import { remoteNameForHost } from '../../base/names.ts'
import type { Step } from '../plan/plan.ts'
import { oldestFirst } from '../record/remote-name.ts'
import { perform } from './perform.ts'
import { gatewayOf, patience, type Run, requireTime, say } from './run-context.ts'

type CreateStep = Extract<Step, { kind: 'create' }>

/**
 * Creates the certificate at one gateway, or finds what an earlier run created: its name is derived from the
 * bundle. Should a slow request have made a second one after all, the older is used and the younger is left to
 * retirement.
 */
export async function createOnce(run: Run, step: CreateStep): Promise<void> {
  requireTime(run, `${step.gateway}: create ${step.name}`, 1)
  const gateway = gatewayOf(run, step.gateway)
  const begun = run.parties.clock.monotonic()
  const find = async () => oldestFirst(await gateway.certificates({ name: step.name }))[0]
  const found = await find()
  const { id } =
    found ??
    (await perform<{ id: string }>(patience(run, { makesAnew: true }), find, () =>
      gateway.create(step.name, run.material),
    ))
  run.current.certificates[step.gateway] = id
  rememberCreated(run, step.gateway, id, step.name)
  run.journal.note(step.key, 'create', step.gateway, id)
  const sentence = `${found ? 'found' : 'created'} ${step.name} at ${gateway.description}`
  say(run, 'create', step.gateway, sentence, run.parties.clock.monotonic() - begun)
  if (!found) await rememberDoubles(run, step, id)
}

async function rememberDoubles(run: Run, step: CreateStep, id: string): Promise<void> {
  try {
    const all = await gatewayOf(run, step.gateway).certificates({ name: step.name })
    for (const double of all) if (double.id !== id) rememberCreated(run, step.gateway, double.id, step.name)
  } catch (thrown) {
    run.parties.log.debug('could not look for doubles; retirement will', { failure: asFailure(thrown) })
  }
}

/** Ours by its derived name, whoever of our runs made it: only what is remembered may ever be deleted. */
export function rememberCreated(
  run: Run,
  where: string,
  id: string,
  name: string,
  digest = run.current.bundle.digest,
): void {
  const { created } = run.journal.state
  if (created.some((one) => one.where === where && one.id === id)) return
  const host = hostOf(run, name, digest)
  created.push({
    where,
    id,
    name,
    digest,
    ...(host === undefined ? {} : { host }),
    createdAt: run.parties.clock.now().toISOString(),
  })
}

/** Strategy `add`: without the host nobody could derive the name again once the domain has left the config. */
function hostOf(run: Run, name: string, digest: string): string | undefined {
  const hosts = [...run.views.values()].flatMap(({ domains }) => domains.map(({ host }) => host))
  return hosts.find((host) => remoteNameForHost(run.job.name, digest, host) === name)
}
