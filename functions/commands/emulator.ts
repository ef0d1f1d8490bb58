/** `cert-rotation emulator`: the embedded cloud on its own, for any client. */
export async function run(args: string[]): Promise<number> {
  const { runEmulator } = await import('../../emulator/main.ts')
  await runEmulator(args)
  return 0
}
