import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, normalize } from 'node:path'
import type { Readable } from 'node:stream'
import { unzipSync } from 'fflate'
import {
  type EmulatedFunction,
  type FunctionVersion,
  functionsOf,
  type Invocation,
  readVariables,
} from './functiongraph-state.ts'
import { agencyNamed, allows } from './identity.ts'
import { newRequestId, newResourceId, newToken } from './ids.ts'
import type { World } from './world.ts'

/** How a run ended. `status`: 200, or 500 where the handler failed, died or took too long. */
export interface RunResult {
  requestId: string
  status: number
  result: string
  log: string
}

/**
 * The platform's side of the process: context, initializer, handler. It gets its order on standard input, the
 * function's standard output is its log, and the answer goes out on a channel of its own.
 */
const BOOTSTRAP = `
const fs = require('node:fs')
const order = JSON.parse(fs.readFileSync(0, 'utf8'))
const end = performance.now() + order.timeoutMs
const context = {
  getRequestID: () => order.requestId,
  getRemainingTimeInMilliSeconds: () => Math.max(0, Math.round(end - performance.now())),
  getUserData: (name) => order.userData[name],
  getSecurityAccessKey: () => order.key.id,
  getSecuritySecretKey: () => order.key.secret,
  getSecurityToken: () => order.key.securityToken,
  // No longer maintained: they exist, and do not give the temporary pair.
  getAccessKey: () => '',
  getSecretKey: () => '',
  getToken: () => order.token,
  getFunctionName: () => order.name,
  getVersion: () => order.version,
  getPackage: () => order.package,
  getAlias: () => '',
  getProjectID: () => order.projectId,
  getMemorySize: () => order.memory,
  getCPUNumber: () => 300,
  getRunningTimeInSeconds: () => order.timeoutMs / 1000,
  getWorkflowID: () => '', getWorkflowRunID: () => '', getWorkflowStateID: () => '',
  getLogger: () => ({ info: console.log, debug: console.log, warn: console.log, error: console.log }),
}
const answer = (status, result) => {
  fs.writeSync(3, JSON.stringify({ status, result: JSON.stringify(result === undefined ? null : result) }))
  process.exit(0)
}
const failed = (error) => answer(500, { errorMessage: String(error && error.message || error), errorType: String(error && error.name || 'Error') })
process.on('uncaughtException', failed)
process.on('unhandledRejection', failed)
const load = (handler) => {
  const [file, name] = handler.split('.')
  const found = require(require('node:path').join(order.codeRoot, file + '.js'))[name]
  if (typeof found !== 'function') throw new Error('The handler ' + handler + ' is not a function')
  return found
}
const initialize = () => order.initializer === '' ? Promise.resolve() : new Promise((resolve, reject) => {
  load(order.initializer)(context, (error) => error ? reject(error) : resolve())
})
initialize().then(() => {
  const handler = load(order.handler)
  if (handler.length > 2) return new Promise((resolve, reject) => handler(order.event, context, (error, result) => error ? reject(error) : resolve(result)))
  return handler(order.event, context)
}).then((result) => answer(200, result), failed)
`

/** Runs the function once, as a process of its own in a folder of its own, and writes down how it went. */
export async function invoke(
  world: World,
  fn: EmulatedFunction,
  version: FunctionVersion,
  event: unknown,
  how: Pick<Invocation, 'mode' | 'by'> & { attempt?: number; requestId?: string },
): Promise<RunResult> {
  const requestId = how.requestId ?? newRequestId()
  const invocation: Invocation = {
    at: world.clock.now().toISOString(),
    functionName: fn.name,
    requestId,
    mode: how.mode,
    by: how.by,
    attempt: how.attempt ?? 1,
    status: null,
    result: '',
    log: '',
    logged: version.config.enable_lts_log,
    durationMs: null,
  }
  functionsOf(world).invocations.push(invocation)
  await takeInstance(fn)
  const begun = world.clock.monotonic()
  const codeRoot = await mkdtemp(join(tmpdir(), 'cert-rotation-function-'))
  try {
    await unpack(version.zip, codeRoot)
    const order = {
      codeRoot,
      event,
      requestId,
      name: fn.name,
      package: fn.package,
      version: version.version,
      projectId: world.project.id,
      handler: version.config.handler,
      initializer: version.config.initializer_handler,
      memory: version.config.memory_size,
      timeoutMs: version.config.timeout * 1000,
      userData: {
        ...readVariables(version.config.user_data),
        ...readVariables(version.config.encrypted_user_data),
      },
      ...agencyOf(world, version),
    }
    const { status, result, log } = await run(order, version)
    Object.assign(invocation, {
      status,
      result,
      log,
      durationMs: Math.round(world.clock.monotonic() - begun),
    })
    return { requestId, status, result, log }
  } finally {
    releaseInstance(fn)
    await rm(codeRoot, { recursive: true, force: true })
  }
}

/** As triggers do: the answer is nobody's, a failure is tried again as often as the function's settings say. */
export function invokeAsync(
  world: World,
  fn: EmulatedFunction,
  event: unknown,
  by: string,
  requestId = newRequestId(),
): Promise<void> {
  const { pending } = functionsOf(world)
  const retries = fn.async?.max_async_retry_attempts ?? 1
  const work = (async () => {
    for (let attempt = 1; attempt <= retries + 1; attempt++) {
      const run = await invoke(world, fn, fn.latest, event, { mode: 'async', by, attempt, requestId })
      if (run.status === 200) return
      if (attempt > retries) tellFailure(world, fn, event, run, attempt)
    }
  })()
    .catch((error: unknown) =>
      console.error(`emulator: the function ${fn.name} could not be run: ${String(error)}`),
    )
    .finally(() => pending.delete(work))
  pending.add(work)
  return work
}

/**
 * The failure destination, where one is set: a message to a topic of SMN, in the name of the function's agency, which
 * must be allowed to ("Configuring Asynchronous Notification Policy", prerequisites). Otherwise nobody hears of it.
 */
function tellFailure(
  world: World,
  fn: EmulatedFunction,
  event: unknown,
  { requestId, status, result }: RunResult,
  attempts: number,
): void {
  const target = fn.async?.destination_config.on_failure
  if (target?.destination !== 'SMN') return
  const { topic_urn: topicUrn = '' } = readVariables(target.param)
  const { xrole, app_xrole } = fn.latest.config
  const agency = agencyNamed(world, xrole || app_xrole)
  if (agency === undefined || !world.topics.has(topicUrn)) return
  if (!allows(world, { actions: [], agencyId: agency.id }, 'smn:topic:publish')) return
  const at = world.clock.now().toISOString()
  const message = JSON.stringify({
    timestamp: at,
    request_context: {
      request_id: requestId,
      function_urn: `${fn.urn}:latest`,
      condition: 'RetriesExhausted',
      approximate_invoke_count: attempts,
    },
    request_payload: JSON.stringify(event),
    response_context: { status_code: status, function_error: 'Handled' },
    response_payload: result,
  })
  world.messages.push({
    at,
    topicUrn,
    messageId: newRequestId(),
    subject: undefined,
    message,
    messageStructure: undefined,
  })
  world.touch()
}

/** Temporary credentials of the execution agency; without an agency the platform gives empty texts. */
function agencyOf(world: World, version: FunctionVersion) {
  const name = version.config.app_xrole || version.config.xrole
  const agency = agencyNamed(world, name)
  if (agency === undefined) return { key: { id: '', secret: '', securityToken: '' }, token: '' }
  const key = {
    id: `HSTA${newResourceId().slice(0, 16).toUpperCase()}`,
    secret: newResourceId() + newResourceId().slice(0, 8),
    securityToken: newToken(),
    expiresAt: new Date(world.clock.now().getTime() + 24 * 3_600_000),
    actions: undefined,
    agencyId: agency.id,
  }
  world.accessKeys.set(key.id, key)
  const token = newToken()
  world.tokens.set(token, {
    userName: `agency ${name}`,
    projectId: world.project.id,
    expiresAt: key.expiresAt,
    actions: undefined,
    agencyId: agency.id,
  })
  return { key: { id: key.id, secret: key.secret, securityToken: key.securityToken }, token }
}

/** At most `strategy_config.concurrency` instances; the others wait for their turn. */
async function takeInstance(fn: EmulatedFunction): Promise<void> {
  const most = fn.latest.config.strategy_config.concurrency
  if (most > 0 && fn.running >= most) await new Promise<void>((resolve) => fn.waiting.push(resolve))
  else fn.running += 1
}

function releaseInstance(fn: EmulatedFunction): void {
  const next = fn.waiting.shift()
  if (next) next()
  else fn.running -= 1
}

async function unpack(zip: Buffer, folder: string): Promise<void> {
  for (const [name, bytes] of Object.entries(unzipSync(zip))) {
    const path = normalize(name)
    if (path.startsWith('..') || name.endsWith('/')) continue
    await mkdir(dirname(join(folder, path)), { recursive: true })
    await writeFile(join(folder, path), bytes)
  }
}

function run(order: { codeRoot: string; timeoutMs: number }, { config }: FunctionVersion) {
  return new Promise<{ status: number; result: string; log: string }>((resolve) => {
    const child = spawn(process.execPath, ['-e', BOOTSTRAP], {
      cwd: order.codeRoot,
      // Configuration comes by the context; the environment has the platform's own names only.
      env: {
        RUNTIME_CODE_ROOT: order.codeRoot,
        RUNTIME_HANDLER: config.handler,
        RUNTIME_TIMEOUT: String(config.timeout),
        RUNTIME_MEMORY: String(config.memory_size),
        NODE_OPTIONS: `--max-old-space-size=${config.memory_size}`,
        TZ: 'UTC',
      },
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    })
    let log = ''
    let answer = ''
    const collect = (stream: Readable, take: (text: string) => void) => {
      stream.setEncoding('utf8')
      stream.on('data', take)
    }
    collect(child.stdout, (text) => {
      log += text
    })
    collect(child.stderr, (text) => {
      log += text
    })
    collect(child.stdio[3] as Readable, (text) => {
      answer += text
    })
    let late = false
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, order.timeoutMs)
    child.once('close', (code) => {
      clearTimeout(timer)
      const failure = (errorMessage: string) => ({
        status: 500,
        result: JSON.stringify({ errorMessage }),
        log,
      })
      if (late) return resolve(failure(`Invoke timeout after ${config.timeout}s`))
      if (answer === '') return resolve(failure(`The process ended without an answer (exit ${code})`))
      resolve({ ...(JSON.parse(answer) as { status: number; result: string }), log })
    })
    child.stdin.on('error', () => {})
    child.stdin.end(JSON.stringify(order))
  })
}
