import { writeFile } from 'node:fs/promises'
import { systemClock } from '../../shared/base/clock.ts'
import { countText } from '../../shared/base/count-text.ts'
import type { Flavour } from '../../shared/gateway/port.ts'
import { wrap } from '../../shared/status/table.ts'
import type { Paint } from './render.ts'
import { UsageError } from './usage.ts'

/** One domain as `init` found it at a gateway. */
export interface SurveyedDomain {
  host: string
  /** The certificate that is bound, as far as it tells certificates apart across gateways; undefined: none. */
  bound?: { names: readonly string[]; notAfter: Date }
}

export interface SurveyedGateway {
  flavour: Flavour
  instanceId: string
  name: string
  domains: readonly SurveyedDomain[]
}

/** Domains that share a certificate today, by gateway: one entry under `certificates:`. */
export interface DraftCertificate {
  name: string
  notAfter: Date | undefined
  gateways: { gateway: SurveyedGateway; hosts: string[] }[]
}

export interface DraftOptions {
  region: string
  projectId: string
  endpoints?: Record<string, string>
  store: { directory: string } | { bucket: string; endpoint?: string }
  /** The credentials as they stand in the file: names of variables, or the embedded cloud's made-up key. */
  accessKey: { id: string; secret: string; securityToken?: string }
  /** Where handshakes go instead of the name itself. */
  connect?: string
}

/** Groups what shares a certificate and gives each group a name that people would. What is bare stands alone. */
export function grouped(gateways: readonly SurveyedGateway[]): DraftCertificate[] {
  const groups = new Map<string, DraftCertificate>()
  for (const gateway of gateways)
    for (const { host, bound } of gateway.domains) {
      const key = bound
        ? `${[...bound.names].sort().join()} ${bound.notAfter.toISOString()}`
        : `bare ${gateway.instanceId} ${host}`
      const group = groups.get(key) ?? { name: '', notAfter: bound?.notAfter, gateways: [] }
      groups.set(key, group)
      const at = group.gateways.find((one) => one.gateway === gateway)
      if (at) at.hosts.push(host)
      else group.gateways.push({ gateway, hosts: [host] })
    }
  const taken = new Set<string>()
  return [...groups.values()].map((group) => {
    const wanted = nameOf(group.gateways.flatMap(({ hosts }) => hosts))
    let name = wanted
    for (let number = 2; taken.has(name); number++) name = `${wanted}-${number}`
    taken.add(name)
    return { ...group, name }
  })
}

/** `api.shop.example` and `*.shop.example` are `shop`; a name alone is its first label. */
function nameOf(hosts: readonly string[]): string {
  const labels = hosts.map((host) => host.replace(/^\*\./, '').split('.').reverse())
  const [first = []] = labels
  let shared = 0
  while (shared < first.length && labels.every((one) => one[shared] === first[shared])) shared++
  // At least something below the top-level domain; what nobody shares is called after the first.
  const label = first[Math.max(shared, 2) - 1] ?? first[0] ?? ''
  const plain = label
    .toLowerCase()
    .replace(/[^a-z0-9-]/g, '')
    .replace(/^-+|-+$/g, '')
  return plain === '' ? 'certificate' : plain
}

/** rotation.yaml as a person would write it. */
export function draftConfig(certificates: readonly DraftCertificate[], options: DraftOptions): string {
  const { region, projectId, endpoints, store, accessKey, connect } = options
  const token = accessKey.securityToken ? `, securityToken: ${quoted(accessKey.securityToken)}` : ''
  const lines = [
    '# yaml-language-server: $schema=./node_modules/cert-rotation/rotation.schema.json',
    'cloud:',
    `  region: ${quoted(region)}`,
    `  projectId: ${quoted(projectId)}`,
    '  auth:',
    `    accessKey: { id: ${quoted(accessKey.id)}, secret: ${quoted(accessKey.secret)}${token} }`,
  ]
  if (endpoints) {
    lines.push('  endpoints:')
    for (const [service, url] of Object.entries(endpoints)) lines.push(`    ${service}: ${quoted(url)}`)
  }
  lines.push('store:')
  if ('directory' in store) lines.push(`  directory: ${quoted(store.directory)}`)
  else {
    lines.push(`  bucket: ${quoted(store.bucket)}`)
    if (store.endpoint) lines.push(`  endpoint: ${quoted(store.endpoint)}`)
    // No name can stand before an address: neither of the embedded cloud nor of a server in a laboratory.
    if (store.endpoint && /^https?:\/\/(localhost|[\d.]+|\[)/.test(store.endpoint))
      lines.push('  pathStyle: true')
  }
  lines.push(certificates.length === 0 ? 'certificates: {}' : 'certificates:')
  for (const { name, notAfter, gateways } of certificates) {
    const until = notAfter
      ? `, in service until ${notAfter.toISOString().slice(0, 10)}`
      : ', nothing is bound yet'
    lines.push(`  ${quoted(name)}:  # bundles come in incoming/${name}/${until}`, '    gateways:')
    for (const { gateway, hosts } of gateways) {
      const label = gateway.name.replace(/[^\x20-\x7e]/g, '?')
      lines.push(`      - flavour: ${gateway.flavour}${label ? `  # ${label}` : ''}`)
      lines.push(`        instanceId: ${quoted(gateway.instanceId)}`)
      lines.push(`        domains: [${hosts.map(quoted).join(', ')}]`)
      if (connect) lines.push(`        verify: { connect: ${quoted(connect)} }`)
    }
  }
  return `${lines.join('\n')}\n`
}

/** Plain where YAML reads it back as the same text, else in quotes. */
function quoted(text: string): string {
  const plain = /^[A-Za-z./][A-Za-z0-9./_-]*$/.test(text) && !/^(true|false|null|yes|no|on|off)$/i.test(text)
  return plain ? text : JSON.stringify(text)
}

/** How long it is in service, for a list. */
export function lifeOf(notAfter: Date | undefined): string {
  if (!notAfter) return 'nothing bound'
  const days = Math.floor((notAfter.getTime() - systemClock.now().getTime()) / 86_400_000)
  return days < 0 ? 'expired' : `${days} days left`
}

/** Never over a file of somebody's: `keep` leaves it, else it is refused. */
export async function writeNew(
  file: string,
  text: string,
  where: 'refuse' | 'keep' = 'refuse',
): Promise<void> {
  try {
    await writeFile(file, text, { flag: 'wx' })
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    if (code === 'EEXIST' && where === 'keep') return
    throw new UsageError(
      code === 'EEXIST'
        ? `${file} is there already and is not overwritten`
        : `${file} cannot be written (${code})`,
      code === 'EEXIST'
        ? 'Name another file with --config, or take it away.'
        : 'Choose a folder that you may write to.',
    )
  }
}

/** One address for every service: a private endpoint, or the embedded cloud. */
export function everywhere(url: string): Record<string, string> {
  return Object.fromEntries(
    ['iam', 'apig', 'roma', 'scm', 'smn', 'dns', 'functiongraph'].map((service) => [service, url]),
  )
}

/** What was written, for a terminal. */
export function summary(
  certificates: readonly DraftCertificate[],
  file: string,
  paint: Paint,
  width: number,
): string {
  const lines = [`${paint('green', '✓')} wrote ${file}: ${countText(certificates.length, 'certificate')}`, '']
  for (const { name, notAfter, gateways } of certificates) {
    const hosts = gateways.flatMap((one) => one.hosts)
    const shown = `${hosts.slice(0, 3).join(', ')}${hosts.length > 3 ? ` and ${hosts.length - 3} more` : ''}`
    const line = `  ${paint('bold', name.padEnd(14))} ${lifeOf(notAfter).padEnd(14)} ${shown}`
    lines.push(...wrap(line, width, ' '.repeat(32)))
  }
  return `${lines.join('\n')}\n`
}
