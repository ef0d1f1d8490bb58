import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { openSession, tell } from './session.ts'
import { common, readArguments, UsageError } from './usage.ts'

/** `cert-rotation rotate [NAME...]`: naming a certificate is asking for it, so waits and earlier refusals do not count. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments({ args, options: common, allowPositionals: true })
  const session = await openSession(values)
  try {
    const unknown = positionals.find((name) => !session.wiring.names.includes(name))
    if (unknown)
      throw new UsageError(
        `${values.config} has no certificate ${unknown}; it has: ${session.wiring.names.join(', ')}`,
      )
    const names = positionals.length > 0 ? { names: positionals } : {}
    return tell(
      'rotate',
      await rotateUploads(session.wiring, session.parties, { ...names, byPerson: positionals.length > 0 }),
      values,
    )
  } finally {
    await session.close()
  }
}
