import { createHash } from 'node:crypto'
import { agencyNamed } from './identity.ts'
import { ApiError } from './service.ts'
import type { World } from './world.ts'

/** A function version: `latest`, or a published copy of it. */
export interface FunctionVersion {
  version: string
  description: string
  zip: Buffer
  digest: string
  config: FunctionConfig
  modifiedAt: Date
}

export interface FunctionConfig {
  runtime: string
  handler: string
  timeout: number
  memory_size: number
  description: string
  xrole: string
  app_xrole: string
  user_data: string
  encrypted_user_data: string
  initializer_handler: string
  initializer_timeout: number
  strategy_config: { concurrency: number; concurrent_num: number }
  type: 'v1' | 'v2'
  /** Without it there is no log anywhere (create_function, field enable_lts_log: default false). */
  enable_lts_log: boolean
}

export interface Trigger {
  id: string
  type: string
  status: string
  data: Record<string, unknown>
  createdAt: Date
  updatedAt: Date
}

export interface AsyncConfig {
  max_async_event_age_in_seconds: number
  max_async_retry_attempts: number
  destination_config: { on_success?: Destination; on_failure?: Destination }
}

/** Where the result of an asynchronous run goes: `param` is JSON in a string. */
export interface Destination {
  destination: string
  param: string
}

/** One run of a function, for logs and tests. */
export interface Invocation {
  at: string
  functionName: string
  requestId: string
  mode: 'sync' | 'async'
  /** What started it: a trigger's type, or `api`. */
  by: string
  attempt: number
  status: number | null
  result: string
  log: string
  /** Whether LTS has it: only where the function was told to log. */
  logged: boolean
  durationMs: number | null
}

export interface EmulatedFunction {
  name: string
  package: string
  urn: string
  createdAt: Date
  latest: FunctionVersion
  published: FunctionVersion[]
  triggers: Trigger[]
  async: AsyncConfig | undefined
  /** Runs that wait for one of the allowed instances. */
  running: number
  waiting: (() => void)[]
}

export interface FunctionGraphState {
  functions: Map<string, EmulatedFunction>
  invocations: Invocation[]
  /** Asynchronous runs that are not over yet. */
  pending: Set<Promise<void>>
}

export function functionsOf(world: World): FunctionGraphState {
  const known = world.extensions.get('functiongraph') as FunctionGraphState | undefined
  if (known) return known
  const fresh: FunctionGraphState = { functions: new Map(), invocations: [], pending: new Set() }
  world.extensions.set('functiongraph', fresh)
  return fresh
}

export const sha512 = (bytes: Uint8Array): string => createHash('sha512').update(bytes).digest('hex')

/** `urn:fss:{region}:{project_id}:function:{package}:{name}[:{version}]` */
export function findFunction(world: World, urn: string): { fn: EmulatedFunction; version: FunctionVersion } {
  const [, , , , , , name, version = 'latest'] = urn.split(':')
  const fn = functionsOf(world).functions.get(name ?? '')
  if (fn === undefined || urn !== `${fn.urn}${urn === fn.urn ? '' : `:${version}`}`)
    throw new ApiError(404, 'FSS.1051', 'Not found the function')
  const found = version === 'latest' ? fn.latest : fn.published.find((one) => one.version === version)
  if (found === undefined) throw new ApiError(404, 'FSS.1052', 'Not found the function version')
  return { fn, version: found }
}

/** The account that FunctionGraph acts as: whom an agency must trust (user guide, "Configuring Agency Permissions"). */
export const FUNCTIONGRAPH_DOMAIN = 'op_svc_cff'

/** No page says what a function with an agency that does not exist is told; a function that cannot run is no use. */
export function requireAgencies(world: World, { xrole, app_xrole }: FunctionConfig): void {
  for (const name of new Set([xrole, app_xrole])) {
    if (name === '') continue
    const agency = agencyNamed(world, name)
    if (agency === undefined) throw bad(`the agency ${name} does not exist`)
    if (agency.trustDomainName !== FUNCTIONGRAPH_DOMAIN)
      throw bad(`the agency ${name} does not trust FunctionGraph (${FUNCTIONGRAPH_DOMAIN})`)
  }
}

/** User guide, "Supported runtimes" (functiongraph_01_1822): what functions of type v1 do not have. */
const V2_RUNTIMES = ['Node.js16.17', 'Node.js18.15', 'Node.js20.15']
const RUNTIMES = ['Node.js16.17', 'Node.js18.15', 'Node.js20.15', 'Python3.9', 'Python3.10']
const MEMORY = [128, 256, 512, 768, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 8192, 10240]

/** Reads configuration fields of a create or update body over what was there; checks what the documents demand. */
export function readConfig(
  body: Record<string, unknown>,
  before: FunctionConfig | undefined,
): FunctionConfig {
  const text = (name: keyof FunctionConfig, fallback: string): string => {
    const value = body[name] ?? before?.[name] ?? fallback
    if (typeof value !== 'string') throw bad(`${name} must be a string`)
    return value
  }
  const number = (name: keyof FunctionConfig, fallback: number): number => {
    const value = body[name] ?? before?.[name] ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value)) throw bad(`${name} must be an integer`)
    return value
  }
  const strategy = {
    concurrency: -1,
    concurrent_num: 1,
    ...before?.strategy_config,
    ...(body.strategy_config as object | undefined),
  }
  const config: FunctionConfig = {
    runtime: text('runtime', ''),
    handler: text('handler', ''),
    timeout: number('timeout', 3),
    memory_size: number('memory_size', 128),
    description: text('description', ''),
    xrole: text('xrole', ''),
    app_xrole: text('app_xrole', ''),
    user_data: text('user_data', ''),
    encrypted_user_data: text('encrypted_user_data', ''),
    initializer_handler: text('initializer_handler', ''),
    initializer_timeout: number('initializer_timeout', 0),
    strategy_config: strategy,
    type: readType(body, before),
    enable_lts_log: readFlag(body, before),
  }
  if (!RUNTIMES.includes(config.runtime)) throw bad(`runtime ${config.runtime} is not supported`)
  if (config.type === 'v1') {
    if (V2_RUNTIMES.includes(config.runtime))
      throw bad(`runtime ${config.runtime} is not supported by functions of type v1`)
    if (![0, -1].includes(strategy.concurrency) || strategy.concurrent_num !== 1)
      throw bad('strategy_config: functions of type v1 take a concurrency of 0 or -1 and no concurrent_num')
  }
  if (!/^[\w-]+\.[\w-]+$/.test(config.handler)) throw bad('handler must have the form file.function')
  if (config.timeout < 3 || config.timeout > 259_200) throw bad('timeout must lie between 3 and 259200')
  if (!MEMORY.includes(config.memory_size)) throw bad('memory_size is not one of the sizes offered')
  if (strategy.concurrency < -1 || strategy.concurrency > 1000) throw bad('concurrency must be -1 to 1000')
  if (strategy.concurrent_num < 1 || strategy.concurrent_num > 1000)
    throw bad('concurrent_num must be 1 to 1000')
  if (
    config.initializer_handler !== '' &&
    (config.initializer_timeout < 1 || config.initializer_timeout > 300)
  )
    throw bad('initializer_timeout must lie between 1 and 300')
  const variables = { ...readVariables(config.user_data), ...readVariables(config.encrypted_user_data) }
  if (Object.keys(variables).length > 20) throw bad('there can be at most 20 variables')
  if (config.user_data.length + config.encrypted_user_data.length > 4096)
    throw bad('user_data and encrypted_user_data can have at most 4096 characters')
  return config
}

/**
 * "default v1 where left out; some regions know v1 only" (official SDK, create_function_request_body); one page of OTC
 * says v2. The harsher reading. It cannot be changed later.
 */
function readType(body: Record<string, unknown>, before: FunctionConfig | undefined): 'v1' | 'v2' {
  if (before) return before.type
  const { type = 'v1' } = body
  if (type !== 'v1' && type !== 'v2') throw bad('type must be v1 or v2')
  return type
}

function readFlag(body: Record<string, unknown>, before: FunctionConfig | undefined): boolean {
  const flag = body.enable_lts_log ?? before?.enable_lts_log ?? false
  if (typeof flag !== 'boolean') throw bad('enable_lts_log must be true or false')
  return flag
}

export function readAsync(body: Record<string, unknown>): AsyncConfig {
  const { max_async_retry_attempts: retries = 1, max_async_event_age_in_seconds: age = 3600 } = body
  if (typeof retries !== 'number' || !Number.isInteger(retries) || retries < 0 || retries > 3)
    throw bad('max_async_retry_attempts must be 0 to 3')
  if (typeof age !== 'number' || !Number.isInteger(age) || age < 1 || age > 86_400)
    throw bad('max_async_event_age_in_seconds must be 1 to 86400')
  const targets = (body.destination_config ?? {}) as AsyncConfig['destination_config']
  const needed: Record<string, string> = { SMN: 'topic_urn', FunctionGraph: 'func_urn', OBS: 'bucket' }
  for (const target of [targets.on_success, targets.on_failure]) {
    if (target === undefined) continue
    const name = needed[target.destination]
    if (name === undefined) throw bad('destination must be OBS, SMN or FunctionGraph')
    if (typeof target.param !== 'string' || !readVariables(target.param)[name])
      throw bad(`param must be JSON text with ${name}`)
  }
  return {
    max_async_retry_attempts: retries,
    max_async_event_age_in_seconds: age,
    destination_config: targets,
  }
}

export function readVariables(text: string): Record<string, string> {
  if (text === '') return {}
  try {
    const parsed = JSON.parse(text) as Record<string, unknown>
    if (Object.values(parsed).every((value) => typeof value === 'string'))
      return parsed as Record<string, string>
  } catch {
    // Told below.
  }
  throw bad('user data must be JSON with texts as values')
}

/** The zip of an inline upload: base64, at most 50 MB. */
export function readCode(body: Record<string, unknown>): Buffer {
  if (body.code_type !== 'zip' && body.code_type !== 'inline') throw bad('code_type must be zip or inline')
  const file = (body.func_code as { file?: unknown } | undefined)?.file
  if (typeof file !== 'string' || file === '') throw bad('func_code.file is missing')
  const zip = Buffer.from(file, 'base64')
  if (zip.length > 50 * 1024 * 1024) throw bad('the code can have at most 50 MB')
  if (zip.subarray(0, 4).toString('latin1') !== 'PK\u0003\u0004') throw bad('the code is not a zip file')
  return zip
}

export function bad(message: string): ApiError {
  return new ApiError(400, 'FSS.0400', message)
}
