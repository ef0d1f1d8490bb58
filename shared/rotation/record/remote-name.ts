import { remoteCertificateName, remoteNameForHost } from '../../base/names.ts'
import type { Gateway, GatewayCertificate } from '../../gateway/port.ts'
import { configuredHosts, type Job } from '../parties.ts'
import type { CreatedCertificate, RotationState } from './state.ts'

export type Remote = { there: false } | { there: true; ours: boolean; name: string }

/**
 * What the gateway itself calls a certificate that the state says is ours. The state comes from the store, where
 * others may write; a name that this tool has derived is what no stranger's certificate has. To be asked before
 * anything is detached or deleted that nothing but the state calls ours.
 */
export async function remoteAt(
  gateway: Gateway,
  { job, state }: { job: Pick<Job, 'name' | 'config'>; state: RotationState },
  { id, digest }: Pick<CreatedCertificate, 'id' | 'digest'>,
): Promise<Remote> {
  const found = await gateway.certificate(id)
  if (!found) return { there: false }
  const { name } = found
  const ours =
    name === remoteCertificateName(job.name, digest) ||
    hostsOnceRotated(job, state).some((host) => name === remoteNameForHost(job.name, digest, host))
  return { there: true, ours, name }
}

/** Hosts that a certificate of strategy `add` may have been made for, also those that the config lists no more. */
function hostsOnceRotated({ config }: Pick<Job, 'config'>, state: RotationState): string[] {
  const recorded = Object.values(state.current?.domains ?? {}).map(({ host }) => host)
  const told = state.outcomes.flatMap(({ domains }) => domains.map(({ host }) => host))
  const created = state.created.flatMap(({ host }) => host ?? [])
  return [...new Set([...configuredHosts(config), ...recorded, ...told, ...created])]
}

/** Oldest first. */
export function oldestFirst(certificates: GatewayCertificate[]): GatewayCertificate[] {
  return certificates.toSorted(
    (a, b) => (a.createdAt?.getTime() ?? 0) - (b.createdAt?.getTime() ?? 0) || (a.id < b.id ? -1 : 1),
  )
}
