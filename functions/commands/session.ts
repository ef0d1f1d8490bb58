import { randomBytes } from 'node:crypto'
import { readdir, readFile, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'
import { systemClock } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import type { Log } from '../../shared/base/log.ts'
import { nearest } from '../../shared/base/nearest.ts'
import { printable } from '../../shared/base/printable.ts'
import { loadConfig } from '../../shared/config/load.ts'
import type { Config } from '../../shared/config/schema.ts'
import type { Parties } from '../../shared/rotation/parties.ts'
import { noDeadline, StoppedByPerson } from '../../shared/runtime/context.ts'
import { exitStatus, type JobReport } from '../../shared/runtime/jobs.ts'
import { createLog, type LogLevel, terminalDestination } from '../../shared/runtime/logger.ts'
import { openWiring, type Wiring } from '../../shared/wire/cloud.ts'
import { Progress } from './progress.ts'
import { renderReport } from './render.ts'

export interface CommonOptions {
  config: string
  json: boolean
  quiet: boolean
}

export interface Session {
  wiring: Wiring
  parties: Parties
  log: Log
  /** What is shown while a job runs; `end` it before anything else is printed. */
  progress: Progress | undefined
  /** Prints what came of a job, as people or programs read it, and returns the exit status. */
  tell(command: string, report: JobReport): number
  /** Tells what the log holds of failures and `shown`, the output of the command, does not. */
  tellRest(shown?: string): void
  close(): Promise<void>
}

export const useColor = (stream: NodeJS.WriteStream): boolean =>
  Boolean(stream.isTTY) && process.env.NO_COLOR === undefined

/** Of a terminal, or as the environment says (`COLUMNS`); whoever reads a pipe has some lines of 80, too. */
export const columnsOf = (stream: NodeJS.WriteStream): number =>
  stream.columns || Number(process.env.COLUMNS) || 80

export function terminalProgress(indent = ''): Progress {
  const { stdout } = process
  return new Progress({
    write: (text) => void stdout.write(text),
    clock: systemClock,
    color: useColor(stdout),
    columns: () => (stdout.isTTY ? columnsOf(stdout) : undefined),
    indent,
  })
}

const toOutput = (text: string) => void process.stdout.write(text)
const toError = (text: string) => void process.stderr.write(text)

/** Logs go to standard error: JSON lines with `--json`, else short lines. */
export function terminalLog(options: CommonOptions): Log {
  return openLog(options, false, toError).log
}

/** `reports`: what has failed is held back for a report that tells it, until `tellRest`. */
function openLog(options: CommonOptions, reports: boolean, write: (text: string) => void) {
  const level = (process.env.LOG_LEVEL ??
    (options.json ? 'info' : options.quiet ? 'error' : 'warn')) as LogLevel
  if (options.json) return { log: createLog(level, { write }), tellRest() {} }
  const terminal = terminalDestination(write, useColor(process.stderr), reports)
  return { log: createLog(level, terminal), tellRest: (report?: string) => terminal.tellRest(report) }
}

export async function readConfig(file: string, inFunction = false) {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new Failure({
      code: 'config.missing',
      kind: 'never',
      message: `There is no readable config at ${file}`,
      next: `${await near(file)}"cert-rotation init" writes one; --config FILE names another.`,
      cause,
    })
  }
  return loadConfig(text, { file, environment: process.env, inFunction })
}

/** `rotation.yml` beside the `rotation.yaml` that is not there. */
async function near(file: string): Promise<string> {
  const folder = dirname(file)
  const names = await readdir(folder).catch((): string[] => [])
  const meant = nearest(
    basename(file),
    names.filter((name) => /\.(ya?ml|json)$/i.test(name) && name !== basename(file)),
  )
  return meant === undefined ? '' : `Did you mean --config ${printable(join(folder, meant))}? `
}

/** Said before anything else is opened, and with the name of the file that is to be corrected. */
async function requireStoreFolder(directory: string | undefined, file: string): Promise<void> {
  if (directory === undefined) return
  const folder = resolve(dirname(file), directory)
  const stats = await stat(folder).catch(() => undefined)
  if (stats?.isDirectory()) return
  throw new Failure({
    code: 'store.missing-folder',
    kind: 'never',
    message: `There is no folder ${folder}`,
    next: `Create it, or correct store.directory in ${file}.`,
  })
}

/** The config, the outside and a run that ends at Ctrl-C: the first asks for a clean end, the second is one. */
export async function openSession(options: CommonOptions): Promise<Session> {
  const config = await readConfig(options.config)
  await requireStoreFolder(config.store.directory, options.config)
  return openWith(config, options)
}

/** With a config that was read before, whatever its store's folder is. */
export async function openWith(config: Config, options: CommonOptions): Promise<Session> {
  const progress = options.json || options.quiet ? undefined : terminalProgress()
  const say = progress?.above(toError) ?? toError
  const { log, tellRest } = openLog(options, true, say)
  const controller = new AbortController()
  const stop = () => {
    if (controller.signal.aborted) process.exit(130)
    say('Stopping after the step that is under way; press Ctrl-C again to stop at once.\n')
    controller.abort(new StoppedByPerson())
  }
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  const wiring = await openWiring({
    config,
    folder: dirname(resolve(options.config)),
    clock: systemClock,
    random: Math.random,
    log,
    write: options.json ? toError : (progress?.above(toOutput) ?? toOutput),
    owner: `${hostname()} process ${process.pid} ${randomBytes(3).toString('hex')}`,
  })
  const parties = wiring.parties({
    deadline: noDeadline(controller.signal),
    ...(progress ? { progress: (event) => progress.show(event) } : {}),
  })
  return {
    wiring,
    parties,
    log,
    progress,
    tell(command, report) {
      progress?.end()
      const { status, text } = told(command, report, options)
      process.stdout.write(text)
      // Said once for many domains, and without the host that it begins with, it stands there all the same.
      tellRest([text, ...(text === '' ? [] : failuresIn(report))].join('\n'))
      return status
    },
    tellRest,
    async close() {
      process.off('SIGINT', stop)
      process.off('SIGTERM', stop)
      tellRest()
      await wiring.close()
    },
  }
}

/** The exit status of a report, and its text as people or programs read it; empty where `--quiet` has nothing to say. */
function told(command: string, report: JobReport, options: CommonOptions): { status: number; text: string } {
  const status = exitStatus(report)
  if (options.json) {
    const { renewals, notLookedAt, heartbeat } = report
    const failures = report.failures.map(({ certificate, failure, mayPass }) => ({
      ...(certificate ? { certificate } : {}),
      ...(mayPass ? { mayPass } : {}),
      ...failure.toJSON(),
    }))
    const text = `${JSON.stringify({ command, exitStatus: status, ...(renewals ? { renewals } : {}), ...(notLookedAt ? { notLookedAt } : {}), ...(heartbeat ? { heartbeat } : {}), outcomes: report.outcomes, failures, critical: report.critical ?? [] })}\n`
    return { status, text }
  }
  if (options.quiet && status === 0) return { status, text: '' }
  return { status, text: renderReport(report, useColor(process.stdout), columnsOf(process.stdout)) }
}

function failuresIn({ outcomes }: JobReport): string[] {
  return outcomes.flatMap(({ failures, domains, pushed }) =>
    [...failures, ...[...domains, ...pushed].flatMap(({ failure }) => failure ?? [])].map(
      ({ message }) => message,
    ),
  )
}
