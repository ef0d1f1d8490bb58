import { dnsState } from './dns.ts'
import { visible } from './edge-view.ts'
import { functionsOf } from './functiongraph-state.ts'
import { wholeSeconds } from './gateway-views.ts'
import { identityOf } from './identity.ts'
import { bucketsOf } from './obs.ts'
import type { Domain, GatewayCertificate, World } from './world.ts'

/** `GET /__emulator/state`: what is there now. Public facts only, never a key, token or password. */
export function stateOf(world: World) {
  const domains = [...world.domains()]
  return {
    now: world.clock.now().toISOString(),
    region: world.region,
    project: world.project.id,
    instances: [...world.instances.values()].map(({ id, name, flavour }) => ({ id, name, flavour })),
    bindings: domains.map((domain) => bindingOf(world, domain)),
    certificates: [...world.certificates.apig.values(), ...world.certificates.roma.values()].map((one) => ({
      ...briefly(one),
      flavour: one.flavour,
      type: one.instanceId === undefined ? 'global' : 'instance',
      instanceId: one.instanceId ?? null,
      names: one.facts.names,
      hasTrustedRootCa: one.trustedRootCaPem !== undefined,
      createdAt: one.createdAt.toISOString(),
      updatedAt: one.updatedAt.toISOString(),
      boundTo: world.boundDomains(one).map((domain) => domain.host),
    })),
    scm: [...world.scm.values()].map((one) => ({
      id: one.id,
      name: one.name,
      fingerprint: one.facts.fingerprint,
      names: one.facts.names,
      notAfter: wholeSeconds(one.facts.notAfter),
      deployments: one.deployments,
    })),
    pushes: copiesPerTarget(world),
    ...accountOf(world),
    topics: [...world.topics.keys()],
    messages: world.messages,
    dns: dnsState(world),
    gaps: world.gaps.map(({ startedAt, ...gap }) => gap),
    domainsWithoutCertificate: domains
      .filter((domain) => domain.certificates.length === 0)
      .map(({ host, instanceId }) => ({ host, instanceId })),
  }
}

export type EmulatorState = ReturnType<typeof stateOf>

/** What an installation makes for itself. */
function accountOf(world: World) {
  const { agencies, policies } = identityOf(world)
  return {
    agencies: [...agencies.values()].map(({ name, grants }) => ({
      name,
      policies: grants.map(({ policyId }) => policies.get(policyId)!.displayName),
    })),
    policies: [...policies.values()].map(({ displayName, type }) => ({ displayName, type })),
    buckets: [...bucketsOf(world)].map(([name, objects]) => ({ name, objects: [...objects.keys()].sort() })),
    functions: [...functionsOf(world).functions.values()].map(({ name, published, triggers }) => ({
      name,
      versions: published.map(({ version }) => version),
      triggers: triggers.map(({ type }) => type),
    })),
  }
}

function bindingOf(world: World, domain: Domain) {
  const shown = visible(world, domain)
  return {
    host: domain.host,
    flavour: domain.flavour,
    instanceId: domain.instanceId,
    groupId: domain.groupId,
    domainId: domain.id,
    certificates: domain.certificates.map(briefly),
    clientVerification: domain.clientVerification,
    /** What the TLS edge shows at this moment. */
    served: {
      fingerprints: shown?.certificates.map((one) => one.fingerprint) ?? [],
      clientVerification: shown?.clientVerification ?? false,
    },
  }
}

function briefly(certificate: GatewayCertificate) {
  const { id, name, facts } = certificate
  return {
    id,
    name,
    algorithm: facts.algorithm,
    fingerprint: facts.fingerprint,
    serial: facts.serialHex.toLowerCase(),
    notAfter: wholeSeconds(facts.notAfter),
  }
}

function copiesPerTarget(world: World) {
  const targets = new Map<
    string,
    { certificateId: string; service: string; project: string; copies: number }
  >()
  for (const { certificateId, service, project } of world.pushes) {
    const key = `${certificateId} ${service} ${project}`
    const target = targets.get(key) ?? { certificateId, service, project, copies: 0 }
    target.copies += 1
    targets.set(key, target)
  }
  return [...targets.values()]
}

/** The `seed` part of the ready line: ids by the names that the seed used. */
export function seededIds(world: World) {
  const certificates = Object.fromEntries(
    [...world.certificateRefs].map(([ref, made]) => [
      ref,
      made.map((one) => ({
        id: one.id,
        name: one.name,
        flavour: one.flavour,
        instanceId: one.instanceId ?? null,
        fingerprint: one.facts.fingerprint,
        notAfter: wholeSeconds(one.facts.notAfter),
      })),
    ]),
  )
  return {
    region: world.region,
    project: { ...world.project },
    users: world.users.map(({ id, name, domainName, password }) => ({ id, name, domainName, password })),
    accessKeys: [...world.accessKeys.values()].map(({ id, secret, securityToken }) => ({
      id,
      secret,
      ...(securityToken === undefined ? {} : { securityToken }),
    })),
    instances: [...world.instances.values()].map((instance) => ({
      id: instance.id,
      name: instance.name,
      flavour: instance.flavour,
      groups: [...instance.groups.values()].map((group) => ({
        id: group.id,
        name: group.name,
        domains: [...group.domains.values()].map(({ id, host }) => ({ id, host })),
      })),
    })),
    certificates,
    scmCertificates: [...world.scm.values()].map(({ id, name }) => ({ id, name })),
    topics: [...world.topics.keys()],
    /** PEM of the seeded root: what TLS clients must trust. */
    ca: world.root.certificatePem,
  }
}
