import { invoke, invokeAsync } from './functiongraph-run.ts'
import {
  bad,
  type EmulatedFunction,
  type FunctionVersion,
  findFunction,
  functionsOf,
  readAsync,
  readCode,
  readConfig,
  requireAgencies,
  sha512,
} from './functiongraph-state.ts'
import { fireTimer, readTrigger } from './functiongraph-triggers.ts'
import {
  ApiError,
  errorCodeBody,
  frontDoorError,
  type Reply,
  type RequestContext,
  type Route,
  type Service,
} from './service.ts'
import type { World } from './world.ts'

const functions = '/v2/{project_id}/fgs/functions'
const one = `${functions}/{function_urn}`
const logs = '/v2/{project_id}/groups/{log_group_id}/streams/{log_stream_id}'
const triggers = '/v2/{project_id}/fgs/triggers/{function_urn}'

type Method = Route['method']

const table: [name: string, method: Method, path: string, action: string, handler: Route['handler']][] = [
  ['createFunction', 'POST', functions, 'function:create', createFunction],
  ['listFunctions', 'GET', functions, 'function:list', listFunctions],
  ['showConfig', 'GET', `${one}/config`, 'function:getConfig', (context) => reply(configView(context))],
  ['updateConfig', 'PUT', `${one}/config`, 'function:updateConfig', updateConfig],
  ['showCode', 'GET', `${one}/code`, 'function:getCode', showCode],
  ['updateCode', 'PUT', `${one}/code`, 'function:updateCode', updateCode],
  ['deleteFunction', 'DELETE', one, 'function:delete', deleteFunction],
  ['createVersion', 'POST', `${one}/versions`, 'function:createVersion', createVersion],
  ['listVersions', 'GET', `${one}/versions`, 'function:listVersion', listVersions],
  ['createTrigger', 'POST', triggers, 'trigger:create', createTrigger],
  ['listTriggers', 'GET', triggers, 'trigger:list', listTriggers],
  ['updateTrigger', 'PUT', `${triggers}/{trigger_type_code}/{trigger_id}`, 'trigger:update', updateTrigger],
  [
    'deleteTrigger',
    'DELETE',
    `${triggers}/{trigger_type_code}/{trigger_id}`,
    'trigger:delete',
    deleteTrigger,
  ],
  ['showAsyncConfig', 'GET', `${one}/async-invoke-config`, 'function:getAsyncConfig', showAsyncConfig],
  ['updateAsyncConfig', 'PUT', `${one}/async-invoke-config`, 'function:updateAsyncConfig', updateAsyncConfig],
  ['invoke', 'POST', `${one}/invocations`, 'function:invoke', invokeNow],
  ['invokeAsync', 'POST', `${one}/invocations-async`, 'function:invokeAsync', invokeLater],
  ['showLogGroup', 'GET', `${one}/lts-log-detail`, 'function:getConfig', showLogGroup],
  ['queryLogs', 'POST', `${logs}/content/query`, 'lts:logs:list', queryLogs],
]

/**
 * FunctionGraph, version 2 of its API: functions, versions, triggers, settings of asynchronous runs, and runs, each a
 * process of its own with the platform's context. Reference, section 4; fields as in the official Node SDK.
 */
export const functiongraph: Service = {
  name: 'functiongraph',
  routes: [
    ...table.map(([name, method, path, action, handler]) => ({
      name: `functiongraph.${name}`,
      method,
      path,
      action: action.startsWith('lts:') ? action : `functiongraph:${action}`,
      handler,
      ...(/^(invoke|query)/.test(name) ? { mutating: false } : {}),
    })),
    {
      name: 'functiongraph.downloadCode',
      method: 'GET',
      path: '/code/{name}/{digest}',
      authenticated: false,
      handler: downloadCode,
    },
  ],
  errorBody: errorCodeBody,
  authError: frontDoorError,
  forbidden: (action) => new ApiError(403, 'FSS.0403', `No permission for ${action}`),
  badBody: (reason) => bad(`Invalid request body: ${reason}`),
}

/** For tests and the terminal: runs that are under way, the runs so far, and the timer by hand. */
export const functionGraphOf = (world: World) => ({
  invocations: () => functionsOf(world).invocations.map((invocation) => ({ ...invocation })),
  async settled() {
    while (functionsOf(world).pending.size > 0) await Promise.all(functionsOf(world).pending)
  },
  fireTimer: (name: string) => {
    const fn = functionsOf(world).functions.get(name)
    if (fn === undefined) throw new ApiError(404, 'FSS.1051', 'Not found the function')
    return fireTimer(world, fn)
  },
})

function reply(body: unknown, status = 200): Reply {
  return { status, body }
}

function object(body: unknown): Record<string, unknown> {
  if (typeof body === 'object' && body !== null && !Array.isArray(body))
    return body as Record<string, unknown>
  throw bad('Invalid request body: a JSON object is needed')
}

function found({ world, params }: RequestContext) {
  return findFunction(world, params.function_urn!)
}

function createFunction({ world, body }: RequestContext): Reply {
  const fields = object(body)
  const name = String(fields.func_name ?? '')
  if (!/^[A-Za-z](?:[\w-]{0,58}[A-Za-z0-9])?$/.test(name)) throw bad('func_name is not valid')
  const state = functionsOf(world)
  if (state.functions.has(name)) throw new ApiError(400, 'FSS.1060', 'The function name exists already')
  const group = String(fields.package ?? 'default')
  const zip = readCode(fields)
  const config = readConfig(fields, undefined)
  requireAgencies(world, config)
  const now = world.clock.now()
  const fn: EmulatedFunction = {
    name,
    package: group,
    urn: `urn:fss:${world.region}:${world.project.id}:function:${group}:${name}`,
    createdAt: now,
    latest: {
      version: 'latest',
      description: '',
      zip,
      digest: sha512(zip),
      config,
      modifiedAt: now,
    },
    published: [],
    triggers: [],
    async: undefined,
    running: 0,
    waiting: [],
  }
  state.functions.set(name, fn)
  world.touch()
  return reply(view(world, fn, fn.latest))
}

function listFunctions({ world, query }: RequestContext): Reply {
  const all = [...functionsOf(world).functions.values()].filter((fn) =>
    fn.name.includes(query.get('func_name') ?? ''),
  )
  const from = Number(query.get('marker') ?? 0)
  const page = all.slice(from, from + Math.min(Number(query.get('maxitems') ?? 400), 400))
  return reply({
    functions: page.map((fn) => view(world, fn, fn.latest)),
    next_marker: from + page.length,
    count: all.length,
  })
}

function configView(context: RequestContext) {
  const { fn, version } = found(context)
  return view(context.world, fn, version)
}

function view(world: World, fn: EmulatedFunction, version: FunctionVersion) {
  const { config } = version
  return {
    func_urn: `${fn.urn}:${version.version}`,
    func_name: fn.name,
    domain_id: world.project.domainId,
    namespace: world.project.id,
    project_name: world.project.name,
    package: fn.package,
    ...config,
    // What was encrypted is not given back.
    encrypted_user_data: config.encrypted_user_data === '' ? '' : '****',
    cpu: 300,
    code_type: 'zip',
    code_filename: 'index.zip',
    code_size: version.zip.length,
    digest: version.digest,
    version: version.version,
    last_modified: version.modifiedAt.toISOString().replace(/\.\d+Z$/, '+00:00'),
    depend_version_list: [],
  }
}

function updateConfig(context: RequestContext): Reply {
  const { world } = context
  const { fn, version } = latest(context)
  const fields = object(context.body)
  for (const name of ['func_name', 'runtime', 'timeout', 'handler', 'memory_size'])
    if (fields[name] === undefined) throw bad(`${name} is missing`)
  if (fields.func_name !== fn.name) throw bad('func_name is another one')
  const config = readConfig(fields, version.config)
  requireAgencies(world, config)
  version.config = config
  version.modifiedAt = world.clock.now()
  world.touch()
  return reply(view(world, fn, version))
}

function latest(context: RequestContext) {
  const { fn, version } = found(context)
  if (version !== fn.latest) throw bad('a published version cannot be changed')
  return { fn, version }
}

/** The link is one of object storage, good for a while and for whoever has it. */
function showCode(context: RequestContext): Reply {
  const { fn, version } = found(context)
  const { func_urn, func_name, runtime, code_type, code_size, digest } = view(context.world, fn, version)
  const func_code = { file: '', link: `http://${context.headers.host}/code/${fn.name}/${version.digest}` }
  return reply({ func_urn, func_name, runtime, code_type, code_size, digest, func_code })
}

function downloadCode({ world, params }: RequestContext): Reply {
  const fn = functionsOf(world).functions.get(params.name!)
  const version = fn && [fn.latest, ...fn.published].find(({ digest }) => digest === params.digest)
  if (version === undefined) throw new ApiError(404, 'NoSuchKey', 'The object does not exist')
  return { status: 200, raw: version.zip, headers: { 'content-type': 'application/zip' } }
}

function updateCode(context: RequestContext): Reply {
  const { fn, version } = latest(context)
  const zip = readCode(object(context.body))
  Object.assign(version, { zip, digest: sha512(zip), modifiedAt: context.world.clock.now() })
  context.world.touch()
  const { func_urn, func_name, runtime, code_type, code_size, digest } = view(context.world, fn, version)
  return reply({ func_urn, func_name, runtime, code_type, code_size, digest })
}

/** A urn with a version deletes that version, else everything. */
function deleteFunction(context: RequestContext): Reply {
  const { fn, version } = found(context)
  if (version !== fn.latest) fn.published = fn.published.filter((each) => each !== version)
  else functionsOf(context.world).functions.delete(fn.name)
  context.world.touch()
  return { status: 204 }
}

function createVersion(context: RequestContext): Reply {
  const { world } = context
  const { fn, version } = latest(context)
  const fields = object(context.body ?? {})
  const name = String(fields.version ?? `v${fn.published.length + 1}`)
  if (!/^[A-Za-z0-9](?:[\w.-]{0,40}[A-Za-z0-9])?$/.test(name)) throw bad('version is not valid')
  if (fn.published.some((each) => each.version === name)) throw bad(`the version ${name} exists already`)
  if (fn.published.length >= 20) throw bad('there can be at most 20 versions')
  if (typeof fields.digest === 'string' && fields.digest !== '' && fields.digest !== version.digest)
    throw bad('the code has changed meanwhile')
  const copy: FunctionVersion = {
    ...version,
    version: name,
    description: String(fields.description ?? ''),
    config: structuredClone(version.config),
    modifiedAt: world.clock.now(),
  }
  fn.published.push(copy)
  world.touch()
  return reply({ ...view(world, fn, copy), version_description: copy.description })
}

function listVersions(context: RequestContext): Reply {
  const { world } = context
  const { fn } = found(context)
  const versions = [fn.latest, ...fn.published.toReversed()].map((version) => ({
    ...view(world, fn, version),
    version_description: version.description,
  }))
  return reply({ versions, next_marker: versions.length, count: versions.length })
}

function triggerView(trigger: EmulatedFunction['triggers'][number]) {
  return {
    trigger_id: trigger.id,
    trigger_type_code: trigger.type,
    trigger_status: trigger.status,
    event_data: { ...trigger.data, triggerid: trigger.id },
    last_updated_time: trigger.updatedAt.toISOString(),
    created_time: trigger.createdAt.toISOString(),
  }
}

function createTrigger(context: RequestContext): Reply {
  const { fn } = latest(context)
  const trigger = readTrigger(context.world, fn, object(context.body))
  fn.triggers.push(trigger)
  context.world.touch()
  return reply(triggerView(trigger), 201)
}

function listTriggers(context: RequestContext): Reply {
  return reply(found(context).fn.triggers.map(triggerView))
}

function triggerOf(context: RequestContext) {
  const { fn } = found(context)
  const { trigger_type_code: type, trigger_id: id } = context.params
  const trigger = fn.triggers.find((each) => each.id === id && each.type === type)
  if (trigger === undefined) throw new ApiError(404, 'FSS.1404', 'Not found the trigger')
  return { fn, trigger }
}

/** Only the status can be changed, and polling settings of triggers that are not emulated. */
function updateTrigger(context: RequestContext): Reply {
  const { trigger } = triggerOf(context)
  const { trigger_status } = object(context.body)
  if (trigger_status !== 'ACTIVE' && trigger_status !== 'DISABLED')
    throw bad('trigger_status must be ACTIVE or DISABLED')
  if (trigger.type === 'OBS') throw bad('an OBS trigger cannot be disabled')
  Object.assign(trigger, { status: trigger_status, updatedAt: context.world.clock.now() })
  context.world.touch()
  return reply(triggerView(trigger))
}

function deleteTrigger(context: RequestContext): Reply {
  const { fn, trigger } = triggerOf(context)
  fn.triggers = fn.triggers.filter((each) => each !== trigger)
  context.world.touch()
  return { status: 204 }
}

function showAsyncConfig(context: RequestContext): Reply {
  const { fn } = found(context)
  if (fn.async === undefined) throw new ApiError(404, 'FSS.1404', 'Not found the async invoke config')
  return reply({ func_urn: `${fn.urn}:latest`, ...fn.async })
}

function updateAsyncConfig(context: RequestContext): Reply {
  const { fn } = latest(context)
  fn.async = readAsync(object(context.body))
  context.world.touch()
  return reply({ func_urn: `${fn.urn}:latest`, ...fn.async })
}

async function invokeNow(context: RequestContext): Promise<Reply> {
  const { fn, version } = found(context)
  const run = await invoke(context.world, fn, version, context.body ?? {}, { mode: 'sync', by: 'api' })
  const log = context.headers['x-cff-log-type'] === 'tail' ? run.log.slice(-4096) : ''
  const headers = { 'X-Cff-Request-Id': run.requestId }
  if (context.headers['x-cff-request-version'] === 'v1')
    return {
      status: 200,
      headers,
      body: { request_id: run.requestId, result: run.result, log, status: run.status },
    }
  return { status: run.status === 200 ? 200 : 500, headers, raw: run.result }
}

function invokeLater(context: RequestContext): Reply {
  const { fn } = found(context)
  const { requestId } = context
  void invokeAsync(context.world, fn, context.body ?? {}, 'api', requestId)
  return reply({ request_id: requestId }, 202)
}

function showLogGroup(context: RequestContext): Reply {
  const { fn } = found(context)
  const { project } = context.world
  if (!fn.latest.config.enable_lts_log)
    throw new ApiError(404, 'FSS.1404', 'LTS is not enabled for the function')
  return reply({
    group_name: `functiongraph.log.group.${project.id}`,
    group_id: sha512(Buffer.from(project.id)).slice(0, 32),
    stream_name: fn.name,
    stream_id: streamId(fn.name),
  })
}

const streamId = (name: string) => sha512(Buffer.from(name)).slice(0, 32)

/** Log Tank Service, as far as a function's log needs it. */
function queryLogs({ world, params, body }: RequestContext): Reply {
  const { start_time, end_time } = object(body)
  const found = functionsOf(world).invocations.filter(
    ({ at, functionName, logged }) =>
      logged &&
      streamId(functionName) === params.log_stream_id &&
      Date.parse(at) >= Number(start_time) &&
      Date.parse(at) <= Number(end_time),
  )
  const lines = found.flatMap(({ log }) => log.split('\n').filter(Boolean))
  return reply({
    count: lines.length,
    logs: lines.map((content, i) => ({ content, line_num: String(i + 1), labels: {} })),
  })
}
