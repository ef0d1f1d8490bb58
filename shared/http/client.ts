import type { Dispatcher } from 'undici'
import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { silentLog } from '../base/log.ts'
import type { Secret } from '../base/secret.ts'
import { clockAheadMs } from './clock-ahead.ts'
import type { Credentials } from './credentials.ts'
import type { Call } from './failures.ts'
import { abortedFailure, brokenReply, networkFailure, replyFailure, timeoutFailure } from './failures.ts'
import { printable } from './redact.ts'
import type { ServiceName } from './services.ts'
import { encodeRfc3986 } from './sign.ts'
import { version } from './version.ts'

export type QueryValue = string | number | boolean | readonly string[] | undefined

export interface HttpRequest {
  /** In words, continuing "Cannot …": `create certificate cr_shop_1`. */
  operation: string
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  /** From the endpoint's root, already encoded. */
  path: string
  query?: Readonly<Record<string, QueryValue>>
  headers?: Readonly<Record<string, string>>
  /** Written as JSON. */
  body?: unknown
  /** What the body holds that must not be printed, should the service quote it. */
  secrets?: readonly Secret[]
  /** Statuses that are success; default: every 2xx. */
  expect?: readonly number[]
  /** A repeat changes nothing: tried again on `again` failures. Default: GET only. */
  idempotent?: boolean
  /** The IAM action needed, for the sentence that a 403 gets. */
  permission?: string
  signal?: AbortSignal
}

export interface HttpReply {
  status: number
  /** Lower-case names. */
  headers: Record<string, string | string[] | undefined>
  /** Parsed JSON; undefined where the reply has no body. */
  body: unknown
  /** For readers: the failure for a field that is missing or of the wrong type. */
  broken(problem: string): Failure
}

/** Every failure is a `Failure`; see failures.ts for the codes. */
export interface HttpClient {
  readonly service: ServiceName
  readonly endpoint: URL
  /** Milliseconds that this machine's clock was ahead of the service's at its last reply, right to a second. */
  readonly clockAheadMs?: number | undefined
  request(request: HttpRequest): Promise<HttpReply>
}

export interface HttpClientOptions {
  service: ServiceName
  /** `https://apig.eu-de.otc.t-systems.com`; a path in it is kept as a prefix. */
  endpoint: string | URL
  credentials: Credentials
  clock: Clock
  /** For one try as a whole: waiting for a connection, headers and body. */
  timeoutMs: number
  /** Connections are shared by handing in one dispatcher: `createDispatcher()`. */
  dispatcher: Connections
  /** Signed along, see `OutgoingRequest`. */
  projectId?: string
  domainId?: string
  log?: Log
  /** 0 ≤ x < 1; for the jitter of the backoff. */
  random?: () => number
}

/** Look-ups are sent at most this often. */
const MAX_TRIES = 4
const BACKOFF_BASE_MS = 250
const BACKOFF_CAP_MS = 4_000
/** A longer `Retry-After` is not waited for here: the runner knows how much time there is. */
const LONGEST_WAIT_MS = 10_000
const MAX_REPLY_BYTES = 16 * 1024 * 1024

/** What of undici's `Dispatcher` is used: any dispatcher of its own will do. */
export interface Connections {
  request(options: Dispatcher.RequestOptions): Promise<Dispatcher.ResponseData>
  close(): Promise<void>
  destroy(): Promise<void>
}

/**
 * Kept-alive connections, bounded per origin. Close it when the work is over. undici takes longer to load than the
 * rest of a function's start, and an event that turns out to be none of ours needs no call: it is loaded by the first.
 * `ca`: PEM of additional trust, for private endpoints.
 */
export function createDispatcher(
  options: { connections?: number; connectTimeoutMs?: number; ca?: string } = {},
): Connections {
  let agent: Promise<Dispatcher> | undefined
  const opened = () => {
    agent ??= openAgent(options)
    return agent
  }
  return {
    request: async (request) => (await opened()).request(request),
    close: async () => (await agent)?.close(),
    destroy: async () => (await agent)?.destroy(),
  }
}

async function openAgent(options: Parameters<typeof createDispatcher>[0] = {}): Promise<Dispatcher> {
  const { Agent } = await import('undici')
  return new Agent({
    connections: options.connections ?? 16,
    pipelining: 1,
    maxResponseSize: MAX_REPLY_BYTES,
    // Below what load balancers close idle connections after, so that we close first.
    keepAliveTimeout: 20_000,
    connect: {
      timeout: options.connectTimeoutMs ?? 5_000,
      ...(options.ca === undefined ? {} : { ca: options.ca }),
    },
  })
}

export function createHttpClient(options: HttpClientOptions): HttpClient {
  const endpoint = new URL(options.endpoint)
  const log = options.log ?? silentLog
  const random = options.random ?? Math.random
  const { clock, credentials, service } = options
  let aheadMs: number | undefined

  async function request(request: HttpRequest): Promise<HttpReply> {
    const idempotent = request.idempotent ?? request.method === 'GET'
    const url = urlOf(endpoint, request.path, request.query)
    const call: Call = {
      service,
      operation: request.operation,
      method: request.method,
      host: url.host,
      path: url.pathname,
      mutating: !idempotent,
      ...(request.permission === undefined ? {} : { permission: request.permission }),
      credentials: credentials.description,
      secrets: [],
    }
    for (let attempt = 1; ; attempt++) {
      try {
        return await authorized(request, url, call)
      } catch (thrown) {
        const failure = thrown instanceof Failure ? thrown : networkFailure(call, thrown)
        const wait = idempotent && failure.kind === 'again' ? waitBefore(attempt, failure, random) : undefined
        if (wait === undefined) throw failure
        log.debug('call is tried again', { service, operation: request.operation, attempt, wait, failure })
        try {
          await clock.sleep(wait, request.signal)
        } catch {
          throw abortedFailure(call, false)
        }
      }
    }
  }

  /** One try, and a second one where the credentials can be renewed: a 401 is decided before anything happens. */
  async function authorized(request: HttpRequest, url: URL, call: Call): Promise<HttpReply> {
    for (let renewed = false; ; renewed = true) {
      const body = request.body === undefined ? undefined : JSON.stringify(request.body)
      const headers: Record<string, string> = {
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...request.headers,
      }
      const proof = await credentials.headersFor(
        {
          method: request.method,
          url,
          headers,
          ...(body === undefined ? {} : { body }),
          ...(options.projectId === undefined ? {} : { projectId: options.projectId }),
          ...(options.domainId === undefined ? {} : { domainId: options.domainId }),
        },
        request.signal,
      )
      const safeCall = {
        ...call,
        secrets: [...(request.secrets ?? []).map((secret) => secret.reveal()), ...secretsIn(proof)],
      }
      const outgoing = {
        ...headers,
        ...proof,
        Accept: 'application/json',
        'User-Agent': `cert-rotation/${version}`,
      }
      try {
        return await send(request, url, safeCall, outgoing, body)
      } catch (thrown) {
        const rejected = thrown instanceof Failure && thrown.facts.status === 401
        if (renewed || !rejected || !credentials.refresh?.(proof)) throw thrown
        log.debug('credentials were rejected, trying with renewed ones', { service, failure: thrown })
      }
    }
  }

  async function send(
    request: HttpRequest,
    url: URL,
    call: Call,
    headers: Record<string, string>,
    body: string | undefined,
  ): Promise<HttpReply> {
    if (request.signal?.aborted) throw abortedFailure(call, false)
    const begun = clock.monotonic()
    // A real timer on purpose: what it bounds is the network, which knows nothing of a clock that tests move.
    const controller = new AbortController()
    let overdue = false
    const timer = setTimeout(() => {
      overdue = true
      controller.abort()
    }, options.timeoutMs)
    const stop = () => controller.abort()
    request.signal?.addEventListener('abort', stop, { once: true })
    let status: number
    let replyHeaders: HttpReply['headers']
    let text: string
    try {
      const response = await options.dispatcher.request({
        origin: url.origin,
        path: url.pathname + url.search,
        method: request.method,
        headers,
        body: body ?? null,
        headersTimeout: options.timeoutMs,
        bodyTimeout: options.timeoutMs,
        signal: controller.signal,
      })
      status = response.statusCode
      replyHeaders = response.headers
      aheadMs = clockAheadMs(replyHeaders.date, clock.now()) ?? aheadMs
      text = await response.body.text()
    } catch (thrown) {
      if (request.signal?.aborted) throw abortedFailure(call, true)
      const failure =
        overdue || isTimeout(thrown) ? timeoutFailure(call, options.timeoutMs) : networkFailure(call, thrown)
      log.debug('call failed', { ...factsOf(call), ms: elapsed(clock, begun), failure })
      throw failure
    } finally {
      clearTimeout(timer)
      request.signal?.removeEventListener('abort', stop)
    }
    const parsed = parse(text, replyHeaders['content-type'])
    const success = request.expect?.includes(status) ?? (status >= 200 && status < 300)
    const requestId = replyHeaders['x-request-id']
    log.debug('call', {
      ...factsOf(call),
      status,
      ms: elapsed(clock, begun),
      ...(typeof requestId === 'string' ? { requestId: printable(requestId, call.secrets, 128) } : {}),
    })
    if (!success) {
      throw replyFailure(call, { status, headers: replyHeaders, ...parsed }, clock.now())
    }
    if (parsed.notJson !== undefined) throw brokenReply(call, parsed.notJson, { status })
    return {
      status,
      headers: replyHeaders,
      body: parsed.body,
      broken: (problem) => brokenReply(call, problem, { status }),
    }
  }

  return {
    service,
    endpoint,
    request,
    get clockAheadMs() {
      return aheadMs
    },
  }
}

function urlOf(endpoint: URL, path: string, query: HttpRequest['query']): URL {
  const url = new URL(endpoint.origin)
  url.pathname = endpoint.pathname.replace(/\/+$/, '') + path
  const pairs: string[] = []
  for (const [key, value] of Object.entries(query ?? {})) {
    if (value === undefined) continue
    for (const one of Array.isArray(value) ? value : [value]) {
      pairs.push(`${encodeRfc3986(key)}=${encodeRfc3986(String(one))}`)
    }
  }
  if (pairs.length > 0) url.search = `?${pairs.join('&')}`
  return url
}

/** Full jitter: anything between nothing and the growing bound, never before what the service asked for. */
function waitBefore(attempt: number, failure: Failure, random: () => number): number | undefined {
  if (attempt >= MAX_TRIES) return undefined
  const asked = failure.retryAfterMs ?? 0
  if (asked > LONGEST_WAIT_MS) return undefined
  const bound = Math.min(BACKOFF_CAP_MS, BACKOFF_BASE_MS * 2 ** (attempt - 1))
  return asked + Math.floor(random() * bound)
}

function parse(
  text: string,
  contentType: string | string[] | undefined,
): { body: unknown; notJson?: string } {
  if (text.trim() === '') return { body: undefined }
  try {
    return { body: JSON.parse(text) as unknown }
  } catch {
    // The parser's own words quote the body.
    const type = String(contentType ?? 'no content type')
    return {
      body: undefined,
      notJson: `it is not JSON but ${type.slice(0, 60).replace(/[^\x20-\x7e]/g, '?')}`,
    }
  }
}

/** Short or public header values would cut holes into harmless text. */
function secretsIn(headers: Record<string, string>): string[] {
  return Object.entries(headers)
    .filter(([name]) => /^(authorization|x-auth-token|x-security-token)$/i.test(name))
    .map(([, value]) => value)
}

function isTimeout(thrown: unknown): boolean {
  const code = (thrown as { code?: unknown } | undefined)?.code
  return code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT'
}

function factsOf(call: Call) {
  return { service: call.service, operation: call.operation, method: call.method, path: call.path }
}

function elapsed(clock: Clock, begun: number): number {
  return Math.round(clock.monotonic() - begun)
}
