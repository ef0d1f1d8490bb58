import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import { type CommandSpec, shownOptions, specs } from './specs.ts'
import { readArguments, UsageError } from './usage.ts'

/**
 * `cert-rotation completion bash|zsh`: a script to be sourced. The script asks `completion names` for the names in the
 * config at hand; that question prints nothing where there is no readable config, since nobody reads its errors.
 */
export async function run(args: string[]): Promise<number> {
  const { positionals } = readArguments('completion', args)
  const [shell, file = 'rotation.yaml'] = positionals
  if (shell === 'names') {
    process.stdout.write((await names(file)).map((name) => `${name}\n`).join(''))
    return 0
  }
  if ((shell !== 'bash' && shell !== 'zsh') || positionals.length > 1)
    throw new UsageError(
      'completion takes bash or zsh',
      'For example: source <(cert-rotation completion bash)',
    )
  process.stdout.write(shell === 'bash' ? bash() : `autoload -U +X bashcompinit && bashcompinit\n${bash()}`)
  return 0
}

async function names(file: string): Promise<string[]> {
  try {
    const config = parse(await readFile(file, 'utf8'), { logLevel: 'silent' }) as {
      certificates?: Record<string, unknown>
    } | null
    // A name with a space or a dollar sign would be read as shell words.
    return Object.keys(config?.certificates ?? {}).filter((name) => /^[\w.-]+$/.test(name))
  } catch {
    return []
  }
}

function bash(): string {
  const rows = Object.entries<CommandSpec>(specs)
  const options = rows.map(([name, spec]) => {
    const words = [...shownOptions(spec).map(([option]) => option), 'help'].map((option) => `--${option}`)
    return `    ${name}) options="${words.join(' ')}" ;;`
  })
  const files = new Set(
    rows.flatMap(([, spec]) =>
      shownOptions(spec).flatMap(([option, { value }]) => (value === 'FILE' ? [`--${option}`] : [])),
    ),
  )
  const named = rows.flatMap(([name, { positionals }]) => (positionals?.includes('NAME') ? [name] : []))
  const withFiles = rows.flatMap(([name, { positionals }]) =>
    positionals?.startsWith('FILE') || positionals?.startsWith('EVENT') ? [name] : [],
  )
  return `_cert_rotation() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} command=\${COMP_WORDS[1]} options='' config=rotation.yaml i
  COMPREPLY=()
  if [ "$COMP_CWORD" = 1 ]; then
    COMPREPLY=($(compgen -W "${rows.map(([name]) => name).join(' ')} help --help --version" -- "$word"))
    return
  fi
  case $before in
    -c|${[...files].join('|')}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  for ((i = 2; i < COMP_CWORD; i++)); do
    case \${COMP_WORDS[i]} in -c|--config) config=\${COMP_WORDS[i+1]} ;; esac
  done
  case $command in
${options.join('\n')}
    help) COMPREPLY=($(compgen -W "${rows.map(([name]) => name).join(' ')}" -- "$word")); return ;;
    *) return ;;
  esac
  case $word in
    -*) COMPREPLY=($(compgen -W "$options" -- "$word")); return ;;
  esac
  case $command in
    completion) COMPREPLY=($(compgen -W 'bash zsh' -- "$word")) ;;
    ${named.join('|')}) COMPREPLY=($(compgen -W "$("\${COMP_WORDS[0]}" completion names "$config" 2>/dev/null)" -- "$word")) ;;
    ${withFiles.join('|')}) COMPREPLY=($(compgen -f -- "$word")) ;;
  esac
}
complete -o filenames -F _cert_rotation cert-rotation
`
}
