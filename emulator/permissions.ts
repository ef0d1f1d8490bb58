import type { Route } from './service.ts'

/** Regions of Open Telekom Cloud, whose list of actions is its own. */
const OTC_REGIONS = ['eu-de', 'eu-nl', 'eu-ch2']

/**
 * Open Telekom Cloud, API Gateway, "Permissions policies and supported actions" (221 rows): no action for
 * certificates at all, so no policy can name one, and binding wants `apig:domains:get` beside. Identity and Access
 * Management has `iam:projects:listProjectsForUser` for what Huawei Cloud calls `iam:projects:listProjects`.
 */
const binding = ['apig:domains:get', 'apig:instances:get', 'apig:groups:get']
const OTC: Record<string, { action?: string; dependsOn?: string[] }> = {
  'apig.createCertificate': { dependsOn: ['apig:instances:get'] },
  'apig.listCertificates': {},
  'apig.showCertificate': {},
  'apig.updateCertificate': { dependsOn: ['apig:instances:get'] },
  'apig.deleteCertificate': {},
  'apig.listAttachedDomains': {},
  'apig.showDomainCertificate': {},
  'apig.attachCertificate': { action: 'apig:domains:bindCertificate', dependsOn: binding },
  'apig.addCertificate': { action: 'apig:domains:bindCertificate', dependsOn: binding },
  'apig.detachCertificate': { action: 'apig:domains:unbindCertificate', dependsOn: binding },
  'apig.removeCertificate': { action: 'apig:domains:unbindCertificate', dependsOn: binding },
  'iam.listProjects': { action: 'iam:projects:listProjectsForUser' },
}

/** What a principal must be allowed to do for a call, by the list of the cloud that the region belongs to. */
export function actionsOf(route: Route, region: string): { action: string | undefined; dependsOn: string[] } {
  const row = OTC_REGIONS.includes(region) ? (OTC[route.name] ?? route) : route
  return { action: row.action, dependsOn: row.dependsOn ?? [] }
}
