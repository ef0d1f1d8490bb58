import type { z } from 'zod'
import { nearest } from '../base/nearest.ts'
import { DURATION } from './duration.ts'
import { type Path, type Problem, printable } from './source.ts'

type Schema = z.core.$ZodType
type Issue = z.core.$ZodIssue

/** Where a list of all names would say less than what people write. */
const EXAMPLES: Record<string, string | undefined> = {
  store: 'store: { bucket: NAME }, or on one machine store: { directory: ./bucket }',
}

/**
 * The schema's findings as sentences: what is wrong and what to write. Values are never repeated, because any
 * of them may be a secret in the wrong place.
 */
export function explain(issues: readonly Issue[], root: Schema, value: unknown): Problem[] {
  return issues.flatMap((issue) => explainIssue(issue, [], root, value))
}

function explainIssue(issue: Issue, base: Path, root: Schema, value: unknown): Problem[] {
  const path: Path = [...base, ...issue.path.map((step) => (typeof step === 'number' ? step : String(step)))]
  const schema = schemaAt(root, path)
  const found = valueAt(value, path)
  const expected = EXAMPLES[path.join('.')] ?? (schema ? expectation(schema, found) : 'another value')

  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownName([...path, key], root))
    case 'invalid_type':
      if (found === undefined) return [{ path, wrong: 'is missing', write: `write ${expected}` }]
      if (found === null)
        return [{ path, wrong: 'has no value', write: `write ${expected}, or remove the line` }]
      return [{ path, wrong: `is ${kindOf(found)}`, write: `write ${expected}` }]
    case 'invalid_union':
      return explainUnion(issue, path, root, value, found, expected)
    case 'invalid_value':
      if (found === undefined) return [{ path, wrong: 'is missing', write: `write ${expected}` }]
      if (found === null)
        return [{ path, wrong: 'has no value', write: `write ${expected}, or remove the line` }]
      return [
        {
          path,
          wrong: typeof found === 'string' ? 'is not one of the known words' : `is ${kindOf(found)}`,
          write: `write ${suggestion(found, issue.values) ?? expected}`,
        },
      ]
    case 'invalid_format':
      if (issue.format === 'url') {
        return [{ path, wrong: 'is not a web address', write: 'write one such as https://host.example' }]
      }
      if (issue.format === 'starts_with' && 'prefix' in issue) {
        return [
          {
            path,
            wrong: 'starts differently than it must',
            write: `write a value that starts with ${String(issue.prefix)}`,
          },
        ]
      }
      if (issue.format === 'date')
        return [{ path, wrong: 'is not a date', write: 'write one such as 2026-12-31' }]
      return [{ path, wrong: 'has the wrong form', write: issue.message.replace(/^expected/, 'write') }]
    case 'too_small':
    case 'too_big': {
      if (found === '') return [{ path, wrong: 'is empty', write: `write ${expected}` }]
      const limit =
        issue.code === 'too_small' ? `at least ${String(issue.minimum)}` : `at most ${String(issue.maximum)}`
      const unit = { string: ' characters', array: ' entries' }[issue.origin as string] ?? ''
      const strictly = 'inclusive' in issue && issue.inclusive === false
      const bound =
        strictly && issue.code === 'too_small'
          ? `more than ${String(issue.minimum)}`
          : strictly && issue.code === 'too_big'
            ? `less than ${String(issue.maximum)}`
            : limit
      return [
        {
          path,
          wrong: Array.isArray(found) && found.length === 0 ? 'is an empty list' : 'is out of range',
          write: `write ${bound}${unit}`,
        },
      ]
    }
    case 'invalid_key':
      return [
        {
          path,
          wrong: 'is not a usable name',
          write:
            'use 1 to 64 letters, digits, dots, hyphens and underscores, starting and ending with a letter or digit',
        },
      ]
    case 'invalid_element':
      return issue.issues.flatMap((inner) => explainIssue(inner, path, root, value))
    default:
      return [{ path, wrong: issue.message, write: `write ${expected}` }]
  }
}

/** Of several forms that a value may have, judges it by the one its author most likely meant. */
function explainUnion(
  issue: z.core.$ZodIssueInvalidUnion,
  path: Path,
  root: Schema,
  value: unknown,
  found: unknown,
  expected: string,
): Problem[] {
  if (found === undefined) return [{ path, wrong: 'is missing', write: `write ${expected}` }]
  if (found === null) return [{ path, wrong: 'has no value', write: `write ${expected}, or remove the line` }]
  const fitting = issue.errors.filter(
    (issues) =>
      !issues.some((i) => i.path.length === 0 && (i.code === 'invalid_type' || i.code === 'invalid_value')),
  )
  if (fitting.length === 0) {
    const words = issue.errors.flat().flatMap((i) => (i.code === 'invalid_value' ? i.values : []))
    return [
      {
        path,
        wrong:
          typeof found === 'string' && words.length > 0
            ? 'is not one of the known words'
            : `is ${kindOf(found)}`,
        write: `write ${suggestion(found, words) ?? expected}`,
      },
    ]
  }
  if (Object.keys(found).length === 0) return [{ path, wrong: 'is empty', write: `write ${expected}` }]
  const names = knownNames(schemasAt(root, path))
  const unknown =
    typeof found === 'object' && !Array.isArray(found)
      ? Object.keys(found).filter((key) => !names.includes(key))
      : []
  if (unknown.length > 0) return unknown.map((key) => unknownName([...path, key], root))

  const misfit = (issues: readonly Issue[]) =>
    issues.reduce(
      (sum, i) =>
        sum +
        // A name that the form does not have counts most: it shows that another form was meant.
        (i.code === 'unrecognized_keys' ? 100 * i.keys.length : 0) +
        (valueAt(
          found,
          i.path.map((step) => (typeof step === 'number' ? step : String(step))),
        ) === undefined
          ? 1
          : 0),
      0,
    )
  const best = fitting.reduce((a, b) => (misfit(b) < misfit(a) ? b : a))
  return best.flatMap((inner) => {
    if (inner.code !== 'unrecognized_keys' || inner.path.length > 0)
      return explainIssue(inner, path, root, value)
    // Every name is known to some form, but not together.
    return inner.keys.map((key) => ({
      path: [...path, key],
      wrong: `does not go together with ${Object.keys(found as object)
        .filter((other) => !inner.keys.includes(other))
        .map(printable)
        .join(', ')}`,
      write: `write ${expected}`,
    }))
  })
}

function unknownName(path: Path, root: Schema): Problem {
  const name = String(path.at(-1))
  const known = knownNames(schemasAt(root, path.slice(0, -1)))
  const meant = nearest(name, known)
  const places = placesOf(name, root)
  const here = known.length > 0 ? `known here: ${known.join(', ')}` : 'delete it'
  const elsewhere = places.length > 0 ? `it stands under ${alternatives(places.slice(0, 3))}; ` : ''
  return {
    path,
    wrong: `${printable(name)} is not a known name${places.length > 0 ? ' here' : ''}`,
    write: meant ? `did you mean ${meant}?` : elsewhere + here,
  }
}

function suggestion(found: unknown, words: readonly unknown[]): string | undefined {
  const known = words.filter((word): word is string => typeof word === 'string')
  return typeof found === 'string' ? nearest(found, known) : undefined
}

function kindOf(value: unknown): string {
  if (value === null) return 'without a value'
  if (Array.isArray(value)) return 'a list'
  switch (typeof value) {
    case 'string':
      return value === '' ? 'empty' : 'text'
    case 'number':
    case 'bigint':
      return 'a number'
    case 'boolean':
      return 'true or false'
    default:
      return 'a section'
  }
}

/** What a schema wants instead of what was found, for the end of "write …". */
function expectation(schema: Schema, found?: unknown): string {
  const def = unwrapped(schema)._zod.def
  switch (def.type) {
    case 'string':
      if (isDuration(def)) return `a duration such as ${typeof found === 'number' ? found : 30}s`
      return 'text (numbers in quotes)'
    case 'number':
      return 'a whole number'
    case 'boolean':
      return 'true or false'
    case 'enum':
      return alternatives(Object.values(def.entries).map(String))
    case 'literal':
      return alternatives(def.values.map(String))
    case 'array':
      return 'a list'
    case 'record':
      return 'a section with a name for each entry'
    case 'object': {
      const required = Object.entries(def.shape).filter(([, field]) => !isOptional(field))
      const names = (required.length > 0 ? required : Object.entries(def.shape)).map(([name]) => name)
      return `{ ${names.join(', ')} }`
    }
    case 'union':
      return alternatives([...new Set(def.options.map((option) => expectation(option, found)))])
    default:
      return 'a value'
  }
}

function isDuration({ checks = [] }: { checks?: readonly z.core.$ZodCheck<never>[] }): boolean {
  return checks.some(({ _zod: { def } }) => 'pattern' in def && def.pattern === DURATION)
}

function alternatives(words: readonly string[]): string {
  return words.length < 2 ? (words[0] ?? 'a value') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

const isOptional = (schema: Schema) =>
  ['optional', 'default', 'prefault'].includes((schema as z.core.$ZodTypes)._zod.def.type)

/** The schema inside defaults, transformations and references. */
function unwrapped(schema: Schema): z.core.$ZodTypes {
  let current = schema as z.core.$ZodTypes
  for (;;) {
    const def = current._zod.def
    if (def.type === 'pipe') current = def.in as z.core.$ZodTypes
    else if (def.type === 'lazy') current = def.getter() as z.core.$ZodTypes
    else if ('innerType' in def) current = def.innerType as z.core.$ZodTypes
    else return current
  }
}

/** Every form that the value at the path may have: more than one below a union. */
function schemasAt(root: Schema, path: Path): Schema[] {
  let forms = openUnions(root)
  for (const step of path) {
    forms = forms.flatMap((form) => {
      const def = unwrapped(form)._zod.def
      if (def.type === 'object') return def.shape[step] ? openUnions(def.shape[step]) : []
      if (def.type === 'record') return openUnions(def.valueType)
      if (def.type === 'array') return openUnions(def.element)
      return []
    })
  }
  return forms
}

function schemaAt(root: Schema, path: Path): Schema | undefined {
  if (path.length === 0) return root
  for (const parent of schemasAt(root, path.slice(0, -1))) {
    const def = unwrapped(parent)._zod.def
    const step = path.at(-1)!
    if (def.type === 'object' && def.shape[step]) return def.shape[step]
    if (def.type === 'record') return def.valueType
    if (def.type === 'array') return def.element
  }
  return undefined
}

function openUnions(schema: Schema): Schema[] {
  const inner = unwrapped(schema)
  return inner._zod.def.type === 'union' ? inner._zod.def.options.flatMap(openUnions) : [inner]
}

/** The sections that have a field of this name, the outermost first: `cloud`, `certificates.<name>.gateways[]`. */
function placesOf(name: string, root: Schema): string[] {
  let sections = new Map<string, Schema[]>([['', openUnions(root)]])
  const found: string[] = []
  // Nothing lies deeper, and a form may hold itself.
  for (let depth = 0; depth < 6; depth++) {
    const below = new Map<string, Schema[]>()
    for (const [place, forms] of sections)
      for (const { _zod } of forms.map(unwrapped)) {
        const { def } = _zod
        const add = (step: string, inner: Schema) => below.set(place + step, openUnions(inner))
        if (def.type === 'record') add('.<name>', def.valueType)
        if (def.type === 'array') add('[]', def.element)
        if (def.type !== 'object') continue
        if (Object.hasOwn(def.shape, name)) found.push(place || 'the top level')
        for (const [field, inner] of Object.entries(def.shape)) add(place === '' ? field : `.${field}`, inner)
      }
    sections = below
  }
  return found
}

/** Field names that any of the forms has. */
function knownNames(forms: readonly Schema[]): string[] {
  const names = forms.flatMap((form) => {
    const def = unwrapped(form)._zod.def
    return def.type === 'object' ? Object.keys(def.shape) : []
  })
  return [...new Set(names)]
}

export function valueAt(value: unknown, path: Path): unknown {
  let current = value
  for (const step of path) {
    if (current === null || typeof current !== 'object' || !Object.hasOwn(current, step)) return undefined
    current = (current as Record<string | number, unknown>)[step]
  }
  return current
}
