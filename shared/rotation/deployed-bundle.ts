import { keys } from '../base/names.ts'
import type { Bundle } from '../certificate/bundle.ts'
import { readObjects } from '../certificate/read-objects.ts'
import { readOptions } from './incoming.ts'
import type { Job, Parties } from './parties.ts'
import type { Deployed } from './state.ts'

/**
 * A bundle that went into service, read again from `deployed/`: the gateway gives back neither certificate nor CA.
 * Undefined where it is not there, or not whole (without its key), or another one.
 */
export async function previousBundle(
  job: Pick<Job, 'name' | 'config' | 'trust'>,
  parties: Pick<Parties, 'store' | 'clock'>,
  deployed: Pick<Deployed, 'folder' | 'fingerprint'> | undefined,
): Promise<Bundle | undefined> {
  if (!deployed) return undefined
  const folder = `${keys.deployed(job.name)}${deployed.folder}/`
  const listed = (await parties.store.list(folder)).filter(
    (object) => !/\/(result\.json|README\.txt)$/.test(object.key),
  )
  const objects = []
  for (const { key } of listed) {
    const object = await parties.store.get(key)
    if (object) objects.push({ name: key.slice(folder.length), bytes: object.bytes })
  }
  const reading = readObjects(objects, readOptions(job, parties))
  return reading.kind === 'complete' && reading.bundle.leaf.fingerprint === deployed.fingerprint
    ? reading.bundle
    : undefined
}
