import { systemClock } from '../../shared/base/clock.ts'
import { asFailure } from '../../shared/base/failure.ts'
import { namesWithUploads } from '../../shared/rotation/incoming.ts'
import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { durationText } from '../../shared/watch/words.ts'
import { openSession, tell } from './session.ts'
import { serveStatus } from './status-server.ts'
import { readArguments, readDuration, UsageError } from './usage.ts'

/** `cert-rotation watch`: the whole service on one machine: uploads within seconds, the timer's job every few minutes. */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('watch', args)
  const every = readDuration('--every', values.every, 'm')
  const poll = readDuration('--poll', values.poll, 's')
  const port = Number(values.port)
  if (!(Number.isInteger(port) && port >= 0 && port < 65_536))
    throw new UsageError('--port takes a port number')
  const session = await openSession(values)
  const { wiring, parties, log } = session
  const { signal } = parties.deadline
  const page = await serveStatus(wiring.store, port)
  if (!values.quiet && !values.json)
    process.stdout.write(
      `Watching ${wiring.store.description}; ticking every ${durationText(every)}. The page is at ${page.url} Ctrl-C stops.\n`,
    )
  let nextTick = systemClock.monotonic()
  try {
    while (!signal.aborted) {
      try {
        if (systemClock.monotonic() >= nextTick) {
          nextTick = systemClock.monotonic() + every
          tell('tick', await tick(wiring, parties), values)
        } else {
          const names = await namesWithUploads(wiring.store)
          const report =
            names.length > 0
              ? await rotateUploads(wiring, parties, { names, byPerson: false, rounds: 1 })
              : undefined
          const news = report?.outcomes.some(({ status }) => status !== 'waiting')
          if (report && news) tell('rotate', report, values)
        }
      } catch (thrown) {
        const failure = asFailure(thrown)
        log.error(failure.message, { failure })
      }
      await systemClock.sleep(poll, signal).catch(() => undefined)
    }
    return 0
  } finally {
    await page.close()
    await session.close()
  }
}
