import { second } from '../../base/clock.ts'
import { Failure } from '../../base/failure.ts'
import { sameHost } from '../../base/host.ts'
import { distance } from '../../base/nearest.ts'
import type { DomainConfig, GatewayConfig, VerifyConfig } from '../../config/schema.ts'
import type { DomainBinding, Gateway } from '../../gateway/port.ts'
import type { ProbeTarget, ServedCertificate } from '../../probe/port.ts'
import { inParallel } from '../parallel.ts'
import type { Job, Parties } from '../parties.ts'

/** Everything the plan needs to know about the world, gathered before anything is decided. */
export interface GatewayView {
  /** `apig:<instance>`: the gateway's name in state, plan and outcome. */
  key: string
  config: GatewayConfig
  gateway: Gateway
  domains: DomainView[]
  /** Domains of the config that no API group there has: left out, and told of. */
  missing: MissingDomain[]
}

export interface MissingDomain {
  /** As the config names it. */
  asked: string
  /** Its name, where the config says that. */
  host: string | undefined
  failure: Failure
}

export interface DomainView {
  /** `apig:<instance>/<group>/<domain>`. */
  target: string
  host: string
  binding: DomainBinding
  /** Undefined where verification is switched off for this domain. */
  probe: ProbeTarget | undefined
  servedBefore?: ServedCertificate
}

/** A label that nobody gives to a real host: a wildcard domain is asked for a name below it. */
const WILDCARD_LABEL = 'cert-rotation-check'

/** Handshakes before the change may take this share of the time that is left, and never longer than this. */
const PROBE_SHARE = 0.2
const PROBE_LIMIT_MS = 8 * second

export function gatewayKey(config: Pick<GatewayConfig, 'flavour' | 'instanceId'>): string {
  return `${config.flavour}:${config.instanceId}`
}

/**
 * A domain that was removed from its API group does not keep the others from being served. Fails with
 * `gateway.unknown-domain` where none of them is there: that is a wrong config, not somebody's change.
 */
export async function lookAtGateways(job: Job, parties: Parties): Promise<GatewayView[]> {
  const views = await Promise.all(job.config.gateways.map((config) => lookAtGateway(config, parties)))
  for (const view of views) requireOneCertificate(job, view)
  const [first] = views.flatMap(({ missing }) => missing)
  if (first && views.every(({ domains }) => domains.length === 0)) throw first.failure
  return views
}

/**
 * The loader refuses a domain that two certificates list; one that is written by its ids is known by name only here.
 * Each of the two would replace what the other has bound, for ever.
 */
function requireOneCertificate(job: Job, view: GatewayView): void {
  for (const { host, binding } of view.domains) {
    const other = job.listedElsewhere.find(
      (one) => one.gateway === view.key && findListed(one.domain, [binding]).length > 0,
    )
    if (!other) continue
    throw new Failure({
      code: 'config.shared-domain',
      kind: 'later',
      message: `${host} on ${view.gateway.description} is listed under certificate ${other.certificate}, too, and both would fight over it`,
      next: `List the domain under ${job.name} or under ${other.certificate} only; written by its ids it is the same one.`,
      facts: { domain: host, gateway: view.key, certificates: [job.name, other.certificate] },
    })
  }
}

async function lookAtGateway(config: GatewayConfig, parties: Parties): Promise<GatewayView> {
  const gateway = parties.gatewayFor(config)
  const key = gatewayKey(config)
  const present = await gateway.domains()
  const domains: DomainView[] = []
  const missing: MissingDomain[] = []
  for (const domain of config.domains) {
    const bindings = findDomain(domain, present, gateway)
    if (bindings instanceof Failure) {
      missing.push({ asked: String(bindings.facts.domain), host: wantedOf(domain).host, failure: bindings })
      continue
    }
    const verify = verifyOf(domain) ?? config.verify
    for (const binding of bindings) {
      const probe = probeTarget(binding.host, verify)
      const target = `${key}/${binding.groupId}/${binding.domainId}`
      domains.push({ target, host: binding.host, binding, probe })
    }
  }
  return { key, config, gateway, domains: uniqueTargets(domains), missing }
}

/** A domain written by name and by id is one domain. */
function uniqueTargets(domains: DomainView[]): DomainView[] {
  return [...new Map(domains.map((domain) => [domain.target, domain])).values()]
}

/** The domain as its gateway has it, perhaps twice, or `gateway.unknown-domain` with the nearest names that are there. */
export function findDomain(
  domain: DomainConfig,
  present: DomainBinding[],
  gateway: Pick<Gateway, 'description'>,
): DomainBinding[] | Failure {
  const wanted = wantedOf(domain)
  const all = findListed(domain, present)
  const [found] = all
  if (found && (!wanted.host || found.host === wanted.host)) return all
  const asked = 'domainId' in wanted ? `${wanted.groupId}/${wanted.domainId}` : wanted.host
  return new Failure({
    code: 'gateway.unknown-domain',
    kind: 'later',
    message: found
      ? `${asked} on ${gateway.description} is ${found.host}, not ${wanted.host}`
      : `No API group on ${gateway.description} has the domain ${asked}`,
    next: `Bind the domain to an API group there, or correct certificates.<name>.gateways[].domains; the gateway has: ${listed(present, wanted.host)}.`,
    facts: { gateway: gateway.description, domain: String(asked) },
  })
}

function wantedOf(domain: DomainConfig): Exclude<DomainConfig, string> {
  return typeof domain === 'string' ? { host: domain } : domain
}

/**
 * The domain in a gateway's list: by its ids where the config has them, else by its name. A gateway may have one name twice,
 * with a final dot and without: clients ask for both in the same way.
 */
export function findListed(domain: DomainConfig, present: DomainBinding[]): DomainBinding[] {
  const wanted = wantedOf(domain)
  return 'domainId' in wanted
    ? present.filter((one) => one.domainId === wanted.domainId && one.groupId === wanted.groupId)
    : present.filter((one) => one.host === wanted.host)
}

/** More than these are in no order: comparing each with each takes time, and a slip concerns few. */
const MOST_COMPARED = 200

/** The names there, nearest first. */
function listed(present: DomainBinding[], wanted = ''): string {
  const hosts = [...new Set(present.map((one) => one.host))].sort()
  if (wanted && hosts.length <= MOST_COMPARED) {
    const away = new Map(hosts.map((host) => [host, distance(wanted, host)]))
    hosts.sort((a, b) => away.get(a)! - away.get(b)!)
  }
  if (hosts.length === 0) return 'no domains at all'
  return hosts.length <= 6 ? hosts.join(', ') : `${hosts.slice(0, 6).join(', ')} and ${hosts.length - 6} more`
}

function verifyOf(domain: DomainConfig): VerifyConfig | undefined {
  return typeof domain === 'string' ? undefined : domain.verify
}

/** Where to shake hands: the name itself on port 443 unless the config says otherwise. */
export function probeTarget(host: string, verify: VerifyConfig | undefined): ProbeTarget | undefined {
  if (verify === false) return undefined
  const serverName = verify?.serverName ?? host.replace(/^\*/, WILDCARD_LABEL)
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(verify?.connect ?? serverName)
  return { serverName, host: match?.[1] ?? match?.[2] ?? serverName, port: Number(match?.[3] ?? 443) }
}

/**
 * What every domain serves before anything is changed: for the downgrade check, and to recognise the
 * predecessor again after an undo. Best effort: a function that cannot reach its gateway still rotates.
 */
export async function probeBefore(views: GatewayView[], parties: Parties): Promise<void> {
  const limit = Math.min(PROBE_LIMIT_MS, parties.deadline.remainingMs() * PROBE_SHARE)
  const until = parties.clock.monotonic() + limit
  const unreachable = new Set<string>()
  await inParallel(
    32,
    views.flatMap((view) => view.domains),
    async (domain) => {
      if (!domain.probe || domain.binding.certificates.length === 0) return
      const address = `${domain.probe.host}:${domain.probe.port}`
      if (unreachable.has(address) || parties.clock.monotonic() > until) return
      const result = await parties.probe.handshake(domain.probe)
      if (!result.reached) unreachable.add(address)
      else if (result.served) domain.servedBefore = result.served
    },
  )
}

/** A record of a domain that is missing now: it may come back, and its way back with it. */
export function isMissing(
  view: GatewayView,
  record: { gateway: string; host: string; groupId: string; domainId: string },
): boolean {
  return (
    record.gateway === view.key &&
    view.missing.some(
      ({ asked }) => sameHost(record.host, asked) || asked === `${record.groupId}/${record.domainId}`,
    )
  )
}
