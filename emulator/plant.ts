import { badInput } from './auth.ts'
import { type Authority, createAuthority, type Issued } from './authority.ts'
import {
  type CertificateFacts,
  covers,
  isAuthorityPem,
  readCertificates,
  readPrivateKey,
} from './certificate-reader.ts'
import type { EmulatorClock } from './clock.ts'
import { plantDns } from './dns.ts'
import { FUNCTIONGRAPH_DOMAIN } from './functiongraph-state.ts'
import { looked } from './host-name.ts'
import { identityOf } from './identity.ts'
import { newInstanceId, newResourceId, newToken } from './ids.ts'
import { rulesSchema } from './rules.ts'
import { resolveInstant, type Seed } from './seed.ts'
import { topicUrn } from './smn.ts'
import { type Domain, type GatewayCertificate, type Group, type Instance, World } from './world.ts'

type SeedCertificate = Seed['certificates'][number]
type SeedInstance = Seed['instances'][number]
type SeedDomain = SeedInstance['groups'][number]['domains'][number]

interface Material {
  certificatePem: string
  privateKeyPem: string
  facts: CertificateFacts
}

/** The authorities of an emulator: they outlive a reset, so that clients' trust does. */
export interface Authorities {
  root: Authority
  intermediate: Authority
}

export async function createAuthorities(): Promise<Authorities> {
  const root = await createAuthority({ commonName: 'Emulator Root CA' })
  const intermediate = await createAuthority({
    commonName: 'Emulator Intermediate CA',
    issuer: root,
    pathLength: 0,
  })
  return { root, intermediate }
}

/** Makes the cloud that a seed describes. Fails with `emulator.bad-input` where the seed contradicts itself. */
export async function plant(seed: Seed, clock: EmulatorClock, authorities: Authorities): Promise<World> {
  const { region, project } = seed
  const world = new World({
    clock,
    rules: rulesSchema.parse(seed.rules),
    region,
    project: {
      id: project.id ?? newResourceId(),
      name: project.name ?? region,
      domainId: project.domainId ?? newResourceId(),
      domainName: project.domainName ?? 'emulator',
    },
    ...authorities,
  })
  plantPeople(world, seed)
  const instances = seed.instances.map((one) => ({ one: expanded(one), instance: plantInstance(world, one) }))
  const planter = new CertificatePlanter(
    world,
    withLoadCertificates(
      seed,
      instances.map(({ one }) => one),
    ),
  )
  for (const { one } of instances) {
    for (const domain of one.groups.flatMap((group) => group.domains)) {
      for (const ref of refsOf(domain)) planter.expectHost(ref, looked(domain.host))
    }
  }
  for (const { one, instance } of instances) await plantDomains(world, planter, one, instance)
  await planter.plantUnused()
  for (const certificate of seed.scmCertificates) {
    const made = await materialOf(world, certificate, [], `scmCertificates ${certificate.name}`)
    const init = { name: certificate.name, facts: made.facts, enterpriseProjectId: '0' }
    world.addScmCertificate(certificate.id === undefined ? init : { ...init, id: certificate.id })
  }
  for (const name of seed.topics) {
    const urn = topicUrn(world, name)
    world.topics.set(urn, { urn, name, displayName: '' })
  }
  plantDns(world, seed.dns)
  world.gaps.length = 0
  return world
}

function plantPeople(world: World, seed: Seed): void {
  const now = world.clock.now()
  for (const { name, actions } of seed.agencies) {
    const id = newResourceId()
    const rest = { description: '', trustDomainName: FUNCTIONGRAPH_DOMAIN, createdAt: now, grants: [] }
    identityOf(world).agencies.set(id, { id, name, actions, ...rest })
  }
  for (const user of seed.users) {
    const { name, password, actions } = user
    const domainName = user.domainName ?? world.project.domainName
    world.users.push({ id: user.id ?? newResourceId(), name, password, domainName, actions })
  }
  for (const key of seed.accessKeys) {
    const id = key.id ?? `EMULATOR${newResourceId().slice(0, 12).toUpperCase()}`
    world.accessKeys.set(id, {
      id,
      secret: key.secret ?? `emulator${newResourceId()}`,
      securityToken: key.securityToken ?? (key.expiresAt === undefined ? undefined : newToken()),
      expiresAt: key.expiresAt === undefined ? undefined : resolveInstant(key.expiresAt, now),
      actions: key.actions,
    })
  }
  for (const token of seed.tokens) {
    const expiresAt =
      token.expiresAt === undefined
        ? new Date(now.getTime() + world.rules.tokenLifetimeMs)
        : resolveInstant(token.expiresAt, now)
    const userName = token.userName ?? world.users[0]?.name ?? 'emulator'
    world.tokens.set(token.token, {
      userName,
      projectId: world.project.id,
      expiresAt,
      actions: token.actions,
    })
  }
}

// The load-test shorthand written out: groups of five.
function expanded(instance: SeedInstance): SeedInstance {
  const shorthand = instance.domains
  if (shorthand === undefined) return instance
  const { count, suffix, certificate } =
    typeof shorthand === 'number'
      ? { count: shorthand, suffix: 'load.example', certificate: undefined }
      : shorthand
  const groups: SeedInstance['groups'] = []
  for (let n = 1; n <= count; n += 1) {
    if ((n - 1) % 5 === 0) groups.push({ name: `load_${groups.length + 1}`, domains: [] })
    groups.at(-1)!.domains.push({ host: `d${n}.${suffix}`, certificate: certificate ?? `load *.${suffix}` })
  }
  return { ...instance, groups: [...instance.groups, ...groups] }
}

function withLoadCertificates(seed: Seed, instances: SeedInstance[]): SeedCertificate[] {
  const refs = new Set(
    instances.flatMap((one) =>
      one.groups.flatMap((group) => group.domains.map((it) => it.certificate ?? '')),
    ),
  )
  const loads = [...refs]
    .filter((ref) => ref.startsWith('load *.') && !seed.certificates.some((one) => one.ref === ref))
    .map(
      (ref): SeedCertificate => ({
        ref,
        name: 'load',
        scope: 'global',
        generate: { names: [ref.slice('load '.length)] },
      }),
    )
  return [...seed.certificates, ...loads]
}

function plantInstance(
  world: World,
  { flavour, id = newInstanceId(), name = `${flavour}-emulator` }: SeedInstance,
): Instance {
  if (world.instances.has(id)) throw badInput(`The seed names the instance ${id} twice`)
  const instance: Instance = { id, name, flavour, createdAt: world.clock.now(), groups: new Map() }
  world.instances.set(id, instance)
  return instance
}

async function plantDomains(
  world: World,
  planter: CertificatePlanter,
  seeded: SeedInstance,
  instance: Instance,
): Promise<void> {
  const hosts = new Set<string>()
  for (const [index, one] of seeded.groups.entries()) {
    const group: Group = {
      id: one.id ?? newResourceId(),
      name: one.name ?? `group_${index + 1}`,
      instanceId: instance.id,
      createdAt: world.clock.now(),
      domains: new Map(),
    }
    if (instance.groups.has(group.id)) throw badInput(`The seed names the API group ${group.id} twice`)
    instance.groups.set(group.id, group)
    if (one.domains.length > world.rules.domainsPerGroup) {
      throw badInput(
        `The seed puts ${one.domains.length} domains into the API group ${group.name}; ${world.rules.domainsPerGroup} are allowed`,
      )
    }
    for (const item of one.domains) {
      const { host } = item
      if (hosts.has(host.toLowerCase()))
        throw badInput(`The seed names the domain ${host} twice on the instance ${instance.name}`)
      hosts.add(host.toLowerCase())
      const { id, minSslVersion } = item
      const domain = world.addDomain(group, {
        host,
        ...(id === undefined ? {} : { id }),
        ...(minSslVersion === undefined ? {} : { minSslVersion }),
      })
      await bindSeeded(world, planter, item, domain)
    }
  }
}

async function bindSeeded(
  world: World,
  planter: CertificatePlanter,
  item: SeedDomain,
  domain: Domain,
): Promise<void> {
  for (const ref of refsOf(item)) {
    const certificate = await planter.certificateFor(ref, domain)
    if (!covers(certificate.facts.names, domain.host)) {
      throw badInput(`The seed's certificate ${ref} does not cover the domain ${domain.host}`)
    }
    if (domain.certificates.some((one) => one.facts.algorithm === certificate.facts.algorithm)) {
      throw badInput(
        `The seed binds two ${certificate.facts.algorithm} certificates to the domain ${domain.host}`,
      )
    }
    const hasCa = certificate.trustedRootCaPem !== undefined
    if (item.clientVerification === true && !hasCa) {
      throw badInput(
        `The seed's certificate ${ref} has no trustedRootCa, which clientVerification of ${domain.host} needs`,
      )
    }
    world.bind(domain, certificate, hasCa && (item.clientVerification ?? true))
  }
  domain.view.length = 0
  world.showNow(domain)
}

function refsOf(domain: SeedDomain): string[] {
  return [...(domain.certificate === undefined ? [] : [domain.certificate]), ...(domain.certificates ?? [])]
}

// A name that the gateways would accept: 4 to 50 letters, digits and underscores, a letter first.
function nameOf(ref: string): string {
  const letters = ref.replace(/[^A-Za-z0-9]+/g, '_').replace(/^[^A-Za-z]+/, '')
  return `cert_${letters}`.slice(0, 50)
}

/** Makes each seeded certificate where it is needed: once per product, or once per instance for scope `instance`. */
class CertificatePlanter {
  readonly #world: World
  readonly #seeded = new Map<string, SeedCertificate>()
  readonly #materials = new Map<string, Promise<Material>>()
  readonly #planted = new Map<string, GatewayCertificate>()
  readonly #hosts = new Map<string, Set<string>>()

  constructor(world: World, certificates: SeedCertificate[]) {
    this.#world = world
    for (const one of certificates) {
      if (this.#seeded.has(one.ref)) throw badInput(`The seed has two certificates with the ref ${one.ref}`)
      this.#seeded.set(one.ref, one)
      world.certificateRefs.set(one.ref, [])
    }
  }

  /** Names for `generate` without names: known only after all domains were read. */
  expectHost(ref: string, host: string): void {
    this.#hosts.set(ref, (this.#hosts.get(ref) ?? new Set()).add(host))
  }

  async certificateFor(ref: string, domain: Domain): Promise<GatewayCertificate> {
    return this.#plant(ref, this.#world.instances.get(domain.instanceId)!)
  }

  /** Certificates that no domain refers to exist all the same, at every product that the seed has. */
  async plantUnused(): Promise<void> {
    for (const [ref, made] of this.#world.certificateRefs) {
      if (made.length > 0) continue
      for (const instance of this.#world.instances.values()) await this.#plant(ref, instance)
    }
  }

  async #plant(ref: string, instance: Instance): Promise<GatewayCertificate> {
    const seeded = this.#seeded.get(ref)
    if (seeded === undefined) throw badInput(`The seed has no certificate with the ref ${ref}`)
    const scoped = seeded.scope === 'instance'
    const place = `${ref} ${scoped ? instance.id : instance.flavour}`
    const present = this.#planted.get(place)
    if (present !== undefined) return present
    const material = await this.#material(seeded)
    const ca = seeded.trustedRootCa === 'seeded' ? this.#world.root.certificatePem : seeded.trustedRootCa
    if (ca !== undefined && (!scoped || !isAuthorityPem(ca))) {
      throw badInput(
        `The seed's certificate ${ref} has a trustedRootCa that is not a CA certificate, or scope global`,
      )
    }
    const certificate = this.#world.addCertificate({
      ...(seeded.id === undefined || this.#planted.has(ref) ? {} : { id: seeded.id }),
      ...material,
      flavour: instance.flavour,
      name: seeded.name ?? nameOf(ref),
      instanceId: scoped ? instance.id : undefined,
      trustedRootCaPem: ca,
    })
    this.#planted.set(place, certificate)
    this.#planted.set(ref, certificate)
    this.#world.certificateRefs.get(ref)!.push(certificate)
    return certificate
  }

  #material(seeded: SeedCertificate): Promise<Material> {
    const present = this.#materials.get(seeded.ref)
    if (present !== undefined) return present
    const made = materialOf(
      this.#world,
      seeded,
      [...(this.#hosts.get(seeded.ref) ?? [])],
      `certificate ${seeded.ref}`,
    )
    this.#materials.set(seeded.ref, made)
    return made
  }
}

async function materialOf(
  world: World,
  seeded: Pick<SeedCertificate, 'generate' | 'certificatePem' | 'privateKeyPem'>,
  hosts: string[],
  what: string,
): Promise<Material> {
  const { certificatePem, privateKeyPem } =
    seeded.generate === undefined
      ? { certificatePem: seeded.certificatePem!, privateKeyPem: seeded.privateKeyPem! }
      : await generated(world, seeded.generate, hosts, what)
  const read = readCertificates(certificatePem)
  const key = readPrivateKey(privateKeyPem)
  if (read === undefined || key === undefined || !read.certificates[0]!.checkPrivateKey(key)) {
    throw badInput(
      `The seed's ${what} is not an RSA or ECDSA certificate in PEM with its own unencrypted key`,
    )
  }
  return { certificatePem, privateKeyPem, facts: read.leaf }
}

async function generated(
  world: World,
  generate: NonNullable<SeedCertificate['generate']>,
  hosts: string[],
  what: string,
): Promise<Pick<Material, 'certificatePem' | 'privateKeyPem'>> {
  const now = world.clock.now()
  const names = generate.names ?? hosts
  if (names.length === 0) throw badInput(`The seed's ${what} has no names and no domain refers to it`)
  const authority = generate.issuer === 'root' ? world.root : world.intermediate
  const issued: Issued = await authority.issue({
    names,
    notBefore: resolveInstant(generate.notBefore ?? '-1d', now),
    notAfter: resolveInstant(generate.notAfter ?? '+90d', now),
    ...(generate.commonName === undefined ? {} : { commonName: generate.commonName }),
    ...(generate.key === undefined ? {} : { key: generate.key }),
  })
  return { certificatePem: issued.fullchainPem, privateKeyPem: issued.privateKeyPem }
}
