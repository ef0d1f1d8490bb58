/** A request before it is made somebody's: what credentials may look at. */
export interface OutgoingRequest {
  method: string
  url: URL
  /** Signed as they are; credentials add to them. */
  headers: Readonly<Record<string, string>>
  body?: string
  /** Signed along as `X-Project-Id`: needed only for sub-projects, harmless elsewhere. */
  projectId?: string
  /** Signed along as `X-Domain-Id` for services without projects (SCM, IAM). */
  domainId?: string
}

/** One way to be let in. Headers are computed for every request; nothing is kept in the HTTP client. */
export interface Credentials {
  /** For messages, names the setting and the user, never a secret: `cloud.auth.password (user deploy)`. */
  readonly description: string
  /** The headers to add. Fails with `iam.*` where no token or key can be had. */
  headersFor(request: OutgoingRequest, signal?: AbortSignal): Promise<Record<string, string>>
  /**
   * A service answered 401 to a request with these headers. True: `headersFor` will give others now, try once
   * more. Absent or false: another try would end the same way.
   */
  refresh?(rejected: Readonly<Record<string, string>>): boolean
}

/** For calls that carry their proof in the body (IAM token) or need none. */
export const noCredentials: Credentials = {
  description: 'no credentials',
  headersFor: async () => ({}),
}
