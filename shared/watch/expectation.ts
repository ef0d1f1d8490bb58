import { sameHost } from '../base/host.ts'
import type { RecordedDomain } from '../rotation/record/domain.ts'
import type { BundleFacts, RotationState } from '../rotation/record/state.ts'

export type Expected = Pick<BundleFacts, 'fingerprint' | 'chain'>

/** Where one domain is looked at; the ids are known where the gateway's list could be read. */
export interface Place {
  gateway: string
  host: string
  binding?: { groupId: string; domainId: string } | undefined
}

/** What the state file has noted about a domain in the rotation that was begun last. */
export function recordAt(state: RotationState | undefined, place: Place): RecordedDomain | undefined {
  return Object.values(state?.current?.domains ?? {}).find(
    (record) =>
      record.gateway === place.gateway &&
      (place.binding
        ? record.domainId === place.binding.domainId && record.groupId === place.binding.groupId
        : sameHost(record.host, place.host)),
  )
}

/**
 * What this tool has verified at a domain, and what a rotation that is under way may show there besides. Undefined
 * where it has taken nothing over yet: then only what every client trips over is wrong. `shown` is the leaf that a
 * handshake showed.
 */
export function expectedAt(
  state: RotationState | undefined,
  record: RecordedDomain | undefined,
  shown: string | undefined,
): Expected | undefined {
  const { current, deployed } = state ?? {}
  // Listed in rotation.yaml after the rotation that is recorded here: not taken over.
  if (!record) return Object.keys(current?.domains ?? {}).length > 0 ? onlyIf(deployed, shown) : deployed
  if (!current) return deployed
  if (record.servedAt) return current.bundle
  if (current.status === 'done') return current.bundle
  const before = servedBefore(record, deployed)
  const allowed = [before, current.bundle].find((one) => one?.fingerprint === shown)
  // What was there before this tool came was never verified by it.
  return allowed ?? (before === deployed ? deployed : undefined)
}

/** The certificate, where it is shown; a domain that shows another one was not taken over. */
function onlyIf(deployed: Expected | undefined, shown: string | undefined): Expected | undefined {
  return deployed?.fingerprint === shown ? deployed : undefined
}

/** What a domain served when its rotation began, and serves again when it was put back. */
function servedBefore(record: RecordedDomain, deployed: Expected | undefined): Expected | undefined {
  const fingerprint = record.servedBefore
  if (fingerprint === undefined || fingerprint === deployed?.fingerprint) return deployed
  return { fingerprint, chain: [fingerprint] }
}
