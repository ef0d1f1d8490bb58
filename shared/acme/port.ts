import type { Secret } from '../base/secret.ts'

/** One certificate authority as it was configured, with its files read and its solver chosen. */
export interface Authority {
  /** ACME directory URL (RFC 8555, section 7.1.1). */
  directory: string
  /** Contact of the account. */
  email?: string | undefined
  /** Profile of the order (draft-ietf-acme-profiles). */
  profile?: string | undefined
  /** Common name of the topmost issuer of the chain that is preferred where the CA offers several. */
  preferredChain?: string | undefined
  /** External account binding (RFC 8555, section 7.3.4). */
  externalAccount?: { keyId: string; hmacKey: Secret } | undefined
  /** PEM roots that the server's TLS certificate must chain to, instead of the system's: for private servers. */
  caPem?: string | undefined
  /** PEM account key that is handed in; otherwise one is made once and kept encrypted in the store. */
  accountKey?: Secret | undefined
  solver: ChallengeSolver
}

/** What a solver has to show to the CA for one name. */
export interface Challenge {
  /** The DNS name being proven, without `*.`. */
  identifier: string
  token: string
  /** `token.thumbprint` for HTTP-01, its base64url SHA-256 for DNS-01 (RFC 8555, sections 8.3 and 8.4). */
  value: string
}

/** Where a challenge is put: plain data, stored before it is put there so that a later run can clean it up. */
export type Placement = Record<string, string>

/**
 * Shows one kind of challenge to the CA. Every method can be repeated at any time with the same placement.
 * Failures: `dns.*` and `http-01.*`; kinds as everywhere.
 */
export interface ChallengeSolver {
  readonly type: 'dns-01' | 'http-01'
  /** Stable: finds the solver of a stored placement again, for example `dns-01:huaweicloud`. */
  readonly id: string
  /** Looks where the challenge belongs (zone, delegation, object); changes nothing. */
  prepare(challenge: Challenge, signal?: AbortSignal): Promise<Placement>
  /** Puts it there, beside what others have there. Look-up: itself; what is there already is left alone. */
  present(placement: Placement, signal?: AbortSignal): Promise<void>
  /**
   * `ready`: the CA can see it · `waiting`: not everywhere yet · `missing`: somebody removed it, present it again.
   * `shownForMs`: how long it has been there, over all ticks; some doubts end by that alone.
   */
  ready(
    placement: Placement,
    look?: { shownForMs?: number; signal?: AbortSignal },
  ): Promise<'ready' | 'waiting' | 'missing'>
  /** Removes this value and no other. What is not there any more is success. */
  cleanUp(placement: Placement, signal?: AbortSignal): Promise<void>
}

/** RFC 8555, section 7.1.3. */
export interface AcmeOrder {
  url: string
  status: 'pending' | 'ready' | 'processing' | 'valid' | 'invalid'
  /** dNSName identifiers as the CA wrote them. */
  names: string[]
  authorizations: string[]
  finalize: string
  certificate?: string
  expires?: string
  /** Problem document of an invalid order. */
  error?: Problem
  /** The CA asks not to look again before this many milliseconds have passed. */
  retryAfterMs?: number
}

/** RFC 8555, section 7.1.4. */
export interface AcmeAuthorization {
  url: string
  status: 'pending' | 'valid' | 'invalid' | 'deactivated' | 'expired' | 'revoked'
  identifier: string
  wildcard: boolean
  challenges: AcmeChallenge[]
  retryAfterMs?: number
}

export interface AcmeChallenge {
  url: string
  type: string
  status: 'pending' | 'processing' | 'valid' | 'invalid'
  token: string
  error?: Problem
}

/** RFC 8555, section 6.7: what a CA says when it refuses. */
export interface Problem {
  type?: string
  title?: string
  detail?: string
  status?: number
  subproblems?: (Problem & { identifier?: { type?: string; value?: string } })[]
}

/** What the directory offers beyond the protocol's base. */
export interface AcmeFeatures {
  /** Base URL of renewal information (RFC 9773, section 4.1). */
  renewalInfo?: string
  /** Profile names, where the CA has any. */
  profiles: string[]
  externalAccountRequired: boolean
}

/** RFC 9773, section 4.2. */
export interface RenewalInfo {
  start: Date
  end: Date
  explanationUrl?: string
  /** When the CA wants to be asked again, in milliseconds. */
  retryAfterMs?: number
}

/** How an account is found or made; the same key always leads to the same account (RFC 8555, section 7.3.1). */
export interface AccountRequest {
  key: Secret
  email?: string | undefined
  externalAccount?: { keyId: string; hmacKey: Secret } | undefined
  /** Known from before: no request is made. */
  url?: string | undefined
}

/**
 * One ACME server. No call is repeated inside except after `badNonce`, which had no effect. Failures: `acme.*`.
 */
export interface AcmeServer {
  features(signal?: AbortSignal): Promise<AcmeFeatures>
  /** RFC 9773; undefined where the CA offers none. */
  renewalInfo(certificateId: string, signal?: AbortSignal): Promise<RenewalInfo | undefined>
  account(request: AccountRequest, signal?: AbortSignal): Promise<AcmeAccount>
  /** Ends its connections. */
  close(): Promise<void>
}

export interface AcmeAccount {
  readonly url: string
  /**
   * The look-up of `placeOrder`: the URLs of the account's orders that are not finished, or undefined where this
   * CA does not tell (RFC 8555, section 7.1.2.1, which Let's Encrypt leaves out).
   */
  orders(signal?: AbortSignal): Promise<string[] | undefined>
  placeOrder(request: NewOrder, signal?: AbortSignal): Promise<AcmeOrder>
  /** Undefined where the CA does not know the order (any more). */
  order(url: string, signal?: AbortSignal): Promise<AcmeOrder | undefined>
  authorization(url: string, signal?: AbortSignal): Promise<AcmeAuthorization>
  /** What has to be shown for this challenge. */
  challengeValue(challenge: AcmeChallenge): string
  /** "It is there, look." Look-up: `authorization`. */
  respond(challenge: AcmeChallenge, signal?: AbortSignal): Promise<void>
  /** Look-up: `order`. Makes the certificate signing request from the key and the names. */
  finalize(order: AcmeOrder, key: Secret, names: string[], signal?: AbortSignal): Promise<AcmeOrder>
  /** Leaf first. Where the CA offers several chains, the one whose topmost issuer has this common name. */
  certificate(order: AcmeOrder, preferredChain: string | undefined, signal?: AbortSignal): Promise<string>
}

export interface NewOrder {
  names: string[]
  profile?: string | undefined
  /** RFC 9773, section 5. */
  replaces?: string | undefined
}

/** Whoever only looks proves no name, and needs no solver. */
export type ConnectAcme = (authority: Omit<Authority, 'solver'>) => AcmeServer
