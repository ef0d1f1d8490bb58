import { Failure } from '../shared/base/failure.ts'
import type { HttpClient, HttpRequest } from '../shared/http/client.ts'
import type { Policy } from './policies.ts'

export interface Account {
  projectId: string
  /** Of the account that the project belongs to. */
  domainId: string
}

/** Project and account of a region, or of a project by its id. Fails with `iam.no-project`. */
export async function findAccount(
  http: HttpClient,
  wanted: { region: string; projectId: string | undefined },
): Promise<Account> {
  const { region, projectId } = wanted
  const reply = await http.request({
    operation: `look up the project of region ${region}`,
    method: 'GET',
    path: '/v3/projects',
    ...(projectId === undefined ? { query: { name: region } } : {}),
    permission: 'iam:projects:listProjects',
  })
  const list = (reply.body as { projects?: unknown } | undefined)?.projects
  if (!Array.isArray(list)) throw reply.broken('projects is not a list')
  const found = (list as { id?: string; name?: string; domain_id?: string }[]).find((project) =>
    projectId === undefined ? project.name === region : project.id === projectId,
  )
  if (found?.id && found.domain_id) return { projectId: found.id, domainId: found.domain_id }
  throw new Failure({
    code: 'iam.no-project',
    kind: 'never',
    message: `IAM (${http.endpoint.host}) shows these credentials no project ${projectId ?? region}`,
    next: 'Correct the region, or set the id of a project that the access key belongs to.',
    facts: { region, projects: list.length },
  })
}

export interface FoundPolicy {
  id: string
  display_name: string
  policy: Policy
}

export interface FoundAgency {
  id: string
  name: string
  trust_domain_name: string
}

/** Where a policy has effect: IAM and OBS are services of the account, the others of a project. */
export type Level = 'domain' | 'project'

/**
 * Agencies and custom policies, version 3 of IAM's API ("Agency Management", "Custom Policy Management"): these are
 * what FunctionGraph takes on both clouds. Nothing is asked before it is needed.
 */
export function createIdentity(open: () => Promise<Account & { http: HttpClient }>) {
  let opened: ReturnType<typeof open> | undefined
  const account = () => {
    opened ??= open()
    return opened
  }
  async function call(permission: string, request: Omit<HttpRequest, 'permission'>): Promise<unknown> {
    const { http } = await account()
    const reply = await http.request({ ...request, permission: `iam:${permission}` })
    return reply.body
  }
  async function rolesAt(level: Level, agency: string): Promise<string> {
    const { domainId, projectId } = await account()
    const at = level === 'domain' ? `domains/${domainId}` : `projects/${projectId}`
    return `/v3.0/OS-AGENCY/${at}/agencies/${agency}/roles`
  }
  const levelName = (level: Level) => (level === 'domain' ? 'Domain' : 'Project')

  return {
    async agency(name: string): Promise<FoundAgency | undefined> {
      const { domainId } = await account()
      const body = await call('agencies:listAgencies', {
        operation: `look for the agency ${name}`,
        method: 'GET',
        path: '/v3.0/OS-AGENCY/agencies',
        query: { domain_id: domainId, name },
      })
      return listIn<FoundAgency>(body, 'agencies').find((one) => one.name === name)
    },

    async createAgency(name: string, trust: string): Promise<string> {
      const { domainId } = await account()
      const body = await call('agencies:createAgency', {
        operation: `create the agency ${name}`,
        method: 'POST',
        path: '/v3.0/OS-AGENCY/agencies',
        body: {
          agency: {
            name,
            domain_id: domainId,
            trust_domain_name: trust,
            description: 'Lets the functions of cert-rotation act',
            duration: 'FOREVER',
          },
        },
      })
      return String((body as { agency: { id: string } }).agency.id)
    },

    async deleteAgency({ id, name }: FoundAgency): Promise<void> {
      await call('agencies:deleteAgency', {
        operation: `delete the agency ${name}`,
        method: 'DELETE',
        path: `/v3.0/OS-AGENCY/agencies/${id}`,
      })
    },

    /** Every custom policy of the account. */
    async policies(): Promise<FoundPolicy[]> {
      const all: FoundPolicy[] = []
      for (let page = 1; ; page++) {
        const body = await call('roles:listRoles', {
          operation: 'list the custom policies',
          method: 'GET',
          path: '/v3.0/OS-ROLE/roles',
          query: { page, per_page: POLICIES_PER_PAGE },
        })
        const found = listIn<FoundPolicy>(body, 'roles')
        all.push(...found)
        if (found.length < POLICIES_PER_PAGE) return all
      }
    },

    /** Makes it, or writes it anew where `id` says that it is there. Returns its id. */
    async writePolicy(name: string, level: Level, policy: Policy, id?: string): Promise<string> {
      const role = {
        display_name: name,
        type: level === 'domain' ? 'AX' : 'XA',
        description: 'What the functions of cert-rotation may do',
        policy,
      }
      const body = await call(id === undefined ? 'roles:createRole' : 'roles:updateRole', {
        operation: `${id === undefined ? 'create' : 'change'} the policy ${name}`,
        method: id === undefined ? 'POST' : 'PATCH',
        path: `/v3.0/OS-ROLE/roles${id === undefined ? '' : `/${id}`}`,
        body: { role },
      })
      return id ?? String((body as { role: { id: string } }).role.id)
    },

    async deletePolicy({ id, display_name }: FoundPolicy): Promise<void> {
      await call('roles:deleteRole', {
        operation: `delete the policy ${display_name}`,
        method: 'DELETE',
        path: `/v3.0/OS-ROLE/roles/${id}`,
      })
    },

    /** Ids of the policies that the agency has at this level. */
    async granted(level: Level, agency: FoundAgency): Promise<string[]> {
      const body = await call(`permissions:listRolesForAgencyOn${levelName(level)}`, {
        operation: `list what the agency ${agency.name} may do`,
        method: 'GET',
        path: await rolesAt(level, agency.id),
      })
      return listIn<{ id: string }>(body, 'roles').map(({ id }) => id)
    },

    async grant(level: Level, agency: string, policy: string, name: string): Promise<void> {
      await call(`permissions:grantRoleToAgencyOn${levelName(level)}`, {
        operation: `grant the policy ${name}`,
        method: 'PUT',
        path: `${await rolesAt(level, agency)}/${policy}`,
        // Granted is granted.
        idempotent: true,
      })
    },

    async revoke(level: Level, agency: FoundAgency, policy: string): Promise<void> {
      await call(`permissions:revokeRoleFromAgencyOn${levelName(level)}`, {
        operation: `take a policy from the agency ${agency.name}`,
        method: 'DELETE',
        path: `${await rolesAt(level, agency.id)}/${policy}`,
      })
    },
  }
}

export type Identity = ReturnType<typeof createIdentity>

/** The most that a page can have. */
const POLICIES_PER_PAGE = 300

function listIn<T>(body: unknown, name: string): T[] {
  const list = (body as Record<string, unknown> | undefined)?.[name]
  if (Array.isArray(list)) return list as T[]
  throw new Failure({
    code: 'iam.broken-reply',
    kind: 'again',
    message: `IAM's reply has no list ${name}`,
    next: 'See that cloud.endpoints.iam is the address of IAM itself; then run again.',
  })
}
