import { keys } from '../base/names.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { configuredHosts } from '../rotation/parties.ts'
import { readState } from '../rotation/record/journal.ts'
import type { LeftName } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'

/** More objects below `state/` than any installation has certificates, and folders below `deployed/`. */
const MOST = 10_000
/** So many names are looked at; more of them is the same news, and `cert-rotation doctor` has them all. */
const MOST_READ = 20

/** Certificates with a state file that stand in the config no more: under another name, or not at all. */
export async function namesLeft(wiring: Wiring, { store, ...parties }: Parties): Promise<LeftName[]> {
  const { certificates } = wiring.config
  const { objects } = await store.children('state/', { most: MOST })
  const names = objects.flatMap(({ key }) => /^state\/([^/]+)\.json$/.exec(key)?.[1] ?? [])
  const strangers = names
    .filter((name) => !Object.hasOwn(certificates, name) && !/\.broken-/.test(name))
    .slice(0, MOST_READ)
  if (strangers.length === 0) return []
  const watched = new Set(Object.values(certificates).flatMap(configuredHosts))
  const { folders } = await store.children('deployed/', { most: MOST })
  const left: LeftName[] = []
  await inParallel(4, strangers, async (name) => {
    const state = await readState(name, { store, ...parties }).catch(() => undefined)
    const hosts = Object.values(state?.current?.domains ?? {}).map(({ host }) => host)
    left.push({
      name,
      unwatched: [...new Set(hosts)].filter((host) => !watched.has(host)),
      stays: [keys.state(name), ...(folders.includes(name) ? [keys.deployed(name)] : [])],
    })
  })
  return left.sort((a, b) => (a.name < b.name ? -1 : 1))
}
