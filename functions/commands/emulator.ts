import { readArguments } from './usage.ts'

/** `cert-rotation emulator`: the embedded cloud on its own, for any client. */
export async function run(args: string[]): Promise<number> {
  readArguments('emulator', args)
  const { runEmulator } = await import('../../emulator/main.ts')
  await runEmulator(args)
  return 0
}
