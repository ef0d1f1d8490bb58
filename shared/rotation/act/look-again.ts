import { asFailure, Failure } from '../../base/failure.ts'
import type { BoundCertificate, DomainBinding } from '../../gateway/port.ts'
import { HiddenBindings } from '../plan/hidden.ts'
import { nameAt } from '../plan/plan.ts'
import { isDone, noteTakenOff } from '../record/domain.ts'
import { domainNow } from './detach.ts'
import { gatewayOf, type Run, recordOf, trouble } from './run-context.ts'

/**
 * Why a domain does not show the new certificate any more, where that is somebody's doing: the gateway is asked what is
 * bound. Undefined where the new certificate is bound. Such a change is no verdict on the bundle: the next run plans
 * with what is there then.
 */
export async function changedByOthers(
  run: Run,
  gateway: string,
  target: string,
): Promise<Failure | undefined> {
  const now = await domainNow(run, { gateway, domain: target })
  const gone = await changeOf(run, gateway, target, now, new HiddenBindings(gatewayOf(run, gateway)))
  if (gone) return gone
  // Of another algorithm, somebody's certificate stands beside the new one and may be what clients are shown.
  const strangers = now.certificates.filter((one) => isStranger(run, gateway, target, one))
  return strangers.length > 0 ? changed(run, target, strangers) : undefined
}

/** Neither the new certificate, nor one of ours, nor there before this run. */
function isStranger(run: Run, gateway: string, target: string, one: BoundCertificate): boolean {
  const before = run.views.get(gateway)!.domains.find((domain) => domain.target === target)
  return (
    !isNewOn(run, gateway, target, one) &&
    one.id !== recordOf(run, target).predecessor?.id &&
    !before?.binding.certificates.some(({ id }) => id === one.id) &&
    !run.journal.state.created.some(({ id }) => id === one.id)
  )
}

/** At the end of a run every domain that is done is looked at once more: others may have changed it meanwhile. */
export async function lookAgain(run: Run): Promise<void> {
  await Promise.all([...run.views.keys()].map((gateway) => lookAgainAt(run, gateway)))
}

async function lookAgainAt(run: Run, gateway: string): Promise<void> {
  try {
    const hidden = new HiddenBindings(gatewayOf(run, gateway))
    const present = await gatewayOf(run, gateway).domains()
    for (const { target } of run.views.get(gateway)!.domains) {
      const record = recordOf(run, target)
      if (!isDone(record) || record.givenUp) continue
      const now = present.find((one) => one.domainId === record.domainId && one.groupId === record.groupId)
      // What the group no longer lists is for the next run's first look.
      const change = now && (await changeOf(run, gateway, target, now, hidden))
      if (change) noteChange(run, target, change)
    }
  } catch (thrown) {
    const failure = asFailure(thrown)
    run.troubles.set(gateway, failure)
    trouble(run, 'look again', gateway, failure)
  }
}

/** What was noted of the domain is no longer so. */
export function noteChange(run: Run, target: string, change: Failure): void {
  const record = recordOf(run, target)
  noteTakenOff(record)
  run.journal.touch()
  run.troubles.set(target, change)
  trouble(run, 'verify', target, change)
}

async function changeOf(
  run: Run,
  gateway: string,
  target: string,
  shown: DomainBinding,
  hidden: HiddenBindings,
): Promise<Failure | undefined> {
  const created = run.current.certificates[gateway]
  const { certificates } = await hidden.complete(shown, created ? [{ id: created, name: '' }] : [])
  if (certificates.some((one) => isNewOn(run, gateway, target, one))) return undefined
  return changed(run, target, certificates)
}

function changed(run: Run, target: string, bound: BoundCertificate[]): Failure {
  const what =
    bound.length === 0
      ? 'has taken its certificate off'
      : `has bound ${bound.map(({ id, name }) => name || id).join(', ')}`
  return new Failure({
    code: 'rotation.binding-changed',
    kind: 'later',
    message: `${recordOf(run, target).host}: somebody ${what} while the rotation was under way`,
    next: 'Nothing to do: the next run puts the new certificate on again. Find out who else changes bindings there.',
    facts: { domain: target },
  })
}

function isNewOn(run: Run, gateway: string, target: string, { id, name }: BoundCertificate): boolean {
  const record = recordOf(run, target)
  const view = run.views.get(gateway)!
  if (id === run.current.certificates[gateway] || run.updated.has(id)) return true
  return (
    name !== '' &&
    name === nameAt(view, record.host, { certificateName: run.job.name, bundle: run.current.bundle })
  )
}
