import { Failure } from '../shared/base/failure.ts'
import type { Secret } from '../shared/base/secret.ts'
import type { HttpClient, HttpRequest } from '../shared/http/client.ts'
import { recoded } from '../shared/http/failures.ts'

/** What the service says about a function; fields as in `ShowFunctionConfigResponse` of the official SDK. */
export interface DeployedFunction {
  func_urn: string
  func_name: string
  runtime: string
  handler: string
  memory_size: number
  timeout: number
  description: string
  xrole: string
  app_xrole: string
  user_data: string
  initializer_handler: string
  initializer_timeout: number
  strategy_config: { concurrency: number; concurrent_num: number }
  type: string
  enable_lts_log: boolean
  code_size: number
  digest: string
  last_modified: string
}

export interface DeployedTrigger {
  trigger_id: string
  trigger_type_code: string
  trigger_status: string
  event_data: Record<string, unknown>
}

export interface DeployedVersion {
  version: string
  last_modified: string
}

/** Of runs that triggers start. */
export interface AsyncSettings {
  retries: number
  /** Seconds after which an event is not tried any more. */
  maximumAge: number
  /** Urn of the SMN topic that hears of a run whose last try failed; empty: nobody. */
  failureTopic: string
}

export interface InvocationResult {
  requestId: string
  status: number
  result: string
  log: string
}

/** The calls of FunctionGraph (API version 2) that deploying needs; every one names the IAM action it asks for. */
export function createFunctionGraph(http: HttpClient, options: { region: string; projectId: string }) {
  const base = `/v2/${options.projectId}/fgs`
  const urn = (name: string, version?: string) =>
    `urn:fss:${options.region}:${options.projectId}:function:default:${name}${version ? `:${version}` : ''}`
  const at = (name: string, rest = '', version?: string) => `${base}/functions/${urn(name, version)}${rest}`

  async function call(
    action: string,
    request: Omit<HttpRequest, 'permission'>,
  ): Promise<Record<string, unknown>> {
    const reply = await http.request({ ...request, permission: `functiongraph:${action}` })
    return (reply.body ?? {}) as Record<string, unknown>
  }

  return {
    urn,

    /** Undefined where there is no such function, or no such version of it. */
    async show(name: string, version?: string): Promise<DeployedFunction | undefined> {
      try {
        const found = await call('function:getConfig', {
          operation: `show function ${name}${version ? ` (version ${version})` : ''}`,
          method: 'GET',
          path: at(name, '/config', version),
        })
        return readFunction(found)
      } catch (thrown) {
        if (thrown instanceof Failure && thrown.facts.status === 404) return undefined
        throw thrown
      }
    },

    async create(name: string, body: Record<string, unknown>, zip: Uint8Array, secrets: Secret[]) {
      await call('function:create', {
        operation: `create function ${name}`,
        method: 'POST',
        path: `${base}/functions`,
        body: { func_name: name, package: 'default', ...codeOf(zip), ...body },
        secrets,
      })
    },

    async updateCode(name: string, zip: Uint8Array) {
      await call('function:updateCode', {
        operation: `upload the code of function ${name}`,
        method: 'PUT',
        path: at(name, '/code'),
        body: codeOf(zip),
        // The same bytes again change nothing.
        idempotent: true,
      })
    },

    /** The zip of a version, through the link that the service gives to it. */
    async download(name: string, version: string): Promise<Uint8Array> {
      const found = await call('function:getCode', {
        operation: `look for the code of function ${name} (version ${version})`,
        method: 'GET',
        path: at(name, '/code', version),
      })
      const link = String((found.func_code as { link?: unknown } | undefined)?.link ?? '')
      return fetchZip(link, `the code of function ${name} (version ${version})`)
    },

    async updateConfig(name: string, body: Record<string, unknown>, secrets: Secret[]) {
      await call('function:updateConfig', {
        operation: `configure function ${name}`,
        method: 'PUT',
        path: at(name, '/config'),
        body: { func_name: name, ...body },
        secrets,
        idempotent: true,
      })
    },

    async remove(name: string) {
      await call('function:delete', {
        operation: `delete function ${name}`,
        method: 'DELETE',
        path: at(name),
      })
    },

    async triggers(name: string): Promise<DeployedTrigger[]> {
      const reply = await http.request({
        operation: `list the triggers of function ${name}`,
        method: 'GET',
        path: `${base}/triggers/${urn(name)}`,
        permission: 'functiongraph:trigger:list',
      })
      if (!Array.isArray(reply.body)) throw reply.broken('the triggers are not a list')
      return reply.body as DeployedTrigger[]
    },

    async createTrigger(name: string, type: string, status: string, data: Record<string, unknown>) {
      await call('trigger:create', {
        operation: `create the ${type} trigger of function ${name}`,
        method: 'POST',
        path: `${base}/triggers/${urn(name)}`,
        body: { trigger_type_code: type, trigger_status: status, event_data: data },
      })
    },

    async setTriggerStatus(
      name: string,
      { trigger_type_code: type, trigger_id: id }: DeployedTrigger,
      status: string,
    ) {
      await call('trigger:update', {
        operation: `switch the ${type} trigger of function ${name}`,
        method: 'PUT',
        path: `${base}/triggers/${urn(name)}/${type}/${encodeURIComponent(id)}`,
        body: { trigger_status: status },
        idempotent: true,
      })
    },

    async deleteTrigger(name: string, { trigger_type_code: type, trigger_id: id }: DeployedTrigger) {
      await call('trigger:delete', {
        operation: `delete the ${type} trigger of function ${name}`,
        method: 'DELETE',
        path: `${base}/triggers/${urn(name)}/${type}/${encodeURIComponent(id)}`,
      })
    },

    /** Undefined where nothing was ever set. */
    async asyncSettings(name: string): Promise<AsyncSettings | undefined> {
      try {
        const found = await call('function:getAsyncConfig', {
          operation: `show the asynchronous settings of function ${name}`,
          method: 'GET',
          path: at(name, '/async-invoke-config'),
        })
        return {
          retries: Number(found.max_async_retry_attempts),
          maximumAge: Number(found.max_async_event_age_in_seconds),
          failureTopic: topicOf(found.destination_config),
        }
      } catch (thrown) {
        if (thrown instanceof Failure && thrown.facts.status === 404) return undefined
        throw thrown
      }
    },

    async setAsyncSettings(name: string, { retries, maximumAge, failureTopic }: AsyncSettings) {
      const param = JSON.stringify({ topic_urn: failureTopic })
      await call('function:updateAsyncConfig', {
        operation: `set the asynchronous settings of function ${name}`,
        method: 'PUT',
        path: at(name, '/async-invoke-config'),
        body: {
          max_async_retry_attempts: retries,
          max_async_event_age_in_seconds: maximumAge,
          destination_config: failureTopic ? { on_failure: { destination: 'SMN', param } } : {},
        },
        idempotent: true,
      })
    },

    /** Published versions, without `latest`, newest first. */
    async versions(name: string): Promise<DeployedVersion[]> {
      const found = await call('function:listVersion', {
        operation: `list the versions of function ${name}`,
        method: 'GET',
        path: at(name, '/versions'),
        query: { maxitems: 100 },
      })
      const list = (found.versions ?? []) as DeployedVersion[]
      return list
        .filter(({ version }) => version !== 'latest')
        .toSorted((a, b) => (a.version < b.version ? 1 : -1))
    },

    async publish(name: string, version: string, digest: string, description: string) {
      await call('function:createVersion', {
        operation: `publish version ${version} of function ${name}`,
        method: 'POST',
        path: at(name, '/versions'),
        body: { version, digest, description },
      })
    },

    async removeVersion(name: string, version: string) {
      await call('function:delete', {
        operation: `delete version ${version} of function ${name}`,
        method: 'DELETE',
        path: at(name, '', version),
      })
    },

    async invoke(name: string, event: unknown): Promise<InvocationResult> {
      const found = await call('function:invoke', {
        operation: `invoke function ${name}`,
        method: 'POST',
        path: at(name, '/invocations'),
        headers: { 'X-Cff-Log-Type': 'tail', 'X-CFF-Request-Version': 'v1' },
        body: event,
      })
      return {
        requestId: String(found.request_id ?? ''),
        status: Number(found.status ?? 0),
        result: String(found.result ?? ''),
        log: String(found.log ?? ''),
      }
    },

    /** Where the function's log goes in LTS. Fails with `deploy.no-log` where it was never switched on. */
    async logStream(name: string): Promise<{ group: string; stream: string }> {
      const found = await call('function:getConfig', {
        operation: `look up the log of function ${name}`,
        method: 'GET',
        path: at(name, '/lts-log-detail'),
      }).catch((thrown) => {
        if (!(thrown instanceof Failure) || thrown.facts.status !== 404) throw thrown
        throw recoded(thrown, {
          code: 'deploy.no-log',
          kind: 'never',
          next: 'Run "npm run deploy": it switches the log on. Check --stage and the function\'s name.',
        })
      })
      return { group: String(found.group_id ?? ''), stream: String(found.stream_id ?? '') }
    },
  }
}

export type FunctionGraph = ReturnType<typeof createFunctionGraph>

/** Signed by the service itself: whoever has the link may read, so it is not printed. */
async function fetchZip(link: string, what: string): Promise<Uint8Array> {
  const failed = (why: string, cause?: unknown) =>
    new Failure({
      code: 'deploy.no-code',
      kind: 'again',
      message: `FunctionGraph's link to ${what} does not work (${why})`,
      next: 'Run it again; nothing was changed.',
      cause,
    })
  if (!URL.canParse(link)) throw failed('there is none')
  const reply = await fetch(link, { signal: AbortSignal.timeout(60_000) }).catch((cause: unknown) => {
    throw failed('no answer', cause)
  })
  if (!reply.ok) throw failed(`HTTP ${reply.status}`)
  return new Uint8Array(await reply.arrayBuffer())
}

/** The topic of `on_failure`: its `param` is JSON in a string. */
function topicOf(destinations: unknown): string {
  const { destination, param } =
    (destinations as { on_failure?: { destination?: string; param?: string } } | undefined)?.on_failure ?? {}
  if (destination !== 'SMN') return ''
  try {
    return String((JSON.parse(param ?? '') as { topic_urn?: string }).topic_urn ?? '')
  } catch {
    return ''
  }
}

function codeOf(zip: Uint8Array) {
  return {
    code_type: 'zip',
    code_filename: 'index.zip',
    func_code: { file: Buffer.from(zip).toString('base64') },
  }
}

/** Absent fields as the service means them: empty, or no limit. */
function readFunction(found: Record<string, unknown>): DeployedFunction {
  const text = (name: string) => String(found[name] ?? '')
  const number = (name: string) => Number(found[name] ?? 0)
  const strategy = (found.strategy_config ?? {}) as Record<string, unknown>
  return {
    func_urn: text('func_urn'),
    func_name: text('func_name'),
    runtime: text('runtime'),
    handler: text('handler'),
    memory_size: number('memory_size'),
    timeout: number('timeout'),
    description: text('description'),
    xrole: text('xrole'),
    app_xrole: text('app_xrole'),
    user_data: text('user_data'),
    initializer_handler: text('initializer_handler'),
    initializer_timeout: number('initializer_timeout'),
    strategy_config: {
      concurrency: Number(strategy.concurrency ?? -1),
      concurrent_num: Number(strategy.concurrent_num ?? 1),
    },
    // Where a region does not say, it is taken for what we asked for.
    type: text('type') || 'v2',
    enable_lts_log: found.enable_lts_log !== false,
    code_size: number('code_size'),
    digest: text('digest'),
    last_modified: text('last_modified'),
  }
}
