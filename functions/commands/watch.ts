import { systemClock } from '../../shared/base/clock.ts'
import { asFailure } from '../../shared/base/failure.ts'
import { isMisplaced, misplacedIn } from '../../shared/rotation/misplaced.ts'
import { uploadsIn } from '../../shared/rotation/uploads.ts'
import { type JobReport, rotateUploads } from '../../shared/runtime/jobs.ts'
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
  const untold = notToldYet()
  let nextTick = systemClock.monotonic()
  try {
    while (!signal.aborted) {
      try {
        if (systemClock.monotonic() >= nextTick) {
          nextTick = systemClock.monotonic() + every
          const report = await tick(wiring, parties)
          // A program gets every document whole.
          const news = values.json ? report : untold(report)
          if (news) tell('tick', news, values)
        } else {
          const uploads = await uploadsIn(wiring.store, wiring.names)
          const { names } = uploads
          const failures = await misplacedIn(uploads, wiring.config.certificates, parties)
          const strays = untold({ outcomes: [], failures })
          if (strays) tell('rotate', strays, values)
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

/** Files that lie where nobody looks are told when they come, not at every look. Undefined: nothing is left to tell. */
function notToldYet(): (report: JobReport) => JobReport | undefined {
  let told = new Set<string>()
  return (report) => {
    const isStray = ({ failure }: JobReport['failures'][number]) => isMisplaced(failure)
    const strays = report.failures.filter(isStray)
    const failures = report.failures.filter((one) => !isStray(one) || !told.has(one.failure.message))
    told = new Set(strays.map(({ failure }) => failure.message))
    const silent = failures.length === 0 && strays.length > 0
    const rest = report.outcomes.length + (report.renewals?.length ?? 0) + (report.critical?.length ?? 0)
    return silent && rest + (report.notLookedAt?.length ?? 0) === 0 ? undefined : { ...report, failures }
  }
}
