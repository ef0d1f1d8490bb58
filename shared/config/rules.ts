import { domainToASCII } from 'node:url'
import { CERTIFICATE_NAME, isCertificateName } from '../base/names.ts'
import { endpointsFor, isOpenTelekomCloud } from './endpoints.ts'
import type { AcmeConfig, CertificateConfig, Config, DomainConfig, GatewayConfig } from './schema.ts'
import { type Path, type Problem, printable, printPath } from './source.ts'

/** The sections that the schema accepted; the others have been reported already. */
export interface Sections {
  cloud?: Config['cloud']
  store?: Config['store']
  certificates: Record<string, CertificateConfig>
  alerts?: Config['alerts']
  discover?: boolean
  /** True where the file has a cloud section, accepted or not. */
  hasCloud: boolean
  inFunction: boolean
}

/** What one field alone cannot show: choices that exclude or need each other. */
export function crossFieldProblems(sections: Sections): Problem[] {
  return [
    ...storeProblems(sections),
    ...authProblems(sections),
    ...Object.entries(sections.certificates).flatMap(([name, certificate]) =>
      certificateProblems(name, certificate, sections),
    ),
    ...repeatedGatewayProblems(sections.certificates),
    ...sharedDomainProblems(sections.certificates),
    ...channelProblems(sections),
    ...discoverProblems(sections),
  ]
}

function storeProblems({ store, cloud, hasCloud, inFunction }: Sections): Problem[] {
  if (!store) return []
  const problems: Problem[] = []
  if (store.bucket && store.directory) {
    problems.push({
      path: ['store', 'directory'],
      wrong: 'stands beside bucket',
      write: 'keep exactly one of the two',
    })
  }
  if (!store.bucket && !store.directory) {
    problems.push({ path: ['store'], wrong: 'names no place', write: 'write either bucket or directory' })
  }
  if (store.directory && !store.bucket) {
    for (const field of ['endpoint', 'region', 'accessKey'] as const) {
      if (store[field] !== undefined) {
        problems.push({
          path: ['store', field],
          wrong: 'belongs to a bucket',
          write: 'delete it, or write bucket',
        })
      }
    }
  }
  if (store.bucket && !store.directory && store.settle !== undefined) {
    problems.push({
      path: ['store', 'settle'],
      wrong: 'belongs to a directory: an object of a bucket is whole from the start',
      write: 'delete it',
    })
  }
  if (store.bucket && !store.endpoint && !hasCloud) {
    problems.push({
      path: ['store', 'bucket'],
      wrong: 'has no endpoint',
      write: 'write store.endpoint, or cloud.region to derive it from',
    })
  }
  const auth = cloud?.auth
  const signs = store.accessKey ?? auth?.accessKey ?? auth?.agency
  if (store.bucket && !inFunction && !signs && (cloud || !hasCloud)) {
    problems.push({
      path: ['store', 'bucket'],
      wrong: 'needs an access key: object storage takes neither tokens nor passwords',
      write: 'write store.accessKey: { id, secret }, or cloud.auth.accessKey',
    })
  }
  return problems
}

function discoverProblems({ discover, hasCloud }: Sections): Problem[] {
  if (!discover || hasCloud) return []
  return [
    {
      path: ['discover'],
      wrong: 'needs to know the cloud',
      write: 'add the section cloud: { region, auth }',
    },
  ]
}

function authProblems({ cloud, certificates, discover, inFunction }: Sections): Problem[] {
  if (!cloud) return []
  const path: Path = ['cloud', 'auth']
  const auth = cloud.auth ?? {}
  const kinds = Object.entries(auth)
    .filter(([, value]) => value !== undefined)
    .map(([kind]) => kind)
  if (kinds.length > 1) {
    return [
      {
        path,
        wrong: `has ${kinds.length} kinds of credentials (${kinds.join(', ')})`,
        write: 'keep exactly one',
      },
    ]
  }
  if (inFunction) return []
  const choices = 'write accessKey, password or token'
  if (auth.agency) {
    return [
      {
        path: [...path, 'agency'],
        wrong: 'exists only inside a function',
        write: `outside of one ${choices}`,
      },
    ]
  }
  const needed =
    discover || Object.values(certificates).some((c) => c.gateways.length > 0 || c.push.length > 0)
  return kinds.length === 0 && needed
    ? [{ path, wrong: 'is missing, and outside a function there is no agency', write: choices }]
    : []
}

function certificateProblems(name: string, certificate: CertificateConfig, sections: Sections): Problem[] {
  const path: Path = ['certificates', name]
  const problems: Problem[] = []
  if (CERTIFICATE_NAME.test(name) && !isCertificateName(name)) {
    problems.push({ path, wrong: 'has two dots in a row in its name', write: 'choose a name without `..`' })
  }
  const { cloud, hasCloud } = sections
  certificate.gateways.forEach((gateway, index) => {
    const at = [...path, 'gateways', index]
    if (!hasCloud) {
      problems.push({
        path: at,
        wrong: 'needs to know the cloud',
        write: 'add the section cloud: { region, auth }',
      })
    } else if (cloud && !endpointsFor(cloud.region, cloud.endpoints)[gateway.flavour]) {
      problems.push({
        path: [...at, 'flavour'],
        wrong: `${gateway.flavour} is not known to be offered in region ${printable(cloud.region)}`,
        write: `write cloud.endpoints.${gateway.flavour} if you have it there`,
      })
    }
    if (certificate.clientCa !== undefined && !canHoldClientCa(gateway)) {
      problems.push({
        path: at,
        wrong:
          'cannot hold the CA that clientCa names: global certificates and strategy add of APIG take none',
        write: 'write scope: instance with strategy rebind or update, or take clientCa out',
      })
    }
    gateway.domains.forEach((domain, d) => {
      const problem = hostProblem(hostOf(domain))
      if (problem) problems.push({ path: [...at, 'domains', d], ...problem })
    })
  })
  if (certificate.push.length > 0) {
    if (!hasCloud) {
      problems.push({
        path: [...path, 'push'],
        wrong: 'needs to know the cloud',
        write: 'add the section cloud: { region, auth }',
      })
    } else if (cloud && !endpointsFor(cloud.region, cloud.endpoints).scm) {
      problems.push({
        path: [...path, 'push'],
        wrong: `needs the certificate manager, which is not offered in region ${printable(cloud.region)}${
          isOpenTelekomCloud(cloud.region) ? ' (Open Telekom Cloud has none)' : ''
        }`,
        write: 'delete push, or write cloud.endpoints.scm if you have it there',
      })
    }
  }
  if (certificate.renew)
    problems.push(...renewProblems([...path, 'renew'], certificate.renew, certificate, hasCloud))
  return problems
}

/** "Add certificate to a domain" of APIG has three fields, none of them for a CA. */
function canHoldClientCa({ flavour, scope, strategy }: GatewayConfig): boolean {
  return !(scope === 'global' && strategy !== 'update') && !(strategy === 'add' && flavour === 'apig')
}

function renewProblems(
  path: Path,
  renew: AcmeConfig,
  certificate: CertificateConfig,
  hasCloud: boolean,
): Problem[] {
  const problems: Problem[] = []
  const hosts = certificate.gateways.flatMap((gateway) => gateway.domains.map(hostOf))
  const names = renew.names ?? hosts.filter((host) => host !== undefined)
  if (names.length === 0) {
    problems.push({
      path,
      wrong: 'has no names to order',
      write: 'write renew.names, or domains by their host',
    })
  }
  renew.names?.forEach((host, index) => {
    const problem = hostProblem(host)
    if (problem) problems.push({ path: [...path, 'names', index], ...problem })
  })
  const wildcard = names.find((host) => host.startsWith('*.'))
  const authorities = Array.isArray(renew.acme) ? renew.acme : [renew.acme]
  authorities.forEach((authority, index) => {
    const at = Array.isArray(renew.acme) ? [...path, 'acme', index] : [...path, 'acme']
    if (!authority.dns && !authority.http) {
      problems.push({
        path: at,
        wrong: 'has no way to prove the names',
        write: 'write dns: huaweicloud, dns: otc or http: { bucket }',
      })
    } else if (!authority.dns && wildcard !== undefined) {
      problems.push({
        path: at,
        wrong: `can prove the wildcard ${printable(wildcard)} by DNS only (RFC 8555, section 7.1.3)`,
        write: 'write dns: huaweicloud or dns: otc',
      })
    }
    if ((authority.dns || authority.http) && !hasCloud) {
      problems.push({
        path: at,
        wrong: 'needs to know the cloud',
        write: 'add the section cloud: { region, auth }',
      })
    }
  })
  return problems
}

/**
 * State, plan and probes know a gateway by its instance: of two entries for one only the last would be verified and
 * undone, and each would create its own copy of the certificate.
 */
function repeatedGatewayProblems(certificates: Record<string, CertificateConfig>): Problem[] {
  return Object.entries(certificates).flatMap(([certificate, { gateways }]) =>
    gateways.flatMap(({ flavour, instanceId }, index) => {
      const first = gateways.findIndex((one) => one.flavour === flavour && one.instanceId === instanceId)
      if (first === index) return []
      return {
        path: ['certificates', certificate, 'gateways', index],
        wrong: `names the gateway of ${printPath(['certificates', certificate, 'gateways', first])} a second time`,
        write: 'list its domains there; settings that differ by domain need a certificate of their own',
      }
    }),
  )
}

/** Two listings of one domain at one gateway would rotate it twice, or fight over it for ever. */
function sharedDomainProblems(certificates: Record<string, CertificateConfig>): Problem[] {
  const problems: Problem[] = []
  const seen: { gateway: string; domain: DomainConfig; certificate: string; path: Path }[] = []
  for (const [certificate, { gateways }] of Object.entries(certificates)) {
    gateways.forEach((gateway, g) => {
      const id = `${gateway.flavour} ${gateway.instanceId}`
      gateway.domains.forEach((domain, d) => {
        const path = ['certificates', certificate, 'gateways', g, 'domains', d]
        const earlier = seen.find((other) => other.gateway === id && sameDomain(other.domain, domain))
        if (!earlier) {
          seen.push({ gateway: id, domain, certificate, path })
        } else if (earlier.certificate === certificate) {
          problems.push({
            path,
            wrong: `is listed already as ${printPath(earlier.path)}`,
            write: 'delete one of the two',
          })
        } else {
          problems.push({
            path,
            wrong: `belongs to certificate ${printable(earlier.certificate)} on the same gateway already, and both would fight over it`,
            write: 'list the domain under one certificate only',
          })
        }
      })
    })
  }
  return problems
}

function sameDomain(a: DomainConfig, b: DomainConfig): boolean {
  const idOf = (domain: DomainConfig) =>
    typeof domain === 'object' && 'domainId' in domain ? domain.domainId : undefined
  const [idA, idB] = [idOf(a), idOf(b)]
  if (idA !== undefined && idB !== undefined) return idA === idB
  const [hostA, hostB] = [hostOf(a), hostOf(b)]
  return hostA !== undefined && hostB !== undefined && hostA === hostB
}

function channelProblems({ alerts, hasCloud }: Sections): Problem[] {
  if (!alerts || hasCloud) return []
  const lists: [Path, Config['alerts']['channels']][] = [
    [['alerts', 'channels'], alerts.channels],
    ...Object.entries(alerts.owners).map(([owner, list]): [Path, typeof list] => [
      ['alerts', 'owners', owner],
      list,
    ]),
    [['alerts', 'escalation', 'channels'], alerts.escalation?.channels ?? []],
  ]
  return lists.flatMap(([path, channels]) =>
    channels.flatMap((channel, index) =>
      'smn' in channel
        ? [
            {
              path: [...path, index, 'smn'],
              wrong: 'needs to know the cloud',
              write: 'add the section cloud: { region, auth }',
            },
          ]
        : [],
    ),
  )
}

function hostOf(domain: DomainConfig): string | undefined {
  return typeof domain === 'string' ? domain : domain.host
}

function hostProblem(host: string | undefined): Pick<Problem, 'wrong' | 'write'> | undefined {
  if (host === undefined) return undefined
  const name = host.replace(/^\*\./, '').replace(/\.$/, '')
  if (/[:/@\s]/.test(name)) {
    return { wrong: 'is more than a host name', write: 'write the name alone, such as api.shop.example' }
  }
  const ascii = domainToASCII(name)
  const labels =
    /^(?=.{1,253}$)[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/
  return labels.test(ascii)
    ? undefined
    : { wrong: 'is not a host name', write: 'write one such as api.shop.example or "*.shop.example"' }
}
