import { Failure, type FailureInit } from '../base/failure.ts'
import { retryAfterMs } from '../base/retry-after.ts'

const DENIED = new Set([
  'AccessDenied',
  'AccountProblem',
  'AllAccessDisabled',
  'ExpiredToken',
  'InvalidAccessKeyId',
  'InvalidSecurity',
  'InvalidToken',
  'NotSignedUp',
  'SignatureDoesNotMatch',
  'TokenRefreshRequired',
])
const THROTTLED = new Set([
  'BandwidthLimitExceeded',
  'RequestLimitExceeded',
  'RequestThrottled',
  'SlowDown',
  'Throttling',
  'ThrottlingException',
  'TooManyRequests',
  'TooManyRequestsException',
])
/** Answers below 500 that another try can change. */
const TRANSIENT = new Set([
  'OperationAborted',
  'RequestTimeTooSkewed',
  'RequestTimeout',
  'TemporaryRedirect',
  'XMinioServerNotInitialized',
])

interface ServiceError {
  code: string
  status: number | undefined
  requestId: string | undefined
  retryAfter: number | undefined
}

/** True where the service said that there is no such object. */
export function isMissingObject(error: unknown): boolean {
  const { code } = read(error)
  return code === 'NoSuchKey' || code === 'NotFound'
}

/**
 * A failure of the S3 client as ours. The client's error object stays outside: with a wrong signature the
 * service sends back the canonical request, session token included.
 */
export function bucketFailure(
  error: unknown,
  context: { operation: string; description: string; key?: string | undefined; writes: boolean; now: Date },
): Failure {
  if (error instanceof Failure) return error
  const { code, status, requestId, retryAfter } = read(error, context.now)
  const object = !context.key ? '' : ` of ${JSON.stringify(context.key)}`
  const answered = `${context.operation}${object} in ${context.description}`
  const facts = {
    store: context.description,
    operation: context.operation,
    key: context.key,
    serviceCode: code,
    status,
    requestId,
  }
  const make = (init: Pick<FailureInit, 'code' | 'kind' | 'message' | 'next'> & Partial<FailureInit>) =>
    new Failure({ facts, cause: plainCause(error), ...init })
  const named = `${code}${status === undefined ? '' : `, HTTP ${status}`}${requestId ? `, request ${requestId}` : ''}`

  if (code === 'NoSuchBucket') {
    return make({
      code: 'store.missing-bucket',
      kind: 'never',
      message: `There is no ${context.description} at this endpoint (${named})`,
      next: 'Correct store.bucket or store.endpoint, or create the bucket.',
    })
  }
  if (code === 'VirtualHostDomainRequired') {
    return make({
      code: 'store.denied',
      kind: 'never',
      message: `The service refuses path-style addresses (${named})`,
      next: 'Remove store.pathStyle: OBS takes the bucket as a part of the host name only.',
    })
  }
  if (code === 'PermanentRedirect' || code === 'AuthorizationHeaderMalformed' || status === 301) {
    return make({
      code: 'store.denied',
      kind: 'never',
      message: `${context.description} belongs to another region (${named})`,
      next: 'Correct store.region and store.endpoint.',
    })
  }
  if (
    DENIED.has(code) ||
    ((status === 401 || status === 403) && !TRANSIENT.has(code) && !THROTTLED.has(code))
  ) {
    return make({
      code: 'store.denied',
      kind: 'never',
      message: `The ${answered} was denied (${named})`,
      next: 'Check the access key, its expiry and the bucket permissions of the agency or user.',
    })
  }
  if (
    code === 'KeyTooLongError' ||
    code === 'KeyTooLong' ||
    code === 'InvalidObjectName' ||
    code === 'InvalidURI'
  ) {
    return make({
      code: 'store.bad-key',
      kind: 'never',
      message: `The service refuses the object name in the ${answered} (${named})`,
      next: 'Use a shorter name.',
    })
  }
  if (code === FOREIGN) {
    return make({
      code: 'store.unreachable',
      kind: 'again',
      message: `The ${answered} was answered with ${(error as { what: string }).what}`,
      next: 'Check store.endpoint and what stands between: no object storage answers like this (a login page, a proxy, a balancer does). It is tried again.',
      effect: context.writes ? 'unknown' : 'none',
    })
  }
  if (THROTTLED.has(code) || status === 429) {
    return make({
      code: 'store.throttled',
      kind: 'again',
      message: `The ${answered} was throttled (${named})`,
      next: 'Nothing: it is tried again. Where it lasts, raise the request limit of the bucket.',
      effect: 'none',
      ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
    })
  }
  if (status === undefined || status < 400 || status >= 500 || TRANSIENT.has(code)) {
    const silent = status === undefined
    return make({
      code: 'store.unreachable',
      kind: 'again',
      message: `The ${answered} ${silent ? 'got no complete answer' : 'failed at the service'} (${named})`,
      next: silent
        ? 'Check store.endpoint and the network to it; it is tried again.'
        : 'Nothing: it is tried again. Where it lasts, ask the provider with the request id.',
      effect: context.writes ? 'unknown' : 'none',
      ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
    })
  }
  return make({
    code: 'store.refused',
    kind: 'never',
    message: `The ${answered} was refused (${named})`,
    next: /Encryption|KMS|NotImplemented/i.test(code)
      ? 'Check store.encryption: this service does not take what is asked for.'
      : 'Look the code up in the documentation of the service.',
  })
}

const FOREIGN = 'ForeignAnswer'

/** A 2xx that no object storage gives: something else answers at the endpoint, or in between. */
export function foreignAnswer(what: string): Error {
  return Object.assign(new Error(what), { name: FOREIGN, what })
}

/** The answer ended before all of it had arrived. */
export function truncated(expected: number, received: number): Error {
  return Object.assign(new Error(`${received} of ${expected} bytes arrived`), { name: 'IncompleteBody' })
}

function read(error: unknown, now = new Date(0)): ServiceError {
  const fields = record(error)
  const metadata = record(fields.$metadata)
  const response = record(fields.$response)
  const headers = record(response.headers)
  const status = number(metadata.httpStatusCode) ?? number(response.statusCode)
  const name = text(fields.Code) ?? (text(fields.name) === 'Error' ? undefined : text(fields.name))
  return {
    // A system error's code (ECONNRESET, ENOTFOUND) says more than its name.
    code:
      status === undefined
        ? (text(fields.code) ?? name ?? 'unknown error')
        : (name ?? text(fields.code) ?? 'no code'),
    // A 2xx whose body cannot be read is no answer at all.
    status: status !== undefined && status < 300 ? undefined : status,
    requestId:
      text(metadata.requestId) ?? text(headers['x-obs-request-id']) ?? text(headers['x-amz-request-id']),
    retryAfter: retryAfterMs(text(headers['retry-after']), now),
  }
}

/** Name and system code alone; messages of the client may quote what the service sent. */
function plainCause(error: unknown): Error {
  const fields = record(error)
  const cause = new Error([text(fields.name), text(fields.code)].filter(Boolean).join(' ') || 'unknown error')
  if (error instanceof Error && error.stack)
    cause.stack = error.stack
      .split('\n')
      .filter((line) => /^\s+at /.test(line))
      .join('\n')
  return cause
}

function record(value: unknown): Record<string, unknown> {
  return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : {}
}

function number(value: unknown): number | undefined {
  return typeof value === 'number' ? value : undefined
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' && value.length <= 200 ? value : undefined
}
