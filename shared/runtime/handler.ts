import middy from '@middy/core'
import { systemClock } from '../base/clock.ts'
import { asFailure, type Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { doctorDocument, type HealthCheck } from '../health/port.ts'
import type { Parties } from '../rotation/parties.ts'
import type { Wiring } from '../wire/cloud.ts'
import { deadlineOf, type PlatformContext, requestId, setting } from './context.ts'
import type { CriticalFinding } from './critical.ts'
import type { JobReport } from './jobs.ts'
import type { LogLevel } from './logger.ts'

/** What a handler gets besides the event. */
export interface Invocation {
  wiring: Wiring
  parties: Parties
  log: Log
}

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

/** The signature of both platforms: `(event, context) => result`. */
export type Handler = (event: unknown, context: PlatformContext) => Promise<HandlerResult>

/**
 * A door: log, deadline and the outside are opened before the work and closed after it. What the state file
 * remembers is not thrown (the timer is the truth, and a retry of the platform would only repeat the looking);
 * thrown is what nothing remembers.
 */
export function door(
  environment: Readonly<Record<string, string | undefined>>,
  work: (event: unknown, invocation: Invocation) => Promise<JobReport>,
): Handler {
  const handler = async (event: unknown, platform: PlatformContext): Promise<HandlerResult> => {
    const level = (setting(platform, environment, 'LOG_LEVEL') ?? 'info') as LogLevel
    const id = requestId(platform)
    const { createLog } = await import('./logger.ts')
    const log = createLog(
      level,
      { write: (line) => void process.stdout.write(line) },
      id ? { requestId: id } : {},
    )
    const deadline = deadlineOf(platform, systemClock)
    try {
      const { openService } = await import('./service.ts')
      const wiring = await openService(platform, environment, log)
      const report = await work(event, { wiring, parties: wiring.parties({ deadline, log }), log })
      const lost = report.failures.find(({ failure, mayPass }) => !mayPass && !isRemembered(failure))
      if (lost) throw lost.failure
      const { exitStatus } = await import('./jobs.ts')
      return summary(report, exitStatus(report))
    } catch (thrown) {
      const failure = asFailure(thrown)
      log.error(failure.message, { failure })
      // The platform prints the error it gets: one sentence, no fields of a library.
      throw new Error(`${failure.message}. ${failure.next} [${failure.code}]`)
    } finally {
      deadline.cancel()
    }
  }
  // middy's types know Lambda's context only; FunctionGraph's is handed through untouched.
  return middy(handler as never) as unknown as Handler
}

/**
 * The platform's initializer, run once per instance before its first event and outside of that event's time: loads
 * what the door loads late, and opens the outside. What fails here is not reported, since the event's own run
 * meets it again and says so; a failing initializer would only hide it behind the platform's words.
 */
export function warmUp(
  environment: Readonly<Record<string, string | undefined>>,
  load: () => Promise<unknown>,
): (platform: PlatformContext, callback?: (error: Error | null, result: string) => void) => void {
  return (platform, callback) => {
    const warm = async () => {
      const [{ createLog }, { openService }] = await Promise.all([
        import('./logger.ts'),
        import('./service.ts'),
        load(),
      ])
      await openService(platform, environment, createLog('silent', { write() {} }))
    }
    void warm()
      .catch(() => {})
      .then(() => callback?.(null, ''))
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
