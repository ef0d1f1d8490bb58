import { main } from '../../functions/main.ts'

export interface Printed {
  exitStatus: number
  stdout: string
  stderr: string
}

// Tests read whole sentences; how they are wrapped has a test of its own.
process.env.COLUMNS ??= '1000'

/** Runs a command line in this process and keeps everything it prints. */
export async function runCli(...args: string[]): Promise<Printed> {
  const printed = { stdout: '', stderr: '' }
  const write = { stdout: process.stdout.write, stderr: process.stderr.write }
  for (const stream of ['stdout', 'stderr'] as const)
    process[stream].write = ((chunk: string | Uint8Array) => {
      printed[stream] += typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString('utf8')
      return true
    }) as typeof process.stdout.write
  try {
    const exitStatus = await main(args)
    return { exitStatus, ...printed }
  } finally {
    process.stdout.write = write.stdout
    process.stderr.write = write.stderr
  }
}
