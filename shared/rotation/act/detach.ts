import { Failure } from '../../base/failure.ts'
import type { BoundCertificate, DomainBinding } from '../../gateway/port.ts'
import { HiddenBindings } from '../plan/hidden.ts'
import { detachFrom, handsAt } from './hands.ts'
import { gatewayOf, type Run, recordOf } from './run-context.ts'

/** A domain at its gateway; every step about one is a place. */
export interface Place {
  gateway: string
  domain: string
}

/** The binding as it is at this moment. Fails with `gateway.domain-gone` where the group no longer lists the domain. */
export async function domainNow(run: Run, place: Place): Promise<DomainBinding> {
  const record = recordOf(run, place.domain)
  const now = await gatewayOf(run, place.gateway).domain(record)
  if (now) return now
  throw new Failure({
    code: 'gateway.domain-gone',
    kind: 'later',
    message: `${record.host} was removed from its API group while the rotation was under way`,
    next: 'Bind the domain to the group again, or take it out of rotation.yaml: the next run goes on from here.',
    facts: { domain: place.domain },
  })
}

/** Beside the new certificate: some gateways replace what was there, others keep both; only what is still bound is detached. */
export async function detachLeftover(run: Run, place: Place, old: BoundCertificate): Promise<void> {
  const gateway = gatewayOf(run, place.gateway)
  const record = recordOf(run, place.domain)
  const { id } = old
  const gone = async () => {
    const now = await new HiddenBindings(gateway).complete(await domainNow(run, place), [old])
    return now.certificates.some((one) => one.id === id) ? undefined : true
  }
  if (await gone()) return
  await detachFrom(handsAt(run, place.gateway), record, id, { isGone: gone })
}
