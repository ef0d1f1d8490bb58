import { type CommandSpec, type OptionSpec, shownOptions, specs } from './specs.ts'

/** Fits a terminal of 80 columns. */
const WIDTH = 78

/** `cert-rotation help`: every command in one line. */
export function overview(): string {
  const rows = Object.entries<CommandSpec>(specs).map(
    ([name, spec]) => [`${name} ${spec.positionals ?? ''}`.trim(), spec.summary] as const,
  )
  return `Puts renewed TLS certificates into service on Huawei Cloud and Open Telekom
Cloud, without an outage.

${columns(rows)}
cert-rotation COMMAND --help shows options, examples and exit statuses;
cert-rotation --version the version. First time? Try: cert-rotation demo
`
}

/** `cert-rotation help NAME`, `cert-rotation NAME --help`. */
export function helpFor(name: string, spec: CommandSpec): string {
  const options = shownOptions(spec)
  const usage = [
    'cert-rotation',
    name,
    ...(options.length > 0 ? ['[OPTION...]'] : []),
    spec.positionals ?? '',
  ]
  const about = [
    `${spec.summary[0]!.toUpperCase()}${spec.summary.slice(1)}.`,
    ...(spec.about ? [spec.about] : []),
  ]
  const section = (title: string, rows: (readonly [string, string])[]) =>
    rows.length === 0 ? '' : `\n${title}\n${columns(rows)}`
  return [
    `Usage: ${usage.join(' ').trim()}\n\n`,
    `${wrapped(about.join(' '), WIDTH).join('\n')}\n`,
    section(
      'Options',
      options.map(([option, row]) => [written(option, row), described(row)]),
    ),
    `\nExamples\n${spec.examples.map(([command, does]) => `  ${command}\n      ${does}\n`).join('')}`,
    section(
      'Exit status',
      spec.exits.map(([status, meaning]) => [String(status), meaning]),
    ),
  ].join('')
}

function written(name: string, { short, value }: OptionSpec): string {
  return `${short ? `-${short}, ` : ''}--${name}${value ? ` ${value}` : ''}`
}

function described({ help, default: preset }: OptionSpec): string {
  const shown = typeof preset === 'string' ? preset : ''
  return shown === '' ? help : `${help} (default ${shown})`
}

/** Two columns, the second wrapped; a first cell that is too wide stands on a line of its own. */
function columns(rows: readonly (readonly [string, string])[]): string {
  const first = Math.min(26, Math.max(...rows.map(([cell]) => cell.length)))
  const lines = rows.flatMap(([left, right]) => {
    const texts = wrapped(right, WIDTH - first - 4)
    const head = left.length > first ? [`  ${left}`] : []
    return [
      ...head,
      ...texts.map(
        (text, index) => `  ${(index === 0 && head.length === 0 ? left : '').padEnd(first)}  ${text}`,
      ),
    ]
  })
  return `${lines.join('\n')}\n`
}

function wrapped(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const line = lines.at(-1)
    if (line !== undefined && line.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${line} ${word}`
    else lines.push(word)
  }
  return lines
}
