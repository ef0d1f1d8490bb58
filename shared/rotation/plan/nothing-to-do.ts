import { keys } from '../../base/names.ts'
import type { Job, Parties } from '../parties.ts'
import { readState } from '../record/journal.ts'

/**
 * A repeated event mostly finds that everything is done: then neither the lease nor anybody else is bothered. Only
 * where nothing lies in `incoming/` and the state file says that nothing was left half done; whatever is
 * uploaded after this look has an event of its own.
 */
export async function nothingToDo(job: Pick<Job, 'name'>, parties: Pick<Parties, 'store'>): Promise<boolean> {
  // A claim is somebody at work, or what a dead run has left: both are for those who take the lease.
  const places = [keys.incoming(job.name), keys.lease(job.name)]
  const [uploads, claims] = await Promise.all(places.map((place) => parties.store.list(place)))
  if (uploads!.length + claims!.length > 0) return false
  const state = await readState(job.name, parties).catch(() => undefined)
  // No readable state is for those who hold the lease.
  if (!state || state.moving || state.waitingSince || state.validFrom) return false
  return state.current?.status !== 'running'
}
