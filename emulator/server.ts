import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { authenticate } from './auth.ts'
import type { Call, Calls } from './calls.ts'
import type { Faults, Misbehaviour } from './faults.ts'
import { allows } from './identity.ts'
import { newRequestId } from './ids.ts'
import { actionsOf } from './permissions.ts'
import { type Match, Router } from './router.ts'
import { ApiError, type Reply, type RequestContext, type Service } from './service.ts'
import type { World } from './world.ts'

const MAX_BODY = 64 * 1024 * 1024

/** Called when a call has arrived and again when its effect has happened but its reply has not left. */
export type Interceptor = (stage: 'arrived' | 'done', call: Readonly<Call>) => void | Promise<void>

export interface ServerParts {
  world(): World
  services: Service[]
  calls: Calls
  faults: Faults
  interceptors: Set<Interceptor>
  /** Answers everything under `/__emulator/`. */
  admin(method: string, url: URL, body: Buffer): Promise<Reply>
}

/** The control plane of all services on one port; their paths tell them apart. */
export function createControlPlane(parts: ServerParts): Server {
  const router = new Router(parts.services)
  const server = createServer((request, response) => {
    void answer(parts, router, request, response).catch((error: unknown) => {
      // The client went away while it was still sending: nobody is left to answer.
      if (!request.complete) return
      // A defect of the emulator must not look like a behaviour of the cloud.
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      console.error(
        `emulator: defect while answering ${request.method} ${request.url?.split('?')[0]}\n${text}`,
      )
      if (!response.headersSent) response.writeHead(500, { 'content-type': 'text/plain' })
      response.end('The emulator has a defect; see its standard error.')
    })
  })
  // Clients keep connections; closing an idle one early would look like a broken network.
  server.keepAliveTimeout = 120_000
  return server
}

async function answer(
  parts: ServerParts,
  router: Router,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const url = new URL(request.url ?? '/', 'http://127.0.0.1')
  const body = await readBody(request)
  if (body === undefined)
    return send(response, { status: 413, body: { error_msg: 'The body is too large' } }, '')
  const method = request.method ?? 'GET'
  if (url.pathname === '/__emulator' || url.pathname.startsWith('/__emulator/')) {
    return send(response, await parts.admin(method, url, body), '')
  }
  // Node would write this machine's time; the emulator's is what signatures are judged by.
  response.setHeader('date', parts.world().clock.now().toUTCString())
  const requestId = newRequestId()
  const match = claimed(parts.services, method, url, request) ?? router.find(method, url.pathname)
  const call = openCall(parts, method, url, match, requestId)
  await intercept(parts, 'arrived', call)
  const world = parts.world()
  if (world.rules.latencyMs > 0) await world.clock.sleep(world.rules.latencyMs)
  const fault = parts.faults.take(call.route, call.path)
  if (fault?.delayMs !== undefined) await world.clock.sleep(fault.delayMs)
  if (fault?.lose === 'request') return lose(response, call, 'request')
  const instead = fault === undefined ? undefined : replyOfFault(fault, match, requestId)
  if (instead !== undefined && !takesEffect(fault!)) return finish(response, call, instead, requestId)
  const reply = await perform(parts.world(), match, call, request, url, body, requestId)
  await intercept(parts, 'done', call)
  if (fault?.lose === 'reply') return lose(response, call, 'reply')
  if (fault?.lose === 'half-reply') return loseHalf(response, call, reply)
  finish(response, call, instead ?? reply, requestId)
}

function claimed(services: Service[], method: string, url: URL, request: IncomingMessage): Match | undefined {
  for (const service of services) {
    const found = service.claim?.(method, url, request.headers)
    if (found !== undefined) return { service, ...found }
  }
  return undefined
}

function openCall(
  parts: ServerParts,
  method: string,
  url: URL,
  match: Match | { methods: string[] },
  requestId: string,
): Call {
  const known = 'route' in match ? match : undefined
  const needed = known && actionsOf(known.route, parts.world().region)
  return parts.calls.open({
    at: parts.world().clock.now().toISOString(),
    service: known?.service.name ?? 'unknown',
    route: known?.route.name ?? 'unknown',
    method,
    path: url.pathname,
    query: url.search.replace(/^\?/, ''),
    mutating: known === undefined ? false : (known.route.mutating ?? known.route.method !== 'GET'),
    action: needed?.action ?? null,
    dependsOn: needed?.dependsOn ?? [],
    requestId,
  })
}

async function perform(
  world: World,
  match: Match | { methods: string[] },
  call: Call,
  request: IncomingMessage,
  url: URL,
  body: Buffer,
  requestId: string,
): Promise<Reply> {
  if (!('route' in match)) return unknownPath(match.methods, call, requestId)
  const { service, route, params } = match
  try {
    const context: RequestContext = {
      world,
      params,
      query: url.searchParams,
      headers: request.headers,
      request: { method: request.method ?? 'GET', url: request.url ?? '/', headers: request.headers, body },
      body: undefined,
      principal: undefined,
      requestId,
      changed: () => {
        call.effect = true
      },
    }
    admit(world, match, context, request, body)
    context.body = route.rawBody === true ? body : parseBody(service, request, body)
    const before = world.revision
    const result = route.handler(context)
    if (!(result instanceof Promise)) call.effect ||= world.revision !== before
    return await result
  } catch (error) {
    if (!(error instanceof ApiError)) throw error
    call.errorCode = error.code
    return { status: error.status, body: service.errorBody(error, requestId) }
  }
}

// Authentication, then the project in the path, then permission: before anything else is looked at.
function admit(
  world: World,
  { service, route, params }: Match,
  context: RequestContext,
  request: IncomingMessage,
  body: Buffer,
): void {
  if (route.authenticated === false) return
  const signed = { method: request.method ?? 'GET', url: request.url ?? '/', headers: request.headers, body }
  const result = authenticate(world, signed)
  if ('problem' in result) throw service.authError(result.problem)
  const { principal } = result
  context.principal = principal
  if (params.project_id !== undefined) {
    if (principal.projectId === undefined) throw service.authError('no-project')
    if (principal.projectId !== params.project_id) throw service.authError('other-project')
  }
  const { action: own, dependsOn } = actionsOf(route, world.region)
  const dependencies = world.rules.actionDependencies === 'enforce' ? dependsOn : []
  for (const action of [...(own === undefined ? [] : [own]), ...dependencies]) {
    if (!allows(world, principal, action)) throw service.forbidden(action)
  }
}

function parseBody(service: Service, request: IncomingMessage, body: Buffer): unknown {
  if (body.length === 0) return undefined
  if (!/^application\/json\b/i.test(request.headers['content-type'] ?? '')) {
    throw service.badBody('Content-Type must be application/json')
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body)) as unknown
  } catch {
    throw service.badBody('the body is not JSON')
  }
}

function unknownPath(methods: string[], call: Call, request_id: string): Reply {
  call.errorCode = 'APIGW.0101'
  const error_msg =
    methods.length === 0
      ? 'The API does not exist or has not been published in the environment'
      : `The API does not exist in this method; the path knows ${methods.join(', ')}`
  return { status: 404, body: { error_code: 'APIGW.0101', error_msg, request_id } }
}

function takesEffect(fault: Misbehaviour): boolean {
  return (fault.effect ?? (fault.reply === undefined ? 'none' : 'done')) === 'done'
}

type FaultReply = Reply & { errorCode?: string }

function replyOfFault(
  fault: Misbehaviour,
  match: Match | { methods: string[] },
  requestId: string,
): FaultReply | undefined {
  if (fault.status === undefined && fault.reply === undefined) return undefined
  const status = fault.status ?? 200
  const headers = fault.headers ?? {}
  if (fault.reply !== undefined) return { status, headers, raw: fault.reply }
  const service = 'service' in match ? match.service : undefined
  const standard = service?.name === 'scm' ? 'SCM.9999' : service?.name === 'smn' ? 'SMN.0016' : 'APIG.9999'
  const errorCode = fault.errorCode ?? (status >= 400 ? standard : undefined)
  if (fault.body !== undefined)
    return { status, headers, body: fault.body, ...(errorCode ? { errorCode } : {}) }
  if (errorCode === undefined) return { status, headers }
  const error = new ApiError(status, errorCode, fault.message ?? 'Fault injected by the emulator')
  const body = service?.errorBody(error, requestId) ?? { error_code: errorCode, error_msg: error.message }
  return { status, headers, errorCode, body }
}

function finish(response: ServerResponse, call: Call, reply: FaultReply, requestId: string): void {
  call.status = reply.status
  if (reply.errorCode !== undefined) call.errorCode = reply.errorCode
  send(response, reply, requestId)
}

function lose(response: ServerResponse, call: Call, what: 'request' | 'reply'): void {
  call.lost = what
  response.destroy()
}

function loseHalf(response: ServerResponse, call: Call, reply: Reply): void {
  call.lost = 'half-reply'
  const text = JSON.stringify(reply.body ?? {})
  response.writeHead(reply.status === 204 ? 200 : reply.status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text) + 1,
  })
  response.write(text.slice(0, Math.ceil(text.length / 2)), () => response.destroy())
}

function send(response: ServerResponse, reply: FaultReply, requestId: string): void {
  const headers: Record<string, string> = { 'cache-control': 'no-store', ...reply.headers }
  if (requestId !== '') headers['X-Request-Id'] = requestId
  const text = reply.raw ?? (reply.body === undefined ? undefined : JSON.stringify(reply.body))
  if (text === undefined) {
    response.writeHead(reply.status, headers).end()
    return
  }
  headers['content-length'] = String(Buffer.byteLength(text))
  headers['content-type'] ??= reply.raw === undefined ? 'application/json' : 'text/html'
  response.writeHead(reply.status, headers).end(text)
}

async function intercept(parts: ServerParts, stage: 'arrived' | 'done', call: Call): Promise<void> {
  for (const interceptor of parts.interceptors) await interceptor(stage, call)
}

async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size <= MAX_BODY) chunks.push(chunk)
  }
  return size > MAX_BODY ? undefined : Buffer.concat(chunks)
}
