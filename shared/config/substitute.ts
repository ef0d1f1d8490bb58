import { ESCAPED_START, type Path, type Problem, REFERENCE_END, REFERENCE_START } from './source.ts'

const REFERENCE = new RegExp(
  `([${REFERENCE_START}${ESCAPED_START}])([^${REFERENCE_END}]*)${REFERENCE_END}`,
  'g',
)

/**
 * Puts the environment's values in for `${NAME}`, in string values only; `$${` stands for a literal `${`.
 * A value with a problem becomes undefined, and its path is in `problems`, so that nobody judges it further.
 */
export function substitute(
  value: unknown,
  environment: Readonly<Record<string, string | undefined>>,
): { value: unknown; problems: Problem[]; substituted: Set<string> } {
  const problems: Problem[] = []
  const substituted = new Set<string>()

  const visit = (node: unknown, path: Path): unknown => {
    if (typeof node === 'string') return text(node, path)
    if (Array.isArray(node)) return node.map((item, index) => visit(item, [...path, index]))
    if (node !== null && typeof node === 'object') {
      // fromEntries, not assignment: a key `__proto__` must end as an unknown name, not as a prototype.
      return Object.fromEntries(
        Object.entries(node).map(([key, item]) => [withoutPlaceholders(key), visit(item, [...path, key])]),
      )
    }
    return node
  }

  const text = (node: string, path: Path): string => {
    const before = problems.length
    let references = 0
    const parts = node.replace(REFERENCE, (_, start: string, name: string) => {
      if (start === ESCAPED_START) return `${ESCAPED_START}${name}}`
      references++
      const found = environment[name]
      if (found === undefined) {
        problems.push({
          path,
          wrong: `environment variable ${name} is not set`,
          write: `set ${name}, or write the value here ($\${ stands for a literal \${)`,
        })
      }
      // Marked, so that a `${` inside the value stays what it is.
      return (found ?? '').replaceAll('${', REFERENCE_START)
    })
    if (problems.length > before) return ''
    if (references > 0) substituted.add(JSON.stringify(path))
    if (references > 0 && parts === '') {
      problems.push({ path, wrong: 'the environment variable is empty', write: 'give it a value' })
      return ''
    }
    if (/(?<!\$)\$\{/.test(parts)) {
      problems.push({
        path,
        wrong: `\`\${\` is not followed by the name of an environment variable and \`}\``,
        write: `write \${NAME} with letters, digits and underscores, or $\${ for a literal \${`,
      })
      return ''
    }
    return parts.replaceAll('$${', '${').replaceAll(REFERENCE_START, '${').replaceAll(ESCAPED_START, '${')
  }

  return { value: visit(value, []), problems, substituted }
}

function withoutPlaceholders(key: string): string {
  return key.replace(
    REFERENCE,
    (_, start: string, name: string) => `${start === ESCAPED_START ? '$' : ''}\${${name}}`,
  )
}
