import { asFailure } from '../shared/base/failure.ts'
import { nearest } from '../shared/base/nearest.ts'
import { version } from '../shared/http/version.ts'
import { helpFor, overview } from './commands/help.ts'
import { commands } from './commands/index.ts'
import { type CommandName, specs } from './commands/specs.ts'
import { UsageError } from './commands/usage.ts'

/** `cert-rotation <command>`: translates a command line into the same jobs that the functions do. Returns the exit status. */
export async function main([name = 'help', ...args]: string[]): Promise<number> {
  try {
    if (name === '--version' || name === '-V') return say(`${version}\n`)
    if (name === 'help' || name === '--help' || name === '-h')
      return say(args[0] === undefined ? overview() : helpFor(args[0], specs[known(args[0])]))
    const command = known(name)
    if (asksForHelp(args)) return say(helpFor(command, specs[command]))
    return await (await commands[command]()).run(args)
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (args.includes('--json'))
      process.stdout.write(
        `${JSON.stringify({ command: name, exitStatus: statusFor(failure.code), outcomes: [], failures: [failure] })}\n`,
      )
    process.stderr.write(`${await fitting(`cert-rotation: ${failure.message}\n${failure.next}`)}\n`)
    if (failure.code === 'internal.unexpected' && failure.cause instanceof Error)
      process.stderr.write(`${failure.cause.stack}\n`)
    return statusFor(failure.code)
  }
}

/** A terminal breaks long lines in the middle of words; whoever reads a pipe looks for whole sentences. */
async function fitting(text: string): Promise<string> {
  const { isTTY, columns } = process.stderr
  if (!isTTY || !columns) return text
  const { wrap } = await import('../shared/status/table.ts')
  return text
    .split('\n')
    .flatMap((line) => wrap(line, columns))
    .join('\n')
}

function say(text: string): 0 {
  process.stdout.write(text)
  return 0
}

function known(name: string): CommandName {
  if (Object.hasOwn(specs, name)) return name as CommandName
  if (name.startsWith('-'))
    throw new UsageError(`${name} stands before the command; write the command first, then its options`)
  const meant = nearest(name, Object.keys(specs))
  const hint = meant === undefined ? '' : `; did you mean ${meant}?`
  throw new UsageError(`there is no command ${JSON.stringify(name)}${hint}`)
}

/** What stands behind `--` is a name, not an option. */
function asksForHelp(args: string[]): boolean {
  const end = args.indexOf('--')
  return args.slice(0, end < 0 ? undefined : end).some((arg) => arg === '--help' || arg === '-h')
}

/** Wrong usage, config, seed or event file: 2. Everything else that ends a command early: 1. */
function statusFor(code: string): 1 | 2 {
  return /^(usage|config|emulator|trust)\.|^event\.unreadable-file$/.test(code) ? 2 : 1
}
