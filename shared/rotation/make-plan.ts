import { remoteCertificateName } from '../base/names.ts'
import { ours } from './create.ts'
import { HiddenBindings } from './hidden.ts'
import type { Journal } from './journal.ts'
import type { GatewayView } from './look.ts'
import type { Job, Parties } from './parties.ts'
import { type Plan, planRotation, replacedBy } from './plan.ts'
import type { BundleFacts, CurrentRotation } from './state.ts'

/** Asks the gateways what the plan has to know about this bundle's certificate, then plans. Changes nothing. */
export async function makePlan(
  job: Job,
  parties: Pick<Parties, 'manager' | 'clock'>,
  journal: Pick<Journal, 'state'>,
  bundle: BundleFacts,
  views: GatewayView[],
): Promise<{ plan: Plan; existing: Record<string, string> }> {
  const existing: Record<string, string> = {}
  const updated = new Set<string>()
  await Promise.all(
    views.map(async (view) => {
      if (view.config.strategy === 'update')
        for (const id of await alreadyUpdated(view, bundle)) updated.add(id)
      if (view.config.strategy === 'add') return
      const found = ours(
        await view.gateway.certificates({ name: remoteCertificateName(job.name, bundle.digest) }),
      )[0]
      if (found) existing[view.key] = found.id
    }),
  )
  await Promise.all(views.map((view) => showHidden(view, journal.state.current, existing[view.key])))
  const plan = planRotation({
    certificateName: job.name,
    config: job.config,
    bundle,
    views,
    current: journal.state.current,
    existing,
    updated,
    hasManager: parties.manager !== undefined,
    now: parties.clock.now(),
  })
  return { plan, existing }
}

/** What an interrupted attach-first left beside the new certificate is planned away only where it is seen. */
async function showHidden(
  view: GatewayView,
  current: CurrentRotation | undefined,
  created: string | undefined,
): Promise<void> {
  const hidden = new HiddenBindings(view.gateway)
  for (const domain of view.domains) {
    const predecessor = current?.domains[domain.target]?.predecessor
    const known = [...(predecessor ? [predecessor] : []), ...(created ? [{ id: created, name: '' }] : [])]
    domain.binding = await hidden.complete(domain.binding, known)
  }
}

/** Which of the certificates bound to the listed domains have this bundle's content already. */
async function alreadyUpdated(view: GatewayView, bundle: BundleFacts): Promise<string[]> {
  const ids = new Set(view.domains.flatMap((domain) => replacedBy(bundle, domain.binding)?.id ?? []))
  const shown = await Promise.all([...ids].map((id) => view.gateway.certificate(id)))
  return shown.flatMap((certificate) => (certificate?.serial === bundle.serial ? [certificate.id] : []))
}
