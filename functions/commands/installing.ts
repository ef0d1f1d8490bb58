import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseEnv } from 'node:util'
import type { Planned } from '../../deploy/deployment.ts'
import { accessOf, type Installation, readInstallation } from '../../deploy/installation.ts'
import { type DeploySession, openSession } from '../../deploy/session.ts'
import { Failure } from '../../shared/base/failure.ts'
import { type Paint, painter } from './render.ts'
import { useColor } from './session.ts'
import { UsageError } from './usage.ts'

/** What `setup`, `deploy` and `remove` have in common. */
export interface InstallingOptions {
  config: string
  env?: string | undefined
  'env-file'?: string | undefined
  bucket?: string | undefined
  stage: string
  schedule?: string | undefined
  yes: boolean
}

/** Reads config and environment, opens the account, and closes it after the work. */
export async function withInstallation(
  options: InstallingOptions,
  work: (installation: Installation, session: DeploySession) => Promise<number>,
): Promise<number> {
  const { config: file, stage } = options
  if (!/^[a-z](?:[a-z0-9-]{0,18}[a-z0-9])?$/.test(stage))
    throw new UsageError(
      `--stage takes up to 20 small letters, digits and hyphens, not ${JSON.stringify(stage)}`,
    )
  const environment = { ...(await variablesIn(options.env ?? options['env-file'])), ...process.env }
  const text = await readFile(file, 'utf8').catch((cause) => {
    throw new Failure({
      code: 'config.missing',
      kind: 'never',
      message: `There is no readable config at ${file}`,
      next: '"cert-rotation init" writes one; --config FILE names another.',
      cause,
    })
  })
  const { bucket, schedule } = options
  const folder = dirname(resolve(file))
  const installation = await readInstallation(text, { file, folder, environment, bucket, stage, schedule })
  const session = await openSession(accessOf(installation), environment)
  try {
    return await work(installation, session)
  } finally {
    await session.close()
  }
}

/** `NAME=value` lines, with or without `export`. The values go nowhere but into encrypted user data. */
async function variablesIn(file: string | undefined): Promise<Record<string, string>> {
  if (file === undefined) return {}
  const text = await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    throw new UsageError(
      `${file} cannot be read (${cause.code})`,
      'init writes .env.example: fill in a copy of it.',
    )
  })
  const set = Object.entries(parseEnv(text.replace(/^\s*export\s+/gm, '')))
  // A line that nobody filled in is not there: the loader says then what is missing.
  return Object.fromEntries(set.filter((entry): entry is [string, string] => Boolean(entry[1])))
}

export const say = (line: string): void => void process.stdout.write(`${line}\n`)

/** `+` green, `~` yellow, `-` red: the first sign of a line. */
export function printPlan(parts: readonly Planned[]): void {
  const paint = painter(useColor(process.stdout))
  for (const { lines } of parts) for (const line of lines) say(colored(line, paint))
}

function colored(line: string, paint: Paint): string {
  const sign = /^\s*([+~-]) /.exec(line)?.[1]
  if (sign === undefined) return line
  return line.replace(sign, paint(sign === '+' ? 'green' : sign === '~' ? 'yellow' : 'red', sign))
}

/** True where a person at the terminal, or `--yes`, agrees. Without a terminal `--yes` is wanted. */
export async function agreed(command: string, question: string, yes: boolean): Promise<boolean> {
  if (yes) return true
  if (!process.stdin.isTTY || !process.stdout.isTTY)
    throw new UsageError(
      `nothing was changed: ${command} needs --yes where there is no terminal to ask at`,
      `cert-rotation ${command} --yes does what stands above.`,
    )
  const { confirm, isCancel } = await import('@clack/prompts')
  const answer = await confirm({ message: question, initialValue: false })
  if (!isCancel(answer) && answer) return true
  say('Nothing was changed.')
  return false
}
