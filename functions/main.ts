import { asFailure } from '../shared/base/failure.ts'
import { commands } from './commands/index.ts'
import { UsageError, usage } from './commands/usage.ts'

/** `cert-rotation <command>`: translates a command line into the same jobs that the functions do. Returns the exit status. */
export async function main([name = 'help', ...args]: string[]): Promise<number> {
  try {
    if (name === 'help' || name === '--help' || name === '-h') {
      process.stdout.write(usage())
      return 0
    }
    const command = commands[name]
    if (!command) throw new UsageError(`there is no command ${JSON.stringify(name)}`)
    return await (await command()).run(args)
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (args.includes('--json'))
      process.stdout.write(
        `${JSON.stringify({ command: name, exitStatus: statusFor(failure.code), outcomes: [], failures: [failure] })}\n`,
      )
    process.stderr.write(`cert-rotation: ${failure.message}\n${failure.next}\n`)
    if (failure.code === 'internal.unexpected' && failure.cause instanceof Error)
      process.stderr.write(`${failure.cause.stack}\n`)
    return statusFor(failure.code)
  }
}

/** Wrong usage, config, seed or event file: 2. Everything else that ends a command early: 1. */
function statusFor(code: string): 1 | 2 {
  return /^(usage|config|emulator|trust)\.|^event\.unreadable-file$/.test(code) ? 2 : 1
}
