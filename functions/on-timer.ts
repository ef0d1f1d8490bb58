import { readEvent } from '../shared/runtime/events.ts'
import { door, warmUp } from '../shared/runtime/handler.ts'

/** Late: a cold start is over before the rotation's own code is read. */
const jobs = () => import('../shared/runtime/tick.ts')

export const initializer = warmUp(process.env, jobs)

/** `{ "doctor": true }` → look at everything from here. Timer → finish, renew, retire, watch and tell, publish the status; or the jobs that its user event selects. */
export const handler = door(process.env, async (event, { wiring, parties }) => {
  const trigger = readEvent(event)
  if (trigger.kind === 'doctor') {
    const { runChecks } = await import('../shared/runtime/run-checks.ts')
    return { outcomes: [], failures: [], health: await runChecks(wiring, parties, trigger) }
  }
  const { tick } = await jobs()
  return tick(wiring, parties, trigger.kind === 'timer' ? trigger.jobs : undefined)
})
