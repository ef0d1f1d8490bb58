import type { FailureReport } from '../base/failure.ts'
import type { Config } from '../config/schema.ts'
import type { ProbeResult, ServedCertificate } from '../probe/port.ts'
import type { BundleFacts, Outcome, RotationState } from '../rotation/record/state.ts'
import { readAlertMemory } from './alert-memory.ts'
import { expectedAt, recordAt } from './expectation.ts'
import type { LeafFacts } from './expiry.ts'
import type { LastTick } from './last-tick.ts'
import { judgeServed, type ServedVerdict } from './served.ts'
import { type DomainTrouble, troubleAt } from './trouble.ts'

/** One watched host and what one look at it gave. */
export interface DomainObservation {
  /** Name in rotation.yaml. */
  certificate: string
  /** For messages: `apig 0a1b…`. */
  gateway: string
  host: string
  /** Undefined where the config turned verification off. */
  result?: ProbeResult | undefined
  /** As the gateway's own list shows it; undefined where that could not be read or does not have the domain. */
  binding?: { groupId: string; domainId: string; certificates: readonly { id: string; name: string }[] }
  /** Looked at again in the same run, `servedWithin` later, and still not as it must be. */
  seenTwice?: boolean
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

/** A state file, or (`list`) what a gateway has bound, that could not be read. */
export interface Unread {
  where: string
  failure: FailureReport
  list?: true
}

/** What a gateway's own list says of the domains that the config has there. */
export interface GatewaySeen {
  /** `apig:0a1b…`. */
  where: string
  found: number
  /** Domains of the config that it does not have, with the names that it has. */
  missing: readonly FailureReport[]
}

/** By which credentials the cloud was asked, and what its answers tell of this machine's clock. */
export interface CloudSeen {
  /** As `Credentials.description` has it: the setting and the user, never a secret. */
  credentials: string
  region: string
  projectId: string | undefined
  /** They end, and nothing here renews them. */
  temporary: boolean
  /** Milliseconds that this machine's clock is ahead of the cloud's; undefined where no gateway has answered. */
  clockAheadMs: number | undefined
}

/** Everything that one tick has seen. The timer gathers it; nothing behind it does any I/O. */
export interface Gathered {
  now: Date
  config: Pick<Config, 'name' | 'certificates' | 'alerts'> & Partial<Config>
  /** By name in rotation.yaml; a certificate without a state file is simply missing. */
  states: ReadonlyMap<string, RotationState>
  observations: readonly DomainObservation[]
  /** Undefined where the config has no cloud. */
  cloud?: CloudSeen | undefined
  /** The gateways whose lists could be read. */
  gateways?: readonly GatewaySeen[]
  renewals: ReadonlyMap<string, RenewalFacts>
  discovered: readonly DiscoveredCertificate[]
  quotas: readonly QuotaFacts[]
  /** State files and gateways that could not be read: what is said about them is old, or missing. */
  unread?: readonly Unread[]
  /** What lies in `incoming/` where no rotation looks. */
  misplaced?: readonly FailureReport[]
  /** Undefined where nobody has looked. */
  left?: readonly LeftName[] | undefined
  /** As it was before this tick wrote its own. */
  lastTick?: LastTick | undefined
  /** What there was no time for, or what could not be read: nothing is concluded from it. */
  notLookedAt?: { certificates: ReadonlySet<string>; domains: readonly string[] }
}

/** A certificate that was rotated once and stands in the config no more, at least not under this name. */
export interface LeftName {
  name: string
  /** Its domains that no certificate of the config lists. */
  unwatched: readonly string[]
  /** What lies in the store of it; `deployed/<name>/` holds private keys. */
  stays: readonly string[]
}

export interface ServedFacts {
  host: string
  gateway: string
  verdict: ServedVerdict
  served?: ServedCertificate
  /** The gateway's own list: whether nothing is bound. Undefined where it could not be read. */
  bare?: boolean
  trouble?: DomainTrouble
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
  /** A rotation has begun and is not over. */
  rolling: boolean
}

const concludes = new Set<Outcome['status']>([
  'rotated',
  'already deployed',
  'refused',
  'rolled back',
  'failed',
])

/** Whether somebody has said that they know: `snoozeUntil` lies ahead. */
export function isAcknowledged({ snoozeUntil }: { snoozeUntil?: string | undefined }, now: Date): boolean {
  return snoozeUntil !== undefined && now.getTime() < Date.parse(snoozeUntil)
}

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
  const memory = readAlertMemory(state?.alerts).conditions
  const known = knownFingerprints(state)
  const domains = observations.map((observation): ServedFacts => {
    const { host, gateway, result, binding } = observation
    const served = result?.reached ? result.served : undefined
    const record = recordAt(state, observation)
    const expected = expectedAt(state, record, served?.fingerprint)
    const bare = binding && binding.certificates.length === 0
    const verdict: ServedVerdict = bare
      ? { verdict: 'nobody', detail: 'no certificate is bound to it' }
      : judgeServed({ host, expected, predecessors: known, result })
    const trouble = troubleAt({ place: observation, verdict, record, state, memory, now: gathered.now })
    return {
      host,
      gateway,
      verdict,
      ...(served === undefined ? {} : { served }),
      ...(bare === undefined ? {} : { bare }),
      ...(trouble === undefined ? {} : { trouble }),
    }
  })
  const renewal =
    gathered.renewals.get(name) ?? (state?.renewAt === undefined ? undefined : { renewAt: state.renewAt })
  const concluded = state?.outcomes.find((outcome) => concludes.has(outcome.status))
  return {
    name,
    ...(settings?.owner === undefined ? {} : { owner: settings.owner }),
    ...(settings?.snoozeUntil === undefined ? {} : { snoozeUntil: settings.snoozeUntil }),
    leaves: leavesOf(domains, state?.deployed, knownBundles(state)),
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

/** Leaves that this tool has put into service. */
function knownFingerprints(state: RotationState | undefined): string[] {
  const done = (state?.outcomes ?? []).filter(
    ({ status }) => status === 'rotated' || status === 'already deployed',
  )
  return [state?.deployed, ...done.map(({ bundle }) => bundle)].flatMap((one) => one?.fingerprint ?? [])
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
