import { randomUUID } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Failure } from '../../shared/base/failure.ts'
import type { PlatformContext } from '../../shared/runtime/context.ts'
import { readEvent } from '../../shared/runtime/events.ts'
import { readArguments, readDuration, UsageError } from './usage.ts'

/**
 * `cert-rotation invoke EVENT.json`: hands a saved event to the real handler, with a context as FunctionGraph
 * gives it. The handler's log goes to standard error, its result to standard output.
 */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments('invoke', args)
  const [file] = positionals
  if (!file || positionals.length > 1) throw new UsageError('invoke takes one file with an event')
  const milliseconds = values.seconds
    ? readDuration('--seconds', values.seconds.replace(/^\d+$/, '$&s'))
    : readDuration('--timeout', values.timeout)
  const event = await readEventFile(file)
  const trigger = readEvent(event)
  const { handler } =
    trigger.kind === 'upload' ? await import('../on-upload.ts') : await import('../on-timer.ts')
  const { closeService } = await import('../../shared/runtime/service.ts')
  const toResult = process.stdout.write.bind(process.stdout)
  // The platform shows a function's standard output as its log; here it must not mix with the result.
  process.stdout.write = process.stderr.write.bind(process.stderr) as typeof process.stdout.write
  try {
    const result = await handler(event, await context(values.config, milliseconds))
    toResult(
      `${JSON.stringify(values.json ? { command: 'invoke', result } : result, null, values.json ? 0 : 2)}\n`,
    )
    return { done: 0, failed: 1, unfinished: 3 }[result.status]
  } finally {
    process.stdout.write = toResult
    await closeService()
  }
}

async function readEventFile(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'))
  } catch (cause) {
    throw new Failure({
      code: 'event.unreadable-file',
      kind: 'never',
      message: `${file} is not a readable JSON file`,
      next: 'The folder events/ has one sample per event shape.',
      cause,
    })
  }
}

/** The methods of FunctionGraph's context; user data is the environment, with the config file in it. */
async function context(configFile: string, milliseconds: number): Promise<PlatformContext> {
  const config = await readFile(configFile, 'utf8').catch(() => undefined)
  const end = performance.now() + milliseconds
  const id = randomUUID()
  return {
    getRequestID: () => id,
    getRemainingTimeInMilliSeconds: () => Math.max(0, Math.round(end - performance.now())),
    getUserData: (name) => {
      if (name === 'ROTATION_CONFIG') return process.env[name] ?? config
      if (name === 'CONFIG_FOLDER') return resolve(configFile, '..')
      return process.env[name]
    },
    getSecurityAccessKey: () => process.env.SECURITY_ACCESS_KEY ?? '',
    getSecuritySecretKey: () => process.env.SECURITY_SECRET_KEY ?? '',
    getSecurityToken: () => process.env.SECURITY_TOKEN ?? '',
    getFunctionName: () => 'cert-rotation',
  }
}
