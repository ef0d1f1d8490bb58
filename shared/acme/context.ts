import type { Clock } from '../base/clock.ts'
import type { Log } from '../base/log.ts'
import type { Secret } from '../base/secret.ts'
import type { Store } from '../store/port.ts'
import type { KeyType } from './keys.ts'
import type { AcmeServer, Authority, ChallengeSolver } from './port.ts'
import type { RenewState } from './state.ts'

/** How patient one invocation is; the signal may end it earlier. Milliseconds. */
export interface Pace {
  /** Between two looks at an order or an authorization, where the CA names no time. */
  pollMs: number
  /** For the CA to validate or to issue. */
  patienceMs: number
  /** For a challenge to become visible, counted from when it was put there. */
  visibleWithinMs: number
  /** Before an `again` failure is tried once more; doubles. */
  retryMs: number
  /** Attempts in a row at one step. */
  tries: number
  /** An order is looked at after this whatever the CA asks for: a broken header must not put it off for a month. */
  longestAskedMs: number
}

export const usualPace: Pace = {
  pollMs: 2_000,
  patienceMs: 10 * 60_000,
  visibleWithinMs: 10 * 60_000,
  retryMs: 1_000,
  tries: 3,
  longestAskedMs: 60 * 60_000,
}

/** What is asked of the CA. */
export interface CertificateRequest {
  names: string[]
  keyType: KeyType
  reuseKey: boolean
}

/** Everything the order at one authority works with. */
export interface OrderContext {
  name: string
  store: Store
  clock: Clock
  log: Log
  /** Seals keys in the store. */
  secret: Secret | undefined
  state: RenewState
  /** Writes `state`; every boundary of the order ends with it. */
  save(): Promise<void>
  authority: Authority
  server: AcmeServer
  /** By id: also those of other authorities, whose challenges may still have to be removed. */
  solvers: ReadonlyMap<string, ChallengeSolver>
  request: CertificateRequest
  /** Renewal information id of the predecessor, where this CA issued it. */
  replaces: string | undefined
  /** Fingerprint of the certificate in service, where one is known. */
  inService: string | undefined
  pace: Pace
  /** For whoever watches a terminal: one sentence per step of the order. */
  progress: (sentence: string) => void
  /** Things people should know although the order went on. */
  warnings: string[]
  signal: AbortSignal | undefined
}
