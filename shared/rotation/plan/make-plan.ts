import { isRemoteNameForm, remoteCertificateName } from '../../base/names.ts'
import type { BoundCertificate } from '../../gateway/port.ts'
import type { Job, Parties } from '../parties.ts'
import type { Journal } from '../record/journal.ts'
import { oldestFirst } from '../record/remote-name.ts'
import type { BundleFacts, CurrentRotation } from '../record/state.ts'
import { HiddenBindings, oursAt } from './hidden.ts'
import type { GatewayView } from './look.ts'
import { nameAt, type Plan, planRotation, replacedBy } from './plan.ts'

export interface MadePlan {
  plan: Plan
  /** Certificates of this bundle's name that exist already, by gateway. */
  existing: Record<string, string>
  /** What earlier runs created and may not have written down. */
  made: Made[]
  /** Ids of certificates that hold this bundle already (strategy `update`). */
  updated: Set<string>
}

/** Asks the gateways what the plan has to know about this bundle's certificate, then plans. Changes nothing. */
export async function makePlan(
  job: Job,
  parties: Pick<Parties, 'manager' | 'clock'>,
  journal: Pick<Journal, 'state'>,
  bundle: BundleFacts,
  views: GatewayView[],
): Promise<MadePlan> {
  const existing: Record<string, string> = {}
  const made: Made[] = []
  const updated = new Set<string>()
  await Promise.all(
    views.map(async (view) => {
      if (view.config.strategy === 'update')
        for (const id of await alreadyUpdated(view, bundle)) updated.add(id)
      if (view.config.strategy === 'add') {
        made.push(...(await alreadyAdded(job, view, bundle)))
        return
      }
      const name = remoteCertificateName(job.name, bundle.digest)
      const found = oldestFirst(await view.gateway.certificates({ name }))[0]
      if (!found) return
      existing[view.key] = found.id
      made.push({ where: view.key, id: found.id, name, digest: bundle.digest })
    }),
  )
  const { current } = journal.state
  const overtaken = await madeByOvertaken(job, parties, current, bundle, views)
  const known = [...journal.state.created, ...overtaken]
  await Promise.all(views.map((view) => showHidden(job, view, known, current, existing[view.key])))
  const superseded = (await Promise.all(views.map((view) => supersededAt(job, bundle, view)))).flat()
  const deleted = await deletedPredecessors(current, bundle, views)
  const plan = planRotation({
    certificateName: job.name,
    config: job.config,
    bundle,
    views,
    current,
    existing,
    made: Object.fromEntries(made.map(({ name, id }) => [name, id])),
    superseded: new Set(superseded.filter((id) => !updated.has(id))),
    updated,
    deleted,
    gateways: journal.state.gateways,
    hasManager: parties.manager !== undefined,
    now: parties.clock.now(),
  })
  return { plan, existing, made: [...made, ...overtaken], updated }
}

/**
 * Certificates of other bundles of ours that stand beside another one on a domain. They are detached, so it is the gateway
 * that says what they are called: a state file may be lost, or tell of a stranger's.
 */
async function supersededAt(job: Job, bundle: BundleFacts, view: GatewayView): Promise<string[]> {
  const beside = new Set(
    view.domains.flatMap(({ binding: { certificates } }) =>
      certificates.length > 1 ? certificates.map(({ id }) => id) : [],
    ),
  )
  const own = new Set(
    view.domains.map(({ host }) => nameAt(view, host, { certificateName: job.name, bundle })),
  ).add(remoteCertificateName(job.name, bundle.digest))
  const asked = [...beside].map(async (id) => {
    const found = await view.gateway.certificate(id)
    return found && isRemoteNameForm(job.name, found.name) && !own.has(found.name) ? [id] : []
  })
  return (await Promise.all(asked)).flat()
}

/** A domain that is to have its predecessor again and has nothing: is there still one to give? */
async function deletedPredecessors(
  current: CurrentRotation | undefined,
  bundle: BundleFacts,
  views: GatewayView[],
): Promise<Set<string>> {
  const deleted = new Set<string>()
  if (current?.bundle.digest !== bundle.digest) return deleted
  for (const view of views)
    for (const { target, binding } of view.domains) {
      const { givenUp, predecessor } = current.domains[target] ?? {}
      if (!givenUp || !predecessor || binding.certificates.length > 0) continue
      if (!(await view.gateway.certificate(predecessor.id))) deleted.add(predecessor.id)
    }
  return deleted
}

/** A certificate that an earlier run made, whether or not that run lived to write it down. */
export interface Made {
  where: string
  id: string
  name: string
  digest: string
  /** Strategy `add`: the only domain it can be on. */
  host?: string
}

/**
 * What the rotation that is overtaken now has made and did not live to write down. Later nobody would know its
 * names, and what is not known is never retired.
 */
async function madeByOvertaken(
  job: Job,
  parties: Pick<Parties, 'manager'>,
  current: CurrentRotation | undefined,
  bundle: BundleFacts,
  views: GatewayView[],
): Promise<Made[]> {
  if (current?.status !== 'running' || current.bundle.digest === bundle.digest) return []
  const { digest } = current.bundle
  const name = current.remoteName
  const atGateways = views.map(async (view): Promise<Made[]> => {
    if (view.config.strategy === 'add') return alreadyAdded(job, view, current.bundle)
    const found = await view.gateway.certificates({ name })
    return found.map(({ id }) => ({ where: view.key, id, name, digest }))
  })
  // Waited for together: what fails while nobody waits for it ends the process.
  const [ours, imported] = await Promise.all([Promise.all(atGateways), parties.manager?.find(name) ?? []])
  return [...ours.flat(), ...imported.map(({ id }) => ({ where: 'scm', id, name, digest }))]
}

/** Strategy `add`: one listing tells which domains' certificates exist already. */
async function alreadyAdded(job: Job, view: GatewayView, bundle: BundleFacts): Promise<Made[]> {
  const present = oldestFirst(await view.gateway.certificates())
  return view.domains.flatMap((domain) => {
    const name = nameAt(view, domain.host, { certificateName: job.name, bundle })
    const found = present.find((one) => one.name === name)
    return found ? [{ where: view.key, id: found.id, name, digest: bundle.digest, host: domain.host }] : []
  })
}

/** What an interrupted attach-first left beside the new certificate is planned away only where it is seen. */
async function showHidden(
  job: Job,
  view: GatewayView,
  known: Made[],
  current: CurrentRotation | undefined,
  created: string | undefined,
): Promise<void> {
  const hidden = new HiddenBindings(view.gateway)
  const forgotten = await forgottenAt(job, view, known)
  for (const domain of view.domains) {
    const predecessor = current?.domains[domain.target]?.predecessor
    const ids = [created, current?.certificates[view.key]].filter((id) => id !== undefined)
    domain.binding = await hidden.complete(domain.binding, [
      ...(predecessor ? [predecessor] : []),
      ...ids.map((id) => ({ id, name: '' })),
      ...oursAt(known, view.key, domain.host),
      ...forgotten,
    ])
  }
}

/** Ours by name at a gateway that does not show all that is bound, and unknown to a state file that was lost once. */
async function forgottenAt(job: Job, view: GatewayView, known: Made[]): Promise<BoundCertificate[]> {
  const shown = view.domains.flatMap(({ binding }) => binding.certificates)
  if (shown.every(({ algorithm }) => algorithm !== undefined)) return []
  const ids = new Set([...known, ...shown].map(({ id }) => id))
  const all = await view.gateway.certificates()
  return all.filter(({ id, name }) => isRemoteNameForm(job.name, name) && !ids.has(id))
}

/** Which of the certificates bound to the listed domains have this bundle's content already. */
async function alreadyUpdated(view: GatewayView, bundle: BundleFacts): Promise<string[]> {
  const ids = new Set(view.domains.flatMap((domain) => replacedBy(bundle, domain.binding)?.id ?? []))
  const shown = await Promise.all([...ids].map((id) => view.gateway.certificate(id)))
  return shown.flatMap((certificate) => (certificate?.serial === bundle.serial ? [certificate.id] : []))
}
