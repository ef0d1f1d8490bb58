import { type Agency, type CustomPolicy, identityOf, isGlobal, type Statement } from './identity.ts'
import { newResourceId } from './ids.ts'
import { ApiError, type Reply, type RequestContext, type Route } from './service.ts'
import type { World } from './world.ts'

const agencies = '/v3.0/OS-AGENCY/agencies'
const roles = '/v3.0/OS-ROLE/roles'
const onProject = '/v3.0/OS-AGENCY/projects/{project_id}/agencies/{agency_id}/roles'
const onDomain = '/v3.0/OS-AGENCY/domains/{domain_id}/agencies/{agency_id}/roles'

const table: [string, Route['method'], string, string, Route['handler']][] = [
  ['listAgencies', 'GET', agencies, 'agencies:listAgencies', listAgencies],
  ['createAgency', 'POST', agencies, 'agencies:createAgency', createAgency],
  ['deleteAgency', 'DELETE', `${agencies}/{agency_id}`, 'agencies:deleteAgency', deleteAgency],
  ['listPolicies', 'GET', roles, 'roles:listRoles', listPolicies],
  ['createPolicy', 'POST', roles, 'roles:createRole', createPolicy],
  ['updatePolicy', 'PATCH', `${roles}/{role_id}`, 'roles:updateRole', updatePolicy],
  ['deletePolicy', 'DELETE', `${roles}/{role_id}`, 'roles:deleteRole', deletePolicy],
  [
    'listAgencyRolesOnProject',
    'GET',
    onProject,
    'permissions:listRolesForAgencyOnProject',
    listGrants('project'),
  ],
  [
    'listAgencyRolesOnDomain',
    'GET',
    onDomain,
    'permissions:listRolesForAgencyOnDomain',
    listGrants('domain'),
  ],
  [
    'grantOnProject',
    'PUT',
    `${onProject}/{role_id}`,
    'permissions:grantRoleToAgencyOnProject',
    grant('project'),
  ],
  ['grantOnDomain', 'PUT', `${onDomain}/{role_id}`, 'permissions:grantRoleToAgencyOnDomain', grant('domain')],
  [
    'revokeOnProject',
    'DELETE',
    `${onProject}/{role_id}`,
    'permissions:revokeRoleFromAgencyOnProject',
    revoke('project'),
  ],
  [
    'revokeOnDomain',
    'DELETE',
    `${onDomain}/{role_id}`,
    'permissions:revokeRoleFromAgencyOnDomain',
    revoke('domain'),
  ],
]

/** IAM's agencies and custom policies (API reference: Agency Management, Custom Policy Management, Actions). */
export const agencyRoutes: Route[] = table.map(([name, method, path, action, handler]) => ({
  name: `iam.${name}`,
  method,
  path,
  action: `iam:${action}`,
  handler,
}))

function listAgencies({ world, query }: RequestContext): Reply {
  requireDomain(world, query.get('domain_id'))
  const name = query.get('name')
  const found = [...identityOf(world).agencies.values()].filter((one) => name === null || one.name === name)
  return { status: 200, body: { agencies: found.map((one) => agencyView(world, one)) } }
}

function createAgency({ world, body }: RequestContext): Reply {
  const fields = part(body, 'agency')
  const name = text(fields, 'name', 64)
  if (!/^[A-Za-z0-9][\w.-]*$/.test(name)) throw bad('agency.name is not valid')
  requireDomain(world, text(fields, 'domain_id', 64))
  const trustDomainName = text(fields, 'trust_domain_name', 64)
  const description = fields.description === undefined ? '' : text(fields, 'description', 255)
  if (![undefined, null, 'FOREVER', 'ONEDAY'].includes(fields.duration as string | null | undefined))
    throw bad('agency.duration is not valid')
  const { agencies } = identityOf(world)
  if ([...agencies.values()].some((one) => one.name === name))
    throw new ApiError(409, 'IAM.409', `Conflict occurred attempting to store agency: ${name}`)
  const agency: Agency = {
    id: newResourceId(),
    name,
    description,
    trustDomainName,
    createdAt: world.clock.now(),
    actions: [],
    grants: [],
  }
  agencies.set(agency.id, agency)
  world.touch()
  return { status: 201, body: { agency: agencyView(world, agency) } }
}

function deleteAgency({ world, params }: RequestContext): Reply {
  identityOf(world).agencies.delete(agencyOf(world, params).id)
  world.touch()
  return { status: 204 }
}

function listPolicies({ world, query }: RequestContext): Reply {
  const all = [...identityOf(world).policies.values()]
  const [page, size] = [query.get('page'), query.get('per_page')].map((value) => Number(value ?? Number.NaN))
  // Only together; without them the page says neither whether all come nor how many: all do here.
  const shown = page && size ? all.slice((page - 1) * size, page * size) : all
  return {
    status: 200,
    body: { roles: shown.map((one) => policyView(world, one)), total_number: all.length },
  }
}

function createPolicy({ world, body }: RequestContext): Reply {
  const fields = readPolicy(part(body, 'role'))
  const { policies } = identityOf(world)
  if ([...policies.values()].some((one) => one.displayName === fields.displayName))
    throw new ApiError(409, 'IAM.409', `The policy name ${fields.displayName} exists already`)
  const now = world.clock.now()
  const policy: CustomPolicy = { id: newResourceId(), ...fields, createdAt: now, updatedAt: now }
  policies.set(policy.id, policy)
  world.touch()
  return { status: 201, body: { role: policyView(world, policy) } }
}

function updatePolicy({ world, body, params }: RequestContext): Reply {
  const policy = policyOf(world, params)
  Object.assign(policy, readPolicy(part(body, 'role')), { updatedAt: world.clock.now() })
  world.touch()
  return { status: 200, body: { role: policyView(world, policy) } }
}

/** The page says nothing of a policy that is still granted: the harsher answer. */
function deletePolicy({ world, params }: RequestContext): Reply {
  const { id } = policyOf(world, params)
  const { agencies, policies } = identityOf(world)
  if ([...agencies.values()].some(({ grants }) => grants.some(({ policyId }) => policyId === id)))
    throw new ApiError(403, 'IAM.403', 'The policy is still granted to an agency')
  policies.delete(id)
  world.touch()
  return { status: 200 }
}

function listGrants(scope: 'project' | 'domain'): Route['handler'] {
  return ({ world, params }) => {
    checkScope(world, params)
    const granted = agencyOf(world, params).grants.filter((one) => one.scope === scope)
    const { policies } = identityOf(world)
    return {
      status: 200,
      body: { roles: granted.map(({ policyId }) => policyView(world, policies.get(policyId)!)) },
    }
  }
}

function grant(scope: 'project' | 'domain'): Route['handler'] {
  return ({ world, params }) => {
    checkScope(world, params)
    const agency = agencyOf(world, params)
    const policy = policyOf(world, params)
    // "Display mode": AX belongs to global services, XA to projects. Granted elsewhere it would have no effect.
    if ((policy.type === 'AX') !== (scope === 'domain'))
      throw bad(`a policy of type ${policy.type} cannot be granted on a ${scope}`)
    if (!agency.grants.some((one) => one.scope === scope && one.policyId === policy.id)) {
      agency.grants.push({ scope, policyId: policy.id })
      world.touch()
    }
    return { status: 204 }
  }
}

function revoke(scope: 'project' | 'domain'): Route['handler'] {
  return ({ world, params }) => {
    checkScope(world, params)
    const agency = agencyOf(world, params)
    const { id } = policyOf(world, params)
    const left = agency.grants.filter((one) => one.scope !== scope || one.policyId !== id)
    if (left.length === agency.grants.length) throw missing('role', id)
    agency.grants = left
    world.touch()
    return { status: 204 }
  }
}

/** Fields of the page "Creating a Custom Policy for Cloud Services". */
function readPolicy(fields: Record<string, unknown>) {
  const displayName = text(fields, 'display_name', 128)
  const description = text(fields, 'description', 255)
  const { type } = fields
  if (type !== 'AX' && type !== 'XA') throw bad('role.type must be AX or XA')
  const policy = part(fields, 'policy')
  if (policy.Version !== '1.1') throw bad('role.policy.Version must be 1.1')
  if (!Array.isArray(policy.Statement) || policy.Statement.length === 0 || policy.Statement.length > 8)
    throw bad('role.policy.Statement must have 1 to 8 statements')
  // Of identity policies it is documented; custom policies are taken to have no more room.
  if (JSON.stringify(policy).length > 6144) throw bad('role.policy has more than 6144 characters')
  const statements = policy.Statement.map(readStatement)
  for (const action of statements.flatMap(({ Action }) => Action))
    if (isGlobal(action) !== (type === 'AX'))
      throw bad(`the action ${action} does not belong into a policy of type ${type}`)
  return { displayName, description, type, statements } as const
}

function readStatement(value: unknown): Statement {
  const { Effect, Action, Resource } = value as Record<string, unknown>
  if (Effect !== 'Allow' && Effect !== 'Deny') throw bad('Statement.Effect must be Allow or Deny')
  const texts = (list: unknown): list is string[] =>
    Array.isArray(list) &&
    list.length > 0 &&
    list.length <= 100 &&
    list.every((one) => typeof one === 'string')
  if (!texts(Action)) throw bad('Statement.Action must be a list of 1 to 100 actions')
  const wrong = Action.find((action) => !/^[a-z]+:[A-Za-z*]+:[A-Za-z*]+$/.test(action))
  if (wrong !== undefined) throw bad(`Statement.Action: ${wrong} is not service:resource:operation`)
  if (Resource === undefined) return { Effect, Action }
  if (!texts(Resource)) throw bad('Statement.Resource must be a list of resources')
  const odd = Resource.find((resource) => !/^[A-Za-z]+:[^:]*:[^:]*:[a-z]+:.+$/.test(resource))
  if (odd !== undefined) throw bad(`Statement.Resource: ${odd} is not service:region:account:type:path`)
  return { Effect, Action, Resource }
}

function agencyView(world: World, agency: Agency) {
  return {
    id: agency.id,
    name: agency.name,
    domain_id: world.project.domainId,
    trust_domain_id: 'b3f266d0c08544a0859740de8b84e850',
    trust_domain_name: agency.trustDomainName,
    description: agency.description,
    duration: 'FOREVER',
    expire_time: null,
    create_time: agency.createdAt.toISOString().replace('Z', '000'),
  }
}

function policyView(world: World, policy: CustomPolicy) {
  return {
    id: policy.id,
    name: `custom_${world.project.domainId}_${policy.id.slice(0, 8)}`,
    display_name: policy.displayName,
    description: policy.description,
    type: policy.type,
    catalog: 'CUSTOMED',
    domain_id: world.project.domainId,
    policy: { Version: '1.1', Statement: policy.statements },
    created_time: String(policy.createdAt.getTime()),
    updated_time: String(policy.updatedAt.getTime()),
    links: { self: `http://127.0.0.1/v3/roles/${policy.id}` },
  }
}

function agencyOf(world: World, { agency_id: id = '' }: Record<string, string>): Agency {
  const found = identityOf(world).agencies.get(id)
  if (found === undefined) throw missing('agency', id)
  return found
}

function policyOf(world: World, { role_id: id = '' }: Record<string, string>): CustomPolicy {
  const found = identityOf(world).policies.get(id)
  if (found === undefined) throw missing('role', id)
  return found
}

function checkScope(world: World, { domain_id: id }: Record<string, string>): void {
  if (id !== undefined) requireDomain(world, id)
}

function requireDomain(world: World, id: string | null): void {
  if (id === null || id === '') throw bad('domain_id is missing')
  if (id !== world.project.domainId)
    throw new ApiError(403, 'IAM.403', 'You are not authorized to perform the requested action.')
}

function missing(what: string, id: string): ApiError {
  return new ApiError(404, 'IAM.404', `Could not find ${what}: ${id}.`)
}

function part(value: unknown, name: string): Record<string, unknown> {
  const found = (value as Record<string, unknown> | undefined)?.[name]
  if (typeof found === 'object' && found !== null && !Array.isArray(found))
    return found as Record<string, unknown>
  throw bad(`'${name}' is a required property`)
}

function text(fields: Record<string, unknown>, name: string, most: number): string {
  const value = fields[name]
  if (typeof value !== 'string' || value === '') throw bad(`'${name}' is a required property`)
  if (value.length > most) throw bad(`${name} can have at most ${most} characters`)
  return value
}

function bad(message: string): ApiError {
  return new ApiError(400, 'IAM.400', message)
}
