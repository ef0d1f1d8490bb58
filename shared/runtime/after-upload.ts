import { asFailure } from '../base/failure.ts'
import type { Parties } from '../rotation/parties.ts'
import { timerLateness } from '../watch/last-tick.ts'
import type { Wiring } from '../wire/cloud.ts'
import { gatherFor } from './gather.ts'
import type { JobReport } from './jobs.ts'
import { lookTwice } from './second-look.ts'
import { lastTickOf, tellAbout } from './tell.ts'

/**
 * People are told about an upload at once, and that the timer stands still if it does. Never fails a rotation.
 * `underWay`: certificates whose rotation has not come to an outcome yet.
 */
export async function tellAfterUpload(
  wiring: Wiring,
  parties: Parties,
  report: JobReport,
  underWay: readonly string[] = [],
): Promise<void> {
  const names = [...new Set([...report.outcomes.map(({ certificate }) => certificate), ...underWay])]
  if (parties.deadline.signal.aborted) return
  try {
    // A repeated event finds nothing to rotate: then only a timer that stands still is worth the calls below.
    const late = timerLateness(parties.clock.now(), await lastTickOf(parties))
    if (names.length === 0 && late === undefined) return
    await tellAbout(
      wiring,
      parties,
      await lookTwice(wiring, parties, await gatherFor(wiring, parties, names)),
      names,
    )
  } catch (thrown) {
    const failure = asFailure(thrown)
    parties.log.warn(`people were not told: ${failure.message}`, { failure })
  }
}
