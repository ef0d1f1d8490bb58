import middy from '@middy/core'
import type { Log } from '../base/log.ts'
import type { Parties } from '../rotation/parties.ts'
import type { Wiring } from '../wire/cloud.ts'
import type { deadlineOf, PlatformContext } from './context.ts'
import type { JobReport } from './jobs.ts'
import {
  errorsInOneSentence,
  type HandlerResult,
  ownDeadline,
  ownLog,
  type Passage,
  resultOfReport,
  service,
} from './middlewares.ts'

export type { HandlerResult } from './middlewares.ts'

/** What a handler gets besides the event. */
export interface Invocation {
  log: Log
  deadline: ReturnType<typeof deadlineOf>
  wiring: Wiring
  parties: Parties
}

/** Where a door stands. */
export interface Door {
  environment: Readonly<Record<string, string | undefined>>
  /** Takes the lines of the log. */
  write(line: string): void
}

/** The signature of both platforms: `(event, context) => result`. */
export type Handler = (event: unknown, context: PlatformContext) => Promise<HandlerResult>

/** A door, read from the outside in: each line opens something for the work, and closes it behind it. */
export function door(
  environment: Door['environment'],
  work: (event: unknown, invocation: Invocation) => Promise<JobReport>,
): Handler {
  const here: Door = { environment, write: (line) => void process.stdout.write(line) }
  const chain = middy((event: unknown, invocation: unknown) => work(event, invocation as Invocation), {
    // Ours ends earlier, and knows FunctionGraph's name for what is left of the time.
    timeoutEarlyInMillis: 0,
  })
  const middlewares = [
    errorsInOneSentence(),
    ownLog(here),
    ownDeadline(),
    service(here),
    resultOfReport(),
    { before: handedOn },
  ]
  for (const one of middlewares) chain.use(one as never)
  // middy's types know Lambda's context only.
  return chain as unknown as Handler
}

/** The work gets what was opened for it in place of the platform's context. */
function handedOn(passage: Passage): void {
  Object.assign(passage, { context: passage.internal })
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
