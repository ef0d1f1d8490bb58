import type { Clock } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import type { Trust } from '../certificate/trust.ts'
import type { CertificateConfig, DomainConfig, GatewayConfig } from '../config/schema.ts'
import type { Gateway } from '../gateway/port.ts'
import type { Manager } from '../manager/port.ts'
import type { Probe } from '../probe/port.ts'
import type { BundleReader } from '../reader/port.ts'
import type { Store } from '../store/port.ts'
import type { ClientCaSetting } from './intake/client-ca.ts'
import type { ProgressEvent } from './progress.ts'

/** The time an invocation has left. After `signal` nothing new is begun; what is begun is brought to its end. */
export interface Deadline {
  signal: AbortSignal
  remainingMs(): number
}

/** The exclusive right to act on one certificate. `signal` aborts some seconds before others may take over. */
export interface HeldLease {
  signal: AbortSignal
  /** Milliseconds in which the holder may still begin something. */
  remainingMs(): number
  /** False as soon as others may ignore the claim: from then on nothing is changed any more. */
  held(): boolean
  release(): Promise<void>
  /** Why claims stay behind in the store, where they do. */
  denied?(): Failure | undefined
}

export type LeaseAnswer = { held: true; lease: HeldLease } | { held: false; heldBy: string; until: Date }

/** Everybody a rotation talks to. Handed in, so that the story is the same in a function, on a terminal and in a test. */
export interface Parties {
  clock: Clock
  /** 0 ≤ x < 1, for jitter. */
  random: () => number
  log: Log
  store: Store
  /** The only one that looks into uploaded bytes. */
  reader: BundleReader
  /** `waitMs`: how long somebody else's claim is waited for at the most; a dead holder's ends within half a minute. */
  lease(name: string, waitMs?: number): Promise<LeaseAnswer>
  gatewayFor(config: GatewayConfig): Gateway
  /** Undefined where the cloud has no certificate manager (Open Telekom Cloud). */
  manager: Manager | undefined
  probe: Probe
  deadline: Deadline
  progress(event: ProgressEvent): void
}

/** One certificate's job, with the settings that come from outside its section of rotation.yaml. */
export interface Job {
  name: string
  config: CertificateConfig
  /** Changes when the part of the config that decides this rotation changes. */
  configDigest: string
  /** What other certificates list at the gateways of this one. */
  listedElsewhere: { certificate: string; gateway: string; domain: DomainConfig }[]
  /** `clientCa` with its file read; undefined where the config does not say. */
  clientCa: ClientCaSetting | undefined
  /** Digest of the pair that a renewal has dropped into `incoming/` and that has not left it, as `renew/` says. */
  delivered?: () => Promise<string | undefined>
  /** Roots for the verdict, read by the wiring. */
  trust: Trust
  concurrency: number
  servedWithinMs: number
  requestTimeoutMs: number
  /** A person asks: a bundle refused before is tried again, and growing waits do not count. */
  asked: boolean
}

/** Domains that are written by their ids only get their name from the gateway. */
export function configuredHosts({ gateways }: Pick<CertificateConfig, 'gateways'>): string[] {
  return gateways.flatMap((gateway) =>
    gateway.domains.flatMap((domain) =>
      typeof domain === 'string' ? [domain] : domain.host ? [domain.host] : [],
    ),
  )
}
