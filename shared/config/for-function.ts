import { isMap, isScalar, parseDocument, visit } from 'yaml'
import { hidden, REFERENCE, shown } from './source.ts'

/**
 * The config as it is for a function, comments and all: without the credentials of the machine, in whose place the
 * agency stands, and with a bucket where `bucket` names one. `names`: the variables that its values still ask for.
 * A text that is no YAML comes back as it is, for the loader to complain about.
 */
export function configForFunction(text: string, bucket?: string): { text: string; names: string[] } {
  const document = parseDocument(hidden(text), { merge: true })
  if (document.errors.length > 0 || !isMap(document.contents)) return { text, names: [] }
  let changed = false
  for (const path of [
    ['cloud', 'auth'],
    ['store', 'accessKey'],
  ])
    if (document.hasIn(path)) changed = document.deleteIn(path) || changed
  const store = document.get('store')
  if (bucket !== undefined && isMap(store) && store.get('bucket') !== bucket) {
    for (const name of ['directory', 'settle']) store.delete(name)
    store.set('bucket', bucket)
    changed = true
  }
  const names = new Set<string>()
  visit(document, {
    Scalar(_, node) {
      if (!isScalar(node) || typeof node.value !== 'string') return
      for (const [, name] of node.value.matchAll(REFERENCE)) names.add(name!)
    },
  })
  return { text: changed ? shown(document.toString({ lineWidth: 0 })) : text, names: [...names].sort() }
}
