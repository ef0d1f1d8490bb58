import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { systemClock } from '../shared/base/clock.ts'
import { asFailure, Failure } from '../shared/base/failure.ts'
import { bundleFunction, type Package } from './bundle.ts'
import { type Artifact, deploy, info, planRollback, remove, vanished } from './deployment.ts'
import { type DesiredFunction, type DesiredService, readService, type ServiceInput } from './desired.ts'
import { artifactOf, noPackage } from './packages.ts'
import { preflight } from './preflight.ts'
import { type DeploySession, openSession } from './session.ts'

/** What the plugin hands over from osls. */
export interface CommandInput {
  root: string
  service: ServiceInput
  options: Record<string, string | undefined>
  /** The command as it was typed: `deploy` packages too, and has more to say than what is in the zips. */
  asked?: string
  environment: Readonly<Record<string, string | undefined>>
  say(line: string): void
}

/** Where packages are written, beside osls's own files. */
const FOLDER = '.serverless'

/**
 * The provider's commands. Each ends with a sentence or with a `Failure`, which the plugin turns into osls's own kind
 * of error: exit status 1.
 */
export const commands = {
  /** One zip per function; prints what is in it. Returns the path of each, for osls's `package.artifact`. */
  async package(input: CommandInput): Promise<Record<string, string>> {
    const artifacts: Record<string, string> = {}
    await mkdir(join(input.root, FOLDER), { recursive: true })
    for (const { key, source } of readService(input.service).functions) {
      const bundle = await bundleFunction(input.root, source)
      const path = join(input.root, FOLDER, `${key}.zip`)
      await writeFile(path, bundle.zip)
      artifacts[key] = path
      const [summary, ...files] = contents(key, relative(input.root, path), bundle)
      for (const line of input.asked === 'deploy' ? [summary!] : [summary!, ...files]) input.say(line)
    }
    return artifacts
  },

  async deploy(input: CommandInput): Promise<void> {
    await withSession(input, async (service, session) => {
      const artifacts = new Map<string, Artifact>()
      for (const { key } of service.functions) {
        const file = join(input.root, FOLDER, `${key}.zip`)
        const zip = await readFile(file).catch((cause) => {
          throw noPackage(key, file, cause)
        })
        artifacts.set(key, artifactOf(zip))
      }
      await preflight(service, session, input.say, { configInPlace: true })
      const { changed } = await deploy(service, artifacts, partiesOf(input, session))
      if (changed > 0)
        input.say(`Deployed ${changed} of ${service.functions.length} functions to ${service.region}.`)
    })
  },

  /** `--timestamp` and what else osls knows does not matter here: there is one version from before. */
  async rollback(input: CommandInput): Promise<void> {
    await withSession(input, async (service, session) => {
      const parts = await planRollback(service, partiesOf(input, session))
      for (const { lines } of parts) for (const line of lines) input.say(line)
      for (const { apply } of parts) await apply()
    })
  },

  async remove(input: CommandInput): Promise<void> {
    await withSession(input, async (service, session) => {
      const { removed } = await remove(service, partiesOf(input, session))
      input.say(
        `Removed ${removed} of ${service.functions.length} functions from ${service.region}. Buckets and agencies stay.`,
      )
    })
  },

  async info(input: CommandInput): Promise<void> {
    await withSession(input, (service, session) => info(service, partiesOf(input, session)))
  },

  /** `-f on-timer [--data JSON | --path FILE] [--log]` */
  async invoke(input: CommandInput): Promise<void> {
    await withSession(input, async (service, session) => {
      const { name } = functionNamed(service, input.options.function)
      if (!(await session.functionGraph.show(name))) throw vanished(name)
      const { requestId, status, result, log } = await session.functionGraph.invoke(
        name,
        await eventOf(input),
      )
      if (input.options.log !== undefined) input.say(log.trimEnd())
      input.say(pretty(result))
      if (status >= 200 && status < 300) return
      throw new Failure({
        code: 'deploy.function-failed',
        kind: 'never',
        message: `The function ${name} failed (status ${status}, request ${requestId})`,
        next: `Its answer stands above; npm run logs -- -f ${input.options.function} shows its log.`,
      })
    })
  },

  /** `-f on-upload [--startTime 2h]` */
  async logs(input: CommandInput): Promise<void> {
    await withSession(input, async (service, session) => {
      const { name } = functionNamed(service, input.options.function)
      if (!(await session.functionGraph.show(name))) throw vanished(name)
      const since = sinceOf(input.options.startTime)
      const lines = await session.logs(name, since)
      if (lines.length === 0) input.say(`${name} has logged nothing since ${since.toISOString()}.`)
      for (const line of lines) input.say(line)
    })
  },
}

export type CommandName = keyof typeof commands

/** For the plugin: the sentences of whatever was thrown. Never a stack of ours, never a secret. */
export function sentencesOf(thrown: unknown): string {
  const failure = asFailure(thrown)
  const stack = failure.code === 'internal.unexpected' && thrown instanceof Error ? `\n${thrown.stack}` : ''
  return `${failure.message}\n${failure.next} [${failure.code}]${stack}`
}

async function withSession(
  input: CommandInput,
  work: (service: DesiredService, session: DeploySession) => Promise<void>,
): Promise<void> {
  const service = readService(input.service)
  const session = await openSession(service, input.environment)
  try {
    await work(service, session)
  } finally {
    await session.close()
  }
}

function partiesOf(input: CommandInput, { functionGraph }: DeploySession) {
  return { functionGraph, clock: systemClock, say: input.say }
}

function functionNamed(service: DesiredService, key: string | undefined): DesiredFunction {
  const found = service.functions.find((fn) => fn.key === key)
  if (found) return found
  const names = service.functions.map((fn) => fn.key).join(' or ')
  throw usage(
    key ? `serverless.yml has no function ${key}` : 'Which function?',
    `Name one with -f: ${names}.`,
  )
}

async function eventOf({ root, options }: CommandInput): Promise<unknown> {
  const text = options.path
    ? await readFile(join(root, options.path), 'utf8').catch(() => undefined)
    : options.data
  if (text === undefined && options.path) throw usage(`${options.path} cannot be read`, 'Check --path.')
  try {
    return JSON.parse(text ?? '{"version":"v1.0","trigger_type":"TIMER","trigger_name":"by-hand"}')
  } catch {
    throw usage('The event is not JSON', 'The folder events/ has samples: --path events/timer.json.')
  }
}

function sinceOf(text = '30m'): Date {
  const [, amount, unit] = /^(\d+)([mhd])$/.exec(text) ?? []
  const instant = unit
    ? systemClock.now().getTime() -
      Number(amount) * { m: 60_000, h: 3_600_000, d: 86_400_000 }[unit as 'm' | 'h' | 'd']
    : Date.parse(text)
  if (Number.isNaN(instant)) throw usage(`${text} is no time`, 'Write --startTime 30m, 2h, 1d or an instant.')
  return new Date(instant)
}

function usage(message: string, next: string): Failure {
  return new Failure({ code: 'deploy.usage', kind: 'never', message, next })
}

function pretty(result: string): string {
  try {
    return JSON.stringify(JSON.parse(result), null, 2)
  } catch {
    return result
  }
}

function contents(key: string, path: string, { files, zip }: Package): string[] {
  const kilobytes = (bytes: number) => `${(bytes / 1024).toFixed(1)} KB`.padStart(10)
  return [
    `${key}: ${path}, ${kilobytes(zip.length).trim()} with ${files.length} files`,
    ...files.map(({ name, bytes }) => `${kilobytes(bytes.length)}  ${name}`),
  ]
}
