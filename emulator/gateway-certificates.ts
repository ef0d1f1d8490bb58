import { checkMaterial, covers, isAuthorityPem } from './certificate-reader.ts'
import {
  fieldsOf,
  invalid,
  missing,
  optionalFlag,
  optionalText,
  pageOf,
  requireCertificate,
  requiredText,
  requireId,
  requireInstance,
} from './gateway-input.ts'
import { attachedDomain, certificateInDetail, certificateInList } from './gateway-views.ts'
import { ApiError, type Reply, type RequestContext } from './service.ts'
import type { Domain, Flavour, GatewayCertificate, World } from './world.ts'

const FORM_FIELDS = ['name', 'cert_content', 'private_key', 'type', 'instance_id', 'trusted_root_ca']
// Only APIG on Huawei Cloud; ROMA's public sites flag them as unsupported.
const APIG_FORM_FIELDS = [...FORM_FIELDS, 'algorithm_type', 'cert_content_sign', 'private_key_sign']
// Chinese letters may start a name on Huawei Cloud; the harsher OTC rule is used.
const NAME = /^[A-Za-z][A-Za-z0-9_]{3,49}$/

/** A CertificateForm whose syntax is right. */
export interface CertificateForm {
  name: string
  certificatePem: string
  privateKeyPem: string
  instanceId: string | undefined
  trustedRootCaPem: string | undefined
}

/** Instance, then syntax; contents are judged later, behind the existence of other objects. */
export function readForm(context: RequestContext, flavour: Flavour, known?: string[]): CertificateForm {
  const fields = fieldsOf(context, known ?? (flavour === 'apig' ? APIG_FORM_FIELDS : FORM_FIELDS))
  const type = optionalText(fields, 'type') ?? 'global'
  const instanceId = optionalText(fields, 'instance_id')
  if (type === 'instance' && instanceId !== undefined) requireInstance(context.world, flavour, instanceId)
  const name = requiredText(fields, 'name')
  if (!NAME.test(name)) throw invalid('name')
  const certificatePem = requiredText(fields, 'cert_content')
  const privateKeyPem = requiredText(fields, 'private_key')
  if (type !== 'instance' && type !== 'global') throw invalid('type')
  if (type === 'instance' && instanceId === undefined) throw missing('instance_id')
  const trustedRootCaPem = optionalText(fields, 'trusted_root_ca')
  if (trustedRootCaPem !== undefined && type !== 'instance') throw invalid('trusted_root_ca')
  const algorithm = optionalText(fields, 'algorithm_type')
  if (algorithm !== undefined && !['RSA', 'ECC'].includes(algorithm)) throw invalid('algorithm_type')
  return {
    name,
    certificatePem,
    privateKeyPem,
    instanceId: type === 'instance' ? instanceId : undefined,
    trustedRootCaPem,
  }
}

/** Content checks of a form. */
export function readMaterial(world: World, form: CertificateForm): GatewayCertificate['facts'] {
  const facts = checkMaterial(form.certificatePem, form.privateKeyPem, world.clock.now())
  if (form.trustedRootCaPem !== undefined && !isAuthorityPem(form.trustedRootCaPem)) {
    throw new ApiError(400, 'APIG.2106', 'Invalid trusted root certificate')
  }
  return facts
}

/** Limits and conflicts of a new certificate: behind everything else. */
export function checkRoom(world: World, flavour: Flavour, name: string, except?: GatewayCertificate): void {
  const quota = world.rules.certificateQuota
  if (except === undefined && quota !== null && world.certificates[flavour].size >= quota) {
    throw new ApiError(403, 'APIG.3100', 'The number of SSL certificates exceeds the limit')
  }
  if (world.rules.duplicateName === 'refuse') {
    const same = [...world.certificates[flavour].values()].some((one) => one.name === name && one !== except)
    if (same) throw new ApiError(400, 'APIG.3325', 'The API quota name already exists')
  }
}

export function certificateHandlers(flavour: Flavour) {
  /** C1 */
  const create = (context: RequestContext): Reply => {
    const { world } = context
    const form = readForm(context, flavour)
    const facts = readMaterial(world, form)
    checkRoom(world, flavour, form.name)
    const certificate = world.addCertificate({ ...form, flavour, facts })
    return { status: 200, body: certificateInDetail(world, certificate) }
  }

  /** C2 */
  const list = (context: RequestContext): Reply => {
    const { world, query } = context
    const instanceId = query.get('instance_id') ?? undefined
    if (instanceId !== undefined) requireInstance(world, flavour, instanceId)
    else if (world.rules.listRequiresInstance) throw missing('instance_id')
    const type = query.get('type')
    if (type !== null && type !== 'instance' && type !== 'global') throw invalid('type')
    const match = (value: string, wanted: string | null) =>
      wanted === null || (world.rules.nameFilter === 'exact' ? value === wanted : value.includes(wanted))
    const found = [...world.certificates[flavour].values()]
      .filter((one) =>
        one.instanceId === undefined
          ? world.rules.listIncludesGlobal || instanceId === undefined
          : instanceId === undefined || one.instanceId === instanceId,
      )
      .filter((one) => type === null || (type === 'global') === (one.instanceId === undefined))
      .filter((one) => match(one.name, query.get('name')))
      .filter((one) => match(one.facts.commonName, query.get('common_name')))
      .filter((one) => equals(one.facts.signatureAlgorithm, query.get('signature_algorithm')))
      .filter((one) => equals(one.facts.algorithm, query.get('algorithm_type')))
      // No order is documented and none can be asked for: by id, which means nothing.
      .sort((a, b) => (a.id < b.id ? -1 : 1))
    const page = pageOf(query, found)
    const certs = page.items.map((one) => certificateInList(world, one))
    return { status: 200, body: { size: page.size, total: page.total, certs } }
  }

  const ofPath = ({ world, params }: RequestContext) =>
    requireCertificate(world, flavour, requireId(params.certificate_id!, 'certificate_id'))

  /** C3 */
  const show = (context: RequestContext): Reply => ({
    status: 200,
    body: certificateInDetail(context.world, ofPath(context)),
  })

  /** C4: id and bindings stay. */
  const update = (context: RequestContext): Reply => {
    const { world } = context
    const form = readForm(context, flavour)
    const certificate = ofPath(context)
    // The scope cannot be changed; leaving `type` out asks for its default, global.
    if ((form.instanceId === undefined) !== (certificate.instanceId === undefined)) throw invalid('type')
    if (form.instanceId !== certificate.instanceId) throw invalid('instance_id')
    const facts = readMaterial(world, form)
    const bound = world.boundDomains(certificate)
    if (world.rules.updateNotCovering === 'refuse')
      for (const domain of bound) requireCover(facts.names, domain)
    for (const domain of bound) {
      const other = domain.certificates.find((one) => one !== certificate)
      const sameKind = other?.facts.algorithm === facts.algorithm
      if (sameKind && world.rules.attachOverOther !== 'keep-both') throw occupied(domain)
    }
    checkRoom(world, flavour, form.name, certificate)
    applyUpdate(world, certificate, form, facts, bound)
    return { status: 200, body: certificateInDetail(world, certificate) }
  }

  /** C5 */
  const remove = (context: RequestContext): Reply => {
    const { world } = context
    const certificate = ofPath(context)
    const bound = world.boundDomains(certificate)
    if (bound.length > 0) {
      const { status, errorCode } = world.rules.deleteBound
      const text = `The SSL certificate is bound to a domain name and cannot be deleted (text invented by the emulator);domain:${bound[0]!.host}`
      throw new ApiError(status, errorCode, text)
    }
    world.removeCertificate(certificate)
    return { status: 204 }
  }

  /** C6 */
  const listDomains = (context: RequestContext): Reply => {
    const { world, query } = context
    const certificate = ofPath(context)
    const wanted = query.get('url_domain')
    const found = world
      .boundDomains(certificate)
      .filter((domain) => wanted === null || domain.host.includes(wanted))
    const page = pageOf(query, found)
    const bound_domains = page.items.map((domain) =>
      attachedDomain(world, world.instances.get(domain.instanceId)!.groups.get(domain.groupId)!, domain),
    )
    return { status: 200, body: { size: page.size, total: page.total, bound_domains } }
  }

  /** C7: by name; names that no gateway knows are left out in silence as long as one is known. */
  const attachDomains = (context: RequestContext): Reply => {
    const { world } = context
    const { certificate, wanted } = readDomains(context, flavour, ofPath)
    for (const { domain, flag } of wanted) checkAttach(world, certificate, domain, flag)
    for (const { domain, flag } of wanted) {
      world.bind(domain, certificate, effectiveFlag(certificate, flag))
    }
    return { status: 204 }
  }

  /** C8 */
  const detachDomains = (context: RequestContext): Reply => {
    const { certificate, wanted } = readDomains(context, flavour, ofPath)
    const bound = wanted.filter(({ domain }) => domain.certificates.includes(certificate))
    if (bound.length === 0) throw noValidDomain()
    for (const { domain } of bound) context.world.unbind(domain, certificate)
    return { status: 204 }
  }

  return { create, list, show, update, remove, listDomains, attachDomains, detachDomains }
}

function applyUpdate(
  world: World,
  certificate: GatewayCertificate,
  form: CertificateForm,
  facts: GatewayCertificate['facts'],
  bound: Domain[],
): void {
  const before = certificate.trustedRootCaPem
  const keep = form.trustedRootCaPem === undefined && world.rules.updateWithoutCa === 'keep'
  certificate.trustedRootCaPem = keep ? before : form.trustedRootCaPem
  certificate.name = form.name
  certificate.certificatePem = form.certificatePem
  certificate.privateKeyPem = form.privateKeyPem
  certificate.facts = facts
  certificate.updatedAt = world.clock.now()
  const added = before === undefined && certificate.trustedRootCaPem !== undefined
  for (const domain of bound) {
    if (added) domain.clientVerification = world.rules.updateAddingCa === 'on'
    else if (!domain.certificates.some((one) => one.trustedRootCaPem !== undefined)) {
      domain.clientVerification = false
    }
  }
  world.republish(certificate)
}

function readDomains(
  context: RequestContext,
  flavour: Flavour,
  ofPath: (context: RequestContext) => GatewayCertificate,
): { certificate: GatewayCertificate; wanted: { domain: Domain; flag: boolean | undefined }[] } {
  const { world } = context
  const list = fieldsOf(context, ['domains']).domains
  if (list === undefined || list === null) throw missing('domains')
  if (!Array.isArray(list) || list.length === 0) throw invalid('domains')
  const known = ['domain', 'instance_ids', 'verified_client_certificate_enabled']
  const entries = list.map((entry: unknown) => {
    const fields = fieldsOf({ ...context, body: entry }, known)
    const ids = fields.instance_ids ?? []
    if (!Array.isArray(ids) || ids.some((id) => typeof id !== 'string')) throw invalid('instance_ids')
    for (const id of ids) requireInstance(world, flavour, id)
    const flag = optionalFlag(fields, 'verified_client_certificate_enabled')
    return { host: requiredText(fields, 'domain'), ids: ids as string[], flag }
  })
  const certificate = ofPath(context)
  const wanted = entries.flatMap(({ host, ids, flag }) =>
    [...world.domains()]
      .filter((domain) => domain.flavour === flavour && domain.host.toLowerCase() === host.toLowerCase())
      .filter((domain) => ids.length === 0 || ids.includes(domain.instanceId))
      .filter(
        (domain) => certificate.instanceId === undefined || certificate.instanceId === domain.instanceId,
      )
      .map((domain) => ({ domain, flag })),
  )
  if (wanted.length === 0) throw noValidDomain()
  return { certificate, wanted }
}

/** What must hold before a certificate is bound to a domain; throws in the order scope, cover, expired, again, occupied, flag. */
export function checkAttach(
  world: World,
  certificate: GatewayCertificate,
  domain: Domain,
  flag: boolean | undefined,
): void {
  if (certificate.instanceId !== undefined && certificate.instanceId !== domain.instanceId) {
    throw new ApiError(
      403,
      'APIG.1115',
      'No permissions to use the certificate: it belongs to another instance',
    )
  }
  requireCover(certificate.facts.names, domain)
  if (world.rules.attachExpired === 'refuse' && certificate.facts.notAfter <= world.clock.now()) {
    throw new ApiError(400, 'APIG.2102', 'The SSL certificate has expired')
  }
  const isBound = domain.certificates.includes(certificate)
  const { attachAgain } = world.rules
  if (
    isBound &&
    (attachAgain === 'refuse' || (attachAgain === 'roma-refuses' && domain.flavour === 'roma'))
  ) {
    throw new ApiError(400, 'APIG.3309', 'The operation has been performed already')
  }
  const holder = domain.certificates.find((one) => one.facts.algorithm === certificate.facts.algorithm)
  if (holder !== undefined && !isBound && world.rules.attachOverOther === 'refuse') throw occupied(domain)
  const withoutCa = flag === true && certificate.trustedRootCaPem === undefined
  if (withoutCa && world.rules.verificationWithoutCa === 'refuse') {
    throw invalid('verified_client_certificate_enabled')
  }
}

/** On by default where the certificate carries a CA; never on where it carries none. */
export function effectiveFlag(certificate: GatewayCertificate, flag: boolean | undefined): boolean {
  return certificate.trustedRootCaPem !== undefined && (flag ?? true)
}

export function requireCover(names: string[], domain: Domain): void {
  if (covers(names, domain.host)) return
  throw new ApiError(400, 'APIG.2103', `The certificate does not cover the domain name;domain:${domain.host}`)
}

function occupied(domain: Domain): ApiError {
  const text = `The same domain name cannot be bound with different certificates;domain:${domain.host}`
  return new ApiError(400, 'APIG.2051', text)
}

function noValidDomain(): ApiError {
  return new ApiError(400, 'APIG.2000', 'no valid domain name')
}

function equals(value: string, wanted: string | null): boolean {
  return wanted === null || value === wanted
}
