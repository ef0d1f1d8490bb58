import { INSTANCE_ID, RESOURCE_ID } from './ids.ts'
import { ApiError, type RequestContext } from './service.ts'
import type { Domain, Flavour, GatewayCertificate, Group, Instance, World } from './world.ts'

// Looking up and checking what a gateway request names, in the order and with the codes of section 9.

export function invalid(parameter: string): ApiError {
  const text = `Invalid parameter value,parameterName:${parameter}. Please refer to the support documentation`
  return new ApiError(400, 'APIG.2012', text)
}

export function missing(parameter: string): ApiError {
  const text = `The required parameter is missing,parameterName:${parameter}. Please refer to the support documentation`
  return new ApiError(400, 'APIG.2001', text)
}

export function requireInstance(world: World, flavour: Flavour, id: string): Instance {
  // A malformed id is just as unknown (seed page 3: one character too many gives this 404).
  const instance = INSTANCE_ID.test(id) ? world.instances.get(id) : undefined
  if (instance?.flavour === flavour) return instance
  throw new ApiError(404, 'APIG.3030', `The instance does not exist;id:${id}`)
}

export function requireId(value: string, parameter: string): string {
  if (!RESOURCE_ID.test(value)) throw invalid(parameter)
  return value
}

export function requireGroup(instance: Instance, id: string): Group {
  const group = instance.groups.get(id)
  if (group === undefined) throw new ApiError(404, 'APIG.3001', `The API group does not exist;id:${id}`)
  return group
}

export function requireDomain(instance: Instance, group: Group, id: string): Domain {
  const domain = group.domains.get(id)
  if (domain !== undefined) return domain
  for (const other of instance.groups.values()) {
    if (other.domains.has(id)) {
      throw new ApiError(403, 'APIG.3474', 'The group in the request is not the group of the domain')
    }
  }
  throw new ApiError(404, 'APIG.3020', 'The URL domain does not exist')
}

export function requireCertificate(world: World, flavour: Flavour, id: string): GatewayCertificate {
  const certificate = world.certificates[flavour].get(id)
  if (certificate !== undefined) return certificate
  throw new ApiError(404, world.rules.missingCertificate, `The SSL certificate does not exist;id:${id}`)
}

/** The three ids of a domain's path. `bodyCheck` runs between the instance's existence and the other objects'. */
export function domainOfPath(
  context: RequestContext,
  flavour: Flavour,
  bodyCheck: () => void,
): { instance: Instance; group: Group; domain: Domain } {
  const { params, world } = context
  const instance = requireInstance(world, flavour, params.instance_id!)
  requireId(params.group_id!, 'group_id')
  requireId(params.domain_id!, 'domain_id')
  bodyCheck()
  const group = requireGroup(instance, params.group_id!)
  return { instance, group, domain: requireDomain(instance, group, params.domain_id!) }
}

/** The body as an object whose fields are all known. */
export function fieldsOf(context: RequestContext, known: string[]): Record<string, unknown> {
  const body = context.body
  if (typeof body !== 'object' || body === null || Array.isArray(body)) {
    throw new ApiError(400, 'APIG.2000', 'Parameters error: the body must be a JSON object')
  }
  const fields = body as Record<string, unknown>
  if (context.world.rules.unknownFields === 'refuse') {
    const unknown = Object.keys(fields).find((name) => !known.includes(name))
    if (unknown !== undefined) throw invalid(unknown)
  }
  return fields
}

export function requiredText(fields: Record<string, unknown>, name: string): string {
  const value = fields[name]
  if (value === undefined || value === null || value === '') throw missing(name)
  if (typeof value !== 'string') throw invalid(name)
  return value
}

export function optionalText(fields: Record<string, unknown>, name: string): string | undefined {
  const value = fields[name]
  if (value === undefined || value === null || value === '') return undefined
  if (typeof value !== 'string') throw invalid(name)
  return value
}

export function optionalFlag(fields: Record<string, unknown>, name: string): boolean | undefined {
  const value = fields[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'boolean') throw invalid(name)
  return value
}

/** Offset and limit by the gateways' rules: odd numbers are put right silently, other text is refused. */
export function pageOf<T>(query: URLSearchParams, items: T[]): { items: T[]; size: number; total: number } {
  const number = (name: string, fallback: number) => {
    const text = query.get(name)
    if (text === null || text === '') return fallback
    if (!/^-?\d{1,9}$/.test(text)) throw invalid(name)
    return Number(text)
  }
  const offset = Math.max(0, number('offset', 0))
  const asked = number('limit', 20)
  const limit = asked <= 0 ? 20 : Math.min(asked, 500)
  const page = items.slice(offset, offset + limit)
  return { items: page, size: page.length, total: items.length }
}
