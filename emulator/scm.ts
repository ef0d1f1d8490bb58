import { isChain, isEncryptedKey, pemBlocks, readCertificates, readPrivateKey } from './certificate-reader.ts'
import { allows } from './identity.ts'
import { newResourceId } from './ids.ts'
import { deploy, deployedResources } from './scm-deploy.ts'
import { fields, parameter, requiredText, requireScm, text } from './scm-input.ts'
import {
  ApiError,
  errorCodeBody,
  frontDoorError,
  type Reply,
  type RequestContext,
  type Service,
} from './service.ts'
import type { Push, ScmCertificate, World } from './world.ts'

const base = '/v3/scm/certificates'
const CDN_ACTION = 'cdn:configuration:queryHttpsConf'
const SERVICES = ['CDN', 'WAF', 'ELB']
const REGION = /^[a-z]{2}(-[a-z]+)+(-?\d+)?(_[A-Za-z0-9_-]+)?$/

/** SSL Certificate Manager. No project in any path. Reference, section 2. */
export const scm: Service = {
  name: 'scm',
  routes: [
    {
      name: 'scm.importCertificate',
      method: 'POST',
      path: `${base}/import`,
      handler: importOne,
      // In policies of version 1.1 it is called `upload` (Cloud Certificate Manager, ccm_02_0041).
      action: 'scm:cert:upload',
    },
    { name: 'scm.listCertificates', method: 'GET', path: base, handler: list, action: 'scm:cert:list' },
    {
      name: 'scm.showCertificate',
      method: 'GET',
      path: `${base}/{certificate_id}`,
      handler: show,
      action: 'scm:cert:get',
    },
    {
      name: 'scm.deleteCertificate',
      method: 'DELETE',
      path: `${base}/{certificate_id}`,
      handler: remove,
      action: 'scm:cert:delete',
    },
    {
      name: 'scm.pushCertificate',
      method: 'POST',
      path: `${base}/{certificate_id}/push`,
      handler: push,
      action: 'scm:cert:push',
    },
    {
      name: 'scm.batchPushCertificate',
      method: 'POST',
      path: `${base}/{certificate_id}/batch-push`,
      handler: batchPush,
      action: 'scm:cert:push',
    },
    {
      name: 'scm.deployCertificate',
      method: 'POST',
      path: `${base}/{certificate_id}/deploy`,
      handler: deploy,
      action: 'scm:cert:deploy',
    },
    {
      name: 'scm.listDeployedResources',
      method: 'POST',
      path: '/v3/scm/deployed-resources',
      handler: deployedResources,
      action: 'scm:cert:list',
      mutating: false,
    },
  ],
  errorBody: errorCodeBody,
  authError: frontDoorError,
  forbidden: () => new ApiError(403, 'SCM.0003', 'You do not have the privilege to perform this operation'),
  badBody: (reason) => new ApiError(400, 'SCM.0005', `Invalid request parameters: ${reason}`),
}

function importOne(context: RequestContext): Reply {
  const { world } = context
  const body = fields(context, [
    'name',
    'certificate',
    'certificate_chain',
    'private_key',
    'duplicate_check',
    'enterprise_project_id',
    'enc_certificate',
    'enc_private_key',
  ])
  const name = requiredText(body, 'name')
  if (!/^[A-Za-z0-9_.-]{3,63}$/.test(name)) throw parameter('name')
  const certificate = requiredText(body, 'certificate', 'SCM.0054')
  const chain = text(body, 'certificate_chain')
  const privateKey = requiredText(body, 'private_key', 'SCM.0054')
  const check = body.duplicate_check
  if (check !== undefined && typeof check !== 'boolean') throw parameter('duplicate_check')
  if (world.rules.scmMaxLengths === 'enforce') {
    if (certificate.length > 4096) throw parameter('certificate')
    if ((chain ?? '').length > 8192) throw parameter('certificate_chain')
    if (privateKey.length > 4096) throw parameter('private_key')
  }
  const facts = checkContents(certificate, chain, privateKey)
  const allowed = world.rules.scmDuplicateCheck === 'refuse' ? check !== true : check === true
  const duplicate = [...world.scm.values()].some((one) => one.facts.fingerprint === facts.fingerprint)
  // Only the switch, when it is sent, decides; without it the service takes everything.
  if (duplicate && check !== undefined && !allowed) {
    throw new ApiError(400, 'SCM.0005', 'Invalid request parameters: the certificate exists already')
  }
  const added = world.addScmCertificate({
    name,
    facts,
    enterpriseProjectId: text(body, 'enterprise_project_id') ?? '0',
  })
  return { status: 200, body: { certificate_id: added.id } }
}

function checkContents(
  certificate: string,
  chain: string | undefined,
  privateKey: string,
): ScmCertificate['facts'] {
  if (pemBlocks(certificate)?.length === 0 || pemBlocks(privateKey)?.length === 0) {
    throw new ApiError(400, 'SCM.0053', 'The content is not in PEM format')
  }
  const read = readCertificates(certificate)
  if (read === undefined) throw new ApiError(400, 'SCM.0006', 'Failed to parse the certificate')
  if (isEncryptedKey(privateKey)) throw new ApiError(400, 'SCM.0114', 'The private key must not be encrypted')
  const key = readPrivateKey(privateKey)
  if (key === undefined) throw new ApiError(400, 'SCM.0012', 'Failed to parse the private key')
  const rest = chain === undefined ? undefined : readCertificates(chain)
  if (chain !== undefined && rest === undefined)
    throw new ApiError(400, 'SCM.0013', 'Failed to parse the chain')
  if (!read.certificates[0]!.checkPrivateKey(key)) {
    throw new ApiError(400, 'SCM.0014', 'The private key does not match the certificate')
  }
  if (rest !== undefined && read.certificates.length > 1) {
    throw new ApiError(400, 'SCM.0079', 'With certificate_chain the certificate must be the leaf alone')
  }
  if (!isChain([...read.certificates, ...(rest?.certificates ?? [])])) {
    throw new ApiError(400, 'SCM.0079', 'The certificate chain is not in order')
  }
  if (read.leaf.names.length === 0) throw new ApiError(400, 'SCM.0009', 'The certificate names no domain')
  return read.leaf
}

function list({ world, query }: RequestContext): Reply {
  const limit = query.get('limit') ?? '10'
  const offset = query.get('offset') ?? '0'
  if (!['10', '20', '50'].includes(limit)) throw parameter('limit')
  if (!/^\d{1,9}$/.test(offset)) throw parameter('offset')
  const direction = query.get('sort_dir') ?? 'DESC'
  if (direction !== 'ASC' && direction !== 'DESC') throw parameter('sort_dir')
  const key = query.get('sort_key') ?? 'certUpdateTime'
  if (!['certExpiredTime', 'certStatus', 'certUpdateTime'].includes(key)) throw parameter('sort_key')
  const status = query.get('status') ?? 'ALL'
  const content = query.get('content')
  const now = world.clock.now()
  const found = [...world.scm.values()]
    .filter((one) => status === 'ALL' || statusOf(one, now) === status)
    .filter(
      (one) => content === null || [one.name, one.id, ...one.facts.names].some((it) => it.includes(content)),
    )
  const at = (one: ScmCertificate) =>
    (key === 'certExpiredTime' ? one.facts.notAfter : one.createdAt).getTime()
  found.sort((a, b) => (direction === 'ASC' ? at(a) - at(b) : at(b) - at(a)))
  const page = found.slice(Number(offset), Number(offset) + Number(limit))
  return {
    status: 200,
    body: { certificates: page.map((one) => rowOf(world, one)), total_count: found.length },
  }
}

function show(context: RequestContext): Reply {
  const { world } = context
  const certificate = requireScm(context)
  const { expire_time, deploy_support, ...row } = rowOf(world, certificate)
  return {
    status: 200,
    body: {
      ...row,
      order_id: '',
      push_support: 'ON',
      revoke_reason: '',
      issue_time: '',
      not_before: localTime(world, certificate.facts.notBefore),
      not_after: localTime(world, certificate.facts.notAfter),
      validation_method: '',
      multi_domain_type: '',
      fingerprint: certificate.facts.sha1,
      shared: false,
      authentification: [],
    },
  }
}

function remove(context: RequestContext): Reply {
  const { world } = context
  const certificate = requireScm(context)
  if (certificate.deployments.length > 0) {
    throw new ApiError(400, 'SCM.0010', 'The status of the certificate does not allow this: it is deployed')
  }
  world.scm.delete(certificate.id)
  world.touch()
  return { status: 204 }
}

function push(context: RequestContext): Reply {
  const body = fields(context, ['target_project', 'target_service'])
  const project = requiredText(body, 'target_project')
  const service = readService(body)
  const problem = pushOne(context.world, requireScm(context), service, project)
  if (problem !== undefined) throw new ApiError(400, 'SCM.0028', `Failed to push the certificate: ${problem}`)
  return { status: 204 }
}

/** A target that fails is reported inside the 200. */
function batchPush(context: RequestContext): Reply {
  const { world } = context
  const body = fields(context, ['target_projects', 'target_service'])
  const projects = body.target_projects
  if (!Array.isArray(projects) || projects.length === 0 || projects.some((one) => typeof one !== 'string')) {
    throw parameter('target_projects')
  }
  const service = readService(body)
  // The same page: pushing to CDN needs an action of CDN as well.
  if (service === 'CDN' && !allows(context.world, context.principal!, CDN_ACTION))
    throw scm.forbidden(CDN_ACTION)
  const certificate = requireScm(context)
  const results = (projects as string[]).map((project) => {
    const problem = pushOne(world, certificate, service, project)
    const copy = problem === undefined ? world.pushes.at(-1)!.resourceId : ''
    return { project_name: project, cert_id: copy, message: problem ?? 'success' }
  })
  return { status: 200, body: { results } }
}

function readService(body: Record<string, unknown>): Push['service'] {
  const service = requiredText(body, 'target_service')
  if (SERVICES.includes(service)) return service as Push['service']
  throw new ApiError(400, 'SCM.0030', 'The certificate cannot be pushed to this service')
}

// Puts a new object into the target: a repeat makes a second copy. CDN takes one.
function pushOne(
  world: World,
  certificate: ScmCertificate,
  service: Push['service'],
  project: string,
): string | undefined {
  const known = world.rules.pushProjects
  if (known === null ? !REGION.test(project) : !known.includes(project)) return 'invalid region'
  const before = world.pushes.some((one) => one.certificateId === certificate.id && one.service === 'CDN')
  if (service === 'CDN' && before) return 'the certificate has been pushed to CDN already'
  world.pushes.push({
    certificateId: certificate.id,
    service,
    project,
    at: world.clock.now().toISOString(),
    resourceId: newResourceId(),
  })
  world.touch()
  return undefined
}

function statusOf(certificate: ScmCertificate, now: Date): string {
  return certificate.facts.notAfter <= now ? 'EXPIRED' : 'UPLOAD'
}

function rowOf(world: World, certificate: ScmCertificate): Record<string, unknown> {
  const { facts } = certificate
  const wildcards = facts.names.filter((name) => name.startsWith('*.')).length
  const months = Math.round((facts.notAfter.getTime() - facts.notBefore.getTime()) / (30.44 * 86_400_000))
  return {
    id: certificate.id,
    name: certificate.name,
    domain: facts.names[0] ?? facts.commonName,
    sans: facts.names.join(';'),
    signature_algorithm: facts.signatureAlgorithm,
    deploy_support: true,
    type: '',
    brand: '',
    expire_time: localTime(world, facts.notAfter),
    domain_type: facts.names.length > 1 ? 'MULTI_DOMAIN' : wildcards > 0 ? 'WILDCARD' : 'SINGLE_DOMAIN',
    validity_period: months,
    status: statusOf(certificate, world.clock.now()),
    domain_count: facts.names.length,
    wildcard_count: wildcards,
    description: '',
    enterprise_project_id: certificate.enterpriseProjectId,
  }
}

// `2021-05-27 16:46:25.0`, without a zone.
function localTime(world: World, date: Date): string {
  const local = new Date(date.getTime() + world.rules.scmUtcOffsetMinutes * 60_000)
  return local
    .toISOString()
    .replace('T', ' ')
    .replace(/\.\d+Z$/, '.0')
}
