import type { CertificateMaterial } from '../gateway/port.ts'

/** The services SCM can push to. */
export type PushService = 'CDN' | 'WAF' | 'ELB'

export interface PushTarget {
  service: PushService
  /** `target_project`: the region name of the main project, or `<region>_<name>` for a sub-project. */
  project: string
}

export interface ManagedCertificate {
  /** 16 characters, `scs…`. Not an APIG id. */
  id: string
  name: string
}

/** A row of the list, for watching what this tool did not deploy. */
export interface ListedCertificate extends ManagedCertificate {
  commonName: string
  names: string[]
  /** SCM writes it without a zone; read as UTC, so it may be off by some hours. Undefined where it has none. */
  notAfter?: Date
}

/**
 * The certificate manager (SCM). The same promises about look-ups, repetition and failures as `Gateway`, with
 * codes `manager.*`.
 */
export interface Manager {
  readonly description: string
  /** Everything the account has, also what this tool did not import. */
  list(signal?: AbortSignal): Promise<ListedCertificate[]>
  /** All certificates with exactly this name, oldest first. */
  find(name: string, signal?: AbortSignal): Promise<ManagedCertificate[]>
  /** Look-up: `find`. */
  import(name: string, material: CertificateMaterial, signal?: AbortSignal): Promise<ManagedCertificate>
  /** Puts a copy into the target service; a repeat makes a second copy. Look-up: `pushed`. */
  push(id: string, target: PushTarget, signal?: AbortSignal): Promise<void>
  /** The targets that have a copy of this certificate already. */
  pushed(id: string, services: PushService[], signal?: AbortSignal): Promise<PushTarget[]>
  /** Deleting what is not there succeeds; `manager.in-use` where a service still uses it. Look-up: `find`. */
  remove(id: string, signal?: AbortSignal): Promise<void>
}
