import { keys } from '../../base/names.ts'
import { getCertain } from '../../store/certain.ts'
import type { Parties } from '../parties.ts'
import type { CreatedCertificate, Deployed, RotationState } from './state.ts'
import { folderOfResult, parseResult } from './state-file.ts'

/** More folders than this are history, not state. */
const READ_RESULTS = 20

/**
 * A lost state file is put together again from the `result.json` files under `deployed/` and `rejected/`: which bundle was in
 * service last, and which certificates this tool created (nothing else may ever be deleted).
 */
export async function rebuiltState(
  empty: RotationState,
  parties: Pick<Parties, 'store' | 'log'>,
): Promise<RotationState> {
  const folders = [keys.deployed(empty.name), keys.rejected(empty.name)]
  const listings = await Promise.all(folders.map((folder) => parties.store.list(folder)))
  const results = listings.flatMap((objects, index) =>
    objects
      .flatMap(({ key }) => {
        const folder = folderOfResult(folders[index]!, key)
        return folder === undefined ? [] : [{ key, folder, inService: index === 0 }]
      })
      .slice(-READ_RESULTS),
  )
  const created = new Map<string, CreatedCertificate>()
  let deployed: Deployed | undefined
  for (const { key, folder, inService } of results) {
    const stored = await getCertain(parties.store, key)
    const result = stored && parseResult(empty.name, folder, stored.bytes)
    if (!result) {
      parties.log.warn(`${key} is not readable and is passed over`, { key })
      continue
    }
    for (const certificate of result.created ?? [])
      created.set(`${certificate.where} ${certificate.id}`, certificate)
    if (inService && result.deployed && (!deployed || result.deployed.at > deployed.at))
      deployed = result.deployed
  }
  return { ...empty, created: [...created.values()], ...(deployed ? { deployed } : {}) }
}

/**
 * An older copy of the state file knows less than `deployed/` does: what was put into service and created after it
 * was taken is learnt again. One listing tells whether there is anything newer.
 */
export async function caughtUp(
  state: RotationState,
  parties: Pick<Parties, 'store' | 'log'>,
): Promise<RotationState> {
  const prefix = keys.deployed(state.name)
  const known = state.deployed?.folder ?? ''
  const newer = (await parties.store.list(prefix)).some(({ key }) => {
    const folder = folderOfResult(prefix, key)
    return folder !== undefined && folder > known && state.moving?.to !== `${prefix}${folder}/`
  })
  if (!newer) return state
  const rebuilt = await rebuiltState({ ...state, outcomes: state.outcomes }, parties)
  if (!rebuilt.deployed || rebuilt.deployed.folder <= known) return state
  parties.log.warn(
    `The state file of ${state.name} is older than what lies in ${prefix}; it is brought up to date from there`,
    { certificate: state.name },
  )
  const ours = new Map([...rebuilt.created, ...state.created].map((one) => [`${one.where} ${one.id}`, one]))
  // The rotation that it believes to be under way was overtaken: its way back leads nowhere any more.
  const { current, ...rest } = state
  const overtaken = current !== undefined && current.startedAt < rebuilt.deployed.at
  return {
    ...rest,
    ...(current && !overtaken ? { current } : {}),
    deployed: rebuilt.deployed,
    created: [...ours.values()],
  }
}
