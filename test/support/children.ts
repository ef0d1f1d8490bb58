import { compareKeys, requireFolder } from '../../shared/store/keys.ts'
import type { Children, ObjectSummary, Store } from '../../shared/store/port.ts'

/** `children` of a store whose cost is nobody's concern: from its whole listing. */
export function childrenFrom(
  list: (prefix: string, options: { signal?: AbortSignal }) => Promise<ObjectSummary[]>,
): Store['children'] {
  return async (prefix, { most, ...options }) => {
    requireFolder(prefix, 'a store of a test')
    const places = new Map<string, ObjectSummary | undefined>()
    for (const object of await list(prefix, options)) {
      const [name = '', ...deeper] = object.key.slice(prefix.length).split('/')
      if (deeper.length === 0) places.set(name, object)
      else places.set(`${name}/`, undefined)
    }
    const sorted = [...places].sort(([a], [b]) => compareKeys(a, b))
    const found: Children = { objects: [], folders: [], more: sorted.length > most }
    for (const [name, object] of sorted.slice(0, most))
      if (object) found.objects.push(object)
      else found.folders.push(name.slice(0, -1))
    return found
  }
}
