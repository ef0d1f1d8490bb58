import { Failure } from '../shared/base/failure.ts'
import { certificatesNamed, readEvent } from '../shared/runtime/events.ts'
import { door, warmUp } from '../shared/runtime/handler.ts'

/** Late: a cold start is over before the rotation's own code is read. */
const jobs = () => import('../shared/runtime/jobs.ts')

export const initializer = warmUp(process.env, jobs)

/** Object-storage event → rotate the certificates whose bundles it names. The event is a hint: the folder is what counts. */
export const handler = door(process.env, async (event, { wiring, parties, log }) => {
  const trigger = readEvent(event)
  if (trigger.kind !== 'upload') return { outcomes: [], failures: [] }
  for (const { key, reason } of trigger.ignored) log.debug(`ignored ${key}: ${reason}`)
  const { rotateThenTell } = await jobs()
  const report = await rotateThenTell(wiring, parties, certificatesNamed(trigger))
  for (const record of trigger.bad) report.failures.push({ failure: unreadableRecord(record) })
  return report
})

/** The other records are done; the platform must not repeat them because of this one. */
function unreadableRecord({ index, reason }: { index: number; reason: string }): Failure {
  return new Failure({
    code: 'event.bad-record',
    kind: 'never',
    message: `Record ${index} of the event is not readable: ${reason}`,
    next: 'See what the trigger sends; the timer finds the bundle in any case.',
    facts: { record: index },
  })
}
