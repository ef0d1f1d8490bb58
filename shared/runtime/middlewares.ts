import { systemClock } from '../base/clock.ts'
import { asFailure, type Failure } from '../base/failure.ts'
import { doctorDocument, type HealthCheck } from '../health/port.ts'
import { deadlineOf, type PlatformContext, requestId, setting } from './context.ts'
import type { CriticalFinding } from './critical.ts'
import type { Door, Invocation } from './handler.ts'
import type { JobReport } from './jobs.ts'
import type { LogLevel } from './logger.ts'

/** What a function returns, and with it the last line of the platform's log. */
export interface HandlerResult {
  status: 'done' | 'failed' | 'unfinished'
  outcomes: { certificate: string; status: string; sentence: string }[]
  failures: { certificate?: string; code: string; message: string; next: string }[]
  /** What is critical and not acknowledged. It was told: the invocation does not fail for it. */
  critical: CriticalFinding[]
  /** Of an invocation that was asked for `doctor`: the fields of its document stand beside these. */
  command?: 'doctor'
  checks?: HealthCheck[]
}

/** One invocation on its way through the middlewares: they fill `internal`, from the outermost inwards. */
export interface Passage {
  event: unknown
  context: PlatformContext
  response?: unknown
  error?: unknown
  internal: Partial<Invocation>
}

/** As middy has it: `before` in the order of use, `after` and `onError` in the reverse. */
export interface Middleware {
  before?(passage: Passage): Promise<void> | void
  after?(passage: Passage): Promise<void> | void
  onError?(passage: Passage): Promise<void> | void
}

/** The outermost. The platform prints the error it gets: one sentence, no fields of a library. */
export function errorsInOneSentence(): Middleware {
  return {
    onError: (passage) => {
      const { message, next, code } = asFailure(passage.error)
      passage.error = new Error(`${message}. ${next} [${code}]`)
    },
  }
}

/** One JSON line a record, each with the platform's id of the request; a failure is written before it is thrown. */
export function ownLog({ environment, write }: Door): Middleware {
  return {
    before: async ({ context, internal }) => {
      const level = (setting(context, environment, 'LOG_LEVEL') ?? 'info') as LogLevel
      const id = requestId(context)
      const { createLog } = await import('./logger.ts')
      internal.log = createLog(level, { write }, id ? { requestId: id } : {})
    },
    onError: ({ error, internal }) => {
      const failure = asFailure(error)
      internal.log?.error(failure.message, { failure })
    },
  }
}

/** The end of the time, some seconds before the platform stops the process. */
export function ownDeadline(): Middleware {
  const over = ({ internal }: Passage) => internal.deadline?.cancel()
  return {
    before: ({ context, internal }) => {
      internal.deadline = deadlineOf(context, systemClock)
    },
    after: over,
    onError: over,
  }
}

/** Config, credentials and everybody a rotation talks to; kept between two invocations of one instance. */
export function service({ environment }: Door): Middleware {
  return {
    before: async ({ context, internal }) => {
      const { openService } = await import('./service.ts')
      const { log, deadline } = internal as Invocation
      internal.wiring = await openService(context, environment, log)
      internal.parties = internal.wiring.parties({ deadline, log })
    },
  }
}

/**
 * The innermost: the report becomes the result. What the state file remembers is not thrown (the timer is the truth, and a
 * retry of the platform would only repeat the looking); thrown is what nothing remembers.
 */
export function resultOfReport(): Middleware {
  return {
    after: async (passage) => {
      const report = passage.response as JobReport
      const lost = report.failures.find(({ failure, mayPass }) => !mayPass && !isRemembered(failure))
      if (lost) throw lost.failure
      const { exitStatus } = await import('./jobs.ts')
      passage.response = summary(report, exitStatus(report))
    },
  }
}

/** False for what neither the state file nor a message keeps: only the platform's own alarm can tell it. */
function isRemembered({ code }: Failure): boolean {
  return code !== 'internal.unexpected' && !code.startsWith('store.') && !code.startsWith('watch.')
}

function summary(report: JobReport, status: 0 | 1 | 3): HandlerResult {
  return {
    status: ({ 0: 'done', 1: 'failed', 3: 'unfinished' } as const)[status],
    outcomes: report.outcomes.map(({ certificate, status, sentence }) => ({ certificate, status, sentence })),
    failures: [
      ...report.failures.map(({ certificate, failure: { code, message, next } }) => ({
        ...(certificate ? { certificate } : {}),
        code,
        message,
        next,
      })),
      ...(report.renewals ?? []).flatMap(({ certificate, failing }) => {
        if (!failing) return []
        const { code, message, next } = failing.failure
        return [{ certificate, code, message, next }]
      }),
    ],
    critical: report.critical ?? [],
    ...(report.health && doctorDocument(report.health)),
  }
}
