import { readFile } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { Failure } from '../shared/base/failure.ts'
import { badInput } from './auth.ts'
import { startEmulator } from './emulator.ts'
import type { SeedInput } from './seed.ts'

/**
 * `cert-rotation emulator [--port P] [--tls-port T] [--seed FILE]`: prints one JSON line on standard output when
 * ready, runs until SIGTERM or SIGINT and gives the exit status. Fails with `emulator.usage`, `emulator.bad-input` or `emulator.port`.
 */
export async function runEmulator(args: string[]): Promise<number> {
  const options = readArguments(args)
  const emulator = await startEmulator({
    port: options.port,
    tlsPort: options.tlsPort,
    ...(options.seedFile === undefined ? {} : { seed: await readSeed(options.seedFile) }),
  })
  // Listened for before anybody can know that it is ready.
  const stopped = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
  })
  process.stdout.write(`${JSON.stringify(emulator.ready)}\n`)
  await stopped
  await emulator.close()
  return 0
}

function readArguments(args: string[]): { port: number; tlsPort: number; seedFile: string | undefined } {
  try {
    const { values } = parseArgs({
      args,
      options: { port: { type: 'string' }, 'tls-port': { type: 'string' }, seed: { type: 'string' } },
      strict: true,
    })
    return { port: portOf(values.port), tlsPort: portOf(values['tls-port']), seedFile: values.seed }
  } catch (cause) {
    if (cause instanceof Failure) throw cause
    throw usage(cause instanceof Error ? cause.message : String(cause), cause)
  }
}

function portOf(text = '0'): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65_535) return Number(text)
  throw usage(`${JSON.stringify(text)} is not a port`)
}

async function readSeed(file: string): Promise<SeedInput> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw badInput(
      `The seed file ${file} cannot be read (${(cause as NodeJS.ErrnoException).code})`,
      'Check the path after --seed.',
    )
  }
  try {
    return JSON.parse(text) as SeedInput
  } catch {
    throw badInput(`The seed file ${file} is not JSON`)
  }
}

function usage(message: string, cause?: unknown): Failure {
  return new Failure({
    code: 'emulator.usage',
    kind: 'never',
    message,
    next: 'Usage: cert-rotation emulator [--port P] [--tls-port T] [--seed FILE]',
    cause,
  })
}
