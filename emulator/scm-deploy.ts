import { covers } from './certificate-reader.ts'
import { fields, parameter, requiredText, requireScm, text } from './scm-input.ts'
import { ApiError, type Reply, type RequestContext } from './service.ts'
import type { World } from './world.ts'

const SERVICES = ['CDN', 'WAF', 'ELB']

/** Puts the certificate on resources of a service; what fails is listed inside the 200. */
export function deploy(context: RequestContext): Reply {
  const { world } = context
  const body = fields(context, ['project_name', 'service_name', 'resources'])
  const service = requiredText(body, 'service_name')
  if (!SERVICES.includes(service)) throw new ApiError(400, 'SCM.0030', 'The service is not supported')
  const project = text(body, 'project_name') ?? world.project.name
  const resources = body.resources
  if (!Array.isArray(resources) || resources.length < 1 || resources.length > 20) throw parameter('resources')
  const certificate = requireScm(context)
  const failure_list: { resource: string; failure_info: string }[] = []
  for (const entry of resources as unknown[]) {
    const known = ['id', 'type', 'domain_name', 'enterprise_project_id']
    const resource = fields({ ...context, body: entry }, known)
    const id = text(resource, service === 'CDN' ? 'domain_name' : 'id')
    if (id === undefined) throw parameter(service === 'CDN' ? 'domain_name' : 'id')
    if (service === 'CDN' && !covers(certificate.facts.names, id)) {
      failure_list.push({ resource: id, failure_info: 'The certificate does not match the domain name' })
      continue
    }
    const same = certificate.deployments.some((one) => one.service === service && one.resource === id)
    if (same) continue
    certificate.deployments.push({ service, project, resource: id })
    world.touch()
  }
  return { status: 200, body: { failure_list } }
}

/**
 * Shape: `ListDeployedResourcesResponse`, `ResultDetail`, `DeployedResourceDetail`, `RegionResourceDetail` and
 * `ResourceDetail` of huaweicloud-sdk-python-v3, huaweicloudsdkscm/v3/model. Whether copies made by a push count
 * as deployed is not documented: rule `scmDeployedShowsPushed`.
 */
export function deployedResources(context: RequestContext): Reply {
  const { world } = context
  const body = fields(context, ['certificate_ids', 'service_names'])
  const ids = texts(body.certificate_ids, 'certificate_ids')
  const names = texts(body.service_names, 'service_names')
  if (names.some((name) => !SERVICES.includes(name) && name !== 'ALL')) throw parameter('service_names')
  const services = names.includes('ALL') ? SERVICES : names
  const results = ids.map((id) => {
    requireScm({ ...context, params: { certificate_id: id } })
    const deployed_resources = services.map((service) => serviceDetail(world, id, service))
    const total_num = deployed_resources.reduce((sum, one) => sum + one.resource_num, 0)
    return { certificate_id: id, total_num, deployed_resources }
  })
  return { status: 200, body: { results } }
}

function serviceDetail(world: World, certificateId: string, service: string) {
  const found = [
    ...world.scm.get(certificateId)!.deployments.filter((one) => one.service === service),
    ...(world.rules.scmDeployedShowsPushed
      ? world.pushes
          .filter((one) => one.certificateId === certificateId && one.service === service)
          .map((one) => ({ service, project: one.project, resource: one.resourceId }))
      : []),
  ]
  // CDN is a global service and has one region of that name.
  const regions = [...new Set(found.map((one) => (service === 'CDN' ? 'global' : one.project)))]
  return {
    service,
    resource_num: found.length,
    resource_location: service === 'CDN' ? 'global' : 'region',
    region_resources: regions.map((region_id) => ({
      region_id,
      is_error: false,
      resources: found
        .filter((one) => service === 'CDN' || one.project === region_id)
        .map((one) => ({ resource_id: one.resource, resource_name: one.resource })),
    })),
  }
}

function texts(value: unknown, name: string): string[] {
  if (!Array.isArray(value) || value.length === 0 || value.some((one) => typeof one !== 'string')) {
    throw parameter(name)
  }
  return value as string[]
}
