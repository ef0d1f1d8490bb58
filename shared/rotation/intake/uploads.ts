import { keys } from '../../base/names.ts'
import { isTemporaryName } from '../../certificate/temporary-name.ts'
import type { ObjectSummary, Store } from '../../store/port.ts'
import { inParallel } from '../parallel.ts'

/** What lies in `incoming/`, by where it lies. */
export interface Uploads {
  /** Certificates whose folders hold something. */
  names: string[]
  strangers: Strangers
  /** In no folder: where no rotation looks. Without temporary names. */
  outside: ObjectSummary[]
}

/** Folders of no certificate. */
export interface Strangers {
  /** The first of those that hold something. */
  names: string[]
  /** How many there are besides. */
  more: number
  /** There are still others that nobody has counted. */
  uncounted: boolean
}

/** Twenty requests; whoever has more there has a flood and no uploads. */
const MOST_LISTED = 20_000
/** More than anybody reads. */
const MOST_STRANGERS = 10
const AT_ONCE = 8

/** Costs what lies in `incoming/` itself costs, whatever lies in its folders. */
export async function uploadsIn(store: Store, known: readonly string[]): Promise<Uploads> {
  const prefix = keys.incoming()
  const { objects, folders, more } = await store.children(prefix, { most: MOST_LISTED })
  const found = new Set(folders)
  const holding = async (names: readonly string[]) => {
    const result: string[] = []
    await inParallel(AT_ONCE, names, async (name) => {
      const below = await store.children(keys.incoming(name), { most: 1 })
      if (below.objects.length + below.folders.length > 0) result.push(name)
    })
    return result
  }
  const hidden = more ? await holding(known.filter((name) => !found.has(name))) : []
  const certificates = new Set(known)
  const strange = folders.filter((name) => !certificates.has(name))
  // Consoles leave empty folders behind, which are nobody's matter.
  const first = strange.slice(0, MOST_STRANGERS)
  return {
    names: [...known.filter((name) => found.has(name)), ...hidden].sort(),
    strangers: {
      names: (await holding(first)).sort(),
      more: strange.length - first.length,
      uncounted: more,
    },
    outside: objects.filter(({ key }) => !isTemporaryName(key.slice(prefix.length))),
  }
}
