import { minute } from '../base/clock.ts'
import type { Effect, Facts, FailureKind } from '../base/failure.ts'
import { Failure } from '../base/failure.ts'
import { isLoopback } from '../base/host.ts'
import { retryAfterMs } from '../base/retry-after.ts'
import { clockAheadMs, SIGNATURE_TOLERANCE_MS } from './clock-ahead.ts'
import { printable } from './redact.ts'
import { readReplyError } from './reply-error.ts'
import type { ServiceName } from './services.ts'
import { services } from './services.ts'

/** One call as failures describe it. Nothing in it is secret but `secrets`, which are cut out of every text. */
export interface Call {
  service: ServiceName
  /** In words, continuing "Cannot …": `create certificate cr_shop_1`. */
  operation: string
  method: string
  host: string
  path: string
  /** Whether the call may have changed something: its failures then may have `effect: 'unknown'`. */
  mutating: boolean
  /** The IAM action that the call needs, for 403. */
  permission?: string
  /** Which credentials were used, for 401: `cloud.auth.password (user deploy)`. */
  credentials: string
  secrets: readonly string[]
}

export interface ErrorReply {
  status: number
  headers: Record<string, string | string[] | undefined>
  /** Parsed JSON, or undefined where the reply was empty or not JSON. */
  body: unknown
  /** Undefined for an empty or JSON body. */
  notJson?: string
}

/** A reply outside the expected statuses → what it means. Codes: the comment at `Gateway` (gateway/port.ts). */
export function replyFailure(call: Call, reply: ErrorReply, now: Date): Failure {
  const { status } = reply
  const error = readReplyError(reply.body, reply.headers, call.secrets)
  const said = [
    `${status}`,
    error.code,
    error.text === undefined ? undefined : `"${error.text}"`,
    error.text === undefined && reply.notJson !== undefined ? `(${reply.notJson})` : undefined,
  ]
  const requestId = error.requestId === undefined ? '' : `, request id ${error.requestId}`
  const aheadMs = status === 401 ? clockAheadMs(reply.headers.date, now) : undefined
  const verdict = judge(call, status, error.code, aheadMs)
  const retryAfter = retryAfterMs(reply.headers['retry-after'], now)
  return new Failure({
    code: `${services[call.service].area}.${verdict.what}`,
    kind: verdict.kind,
    message: `Cannot ${call.operation}: ${where(call)} answered ${said.filter(Boolean).join(' ')}${requestId}`,
    next: verdict.next,
    facts: {
      ...factsOf(call),
      status,
      errorCode: error.code,
      errorText: error.text,
      requestId: error.requestId,
    },
    effect: call.mutating && verdict.effect === 'unknown' ? 'unknown' : 'none',
    ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
  })
}

interface Verdict {
  what: string
  kind: FailureKind
  next: string
  effect: Effect
}

function judge(call: Call, status: number, code: string | undefined, aheadMs: number | undefined): Verdict {
  const title = services[call.service].title
  // A throttle hides behind three forms, one of them a 500 (APIG.9008); the front gateway's is `APIGW.0308`.
  if (status === 429 || code === 'APIG.9008' || (code !== undefined && /\.0308$/.test(code))) {
    return {
      what: 'throttled',
      kind: 'again',
      next: `${title} asks for fewer calls: it is tried again by itself; lower \`concurrency\` if this goes on.`,
      effect: status >= 500 ? 'unknown' : 'none',
    }
  }
  if (status >= 500 || status === 408) {
    return {
      what: 'unavailable',
      kind: 'again',
      next: `The fault is on the side of ${title}: it is tried again by itself; if it lasts, give the request id to the cloud's support.`,
      effect: 'unknown',
    }
  }
  // The services name every error. What comes without a code is the page of a firewall or a balancer before them: it
  // says nothing about the request, not even that it did not arrive. (A 401 may still be cured by a new token.)
  if (code === undefined && status !== 401) return notTheService(call)
  switch (status) {
    case 401:
      return { what: 'unauthorized', kind: 'later', next: nextFor401(call, aheadMs), effect: 'none' }
    case 403:
      return {
        what: 'forbidden',
        kind: 'later',
        next:
          call.permission === undefined
            ? `Allow this call in the IAM policy of ${call.credentials}.`
            : `Allow the IAM action ${call.permission} to ${call.credentials}.`,
        effect: 'none',
      }
    case 404:
      return {
        what: 'not-found',
        kind: 'never',
        next: 'Check the ids and the project in rotation.yaml; somebody may have deleted it.',
        effect: 'none',
      }
    case 409:
      return {
        what: 'conflict',
        kind: 'later',
        next: 'Another change is in progress there: it is tried again at the next tick.',
        effect: 'none',
      }
  }
  if (status >= 400) {
    return {
      what: 'refused',
      kind: 'never',
      next: `${title} does not take this request: correct what it names, then run again.`,
      effect: 'none',
    }
  }
  return notTheService(call)
}

function notTheService({ service }: Call): Verdict {
  return {
    what: 'broken-reply',
    kind: 'again',
    next: `It is tried again; if it lasts, see that cloud.endpoints.${service} is the address of ${services[service].title} itself and that no proxy or firewall answers in its place.`,
    effect: 'unknown',
  }
}

function nextFor401(call: Call, aheadMs = 0): string {
  // Some seconds of a slow reply are no clock that is wrong.
  if (Math.abs(aheadMs) > SIGNATURE_TOLERANCE_MS - minute) {
    const off = `${Math.round(Math.abs(aheadMs) / minute)} min ${aheadMs > 0 ? 'ahead of' : 'behind'}`
    return `Set this machine's clock: it is ${off} ${services[call.service].title}'s (signatures allow 15 minutes). If that is right, check ${call.credentials} in rotation.yaml.`
  }
  return `Check ${call.credentials} in rotation.yaml and that this machine's clock is right (signatures allow 15 minutes).`
}

/** A reply that cannot be understood: not JSON, too large, or a field that is missing or of the wrong type. */
export function brokenReply(call: Call, problem: string, facts: Facts = {}): Failure {
  return new Failure({
    code: `${services[call.service].area}.broken-reply`,
    kind: 'again',
    message: `Cannot ${call.operation}: the reply of ${where(call)} cannot be used: ${problem}`,
    next: `Check that cloud.endpoints.${call.service} is the address of ${services[call.service].title} itself, not of a proxy or a web page.`,
    facts: { ...factsOf(call), ...facts },
    effect: call.mutating ? 'unknown' : 'none',
  })
}

/** The caller's signal ended the call. Whether a request that had left took effect, nobody knows. */
export function abortedFailure(call: Call, sent: boolean): Failure {
  return new Failure({
    code: `${services[call.service].area}.aborted`,
    kind: 'later',
    message: `Stopped before ${where(call)} answered: ${call.operation}`,
    next: 'The time of this invocation was over or somebody stopped it: the next run goes on here.',
    facts: factsOf(call),
    effect: call.mutating && sent ? 'unknown' : 'none',
  })
}

export function timeoutFailure(call: Call, timeoutMs: number): Failure {
  return new Failure({
    code: `${services[call.service].area}.timeout`,
    kind: 'again',
    message: `Cannot ${call.operation}: ${where(call)} did not answer within ${timeoutMs} ms`,
    next: 'It is tried again by itself; if it lasts, check the network path or raise `requestTimeout`.',
    facts: { ...factsOf(call), timeoutMs },
    effect: call.mutating ? 'unknown' : 'none',
  })
}

/** Codes of connections that were never made: nothing can have happened. */
const NEVER_CONNECTED = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'EACCES',
  'UND_ERR_CONNECT_TIMEOUT',
])
const DNS_CODES = new Set(['ENOTFOUND', 'EAI_AGAIN', 'EAI_FAIL', 'EAI_NODATA', 'EAI_NONAME', 'ENODATA'])

/** Anything undici or the operating system throws for a request. */
export function networkFailure(call: Call, thrown: unknown): Failure {
  const { code, text } = rootOf(thrown)
  const setting = `cloud.endpoints.${call.service}`
  const base = { facts: { ...factsOf(call), networkCode: code }, cause: plainCause(code, text, call.secrets) }
  const unreachable = `${services[call.service].area}.unreachable`
  const cannot = `Cannot ${call.operation}: ${where(call)}`

  if (code !== undefined && DNS_CODES.has(code)) {
    return new Failure({
      ...base,
      code: unreachable,
      // A name that does not exist is a wrong setting far more often than a passing fault: do not make people wait.
      kind: code === 'EAI_AGAIN' ? 'again' : 'later',
      message: `${cannot} has no address in DNS (${code})`,
      next: `Check cloud.region and ${setting} in rotation.yaml, and that name resolution works from here.`,
      effect: 'none',
    })
  }
  if (isTlsFailure(code, text)) {
    return new Failure({
      ...base,
      code: unreachable,
      kind: 'later',
      message: `${cannot} could not prove its identity by TLS (${code ?? printable(text, call.secrets, 80)})`,
      next: `Check ${setting}; behind an inspecting proxy or for a private endpoint give its CA in NODE_EXTRA_CA_CERTS.`,
      effect: 'none',
    })
  }
  if (code === 'UND_ERR_CONNECT_TIMEOUT' || (code === 'ETIMEDOUT' && isConnect(thrown))) {
    return new Failure({
      ...base,
      code: `${services[call.service].area}.timeout`,
      kind: 'again',
      message: `${cannot} took no connection in time (${code})`,
      next: `Check ${setting}, firewall rules and, in a function with VPC access, the NAT gateway.`,
      effect: 'none',
    })
  }
  if (code !== undefined && NEVER_CONNECTED.has(code)) {
    return new Failure({
      ...base,
      code: unreachable,
      kind: 'again',
      message: `${cannot} refuses connections or is out of reach (${code})`,
      next: isLoopback(call.host)
        ? `Is the embedded cloud running? "cert-rotation init --emulator" or "cert-rotation emulator" starts it; else correct ${setting}.`
        : `Check ${setting}, firewall rules and, in a function with VPC access, the NAT gateway.`,
      effect: 'none',
    })
  }
  if (code !== undefined && /^HPE_|^UND_ERR_(HEADERS_OVERFLOW|RES_|RESPONSE)/.test(code)) {
    return brokenReply(call, `it is not HTTP as expected (${code})`, { networkCode: code })
  }
  return new Failure({
    ...base,
    code: unreachable,
    kind: 'again',
    message: `${cannot} broke the connection before it answered (${code ?? printable(text, call.secrets, 80)})`,
    next: 'It is tried again by itself, after a look at what has happened; if it lasts, check the network path.',
    effect: call.mutating ? 'unknown' : 'none',
  })
}

/** The same failure under a more telling code; what the service said is kept. */
export function recoded(
  failure: Failure,
  change: { code?: string; kind?: FailureKind; message?: string; next?: string; facts?: Facts },
): Failure {
  return new Failure({
    code: change.code ?? failure.code,
    kind: change.kind ?? failure.kind,
    message: change.message ?? failure.message,
    next: change.next ?? failure.next,
    facts: { ...failure.facts, ...change.facts },
    effect: failure.effect,
    ...(failure.retryAfterMs === undefined ? {} : { retryAfterMs: failure.retryAfterMs }),
    ...(failure.cause === undefined ? {} : { cause: failure.cause }),
  })
}

function where(call: Call): string {
  return `${services[call.service].title} (${call.host}, ${call.method} ${call.path})`
}

function factsOf(call: Call): Facts {
  return { service: call.service, host: call.host, method: call.method, path: call.path }
}

function isTlsFailure(code: string | undefined, text: string): boolean {
  if (code === undefined) return /self-signed|certificate/i.test(text)
  return (
    /^(ERR_TLS|ERR_SSL|CERT_|UNABLE_TO_|DEPTH_ZERO|SELF_SIGNED|HOSTNAME_MISMATCH|INVALID_CA|INVALID_PURPOSE)/.test(
      code,
    ) || code === 'EPROTO'
  )
}

function isConnect(thrown: unknown): boolean {
  return (
    typeof thrown === 'object' && thrown !== null && (thrown as { syscall?: unknown }).syscall === 'connect'
  )
}

/** The innermost error that names a code; several addresses fail together in an AggregateError. */
function rootOf(thrown: unknown, depth = 0): { code: string | undefined; text: string } {
  const error = (typeof thrown === 'object' && thrown !== null ? thrown : {}) as {
    code?: unknown
    message?: unknown
    cause?: unknown
    errors?: unknown
  }
  if (depth < 4 && error.code === undefined && Array.isArray(error.errors) && error.errors.length > 0) {
    return rootOf(error.errors[0], depth + 1)
  }
  if (depth < 4 && error.code === undefined && error.cause !== undefined)
    return rootOf(error.cause, depth + 1)
  return {
    code: typeof error.code === 'string' ? error.code : undefined,
    text: typeof error.message === 'string' ? error.message : String(thrown),
  }
}

/** Libraries hang replies and sockets on their errors: only the code and the words go on. */
function plainCause(code: string | undefined, text: string, secrets: readonly string[]): Error {
  const cause = new Error(printable(text, secrets))
  return code === undefined ? cause : Object.assign(cause, { code })
}
