import type { Secret } from '../base/secret.ts'

/** Which product's paths are used: `apig` = API Gateway (dedicated), `roma` = ROMA Connect APIC. */
export type Flavour = 'apig' | 'roma'
/** `instance`: a certificate of one gateway. `global`: shared by all gateways of the project. */
export type Scope = 'instance' | 'global'
/** A domain holds at most one certificate per algorithm. */
export type KeyAlgorithm = 'RSA' | 'ECC' | 'SM2'

/** What a gateway is given. The key is revealed only when the request body is written. */
export interface CertificateMaterial {
  /** Leaf first, then the intermediates. */
  certificatePem: string
  privateKey: Secret
  /** CA for client certificates (mTLS); only scope `instance` takes one. */
  trustedRootCaPem?: string
}

/** Where a domain lives; the three ids of every attach and detach path. */
export interface DomainRef {
  groupId: string
  domainId: string
}

export interface BoundCertificate {
  id: string
  name: string
  /** Undefined where the gateway does not say (ROMA fills only ssl_id). */
  algorithm?: KeyAlgorithm
}

/** A custom domain as its API group shows it. */
export interface DomainBinding extends DomainRef {
  /** The host name in the form in which all are compared (`asciiHost`), perhaps a wildcard; the gateway may keep it with a final dot or in U-labels. */
  host: string
  certificates: BoundCertificate[]
  /** Whether the domain asks clients for a certificate now (`verified_client_certificate_enabled`). */
  clientVerification: boolean
  hasTrustedRootCa: boolean
}

export interface GatewayCertificate {
  id: string
  name: string
  scope: Scope
  /** Undefined for scope `global`. */
  instanceId?: string
  commonName: string
  names: string[]
  notAfter: Date
  /** Only `show` knows it. */
  notBefore?: Date
  createdAt?: Date
  algorithm?: KeyAlgorithm
  hasTrustedRootCa: boolean
  /** Lower-case hex without leading zeros; only `show` knows it. */
  serial?: string
}

export interface AttachedDomain {
  host: string
  domainId: string
  groupId: string
  /** Empty in reality although documented. */
  instanceId?: string
  clientVerification: boolean
}

/**
 * One gateway (APIG or ROMA Connect), one instance. Look-ups return what is there now; `undefined` or an empty
 * list means that it is not there, never that the call failed. Every method that changes the world names the
 * look-up that tells whether it has happened. No POST or PUT is repeated inside: only the caller, who can look,
 * may try again; look-ups are repeated on `again` failures.
 *
 * Failures carry the service's `errorCode`, `requestId` and `status` as facts. `gateway.*` codes:
 * `unreachable`, `timeout`, `broken-reply`, `unavailable` (5xx), `throttled` (429, `*.0308`, `APIG.9008`) – again;
 * `conflict` (409) – later · `unauthorized`, `forbidden` – later · `not-found`, `refused` (400-class), `quota` – never;
 * `occupied` (`APIG.2051`: another certificate is bound) and `not-bound` (`APIG.3097`, or `APIG.2000` on detach),
 * `in-use` (delete of a bound certificate) – never, but the caller usually knows what to do;
 * `aborted` (by the signal) – later; `unknown-instance` – never; `unreachable` for an unknown host or an untrusted
 * TLS certificate, which are nearly always wrong settings – later.
 */
export interface Gateway {
  readonly flavour: Flavour
  readonly instanceId: string
  readonly scope: Scope
  /** For messages: `apig 0a1b…`. */
  readonly description: string

  /** All custom domains of the instance with what is bound to them. Fails with `gateway.unknown-instance`. */
  domains(signal?: AbortSignal): Promise<DomainBinding[]>
  /** One domain, or undefined where the group no longer lists it. */
  domain(ref: DomainRef, signal?: AbortSignal): Promise<DomainBinding | undefined>
  /** The certificates this instance can use (its own and the global ones), newest first; `name` matches exactly. */
  certificates(filter?: { name?: string }, signal?: AbortSignal): Promise<GatewayCertificate[]>
  certificate(id: string, signal?: AbortSignal): Promise<GatewayCertificate | undefined>
  attachedDomains(certificateId: string, signal?: AbortSignal): Promise<AttachedDomain[]>

  /** Look-up: `certificates({ name })`. */
  create(name: string, material: CertificateMaterial, signal?: AbortSignal): Promise<{ id: string }>
  /** Create and bind in one call, for gateways where only this exists. Look-up: `domain`. */
  add(
    ref: DomainRef,
    name: string,
    material: CertificateMaterial,
    signal?: AbortSignal,
  ): Promise<{ id: string }>
  /** In place: id and bindings stay. Look-up: `certificate` (serial). */
  update(id: string, name: string, material: CertificateMaterial, signal?: AbortSignal): Promise<void>
  /** Look-up: `domain`. Attaching what is already attached succeeds and sets the flag. */
  attach(
    ref: DomainRef,
    certificateId: string,
    clientVerification: boolean,
    signal?: AbortSignal,
  ): Promise<void>
  /** Look-up: `domain`. */
  detach(ref: DomainRef, certificateId: string, signal?: AbortSignal): Promise<void>
  /** Deletes an unbound certificate; deleting what is not there succeeds. Look-up: `certificate`. */
  remove(certificateId: string, signal?: AbortSignal): Promise<void>
}
