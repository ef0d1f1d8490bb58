import { certificateHandlers } from './gateway-certificates.ts'
import { domainHandlers, groupHandlers } from './gateway-domains.ts'
import {
  ApiError,
  type AuthProblem,
  errorCodeBody,
  frontDoorError,
  type Route,
  type Service,
} from './service.ts'
import type { Flavour } from './world.ts'

/**
 * APIG and ROMA Connect as one table: the same operations under other paths (reference, section 1.1). IAM actions
 * are APIG's; ROMA's are not documented and are the same words with `roma:` in front.
 */
export function gatewayService(flavour: Flavour): Service {
  const certificates = certificateHandlers(flavour)
  const domains = domainHandlers(flavour)
  const groups = groupHandlers(flavour)
  const base = `/v2/{project_id}/${flavour === 'apig' ? 'apigw' : 'apic'}`
  const certificate = `${base}/certificates/{certificate_id}`
  const instances = flavour === 'apig' ? `${base}/instances` : '/v2/{project_id}/instances'
  const instance = `${base}/instances/{instance_id}`
  const group = `${instance}/api-groups/{group_id}`
  const domain = `${group}/domains/{domain_id}`
  const gets = ['instances:get', 'groups:get', 'certificate:get']

  type Row = [string, Route['method'], string, Route['handler'], string, string[]?]
  const rows: Row[] = [
    [
      'createCertificate',
      'POST',
      `${base}/certificates`,
      certificates.create,
      'certificate:create',
      ['instances:get'],
    ],
    ['listCertificates', 'GET', `${base}/certificates`, certificates.list, 'certificate:list'],
    ['showCertificate', 'GET', certificate, certificates.show, 'certificate:get'],
    ['updateCertificate', 'PUT', certificate, certificates.update, 'certificate:update', ['instances:get']],
    ['deleteCertificate', 'DELETE', certificate, certificates.remove, 'certificate:delete'],
    [
      'listAttachedDomains',
      'GET',
      `${certificate}/attached-domains`,
      certificates.listDomains,
      'certificate:listBoundDomain',
    ],
    [
      'attachDomains',
      'POST',
      `${certificate}/domains/attach`,
      certificates.attachDomains,
      'certificate:batchBindDomain',
      ['certificate:get', 'groups:get'],
    ],
    [
      'detachDomains',
      'POST',
      `${certificate}/domains/detach`,
      certificates.detachDomains,
      'certificate:batchUnbindDomain',
      ['certificate:get', 'groups:get'],
    ],
    [
      'attachCertificate',
      'POST',
      `${domain}/certificates/attach`,
      domains.attach,
      'domains:bindCertificate',
      gets,
    ],
    [
      'detachCertificate',
      'POST',
      `${domain}/certificates/detach`,
      domains.detach,
      'domains:unbindCertificate',
      gets,
    ],
    ['addCertificate', 'POST', `${domain}/certificate`, domains.add, 'domains:bindCertificate', gets],
    [
      'showDomainCertificate',
      'GET',
      `${domain}/certificate/{certificate_id}`,
      domains.showCertificate,
      'certificate:get',
    ],
    [
      'removeCertificate',
      'DELETE',
      `${domain}/certificate/{certificate_id}`,
      domains.removeCertificate,
      'domains:unbindCertificate',
      gets,
    ],
    ['createDomain', 'POST', `${group}/domains`, domains.create, 'domains:create'],
    ['updateDomain', 'PUT', domain, domains.update, 'domains:update'],
    ['deleteDomain', 'DELETE', domain, domains.remove, 'domains:delete'],
    ['listGroups', 'GET', `${instance}/api-groups`, groups.listGroups, 'groups:list'],
    ['showGroup', 'GET', group, groups.showGroup, 'groups:get'],
    ['listInstances', 'GET', instances, groups.listInstances, 'instances:list'],
    ['showInstance', 'GET', instance, groups.showInstance, 'instances:get'],
  ]
  return {
    name: flavour,
    routes: rows.map(([name, method, path, handler, action, dependsOn = []]) => ({
      name: `${flavour}.${name}`,
      method,
      path,
      handler,
      action: `${flavour}:${action}`,
      dependsOn: dependsOn.map((one) => `${flavour}:${one}`),
    })),
    errorBody: errorCodeBody,
    authError,
    forbidden: () => new ApiError(403, 'APIG.1005', 'No permissions to request this method'),
    badBody: (reason) => new ApiError(400, 'APIG.2000', `Parameters error: ${reason}`),
  }
}

function authError(problem: AuthProblem): ApiError {
  switch (problem) {
    case 'missing':
      return new ApiError(401, 'APIG.1000', 'No token in the request')
    case 'unknown-token':
      return new ApiError(401, 'APIG.1002', 'Incorrect token or token resolution failed')
    case 'expired-token':
      return new ApiError(401, 'APIG.1001', 'The session has expired')
    case 'no-project':
      return new ApiError(401, 'APIG.1003', 'No project in the token')
    case 'other-project':
      return new ApiError(403, 'APIG.1020', 'Insufficient permissions')
    case 'bad-signature':
      // A signature is checked at the front gateway, before APIG sees the request.
      return frontDoorError(problem)
  }
}
