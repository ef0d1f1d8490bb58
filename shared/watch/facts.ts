import type { FailureReport } from '../base/failure.ts'
import type { Config } from '../config/schema.ts'
import type { ProbeResult, ServedCertificate } from '../probe/port.ts'
import type { BundleFacts, Outcome, RotationState } from '../rotation/state.ts'
import type { LeafFacts } from './expiry.ts'
import type { LastTick } from './last-tick.ts'
import { judgeServed, type ServedVerdict } from './served.ts'

/** One watched host and what one look at it gave. */
export interface DomainObservation {
  /** Name in rotation.yaml. */
  certificate: string
  /** For messages: `apig 0a1b…`. */
  gateway: string
  host: string
  /** Undefined where the config turned verification off. */
  result?: ProbeResult | undefined
}

/** What the ordering of a certificate knows about itself. */
export interface RenewalFacts {
  /** ISO instant, counted from what is in service. */
  renewAt?: string
  /** Its successor is issued and waits in `incoming/` for its rotation. */
  waiting?: { notAfter: string; since: string }
  failing?: { since: string; attempts: number; failure: FailureReport; nextAt?: string }
}

/** A certificate that some gateway or SCM has and that is not in rotation.yaml (`discover: true`). */
export interface DiscoveredCertificate {
  /** `apig 0a1b…` or `scm`. */
  where: string
  id: string
  name: string
  commonName: string
  names: readonly string[]
  notBefore?: Date
  notAfter: Date
  /** Domains that it is bound to, with what they were seen to serve. */
  hosts: readonly { host: string; result?: ProbeResult | undefined }[]
}

export interface QuotaFacts {
  /** `apig 0a1b…`. */
  where: string
  used: number
  limit: number
}

/** Everything that one tick has seen. The timer gathers it; nothing behind it does any I/O. */
export interface Gathered {
  now: Date
  config: Pick<Config, 'certificates' | 'alerts'>
  /** By name in rotation.yaml; a certificate without a state file is simply missing. */
  states: ReadonlyMap<string, RotationState>
  observations: readonly DomainObservation[]
  renewals: ReadonlyMap<string, RenewalFacts>
  discovered: readonly DiscoveredCertificate[]
  quotas: readonly QuotaFacts[]
  /** As it was before this tick wrote its own. */
  lastTick?: LastTick | undefined
  /** What there was no time for, or what could not be read: nothing is concluded from it. */
  notLookedAt?: { certificates: ReadonlySet<string>; domains: readonly string[] }
}

export interface ServedFacts {
  host: string
  gateway: string
  verdict: ServedVerdict
  served?: ServedCertificate
}

/** One configured certificate as the watch and the page see it. */
export interface CertificateFacts {
  name: string
  owner?: string
  /** ISO date. */
  snoozeUntil?: string
  leaves: LeafFacts[]
  domains: ServedFacts[]
  renewal?: RenewalFacts
  /** The last outcome that ended a rotation one way or the other. */
  concluded?: Outcome
  state?: RotationState
  /** A rotation is running: what domains serve changes now and means nothing. */
  rolling: boolean
}

const concludes = new Set<Outcome['status']>([
  'rotated',
  'already deployed',
  'refused',
  'rolled back',
  'failed',
])

/** Facts of every configured certificate, in the order of the config. */
export function allCertificateFacts(gathered: Gathered): CertificateFacts[] {
  const byName = new Map<string, DomainObservation[]>()
  for (const observation of gathered.observations) {
    const list = byName.get(observation.certificate)
    if (list === undefined) byName.set(observation.certificate, [observation])
    else list.push(observation)
  }
  return Object.keys(gathered.config.certificates).map((name) =>
    certificateFacts(gathered, name, byName.get(name) ?? []),
  )
}

export function certificateFacts(
  gathered: Gathered,
  name: string,
  observations: readonly DomainObservation[],
): CertificateFacts {
  const settings = gathered.config.certificates[name]
  const state = gathered.states.get(name)
  const expected = state?.deployed
  const predecessors = predecessorsOf(state)
  const domains = observations.map(({ host, gateway, result }): ServedFacts => {
    const served = result?.reached ? result.served : undefined
    const verdict = judgeServed({ host, expected, predecessors, result })
    return { host, gateway, verdict, ...(served === undefined ? {} : { served }) }
  })
  const renewal =
    gathered.renewals.get(name) ?? (state?.renewAt === undefined ? undefined : { renewAt: state.renewAt })
  const concluded = state?.outcomes.find((outcome) => concludes.has(outcome.status))
  return {
    name,
    ...(settings?.owner === undefined ? {} : { owner: settings.owner }),
    ...(settings?.snoozeUntil === undefined ? {} : { snoozeUntil: settings.snoozeUntil }),
    leaves: leavesOf(domains, expected, knownBundles(state)),
    domains,
    ...(renewal === undefined ? {} : { renewal }),
    ...(concluded === undefined ? {} : { concluded }),
    ...(state === undefined ? {} : { state }),
    rolling: state?.current?.status === 'running',
  }
}

/** Bundles named in the outcomes: how long an older certificate has lived is known from there. */
function knownBundles(state: RotationState | undefined): BundleFacts[] {
  return (state?.outcomes ?? []).flatMap((outcome) => (outcome.bundle === undefined ? [] : [outcome.bundle]))
}

function predecessorsOf(state: RotationState | undefined): string[] {
  const current = state?.deployed?.fingerprint
  const fingerprints = (state?.outcomes ?? [])
    .filter((outcome) => outcome.status === 'rotated' || outcome.status === 'already deployed')
    .flatMap((outcome) => (outcome.bundle === undefined ? [] : [outcome.bundle.fingerprint]))
  return [...new Set(fingerprints)].filter((fingerprint) => fingerprint !== current)
}

function leavesOf(
  domains: readonly ServedFacts[],
  deployed: BundleFacts | undefined,
  older: readonly BundleFacts[],
): LeafFacts[] {
  const leaves = new Map<string, LeafFacts & { hosts: string[] }>()
  const births = new Map(
    [...older, ...(deployed === undefined ? [] : [deployed])].map((b) => [b.fingerprint, b.notBefore]),
  )
  for (const { host, served } of domains) {
    if (served === undefined) continue
    const known = leaves.get(served.fingerprint)
    if (known !== undefined) {
      known.hosts.push(host)
      continue
    }
    const birth = births.get(served.fingerprint)
    const notBefore = served.notBefore ?? (birth === undefined ? undefined : new Date(birth))
    leaves.set(served.fingerprint, {
      fingerprint: served.fingerprint,
      commonName: served.commonName,
      ...(notBefore === undefined ? {} : { notBefore }),
      notAfter: served.notAfter,
      hosts: [host],
    })
  }
  // Seen nowhere: it still counts where not every domain could be looked at, and where there are only pushes.
  const blind = domains.some(({ served, verdict }) => served === undefined && verdict.verdict !== 'nobody')
  if (deployed !== undefined && !leaves.has(deployed.fingerprint) && (blind || domains.length === 0)) {
    leaves.set(deployed.fingerprint, {
      fingerprint: deployed.fingerprint,
      commonName: deployed.commonName,
      notBefore: new Date(deployed.notBefore),
      notAfter: new Date(deployed.notAfter),
      hosts: [],
    })
  }
  return [...leaves.values()]
}
