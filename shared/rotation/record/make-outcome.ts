import { Failure, type FailureReport } from '../../base/failure.ts'
import type { CheckResult, Repair } from '../../certificate/bundle.ts'
import type { Difference } from './difference.ts'
import type { BundleFacts, DomainOutcome, GatewayFinding, Outcome, OutcomeStatus } from './state.ts'

export interface OutcomeInit {
  certificate: string
  status: OutcomeStatus
  begunAt: Date
  endedAt: Date
  sentence: string
  bundle?: BundleFacts | undefined
  checks?: CheckResult[]
  repairs?: Repair[]
  domains?: DomainOutcome[]
  gateways?: GatewayFinding[]
  difference?: Difference | undefined
  handshakes?: Outcome['handshakes']
  pushed?: Outcome['pushed']
  failures?: (Failure | FailureReport)[]
  until?: Date | undefined
}

export function makeOutcome(init: OutcomeInit): Outcome {
  return {
    certificate: init.certificate,
    status: init.status,
    at: init.endedAt.toISOString(),
    durationMs: init.endedAt.getTime() - init.begunAt.getTime(),
    ...(init.bundle ? { bundle: init.bundle } : {}),
    ...(init.until ? { until: init.until.toISOString() } : {}),
    sentence: init.sentence,
    checks: (init.checks ?? []).map(({ code, result, message, facts }) => ({
      code,
      ...(typeof facts?.reason === 'string' ? { reason: facts.reason } : {}),
      result,
      message,
    })),
    repairs: (init.repairs ?? []).map(({ code, message }) => ({ code, message })),
    domains: init.domains ?? [],
    ...(init.gateways && init.gateways.length > 0 ? { gateways: init.gateways } : {}),
    ...(init.difference ? { difference: init.difference } : {}),
    ...(init.handshakes && init.handshakes.made > 0 ? { handshakes: init.handshakes } : {}),
    pushed: init.pushed ?? [],
    failures: (init.failures ?? []).map((one) => (one instanceof Failure ? one.toJSON() : one)),
  }
}
