import type { IncomingHttpHeaders } from 'node:http'
import type { Principal } from './auth.ts'
import type { SignedRequest } from './signature.ts'
import type { World } from './world.ts'

/** What goes back over the wire. `body` undefined means no body at all (204). */
export interface Reply {
  status: number
  body?: unknown
  /** Sent as it is, in place of `body`. */
  raw?: string | Buffer
  headers?: Record<string, string>
}

/** A refusal in the service's own words; the service it happened in gives it its shape. */
export class ApiError extends Error {
  override readonly name = 'ApiError'
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

/** Everything a handler may look at. */
export interface RequestContext {
  world: World
  /** Decoded path parameters by their name in the route's pattern. */
  params: Record<string, string>
  query: URLSearchParams
  headers: IncomingHttpHeaders
  /** The request as it came over the wire, for services with a signature of their own. */
  request: SignedRequest
  /** The parsed JSON body; undefined where none was sent. */
  body: unknown
  principal: Principal | undefined
  requestId: string
  /** For handlers that wait: says that the call changed something. Others are noticed by the world's revision. */
  changed(): void
}

/** One operation of the cloud. */
export interface Route {
  /** Stable word for faults, calls and tests: `apig.createCertificate`. */
  name: string
  method: 'GET' | 'POST' | 'PUT' | 'DELETE' | 'PATCH'
  /** `/v2/{project_id}/apigw/certificates`; a parameter is always a whole segment. */
  path: string
  handler(context: RequestContext): Reply | Promise<Reply>
  /** IAM action it needs ("Permissions Policies and Supported Actions"). */
  action?: string
  /** Actions that the documents call dependencies of `action`. */
  dependsOn?: string[]
  /** Whether it is meant to change the cloud; by default everything but GET. */
  mutating?: boolean
  /** False only for the calls that hand out credentials. */
  authenticated?: boolean
  /** Body is not JSON: handed over as a Buffer. */
  rawBody?: boolean
}

export type AuthProblem =
  | 'missing'
  | 'unknown-token'
  | 'expired-token'
  | 'no-project'
  | 'other-project'
  | 'bad-signature'

/** One cloud service: its routes and the way it words refusals. Adding a service is adding one of these. */
export interface Service {
  /** Name in the ready line's `endpoints`. */
  name: string
  routes: Route[]
  /** For a service that is not told by its paths: the route of a request that is meant for it. */
  claim?(
    method: string,
    url: URL,
    headers: IncomingHttpHeaders,
  ): { route: Route; params: Record<string, string> } | undefined
  errorBody(error: ApiError, requestId: string): unknown
  authError(problem: AuthProblem): ApiError
  forbidden(action: string): ApiError
  /** The body is not JSON, or not an object, or its Content-Type says something else. */
  badBody(reason: string): ApiError
}

/** `{ error_code, error_msg }`, the form of APIG, ROMA, SCM and the front gateway. */
export function errorCodeBody(error: ApiError, requestId: string): unknown {
  const body = { error_code: error.code, error_msg: error.message }
  // Only the front gateway (`APIGW.`) adds the id to the body; everybody sends it as a header.
  return error.code.startsWith('APIGW.') ? { ...body, request_id: requestId } : body
}

/** The front gateway's refusals; services without codes of their own for this use them as they are. */
export function frontDoorError(problem: AuthProblem): ApiError {
  const prefix = 'Incorrect IAM authentication information'
  switch (problem) {
    case 'missing':
      return new ApiError(401, 'APIGW.0301', `${prefix}: x-auth-token not found`)
    case 'unknown-token':
      return new ApiError(401, 'APIGW.0301', `${prefix}: decrypt token fail`)
    case 'expired-token':
      return new ApiError(401, 'APIGW.0307', 'The token must be updated')
    case 'no-project':
      return new ApiError(401, 'APIGW.0301', `${prefix}: project not found in token`)
    case 'other-project':
      return new ApiError(403, 'APIGW.0302', 'The IAM user is not allowed to access the API')
    case 'bad-signature':
      return new ApiError(401, 'APIGW.0301', `${prefix}: verify aksk signature fail`)
  }
}
