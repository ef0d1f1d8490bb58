import { tick } from '../../shared/runtime/tick.ts'
import { openSession } from './session.ts'
import { readArguments } from './usage.ts'

/** `cert-rotation tick`: what the timer does, once. */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('tick', args)
  const session = await openSession(values)
  try {
    return session.tell('tick', await tick(session.wiring, session.parties))
  } finally {
    await session.close()
  }
}
