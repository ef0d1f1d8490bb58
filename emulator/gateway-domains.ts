import {
  checkAttach,
  checkRoom,
  effectiveFlag,
  readForm,
  readMaterial,
  requireCover,
} from './gateway-certificates.ts'
import {
  domainOfPath,
  fieldsOf,
  invalid,
  missing,
  optionalFlag,
  optionalText,
  pageOf,
  requireCertificate,
  requiredText,
  requireGroup,
  requireId,
  requireInstance,
} from './gateway-input.ts'
import { certificateInDetail, domainAfterChange, groupView, instanceView } from './gateway-views.ts'
import { looked } from './host-name.ts'
import { RESOURCE_ID } from './ids.ts'
import { ApiError, type Reply, type RequestContext } from './service.ts'
import type { Domain, Flavour, GatewayCertificate } from './world.ts'

const HOST = /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const DOMAIN_FIELDS = [
  'min_ssl_version',
  'is_http_redirect_to_https',
  'ingress_http_port',
  'ingress_https_port',
  'verified_client_certificate_enabled',
]

export function domainHandlers(flavour: Flavour) {
  /** Exactly one id, as an array (D1, D2). */
  const readAttachBody = (context: RequestContext) => {
    const fields = fieldsOf(context, ['certificate_ids', 'verified_client_certificate_enabled'])
    const ids = fields.certificate_ids
    if (ids === undefined || ids === null) throw missing('certificate_ids')
    const one = Array.isArray(ids) && ids.length === 1 ? (ids[0] as unknown) : undefined
    if (typeof one !== 'string' || !RESOURCE_ID.test(one)) throw invalid('certificate_ids')
    return { id: one, flag: optionalFlag(fields, 'verified_client_certificate_enabled') }
  }

  /** D1: attaching what is attached succeeds and sets the flag. */
  const attach = (context: RequestContext): Reply => {
    const { world } = context
    let body: ReturnType<typeof readAttachBody> | undefined
    const { domain } = domainOfPath(context, flavour, () => {
      body = readAttachBody(context)
    })
    const certificate = requireCertificate(world, flavour, body!.id)
    checkAttach(world, certificate, domain, body!.flag)
    world.bind(domain, certificate, effectiveFlag(certificate, body!.flag))
    return { status: 204 }
  }

  /** D2 */
  const detach = (context: RequestContext): Reply => {
    const { world } = context
    let body: ReturnType<typeof readAttachBody> | undefined
    const { domain } = domainOfPath(context, flavour, () => {
      body = readAttachBody(context)
    })
    const certificate = requireCertificate(world, flavour, body!.id)
    if (!domain.certificates.includes(certificate)) {
      if (world.rules.detachUnbound === 'bad-request')
        throw new ApiError(400, 'APIG.2000', 'no valid domain name')
      throw notBound()
    }
    world.unbind(domain, certificate)
    return { status: 204 }
  }

  /** D3: creates and binds in one step. */
  const add = (context: RequestContext): Reply => {
    const { world } = context
    const known = ['name', 'cert_content', 'private_key']
    if (flavour === 'roma') known.push('type', 'instance_id', 'trusted_root_ca')
    let form: ReturnType<typeof readForm> | undefined
    const { domain } = domainOfPath(context, flavour, () => {
      form = readForm(context, flavour, known)
    })
    const facts = readMaterial(world, form!)
    requireCover(facts.names, domain)
    const candidate = { ...form!, flavour, facts } as GatewayCertificate
    checkAttach(world, candidate, domain, undefined)
    checkRoom(world, flavour, form!.name)
    const certificate = world.addCertificate({ ...form!, flavour, facts })
    world.bind(domain, certificate, effectiveFlag(certificate, undefined))
    return { status: 201, body: domainAfterChange(world, domain, certificate) }
  }

  const boundOfPath = (context: RequestContext) => {
    const { world, params } = context
    const { domain } = domainOfPath(context, flavour, () =>
      requireId(params.certificate_id!, 'certificate_id'),
    )
    const certificate = requireCertificate(world, flavour, params.certificate_id!)
    if (!domain.certificates.includes(certificate)) throw notBound()
    return { domain, certificate }
  }

  /** D4 */
  const showCertificate = (context: RequestContext): Reply => {
    const { certificate } = boundOfPath(context)
    const { algorithm_type, ...body } = certificateInDetail(context.world, certificate)
    return { status: 200, body }
  }

  /** D5: unbinds and deletes. */
  const removeCertificate = (context: RequestContext): Reply => {
    const { world } = context
    const { domain, certificate } = boundOfPath(context)
    const bound = world.boundDomains(certificate)
    if (bound.length > 1 && world.rules.sharedRemoval === 'refuse') {
      throw new ApiError(
        400,
        'APIG.2000',
        'The SSL certificate is bound to other domain names (text invented)',
      )
    }
    for (const one of new Set([domain, ...bound])) world.unbind(one, certificate)
    world.removeCertificate(certificate)
    return { status: 204 }
  }

  /** D6 */
  const create = (context: RequestContext): Reply => {
    const { world, params } = context
    const instance = requireInstance(world, flavour, params.instance_id!)
    requireId(params.group_id!, 'group_id')
    const fields = fieldsOf(context, ['url_domain', ...DOMAIN_FIELDS])
    const host = requiredText(fields, 'url_domain')
    if (host.length > 255 || !HOST.test(looked(host)))
      throw new ApiError(400, 'APIG.2024', 'The domain name is invalid')
    const apply = readDomainSettings(fields)
    const group = requireGroup(instance, params.group_id!)
    if (
      [...world.domains()].some(
        (one) => one.instanceId === instance.id && one.host.toLowerCase() === host.toLowerCase(),
      )
    ) {
      throw new ApiError(400, 'APIG.3305', 'The URL domain already exists')
    }
    if (group.domains.size >= world.rules.domainsPerGroup) {
      throw new ApiError(403, 'APIG.3108', 'The number of domain names exceeds the limit')
    }
    const domain = world.addDomain(group, { host })
    apply(domain)
    return { status: 201, body: domainAfterChange(world, domain) }
  }

  /** D7 */
  const update = (context: RequestContext): Reply => {
    const { world } = context
    let apply: ((domain: Domain) => void) | undefined
    const { domain } = domainOfPath(context, flavour, () => {
      const fields = fieldsOf(context, DOMAIN_FIELDS)
      requiredText(fields, 'min_ssl_version')
      apply = readDomainSettings(fields)
    })
    apply!(domain)
    world.showLater(domain)
    return { status: 201, body: domainAfterChange(world, domain) }
  }

  /** D8 */
  const remove = (context: RequestContext): Reply => {
    const { domain } = domainOfPath(context, flavour, () => {})
    context.world.removeDomain(domain)
    return { status: 204 }
  }

  return { attach, detach, add, showCertificate, removeCertificate, create, update, remove }
}

export function groupHandlers(flavour: Flavour) {
  /** G1 */
  const listGroups = (context: RequestContext): Reply => {
    const { world, params, query } = context
    const instance = requireInstance(world, flavour, params.instance_id!)
    const name = query.get('name')
    const host = flavour === 'roma' ? query.get('domain_name') : null
    const precise = (query.get('precise_search') ?? '').split(',')
    const match = (value: string, wanted: string, field: string) =>
      precise.includes(field) ? value === wanted : value.includes(wanted)
    const found = [...instance.groups.values()]
      .filter((group) => query.get('id') === null || group.id === query.get('id'))
      .filter((group) => name === null || match(group.name, name, 'name'))
      .filter(
        (group) =>
          host === null ||
          [...group.domains.values()].some((domain) => match(domain.host, host, 'domain_name')),
      )
    const page = pageOf(query, found)
    const groups = page.items.map((group) => groupView(world, group))
    return { status: 200, body: { size: page.size, total: page.total, groups } }
  }

  /** G2 */
  const showGroup = (context: RequestContext): Reply => {
    const { world, params } = context
    const instance = requireInstance(world, flavour, params.instance_id!)
    const group = requireGroup(instance, requireId(params.group_id!, 'group_id'))
    return { status: 200, body: groupView(world, group) }
  }

  /** I1 */
  const listInstances = (context: RequestContext): Reply => {
    const { world, query } = context
    const id = query.get('instance_id')
    const name = query.get('instance_name')
    const found = [...world.instances.values()]
      .filter((instance) => instance.flavour === flavour)
      .filter((instance) => id === null || instance.id === id)
      .filter((instance) => name === null || instance.name.includes(name))
    const page = pageOf(query, found)
    const instances = page.items.map((instance) => instanceView(world, instance))
    return { status: 200, body: { size: page.size, total: page.total, instances } }
  }

  /** I2 */
  const showInstance = (context: RequestContext): Reply => {
    const { world, params } = context
    return { status: 200, body: instanceView(world, requireInstance(world, flavour, params.instance_id!)) }
  }

  return { listGroups, showGroup, listInstances, showInstance }
}

// Reads first and applies later: a refused request must not have changed half of the settings.
function readDomainSettings(fields: Record<string, unknown>): (domain: Domain) => void {
  const version = optionalText(fields, 'min_ssl_version')
  if (version !== undefined && version !== 'TLSv1.1' && version !== 'TLSv1.2')
    throw invalid('min_ssl_version')
  const redirect = optionalFlag(fields, 'is_http_redirect_to_https')
  const verification = optionalFlag(fields, 'verified_client_certificate_enabled')
  const httpPort = readPort(fields, 'ingress_http_port', 80)
  const httpsPort = readPort(fields, 'ingress_https_port', 443)
  return (domain) => {
    const hasCa = domain.certificates.some((one) => one.trustedRootCaPem !== undefined)
    if (verification === true && !hasCa) throw invalid('verified_client_certificate_enabled')
    domain.minSslVersion = version ?? domain.minSslVersion
    domain.redirect = redirect ?? domain.redirect
    domain.clientVerification = verification ?? domain.clientVerification
    domain.httpPort = httpPort ?? domain.httpPort
    domain.httpsPort = httpsPort ?? domain.httpsPort
  }
}

function readPort(fields: Record<string, unknown>, name: string, standard: number): number | undefined {
  const value = fields[name]
  if (value === undefined || value === null) return undefined
  const isNumber = typeof value === 'number' && Number.isInteger(value)
  if (isNumber && (value === -1 || value === standard || (value >= 1024 && value <= 49151))) return value
  throw invalid(name)
}

function notBound(): ApiError {
  return new ApiError(404, 'APIG.3097', 'The binding of the certificate and the domain name does not exist')
}
