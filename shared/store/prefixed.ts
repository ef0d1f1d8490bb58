import type { Store } from './port.ts'

/** A part of a store as a store of its own: every key lies below the prefix. */
export function withPrefix(store: Store, prefix: string): Store {
  return {
    description: `${store.description}, ${prefix}`,
    ...(store.settleMs === undefined ? {} : { settleMs: store.settleMs }),
    async get(key, options) {
      const object = await store.get(prefix + key, options)
      return object && { ...object, key }
    },
    put: (key, bytes, options) => store.put(prefix + key, bytes, options),
    async list(below, options) {
      const objects = await store.list(prefix + below, options)
      return objects.map((object) => ({ ...object, key: object.key.slice(prefix.length) }))
    },
    async children(below, options) {
      const found = await store.children(prefix + below, options)
      const objects = found.objects.map((object) => ({ ...object, key: object.key.slice(prefix.length) }))
      return { ...found, objects }
    },
    delete: (key, options) => store.delete(prefix + key, options),
  }
}
