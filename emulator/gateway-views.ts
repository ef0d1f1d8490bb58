import type { Domain, Flavour, GatewayCertificate, Group, Instance, World } from './world.ts'

// The services' own shapes, with the traps that the documents and other clients report (reference, section 1.4).

/** `2026-11-22T06:13:05Z`. */
export function wholeSeconds(date: Date): string {
  return date.toISOString().replace(/\.\d+Z$/, 'Z')
}

// Lists show creation and update with microseconds.
function microseconds(date: Date): string {
  return date.toISOString().replace(/Z$/, '000Z')
}

export function certificateInList(world: World, certificate: GatewayCertificate): Record<string, unknown> {
  const { facts } = certificate
  return {
    id: certificate.id,
    name: certificate.name,
    type: certificate.instanceId === undefined ? 'global' : 'instance',
    instance_id: certificate.instanceId ?? 'common',
    project_id: world.project.id,
    common_name: facts.commonName,
    san: facts.names,
    not_after: wholeSeconds(facts.notAfter),
    signature_algorithm: facts.signatureAlgorithm,
    create_time: microseconds(certificate.createdAt),
    update_time: microseconds(certificate.updatedAt),
    is_has_trusted_root_ca: certificate.trustedRootCaPem !== undefined,
    // ROMA's public sites do not have this field.
    ...(certificate.flavour === 'apig' ? { algorithm_type: facts.algorithm } : {}),
  }
}

/** Neither certificate nor key: what is deployed cannot be read back. */
export function certificateInDetail(world: World, certificate: GatewayCertificate): Record<string, unknown> {
  const { facts } = certificate
  return {
    ...certificateInList(world, certificate),
    create_time: wholeSeconds(certificate.createdAt),
    update_time: wholeSeconds(certificate.updatedAt),
    version: 3,
    organization: facts.subject.O,
    organizational_unit: facts.subject.OU,
    locality: facts.subject.L,
    state: facts.subject.ST,
    country: facts.subject.C,
    not_before: wholeSeconds(facts.notBefore),
    serial_number: BigInt(`0x${facts.serialHex}`).toString(),
    issuer: facts.issuer,
  }
}

export function attachedDomain(world: World, group: Group, domain: Domain): Record<string, unknown> {
  const first = firstShown(world, domain)
  const filled = world.rules.attachedDomainsOptionalFields === 'filled'
  return {
    url_domain: domain.host,
    id: domain.id,
    status: 3,
    min_ssl_version: domain.minSslVersion,
    api_group_id: group.id,
    api_group_name: group.name,
    instance_id: domain.instanceId,
    verified_client_certificate_enabled: domain.clientVerification,
    is_http_redirect_to_https: filled ? domain.redirect : false,
    ingress_http_port: filled ? domain.httpPort : 0,
    ingress_https_port: filled ? domain.httpsPort : 0,
    ssl_id: filled ? (first?.id ?? '') : '',
    ssl_name: filled ? (first?.name ?? '') : '',
  }
}

/** Answer of the calls that make or change a domain (D3, D6, D7): other names than in a group. */
export function domainAfterChange(
  world: World,
  domain: Domain,
  shown?: GatewayCertificate,
): Record<string, unknown> {
  const certificate = shown ?? firstShown(world, domain)
  return {
    url_domain: domain.host,
    id: domain.id,
    status: 3,
    min_ssl_version: domain.minSslVersion,
    is_http_redirect_to_https: domain.redirect,
    verified_client_certificate_enabled: domain.clientVerification,
    ...(domain.flavour === 'apig'
      ? { ingress_http_port: domain.httpPort, ingress_https_port: domain.httpsPort }
      : {}),
    ...(certificate === undefined ? {} : { ssl_name: certificate.name, ssl_id: certificate.id }),
  }
}

export function groupView(world: World, group: Group): Record<string, unknown> {
  const subDomain = `${group.id}.apic.${world.region}.emulator.invalid`
  return {
    id: group.id,
    name: group.name,
    status: 1,
    sl_domain: subDomain,
    sl_domains: [subDomain],
    register_time: wholeSeconds(group.createdAt),
    update_time: wholeSeconds(group.createdAt),
    on_sell_status: 2,
    url_domains: [...group.domains.values()].map((domain) => domainInGroup(world, domain)),
    remark: '',
    call_limits: 0,
    time_interval: 0,
    time_unit: '',
    is_default: 2,
    version: 'V2',
  }
}

function domainInGroup(world: World, domain: Domain): Record<string, unknown> {
  const first = firstShown(world, domain)
  const infos = domain.flavour === 'apig' || world.rules.sslInfosInRoma === 'filled'
  return {
    id: domain.id,
    domain: domain.host,
    cname_status: 3,
    ssl_id: first?.id ?? '',
    ssl_name: first?.name ?? '',
    min_ssl_version: domain.minSslVersion,
    verified_client_certificate_enabled: domain.clientVerification,
    is_has_trusted_root_ca:
      domain.certificates.length > 0 &&
      domain.certificates.every((one) => one.trustedRootCaPem !== undefined),
    ingress_http_port: domain.httpPort,
    ingress_https_port: domain.httpsPort,
    ...(infos ? { ssl_infos: domain.certificates.map((one) => sslInfo(domain.flavour, one)) } : {}),
  }
}

function sslInfo(flavour: Flavour, certificate: GatewayCertificate): Record<string, unknown> {
  const global = certificate.instanceId === undefined
  return {
    ssl_id: certificate.id,
    ssl_name: certificate.name,
    algorithm_type: certificate.facts.algorithm,
    type: flavour === 'apig' ? (global ? 2 : 1) : global ? 'global' : 'instance',
    is_has_trusted_root_ca: certificate.trustedRootCaPem !== undefined,
  }
}

// `ssl_id` and `ssl_name`: APIG fills them for an RSA certificate only.
function firstShown(world: World, domain: Domain): GatewayCertificate | undefined {
  const rule = world.rules.sslIdInGroups
  const rsa = domain.certificates.find((one) => one.facts.algorithm === 'RSA')
  if (rule === 'rsa-only' || (rule === 'by-product' && domain.flavour === 'apig')) return rsa
  return rsa ?? domain.certificates[0]
}

export function instanceView(world: World, instance: Instance): Record<string, unknown> {
  if (instance.flavour === 'roma') {
    return {
      id: instance.id,
      name: instance.name,
      flavor_id: '00400-30101-01',
      status: 'RUNNING',
      project_id: world.project.id,
      create_time: wholeSeconds(instance.createdAt),
    }
  }
  return {
    id: instance.id,
    project_id: world.project.id,
    instance_name: instance.name,
    status: 'Running',
    instance_status: 6,
    type: 'apig',
    spec: 'BASIC',
    create_time: instance.createdAt.getTime(),
    enterprise_project_id: '0',
    eip_address: '127.0.0.1',
    loadbalancer_provider: 'elb',
    description: '',
  }
}
