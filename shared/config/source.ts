import {
  isMap,
  isPair,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  visit,
  type YAMLError,
  type YAMLWarning,
} from 'yaml'

/** Where in the document something stands: names of sections and fields, indexes of lists. */
export type Path = readonly (string | number)[]

/** A name or value to fix. `line` counts from 1; undefined where the thing is missing altogether. */
export interface Problem {
  path: Path
  line?: number | undefined
  /** What is wrong. Never contains a value that may be secret. */
  wrong: string
  /** What to write instead. */
  write: string
}

/** The document after YAML, before the schema. `${NAME}` still stands as its placeholder (see `substitute.ts`). */
export interface Source {
  value: unknown
  /** Line of the name or list item at the path; of its nearest enclosing section where it is missing. */
  lineOf(path: Path): number | undefined
}

/**
 * `${` cannot start a value inside `{ … }` or `[ … ]` in YAML, but people write it there. So references change
 * into these private-use characters before YAML reads the text. Their values come in after it, so that no value
 * can ever become YAML.
 */
export const REFERENCE_START = '\uE000'
export const ESCAPED_START = '\uE001'
export const REFERENCE_END = '\uE002'

/** A `${NAME}` in its hidden form; the group is its name. */
export const REFERENCE = new RegExp(`${REFERENCE_START}([^${REFERENCE_END}]*)${REFERENCE_END}`, 'g')

/** The text with `${NAME}` and `$${NAME}` changed into what YAML leaves alone. */
export function hidden(text: string): string {
  return text.replace(
    /(\$?)\$\{([A-Za-z_][A-Za-z0-9_]*)\}/g,
    (_, dollar: string, name: string) => `${dollar ? ESCAPED_START : REFERENCE_START}${name}${REFERENCE_END}`,
  )
}

/** The way back. */
export function shown(text: string): string {
  return text
    .replaceAll(REFERENCE_START, '${')
    .replaceAll(ESCAPED_START, '$${')
    .replaceAll(REFERENCE_END, '}')
}

/** Reads the text; the problems are those of YAML itself, with which nothing else can be judged. */
export function readSource(text: string): Source | { problems: Problem[] } {
  const foreign = text.search(/[\uE000-\uE002]/)
  if (foreign >= 0) {
    const line = text.slice(0, foreign).split('\n').length
    return {
      problems: [
        {
          path: [],
          line,
          wrong: 'contains a private-use character',
          write: 'delete the invisible character',
        },
      ],
    }
  }
  const prepared = hidden(text)
  const lines = new LineCounter()
  const document = parseDocument(prepared, { lineCounter: lines, prettyErrors: false, merge: true })
  const lineAt = (offset: number) => lines.linePos(offset).line
  // An unknown tag is a warning to the library, but it would silently drop a part of the value.
  const errors = [...document.errors, ...document.warnings]
  if (errors.length > 0) {
    return { problems: errors.map((error) => syntaxProblem(error, prepared, lineAt(error.pos[0]))) }
  }

  const dangling: Problem[] = []
  visit(document, {
    Alias(_, node) {
      if (!node.resolve(document))
        dangling.push({ path: [], line: lineAt(node.range?.[0] ?? 0), ...aliasProblem })
    },
  })
  if (dangling.length > 0) return { problems: dangling }

  let value: unknown
  try {
    value = document.toJS({ maxAliasCount: 100 })
  } catch {
    // The only way left to fail: aliases of aliases that multiply without end.
    return { problems: [{ path: [], wrong: 'repeats its anchors too often', write: 'write the values out' }] }
  }
  return { value, lineOf: (path) => lineOf(document.contents, path, lineAt) }
}

function lineOf(root: ParsedNode | null, path: Path, lineAt: (offset: number) => number): number | undefined {
  let node: unknown = root
  let line: number | undefined
  for (const step of path) {
    if (isMap(node)) {
      const pair: unknown = node.items.find(
        (item) => isPair(item) && isScalar(item.key) && String(item.key.value) === String(step),
      )
      if (!isPair(pair)) break
      if (isScalar(pair.key) && pair.key.range) line = lineAt(pair.key.range[0])
      node = pair.value
    } else if (isSeq(node) && typeof step === 'number') {
      const item = node.items[step]
      if (item === undefined) break
      const range = (item as { range?: [number, number, number] | null }).range
      if (range) line = lineAt(range[0])
      node = item
    } else break
  }
  return line
}

const aliasProblem = {
  wrong: '`*` at the start of a value refers to an anchor, and there is none of this name',
  write: 'put names such as "*.shop.example" in quotes',
}

/** The library's own texts quote the source, and that line may hold a password: so only its codes are used. */
function syntaxProblem(error: YAMLError | YAMLWarning, text: string, line: number): Problem {
  const at = { path: [], line }
  switch (error.code) {
    case 'TAB_AS_INDENT':
      return { ...at, wrong: 'is indented with a tab', write: 'indent with spaces only' }
    case 'DUPLICATE_KEY': {
      const [key = ''] = /^[^:\n]*/.exec(text.slice(error.pos[0])) ?? []
      const name = key.trim().replace(/^["']|["']$/g, '')
      return {
        ...at,
        wrong: `${printable(name)} stands here a second time in the same section`,
        write: 'merge the two or delete one',
      }
    }
    case 'BAD_ALIAS':
    case 'ALIAS_PROPS':
      return { ...at, ...aliasProblem }
    case 'BAD_INDENT':
      return {
        ...at,
        wrong: 'is indented unlike its neighbours, or a bracket above is not closed',
        write: 'start the names of one section in the same column, and close every bracket',
      }
    case 'MISSING_CHAR':
    case 'BLOCK_IN_FLOW':
      return {
        ...at,
        wrong: 'a quote, bracket, comma or colon is missing here or just above',
        write: 'close every quote and bracket, and write a space behind each colon',
      }
    case 'BAD_SCALAR_START':
      return {
        ...at,
        wrong: 'a value starts with a character that YAML keeps for itself',
        write: 'put the value in quotes',
      }
    case 'BAD_DQ_ESCAPE':
      return {
        ...at,
        wrong: 'a backslash in double quotes starts an unknown escape',
        write: 'use single quotes or double the backslash',
      }
    case 'MULTIPLE_DOCS':
      return {
        ...at,
        wrong: 'a second document starts',
        write: 'keep one document per file, without `---` inside',
      }
    case 'TAG_RESOLVE_FAILED':
      return { ...at, wrong: 'a `!` tag is not understood', write: 'put values that start with ! in quotes' }
    default:
      return {
        ...at,
        wrong: `is not YAML (${error.code})`,
        write: 'write `name: value` lines; quote values that hold `: `, ` #` or brackets',
      }
  }
}

/** Names from a file are untrusted text: quoted, escaped and of bounded length. */
export function printable(name: string): string {
  const short = name.length > 60 ? `${name.slice(0, 60)}…` : name
  return JSON.stringify(shown(short)).replace(
    /[\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** `certificates.shop.gateways[0].domains[1]`; names that would read as something else are quoted. */
export function printPath(path: Path): string {
  let out = ''
  for (const step of path) {
    if (typeof step === 'number') out += `[${step}]`
    else out += `${out ? '.' : ''}${/^[A-Za-z0-9_-]{1,64}$/.test(step) ? step : printable(step)}`
  }
  return out
}

/** `section.field (line N): what is wrong; what to write` */
export function printProblem(problem: Problem): string {
  const where = printPath(problem.path)
  const line = problem.line === undefined ? '' : `line ${problem.line}`
  const head = where && line ? `${where} (${line})` : where || line
  return `${head ? `${head}: ` : ''}${problem.wrong}; ${problem.write}`
}
