import { stripVTControlCharacters } from 'node:util'
import { type DestinationStream, type Logger, pino } from 'pino'
import type { FailureReport } from '../base/failure.ts'
import type { Log, LogFacts } from '../base/log.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

/** Second net below `Secret`: whatever is logged under these names is never written, at any of these depths. */
const SECRET_NAMES = [
  'privateKey',
  'private_key',
  'password',
  'secret',
  'token',
  'authorization',
  'Authorization',
]
const redact = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`])

/** One JSON line per fact, on standard error or where `destination` says. */
export function createLog(level: LogLevel, destination: DestinationStream, facts: LogFacts = {}): Log {
  const logger = pino(
    {
      level,
      base: null,
      redact,
      timestamp: pino.stdTimeFunctions.isoTime,
      messageKey: 'message',
      formatters: { level: (level) => ({ level }) },
    },
    destination,
  )
  return adapt(logger.child(serialised(facts)))
}

function adapt(logger: Logger): Log {
  return {
    debug: (message, facts) => logger.debug(serialised(facts), message),
    info: (message, facts) => logger.info(serialised(facts), message),
    warn: (message, facts) => logger.warn(serialised(facts), message),
    error: (message, facts) => logger.error(serialised(facts), message),
    with: (facts) => adapt(logger.child(serialised(facts))),
  }
}

/**
 * A failure is written as its report, with the chain of its causes by name and message only: errors of
 * libraries carry whole requests in their fields.
 */
function serialised(facts: LogFacts = {}): Record<string, unknown> {
  const { failure, ...rest } = facts
  if (!failure) return rest
  return {
    ...rest,
    failure: failure.toJSON(),
    ...(failure.cause === undefined ? {} : { causes: causesOf(failure.cause) }),
  }
}

function causesOf(cause: unknown): string[] {
  const causes: string[] = []
  for (let next = cause; next instanceof Error && causes.length < 5; next = next.cause)
    causes.push(withoutPem(`${next.name}: ${next.message}`.slice(0, 500)))
  return causes
}

/** No library has any business quoting a PEM block; should one do, it does not get into a log. */
function withoutPem(text: string): string {
  return text.replace(/-----BEGIN [^-]+-----[\s\S]*?(-----END [^-]+-----|$)/g, '[PEM]')
}

/** A terminal: the log's short lines, and those about failures that are still to be told. */
export interface TerminalDestination extends DestinationStream {
  /** Writes what has failed and does not stand in `report`, which has just been shown: nothing is lost or said twice. */
  tellRest(report?: string): void
}

/**
 * For a person at a terminal: time (UTC), level, message and the few facts that tell where. With `reports`, what has
 * failed waits for the report of the command, which tells most of it and what to do; `tellRest` has the rest.
 */
export function terminalDestination(
  write: (text: string) => void,
  color: boolean,
  reports = false,
): TerminalDestination {
  const paint = (code: number, text: string) => (color ? `\u001b[${code}m${text}\u001b[0m` : text)
  const rest = new Map<string, string>()
  return {
    write(line: string) {
      const { time, level, message, certificate, step, failure } = JSON.parse(line) as Record<string, unknown>
      const name =
        level === 'error' ? paint(31, 'error') : level === 'warn' ? paint(33, 'warn ') : paint(2, 'info ')
      const where = [certificate, step].filter(Boolean).join(' ')
      const told = `${paint(2, String(time).slice(11, 19))} ${name} ${where ? `${where}: ` : ''}${message}\n`
      if (!failure) return void write(told)
      const { message: why, next } = failure as FailureReport
      // The same again, or on its way from who met it to who gave up for it.
      if (!rest.has(why)) rest.set(why, `${told}${' '.repeat(15)}${next}\n`)
      if (!reports) this.tellRest()
    },
    tellRest(report = '') {
      const told = oneLine(report)
      for (const [why, lines] of rest) if (!told.includes(oneLine(why))) write(lines)
      rest.clear()
    },
  }
}

/** However a report was broken into lines and painted. */
function oneLine(text: string): string {
  return stripVTControlCharacters(text).replace(/\s+/g, ' ')
}
