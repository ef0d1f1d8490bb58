import { asFailure } from '../base/failure.ts'
import type { DomainBinding, Flavour } from '../gateway/port.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { gatewayKey, probeTarget } from '../rotation/plan/look.ts'
import type { DiscoveredCertificate, QuotaFacts, Unread } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import type { Lists } from './gather.ts'

type GatewayConfig = Wiring['config']['certificates'][string]['gateways'][number]

export interface Discovery {
  discovered: DiscoveredCertificate[]
  quotas: QuotaFacts[]
  unread: Unread[]
}

/**
 * `discover: true`: every certificate at the configured gateways and in SCM, also those this tool did not deploy,
 * and how full the gateways are. Reads only; a place that cannot be read is noted and left out, so that one
 * missing permission does not silence the others. What is seen is put into `found` at once: whoever has no more time
 * takes what is there.
 */
export async function discover(
  wiring: Wiring,
  parties: Parties,
  lists: Lists,
  found: Discovery,
  unlisted: readonly GatewayConfig[] = [],
): Promise<void> {
  const gateways = new Map<string, { config: GatewayConfig; quota: number | undefined }>()
  const listed = new Set<string>()
  for (const certificate of Object.values(wiring.config.certificates))
    for (const config of certificate.gateways) {
      const key = gatewayKey(config)
      // Not every certificate of a gateway says its quota; where two differ, the smaller one warns in time.
      const said = [gateways.get(key)?.quota, certificate.maxCertificates].filter((one) => one !== undefined)
      gateways.set(key, { config, quota: said.length === 0 ? undefined : Math.min(...said) })
      for (const domain of config.domains) {
        const host = typeof domain === 'string' ? domain : domain.host
        if (host) listed.add(`${key} ${host}`)
      }
    }
  for (const config of unlisted) gateways.set(gatewayKey(config), { config, quota: undefined })
  await Promise.all(
    [...gateways].map(([key, { config, quota }]) =>
      orNote(parties, found, key, () =>
        lookAtGateway(wiring, parties, key, config, quota, listed, lists.get(key), found),
      ),
    ),
  )
  await askManager(wiring, parties, found)
}

const FLAVOURS: readonly Flavour[] = ['apig', 'roma']

/** A config without any gateway still watches with `discover: true`: then every gateway of the project is one. */
export async function unlistedGateways(
  wiring: Wiring,
  parties: Parties,
  found: Discovery,
): Promise<GatewayConfig[]> {
  const { discover, certificates } = wiring.config
  if (!discover || Object.values(certificates).some(({ gateways }) => gateways.length > 0)) return []
  const gateways: GatewayConfig[] = []
  await Promise.all(
    FLAVOURS.map((flavour) =>
      orNote(parties, found, flavour, async () => {
        for (const { id } of await wiring.instances(flavour, parties.deadline.signal))
          gateways.push({ ...ONLY_WATCHED, flavour, instanceId: id })
      }),
    ),
  )
  return gateways
}

/** As the schema has it where nothing is said: nothing is rotated at these. */
const ONLY_WATCHED = {
  scope: 'instance',
  strategy: 'rebind',
  attachFirst: 'auto',
  updateWithoutWayBack: false,
  domains: [],
} as const satisfies Partial<GatewayConfig>

async function lookAtGateway(
  wiring: Wiring,
  parties: Parties,
  key: string,
  config: GatewayConfig,
  quota: number | undefined,
  listed: ReadonlySet<string>,
  domains: DomainBinding[] | undefined,
  found: Discovery,
): Promise<void> {
  if (!wiring.config.discover && quota === undefined) return
  const gateway = parties.gatewayFor(config)
  const certificates = await gateway.certificates()
  if (quota !== undefined)
    found.quotas.push({ where: gateway.description, used: certificates.length, limit: quota })
  // Without the list nobody knows what is bound; that it could not be read is said where it was tried.
  if (!wiring.config.discover || domains === undefined) return
  for (const certificate of certificates) {
    const bound = domains.filter((domain) => domain.certificates.some((one) => one.id === certificate.id))
    // What rotation.yaml lists is watched under its own name.
    const others = bound.filter((domain) => !listed.has(`${key} ${domain.host}`))
    if (bound.length > 0 && others.length === 0) continue
    const hosts: DiscoveredCertificate['hosts'][number][] = []
    await inParallel(16, others, async ({ host }) => {
      const target = probeTarget(host, config.verify)
      hosts.push({ host, ...(target ? { result: await parties.probe.handshake(target) } : {}) })
    })
    found.discovered.push({
      where: gateway.description,
      id: certificate.id,
      name: certificate.name,
      commonName: certificate.commonName,
      names: certificate.names,
      notAfter: certificate.notAfter,
      hosts,
    })
  }
}

/** Asked where something is pushed, too: it could not be known else that it refuses us before the next push. */
export async function askManager(wiring: Wiring, parties: Parties, found: Discovery): Promise<void> {
  const pushes = Object.values(wiring.config.certificates).some(({ push }) => push.length > 0)
  if (parties.manager && (wiring.config.discover || pushes))
    await orNote(parties, found, 'scm', () => lookAtManager(wiring, parties, found))
}

async function lookAtManager({ config }: Wiring, parties: Parties, found: Discovery): Promise<void> {
  const listed = (await parties.manager?.list()) ?? []
  if (!config.discover) return
  for (const { id, name, commonName, names, notAfter } of listed)
    if (notAfter && !/^cr_.+_[0-9a-f]{24}$/.test(name))
      found.discovered.push({ where: 'scm', id, name, commonName, names, notAfter, hosts: [] })
}

async function orNote(
  parties: Parties,
  { unread }: Discovery,
  where: string,
  work: () => Promise<void>,
): Promise<void> {
  try {
    await work()
  } catch (thrown) {
    const failure = asFailure(thrown)
    parties.log.warn(`${where} could not be looked at: ${failure.message}`, { failure })
    unread.push({ where, failure: failure.toJSON(), list: true })
  }
}
