import { systemClock } from '../shared/base/clock.ts'
import { Failure } from '../shared/base/failure.ts'
import { Secret } from '../shared/base/secret.ts'
import { endpointsFor } from '../shared/config/endpoints.ts'
import { accessKeyCredentials } from '../shared/http/auth.ts'
import { createDispatcher, createHttpClient, type HttpClient } from '../shared/http/client.ts'
import type { ServiceName } from '../shared/http/services.ts'
import type { AccessKey } from '../shared/http/sign.ts'
import type { DesiredService } from './desired.ts'
import { createFunctionGraph, type FunctionGraph } from './function-graph.ts'
import { createIdentity, findAccount, type Identity } from './identity.ts'
import { createTopics, type Topics } from './topics.ts'

/** Uploading some hundred kilobytes over a slow line takes its time. */
const TIMEOUT_MS = 60_000

export type Environment = Readonly<Record<string, string | undefined>>

export interface DeploySession {
  region: string
  projectId: string
  functionGraph: FunctionGraph
  topics: Topics
  /** Agencies and policies. */
  identity: Identity
  /** The deployer's own. */
  key: AccessKey
  /** Lines of a function's log since an instant, oldest first. */
  logs(name: string, since: Date): Promise<string[]>
  close(): Promise<void>
}

/**
 * Signed access to the region's FunctionGraph. The deployer's key comes from the environment: `HW_ACCESS_KEY`,
 * `HW_SECRET_KEY` and, for temporary ones, `HW_SECURITY_TOKEN`. Huawei Cloud and Open Telekom Cloud differ by the
 * region's endpoints only.
 */
export async function openSession(
  service: Pick<DesiredService, 'region' | 'projectId' | 'endpoints'>,
  environment: Environment,
): Promise<DeploySession> {
  const key = accessKey(environment)
  const endpoints = endpointsFor(service.region, service.endpoints)
  if (!endpoints.functiongraph)
    throw new Failure({
      code: 'deploy.no-functiongraph',
      kind: 'never',
      message: `FunctionGraph is not offered in ${service.region}`,
      next: 'Choose another region (on Open Telekom Cloud: eu-de), or set provider.endpoints.functiongraph.',
    })
  const dispatcher = createDispatcher({ connections: 4 })
  const client = (
    name: ServiceName,
    endpoint: string,
    scope: { projectId?: string; domainId?: string } = {},
  ): HttpClient =>
    createHttpClient({
      service: name,
      endpoint,
      credentials: { ...accessKeyCredentials(key, systemClock), description: `HW_ACCESS_KEY (${key.id})` },
      clock: systemClock,
      timeoutMs: TIMEOUT_MS,
      dispatcher,
      ...scope,
    })
  let account: ReturnType<typeof findAccount> | undefined
  const lookUp = () => {
    account ??= findAccount(client('iam', endpoints.iam), service)
    return account
  }
  const projectId = service.projectId ?? (await lookUp()).projectId
  const http = client('functiongraph', endpoints.functiongraph, { projectId })
  const functionGraph = createFunctionGraph(http, { region: service.region, projectId })
  const lts = client(
    'functiongraph',
    service.endpoints.lts ?? endpoints.functiongraph.replace('://functiongraph.', '://lts.'),
    { projectId },
  )
  return {
    region: service.region,
    projectId,
    functionGraph,
    topics: createTopics(client('smn', endpoints.smn, { projectId }), { region: service.region, projectId }),
    identity: createIdentity(async () => {
      const { domainId } = await lookUp()
      return { domainId, projectId, http: client('iam', endpoints.iam, { domainId }) }
    }),
    key,
    async logs(name, since) {
      const { group, stream } = await functionGraph.logStream(name)
      if (!group || !stream) return []
      const reply = await lts.request({
        operation: `read the log of function ${name}`,
        method: 'POST',
        path: `/v2/${projectId}/groups/${group}/streams/${stream}/content/query`,
        body: {
          start_time: String(since.getTime()),
          end_time: String(systemClock.now().getTime()),
          is_desc: false,
          limit: 1000,
        },
        idempotent: true,
        permission: 'lts:logs:list',
      })
      const { logs } = (reply.body ?? {}) as { logs?: { content?: unknown }[] }
      return (logs ?? []).map(({ content }) => String(content ?? '').trimEnd())
    },
    close: () => dispatcher.close(),
  }
}

function accessKey(environment: Environment): AccessKey {
  const { HW_ACCESS_KEY: id, HW_SECRET_KEY: secret, HW_SECURITY_TOKEN: token } = environment
  if (id && secret)
    return { id, secret: new Secret(secret), ...(token ? { securityToken: new Secret(token) } : {}) }
  throw new Failure({
    code: 'deploy.no-credentials',
    kind: 'never',
    message: `There are no credentials: ${id ? 'HW_SECRET_KEY' : 'HW_ACCESS_KEY'} is not set`,
    next: 'Set HW_ACCESS_KEY and HW_SECRET_KEY (and HW_SECURITY_TOKEN for a temporary key) in the environment.',
  })
}
