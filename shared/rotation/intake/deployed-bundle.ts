import { keys } from '../../base/names.ts'
import type { Bundle, UploadedObject } from '../../certificate/bundle.ts'
import { withTrustedRootCa } from '../../certificate/read-objects.ts'
import { contradiction, getListed } from '../../store/certain.ts'
import type { Job, Parties } from '../parties.ts'
import type { Deployed } from '../record/state.ts'
import { readOptions } from './incoming.ts'

/**
 * A bundle that went into service, read again from `deployed/`: the gateway gives back neither certificate nor CA.
 * Undefined where it is not there, or not whole (without its key), or another one.
 */
export async function previousBundle(
  job: Pick<Job, 'name' | 'config' | 'trust'>,
  parties: Pick<Parties, 'store' | 'clock' | 'reader'>,
  deployed: Pick<Deployed, 'folder' | 'fingerprint' | 'clientCa'> | undefined,
): Promise<Bundle | undefined> {
  if (!deployed) return undefined
  const objects = await deployedObjects(job.name, parties, deployed)
  const reading = await parties.reader.read(objects, readOptions(job, parties))
  if (reading.kind !== 'complete' || reading.bundle.leaf.fingerprint !== deployed.fingerprint)
    return undefined
  const { bundle } = reading
  const { clientCa } = deployed
  if (!clientCa) return bundle
  // The folder holds the whole upload, and what came with it may have been left out.
  return withTrustedRootCa(
    bundle,
    bundle.trustedRootCa.filter(({ fingerprint }) => clientCa.includes(fingerprint)),
  )
}

/** What lies beside the result of a rotation. */
export async function deployedObjects(
  name: string,
  { store }: Pick<Parties, 'store'>,
  deployed: Pick<Deployed, 'folder'>,
): Promise<UploadedObject[]> {
  const folder = `${keys.deployed(name)}${deployed.folder}/`
  const objects: UploadedObject[] = []
  for (const listed of await store.list(folder)) {
    const { key } = listed
    if (/\/(result\.json|README\.txt)$/.test(key)) continue
    const found = await getListed(store, listed)
    if (!found) throw contradiction(store, key, 'its listing and its object say different things')
    objects.push({ name: key.slice(folder.length), bytes: found.bytes })
  }
  return objects
}
