import { systemClock } from '../../shared/base/clock.ts'
import { isDefinite } from '../../shared/base/definite.ts'
import { asFailure, type Failure } from '../../shared/base/failure.ts'
import { isMisplaced, misplacedIn } from '../../shared/rotation/intake/misplaced.ts'
import { uploadsIn } from '../../shared/rotation/intake/uploads.ts'
import { placesUnread } from '../../shared/runtime/gather.ts'
import { exitStatus, type JobReport, rotateUploads } from '../../shared/runtime/jobs.ts'
import { unreadList } from '../../shared/runtime/not-seen.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { durationText } from '../../shared/watch/words.ts'
import { openSession, type Session } from './session.ts'
import { serveStatus } from './status-server.ts'
import { readArguments, readDuration, UsageError } from './usage.ts'

/**
 * `cert-rotation watch`: the whole service on one machine: uploads within seconds, the timer's job every few minutes.
 * What answers at the start as it always will (wrong credentials, no such bucket or instance) ends it with 1; what
 * fails later is told with the time of day and tried again.
 */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('watch', args)
  const every = readDuration('--every', values.every)
  const poll = readDuration('--poll', values.poll)
  const port = Number(values.port)
  if (!(Number.isInteger(port) && port >= 0 && port < 65_536))
    throw new UsageError('--port takes a port number')
  const session = await openSession(values)
  const { wiring, parties } = session
  const { signal } = parties.deadline
  const page = await serveStatus(wiring.store, port)
  const say = (command: string, report: JobReport) => {
    session.progress?.end()
    if (!values.json && !(values.quiet && exitStatus(report) === 0))
      process.stdout.write(`${systemClock.now().toISOString().slice(11, 19)} ${command}\n`)
    return session.tell(command, report)
  }
  const untold = notToldYet()
  const trouble = troubleOf(session)
  let nextTick = systemClock.monotonic()
  try {
    const refusals = await refusedAtOnce(session)
    if (refusals.length > 0) return say('watch', { outcomes: [], failures: refusals })
    if (!values.quiet && !values.json)
      process.stdout.write(
        `Watching ${wiring.store.description}; ticking every ${durationText(every)}. The page is at ${page.url} Ctrl-C stops.\n`,
      )
    while (!signal.aborted) {
      const ticks = systemClock.monotonic() >= nextTick
      try {
        if (ticks) {
          nextTick = systemClock.monotonic() + every
          const report = await tick(wiring, parties)
          trouble.seen(report)
          const news = untold(report, true)
          // A program gets every document whole.
          if (values.json || news) say('tick', values.json ? report : news!)
        } else {
          const report = await lookForUploads(session)
          trouble.seen(report)
          const news = untold(report, false)
          if (news) say('rotate', news)
        }
      } catch (thrown) {
        trouble.is(asFailure(thrown))
      }
      session.tellRest()
      await systemClock.sleep(poll, signal).catch(() => undefined)
    }
    return 0
  } finally {
    await page.close()
    await session.close()
  }
}

async function lookForUploads({ wiring, parties }: Session): Promise<JobReport> {
  const uploads = await uploadsIn(wiring.store, wiring.names)
  const { names } = uploads
  const failures = await misplacedIn(uploads, wiring.config.certificates, parties)
  if (names.length === 0) return { outcomes: [], failures }
  const report = await rotateUploads(wiring, parties, { names, byPerson: false, rounds: 1 })
  return { ...report, failures: [...failures, ...report.failures] }
}

/** Of what has to answer, what has answered and will answer the same until somebody acts. */
async function refusedAtOnce({ wiring, parties, log }: Session): Promise<JobReport['failures']> {
  const refusals: Failure[] = []
  await uploadsIn(wiring.store, wiring.names).catch((thrown) => refusals.push(asFailure(thrown)))
  for (const unread of await placesUnread(wiring, parties)) refusals.push(unreadList(unread))
  return refusals.flatMap((failure) => {
    if (isDefinite(failure)) return { failure }
    log.warn(`at the start: ${failure.message}`, { failure })
    return []
  })
}

/** A store that cannot be read is told when that begins, by every tick, and when it is over. */
function troubleOf({ log, wiring }: Session) {
  let last: string | undefined
  return {
    /** Where nothing could be looked at. */
    is(failure: Failure) {
      if (failure.message !== last) log.error(failure.message, { failure })
      last = failure.message
    },
    seen({ failures }: JobReport) {
      const now = failures.find(({ failure }) => failure.code.startsWith('store.'))?.failure.message
      if (last !== undefined && now === undefined) log.warn(`${wiring.store.description} can be read again`)
      last = now
    },
  }
}

const INSTANT = /\d{4}-\d\d-\d\dT[\d:.]+Z/g

/**
 * What waits or has failed is told when it comes, and then by ticks; files that lie where nobody looks only when they
 * come. Undefined: nothing is left to tell.
 */
function notToldYet(): (report: JobReport, ticks: boolean) => JobReport | undefined {
  let told = new Set<string>()
  return (report, ticks) => {
    const now = new Set<string>()
    const isNews = (text: string, isTold: boolean) => {
      const key = text.replace(INSTANT, '')
      now.add(key)
      return !(isTold && told.has(key))
    }
    const failures = report.failures.filter(({ failure }) =>
      isNews(failure.message, !ticks || isMisplaced(failure)),
    )
    const outcomes = report.outcomes.filter(({ certificate, status, sentence }) =>
      isNews(`${certificate} ${status} ${sentence}`, !ticks && /^(waiting|unfinished)$/.test(status)),
    )
    told = now
    const { renewals = [], critical = [], notLookedAt = [] } = report
    const news = [...failures, ...outcomes, ...renewals, ...critical, ...notLookedAt].length
    return news > 0 || (ticks && report.failures.length === 0) ? { ...report, failures, outcomes } : undefined
  }
}
