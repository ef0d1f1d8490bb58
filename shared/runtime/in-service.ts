import type { DomainSeen, LeafKnown, LeafSeen } from '../acme/incumbent.ts'
import { asFailure } from '../base/failure.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Job, Parties } from '../rotation/parties.ts'
import { findListed, gatewayKey, probeTarget } from '../rotation/plan/look.ts'
import type { BundleFacts, RotationState } from '../rotation/record/state.ts'
import { judgeServed } from '../watch/served.ts'

type GatewayConfig = Job['config']['gateways'][number]
type Gateway = ReturnType<Parties['gatewayFor']>
type Lists = Awaited<ReturnType<typeof readLists>>

/** What the gateways list, read once for all certificates of a tick. */
export type ListsOf = (config: GatewayConfig) => Promise<Lists>

const HANDSHAKES_AT_ONCE = 32

export function gatewayLists(parties: Parties): ListsOf {
  const known = new Map<string, Promise<Lists>>()
  return (config) => {
    const key = `${gatewayKey(config)} ${config.scope}`
    const lists = known.get(key) ?? readLists(parties.gatewayFor(config), parties)
    known.set(key, lists)
    return lists
  }
}

/** Undefined where they cannot be read: then others are asked what is in service. */
async function readLists(gateway: Gateway, { log, deadline: { signal } }: Parties) {
  try {
    const [domains, certificates] = await Promise.all([
      gateway.domains(signal),
      gateway.certificates({}, signal),
    ])
    return { domains, certificates: new Map(certificates.map((one) => [one.id, one])) }
  } catch (thrown) {
    const failure = asFailure(thrown)
    log.warn(`what is bound at ${gateway.description} could not be read: ${failure.message}`, { failure })
    return undefined
  }
}

/**
 * Every configured domain of one certificate, as its gateway lists it and as a handshake shows it. A handshake is
 * made where the list leaves something open: it could not be read, or shows a certificate that this tool has never
 * had in its hands, whose beginning no list says. Never fails: what cannot be seen is left out.
 */
export async function domainsSeen(
  { config }: Pick<Job, 'config'>,
  parties: Parties,
  state: RotationState,
  listsOf: ListsOf,
): Promise<DomainSeen[]> {
  const ends = new Set(bundlesOf(state).map(({ notAfter }) => Date.parse(notAfter)))
  const seen: DomainSeen[] = []
  const open: { domain: DomainSeen; target: NonNullable<ReturnType<typeof probeTarget>> }[] = []
  for (const gateway of config.gateways) {
    const lists = await listsOf(gateway)
    for (const wanted of gateway.domains) {
      const bindings = lists && findListed(wanted, lists.domains)
      const host = bindings?.[0]?.host ?? (typeof wanted === 'string' ? wanted : wanted.host)
      // Not listed any more, or never seen by name: nobody is served anything there.
      if (host === undefined || bindings?.length === 0) continue
      const held = bindings?.flatMap(({ certificates }) => certificates)
      const bound = held?.flatMap(({ id }): LeafSeen[] => {
        const one = lists?.certificates.get(id)
        return one ? [{ names: one.names, notAfter: one.notAfter, algorithm: one.algorithm }] : []
      })
      const domain: DomainSeen = { host, bound }
      seen.push(domain)
      const verify = typeof wanted === 'string' ? undefined : wanted.verify
      const target = probeTarget(host, verify ?? gateway.verify)
      const strange = bound?.some(({ notAfter }) => !ends.has(notAfter.getTime())) ?? true
      if (target && strange) open.push({ domain, target })
    }
  }
  await inParallel(HANDSHAKES_AT_ONCE, open, async ({ domain, target }) => {
    if (parties.deadline.signal.aborted) return
    const result = await parties.probe.handshake(target, parties.deadline.signal)
    if (!result.reached || !result.served) return
    const { verdict } = judgeServed({
      host: domain.host,
      expected: state.deployed,
      predecessors: bundlesOf(state).map(({ fingerprint }) => fingerprint),
      result,
    })
    const stranger = verdict === 'foreign' || verdict === 'wrong name'
    const { fingerprint, names, notBefore, notAfter } = result.served
    domain.served = { fingerprint, names, notBefore, notAfter, stranger }
  })
  return seen
}

/** The configured domains as their gateways list them; what cannot be read is left out. */
export async function bindingsListed({ config }: Pick<Job, 'config'>, listsOf: ListsOf) {
  const found = await Promise.all(
    config.gateways.map(async (gateway) => {
      const lists = await listsOf(gateway)
      return gateway.domains.flatMap((wanted) => {
        return findListed(wanted, lists?.domains ?? []).map((binding) => ({ host: binding.host, binding }))
      })
    }),
  )
  return found.flat()
}

/** Certificates that this tool has had in service, or has tried to put there. */
export function bundlesOf({ deployed, outcomes }: RotationState): BundleFacts[] {
  const all = [deployed, ...outcomes.map(({ bundle }) => bundle)]
  return all.flatMap((one) => (one?.notBefore ? [one] : []))
}

export function leafOf({ fingerprint, names, notBefore, notAfter, algorithm }: BundleFacts): LeafKnown {
  return { fingerprint, names, notBefore: new Date(notBefore), notAfter: new Date(notAfter), algorithm }
}
