import { emptyOutbox } from '../../shared/notify/outbox.ts'
import { gather } from '../../shared/runtime/gather.ts'
import { buildStatus } from '../../shared/status/build.ts'
import { renderTable } from '../../shared/status/table.ts'
import { openSession, useColor } from './session.ts'
import { common, readArguments } from './usage.ts'

/** `cert-rotation status`: what is in service, until when, what happens next. */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments({ args, options: common })
  const session = await openSession(values)
  try {
    const model = buildStatus({
      ...(await gather(session.wiring, session.parties)),
      outbox: emptyOutbox(),
    })
    if (values.json) process.stdout.write(`${JSON.stringify(model)}\n`)
    else
      process.stdout.write(
        renderTable(model, { color: useColor(process.stdout), width: process.stdout.columns ?? 100 }),
      )
    return 0
  } finally {
    await session.close()
  }
}
