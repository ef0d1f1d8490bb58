import type { Failure } from './failure.ts'

/** Flat facts of one log line. A `Failure` under `failure` is written with its code, facts and cause. */
export type LogFacts = Record<string, unknown> & { failure?: Failure }

/** One line per fact. Written by pino (`shared/runtime/logger.ts`); tests collect. */
export interface Log {
  debug(message: string, facts?: LogFacts): void
  info(message: string, facts?: LogFacts): void
  warn(message: string, facts?: LogFacts): void
  error(message: string, facts?: LogFacts): void
  /** A log whose every line carries these facts. */
  with(facts: LogFacts): Log
}

export const silentLog: Log = {
  debug() {},
  info() {},
  warn() {},
  error() {},
  with: () => silentLog,
}
