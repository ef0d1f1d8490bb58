import { asFailure, Failure } from '../base/failure.ts'
import { isMisplaced } from '../rotation/intake/misplaced.ts'
import type { Parties } from '../rotation/parties.ts'
import { watchKeys } from '../watch/alert-memory.ts'
import type { Unread } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import { lastTickOf } from './tell.ts'
import type { TickReport } from './tick.ts'

/** What a tick's own watching and telling leaves for the heartbeat; nothing where it did not come to an end. */
export interface Watched {
  /** False where another run was telling people at that moment. */
  toldHere: boolean
  unread: readonly Unread[]
  /** The tick before could not send its own. */
  failedBefore: boolean
}

/**
 * The last act of a tick: a monitor elsewhere hears that everything was looked at and everybody told. A rotation that
 * failed was told; whatever else failed, was left out or could not be told keeps the heartbeat back. One that cannot
 * be sent may pass; in the second tick in a row it has failed, for nobody elsewhere hears of this tool any more.
 */
export async function beat(
  wiring: Pick<Wiring, 'heartbeat'>,
  parties: Parties,
  report: TickReport,
  watched: Watched | undefined,
): Promise<void> {
  if (!wiring.heartbeat) return
  const because = heldBackBy(report, watched)
  if (because !== undefined) {
    report.heartbeat = { sent: false, because }
    return parties.log.warn(`no heartbeat: ${because}`, { step: 'heartbeat' })
  }
  try {
    await wiring.heartbeat(parties.deadline.signal)
    report.heartbeat = { sent: true }
  } catch (thrown) {
    const failure = unsent(asFailure(thrown))
    report.heartbeat = { sent: false }
    parties.log.error(failure.message, { step: 'heartbeat', failure })
    report.failures.push({ failure, ...(watched?.failedBefore ? {} : { mayPass: true }) })
    await remember(parties).catch((thrown) => {
      const failure = asFailure(thrown)
      parties.log.warn(failure.message, { step: 'heartbeat', failure })
    })
  }
}

function heldBackBy(report: TickReport, watched: Watched | undefined): string | undefined {
  if (report.stopped) return 'somebody stopped this tick'
  const failed = report.failures.find(({ failure }) => !isMisplaced(failure))
  if (failed) return failed.failure.message
  const [late] = report.notLookedAt ?? []
  if (late) return `there was no time for ${late.job}: ${late.names.length} not looked at`
  if (!watched) return 'the time was over before people could be told'
  const [unread] = watched.unread
  if (unread) return `${unread.where} could not be read`
  return watched.toldHere ? undefined : 'another run was telling people at that moment'
}

function unsent(why: Failure): Failure {
  return new Failure({
    code: 'watch.no-heartbeat',
    kind: 'later',
    message: `The heartbeat could not be sent: ${why.message}`,
    next: why.next,
    facts: { ...why.facts, because: why.code },
    cause: why,
  })
}

/** For the next tick, which finds it in the file that this one has just written. */
async function remember(parties: Parties): Promise<void> {
  const lastTick = await lastTickOf(parties)
  if (!lastTick) return
  const text = `${JSON.stringify({ ...lastTick, heartbeatFailed: true })}\n`
  await parties.store.put(watchKeys.lastTick, text, { contentType: 'application/json' })
}
