import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { openSession } from './session.ts'
import { readArguments, requireKnownNames } from './usage.ts'

/** `cert-rotation rotate [NAME...]`: naming a certificate is asking for it, so waits and earlier refusals do not count. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments('rotate', args)
  const session = await openSession(values)
  try {
    requireKnownNames(positionals, session.wiring.names, values.config)
    const names = positionals.length > 0 ? { names: positionals } : {}
    return session.tell(
      'rotate',
      await rotateUploads(session.wiring, session.parties, { ...names, byPerson: positionals.length > 0 }),
    )
  } finally {
    await session.close()
  }
}
