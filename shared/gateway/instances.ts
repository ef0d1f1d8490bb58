import type { HttpClient } from '../http/client.ts'
import { flavours } from './flavours.ts'
import { listAll, read } from './paging.ts'
import type { Flavour } from './port.ts'

/** A gateway of the project, as people know it. */
export interface GatewayInstance {
  flavour: Flavour
  id: string
  name: string
}

/**
 * Every gateway of one product in the project: "Querying dedicated gateways" of APIG (`instance_name`), "Querying
 * instances" of ROMA Connect (`name`, another path). Fails as every look-up of `Gateway` does.
 */
export async function listInstances(
  http: HttpClient,
  flavour: Flavour,
  projectId: string,
  signal?: AbortSignal,
): Promise<GatewayInstance[]> {
  const prefix = flavour === 'apig' ? `${flavours.apig.prefix}/instances` : 'instances'
  const request = {
    operation: `list the ${flavour} instances`,
    method: 'GET' as const,
    path: `/v2/${encodeURIComponent(projectId)}/${prefix}`,
    permission: `${flavour}:instances:list`,
    ...(signal && { signal }),
  }
  const { rows, reply } = await listAll(request, 'instances', (page) => http.request(page))
  return rows.map((row) => {
    const { id, name, instance_name: apigName } = row as Record<string, unknown>
    if (reply && typeof id !== 'string') throw read(reply, () => reply.broken('an instance has no id'))
    return { flavour, id: String(id), name: String(apigName ?? name ?? '') }
  })
}
