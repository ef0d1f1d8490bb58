import { second } from '../../base/clock.ts'
import { Failure } from '../../base/failure.ts'
import type { Bundle } from '../../certificate/bundle.ts'
import type { CertificateMaterial, Gateway } from '../../gateway/port.ts'
import { OutOfTime } from '../out-of-time.ts'
import type { HeldLease, Job, Parties } from '../parties.ts'
import type { GatewayView } from '../plan/look.ts'
import type { RecordedDomain } from '../record/domain.ts'
import type { Journal } from '../record/journal.ts'
import type { CurrentRotation } from '../record/state.ts'
import type { Patience } from './perform.ts'

/** Everything the steps of one run share. */
export interface Run {
  job: Job
  parties: Parties
  lease: HeldLease
  journal: Journal
  current: CurrentRotation
  bundle: Bundle
  material: CertificateMaterial
  views: Map<string, GatewayView>
  times: CallTimes
  /** With domains that were to serve, or to serve again; `refused`: a client got none of its certificates at that moment. */
  handshakes: { made: number; refused: number }
  /** What went wrong and is left for later, by domain target (or another step's target). */
  troubles: Map<string, Failure>
  /** Domains that got the new certificate in this run. */
  boundHere: Set<string>
  /** Strategy `update`: ids of certificates that hold the new content, whoever made them. */
  updated: Set<string>
  /** Gateways that have shown in this run what they do with an attach beside another certificate. */
  habitsSeen: Set<string>
  /** By domain target: the certificate that was attached to it again, as it is, in this run. */
  attachedAgain: Map<string, string>
  /** By gateway: an attach was refused there that every other would be refused as well; no detach begins any more. */
  attachRefused: Map<string, Failure>
}

/** The slowest change seen in this run, which is what the next one must be expected to cost. */
export class CallTimes {
  slowestMs = 0

  observe(ms: number): void {
    this.slowestMs = Math.max(this.slowestMs, ms)
  }
}

export function recordOf(run: Run, target: string): RecordedDomain {
  const record = run.current.domains[target]
  if (!record) throw new Error(`no record of ${target}`)
  return record
}

export function gatewayOf(run: Run, key: string): Gateway {
  const view = run.views.get(key)
  if (!view) throw new Error(`no gateway ${key}`)
  return guarded(view.gateway, run)
}

export function patience(run: Run, limits: Omit<Partial<Patience>, 'clock' | 'random'> = {}): Patience {
  return { clock: run.parties.clock, random: run.parties.random, ...limits }
}

/** A call is expected to take four times the slowest one so far, within these bounds. */
const SHORTEST_CALL_BUDGET_MS = 250

/** A lease is prolonged while its holder works: slow gateways must not make it look too short for ever. */
const ENOUGH_LEASE_MS = 8 * second

/**
 * No detach begins unless the attach and the undo still fit: three calls, each at its expected cost.
 * The expectation is measured, so that a function with a few seconds still gets something done.
 */
export function requireTime(run: Run, what: string, calls = 3): void {
  const { signal } = run.parties.deadline
  const perCall = Math.min(
    run.job.requestTimeoutMs,
    Math.max(SHORTEST_CALL_BUDGET_MS, 4 * run.times.slowestMs),
  )
  const needed = calls * perCall
  const tooShort =
    run.parties.deadline.remainingMs() < needed || run.lease.remainingMs() < Math.min(needed, ENOUGH_LEASE_MS)
  if (signal.aborted || run.lease.signal.aborted || tooShort) throw new OutOfTime(what)
}

/** Stops waiting (not acting) when the time is over. */
export function stopSignal(run: Run): AbortSignal {
  return AbortSignal.any([run.parties.deadline.signal, run.lease.signal])
}

const CHANGES = ['create', 'add', 'update', 'attach', 'detach', 'remove'] as const

/** No change without the lease, and every change is timed. */
export function guarded<T extends object>(
  port: T,
  run: Pick<Run, 'lease' | 'parties' | 'times'>,
  changes: readonly string[] = CHANGES,
): T {
  return new Proxy(port, {
    get(target, property, receiver) {
      const value = Reflect.get(target, property, receiver)
      if (typeof value !== 'function') return value
      if (!changes.includes(String(property))) return value.bind(target)
      return async (...args: unknown[]) => {
        if (!run.lease.held()) throw new LeaseLost()
        const begun = run.parties.clock.monotonic()
        try {
          return await value.apply(target, args)
        } finally {
          run.times.observe(run.parties.clock.monotonic() - begun)
        }
      }
    },
  })
}

/** Another run may be acting by now: stop, whatever is half done. Its first act is to close gaps. */
export class LeaseLost extends Failure {
  constructor() {
    super({
      code: 'rotation.lease-lost',
      kind: 'later',
      message: 'The lease on this certificate ended before the work did',
      next: 'Nothing to do: the next run begins by closing any gap. If it happens often, the store is slow or unreachable.',
    })
  }
}

export function say(run: Run, step: string, target: string, sentence: string, durationMs?: number): void {
  const certificate = run.job.name
  run.parties.log.info(sentence, {
    step,
    target,
    ...(durationMs === undefined ? {} : { durationMs: Math.round(durationMs) }),
  })
  run.parties.progress({
    kind: 'step',
    certificate,
    step,
    target,
    sentence,
    ...(durationMs === undefined ? {} : { durationMs }),
  })
}

export function trouble(run: Run, step: string, target: string, failure: Failure): void {
  run.parties.log.warn(failure.message, { step, target, failure })
  const host = run.current.domains[target]?.host ?? ''
  const { message } = failure
  run.parties.progress({
    kind: 'trouble',
    certificate: run.job.name,
    target,
    sentence: message.includes(host) ? message : `${host}: ${message}`,
  })
}
