import type { World } from './world.ts'

/** A statement of a custom policy, version 1.1. */
export interface Statement {
  Effect: 'Allow' | 'Deny'
  Action: string[]
  Resource?: string[]
}

export interface CustomPolicy {
  id: string
  displayName: string
  description: string
  /** AX: global services; XA: services of a project. */
  type: 'AX' | 'XA'
  statements: Statement[]
  createdAt: Date
  updatedAt: Date
}

export interface Agency {
  id: string
  name: string
  description: string
  trustDomainName: string
  createdAt: Date
  /** Of a seeded agency: what it may do beside its policies; undefined: everything. */
  actions: string[] | undefined
  grants: { scope: 'domain' | 'project'; policyId: string }[]
}

export interface Identity {
  agencies: Map<string, Agency>
  policies: Map<string, CustomPolicy>
}

/** Agencies and custom policies of the account. */
export function identityOf(world: World): Identity {
  const known = world.extensions.get('identity') as Identity | undefined
  if (known) return known
  const fresh: Identity = { agencies: new Map(), policies: new Map() }
  world.extensions.set('identity', fresh)
  return fresh
}

export function agencyNamed(world: World, name: string): Agency | undefined {
  return [...identityOf(world).agencies.values()].find((agency) => agency.name === name)
}

/** Services of the account as a whole; the others belong to a project. IAM takes no policy that names both kinds. */
export const isGlobal = (action: string): boolean => /^(obs|iam):/.test(action)

/** Whoever calls: limited by a list of actions, or by what its agency was granted. */
export interface Holder {
  /** Allowed actions, `*` as wildcard; undefined allows everything. */
  actions: string[] | undefined
  /** Id of the agency whose temporary credentials these are. */
  agencyId?: string | undefined
}

/** Whether the holder may do it, to the resource (`obs:…:object:bucket/key`) where the service has some. */
export function allows(world: World, holder: Holder, action: string, resource?: string): boolean {
  if (holder.agencyId === undefined) return listed(holder.actions, action)
  const agency = identityOf(world).agencies.get(holder.agencyId)
  if (agency === undefined) return false
  if (listed(agency.actions, action)) return true
  const scope = isGlobal(action) ? 'domain' : 'project'
  const statements = agency.grants
    .filter((grant) => grant.scope === scope)
    .flatMap(({ policyId }) => identityOf(world).policies.get(policyId)?.statements ?? [])
    .filter((statement) => applies(statement, action, resource))
  // Deny wins (policy syntax, "Effect").
  return statements.length > 0 && statements.every(({ Effect }) => Effect === 'Allow')
}

function listed(actions: string[] | undefined, action: string): boolean {
  return actions === undefined || actions.some((pattern) => globMatches(pattern, action))
}

function applies({ Action, Resource }: Statement, action: string, resource: string | undefined): boolean {
  if (!listed(Action, action)) return false
  if (Resource === undefined) return true
  const lower = (text: string) => text.replace(/^[^:]+/, (service) => service.toLowerCase())
  return resource !== undefined && Resource.some((pattern) => globMatches(lower(pattern), resource))
}

/** `*` stands for any run of characters. */
export function globMatches(pattern: string, text: string): boolean {
  const escaped = pattern.split('*').map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
  return new RegExp(`^${escaped.join('.*')}$`).test(text)
}
