import { type ParseArgsConfig, parseArgs } from 'node:util'
import { Failure } from '../../shared/base/failure.ts'
import { nearest } from '../../shared/base/nearest.ts'
import { durationMs } from '../../shared/config/duration.ts'
import { type CommandName, type CommandSpec, specs } from './specs.ts'

/** Wrong words on the command line: exit status 2. */
export class UsageError extends Failure {
  constructor(message: string, next = 'cert-rotation help lists the commands and their options.') {
    super({ code: 'usage.wrong', kind: 'never', message, next })
  }
}

type Parsed<N extends CommandName> = ReturnType<
  typeof parseArgs<{ options: (typeof specs)[N]['options']; allowPositionals: true }>
>

/** Reads a command's words as its row in `specs.ts` says. Fails with a `UsageError` that names the nearest option. */
export function readArguments<N extends CommandName>(name: N, args: string[]): Parsed<N> {
  const spec: CommandSpec = specs[name]
  const next = `cert-rotation ${name} --help shows what it takes.`
  try {
    const parsed = parseArgs({
      args,
      tokens: true,
      options: spec.options as ParseArgsConfig['options'],
      allowPositionals: spec.positionals !== undefined,
    })
    requireOnce(spec, parsed.tokens, next)
    return parsed as unknown as Parsed<N>
  } catch (thrown) {
    if (thrown instanceof UsageError) throw thrown
    const message = (thrown as Error).message
    const unknown = /^Unknown option '(-+)([^']*)'/.exec(message)
    if (unknown) {
      const meant = nearest(unknown[2]!, [...Object.keys(spec.options), 'help'])
      const hint = meant === undefined ? '' : `; did you mean --${meant}?`
      throw new UsageError(`${name} has no option ${unknown[1]}${unknown[2]}${hint}`, next)
    }
    const stray = /^Unexpected argument '([^']*)'/.exec(message)
    if (stray) throw new UsageError(`${name} takes no ${JSON.stringify(stray[1])}`, next)
    const bare = /^Option '(?:-\w, )?(--[\w-]+) <value>' argument missing/.exec(message)
    if (bare) throw new UsageError(`${bare[1]} needs a value`, next)
    const dashed = /^Option '(?:-\w, )?(--[\w-]+)'? argument is ambiguous/.exec(message)
    if (dashed)
      throw new UsageError(`${dashed[1]} needs a value; one that begins with - stands after =`, next)
    const flag = /^Option '(?:-\w, )?(--[\w-]+)' does not take an argument/.exec(message)
    if (flag) throw new UsageError(`${flag[1]} takes no value`, next)
    throw new UsageError(message.split('. ')[0] ?? 'unreadable arguments', next)
  }
}

/** Of two values one would be dropped without a word, and nobody knows which one was meant. */
function requireOnce(
  spec: CommandSpec,
  tokens: readonly { kind: string; name?: string }[],
  next: string,
): void {
  const given = new Set<string>()
  for (const { kind, name } of tokens) {
    const option = kind === 'option' && name !== undefined ? spec.options[name] : undefined
    if (option?.type !== 'string' || option.multiple) continue
    if (given.has(name!)) throw new UsageError(`--${name} is given twice and takes one value`, next)
    given.add(name!)
  }
}

/** Milliseconds of a duration as the config writes it. A bare number may be meant in any unit. */
export function readDuration(option: string, text: string): number {
  const ms = durationMs(text)
  // What a timer of Node can wait; NaN is neither.
  if (ms > 0 && ms < 2 ** 31) return ms
  const instead = /^[1-9]\d*$/.test(text) ? ` ${text}s or ${text}m` : ' 500ms, 30s, 10m, 12h or 7d'
  throw new UsageError(`${option} takes a duration such as${instead}, not ${JSON.stringify(text)}`)
}

/** Every name must be one of the config's certificates. */
export function requireKnownNames(names: readonly string[], known: readonly string[], file: string): void {
  const unknown = names.find((name) => !known.includes(name))
  if (unknown === undefined) return
  const meant = nearest(unknown, known)
  const has =
    known.length > 0
      ? `it has: ${known.slice(0, 20).join(', ')}${known.length > 20 ? ', …' : ''}`
      : 'it has none'
  throw new UsageError(
    `${file} has no certificate ${JSON.stringify(unknown)}; ${meant ? `did you mean ${meant}?` : has}`,
    `The names stand under certificates: in ${file}.`,
  )
}
