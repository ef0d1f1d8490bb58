import type { z } from 'zod'
import { Failure } from '../base/failure.ts'
import { explain, valueAt } from './explain.ts'
import { crossFieldProblems } from './rules.ts'
import { type CertificateConfig, type Config, configSchema } from './schema.ts'
import { type Path, type Problem, printProblem, readSource, type Source } from './source.ts'
import { substitute } from './substitute.ts'

export interface LoadOptions {
  /** How messages call the text: a path or a key. */
  file: string
  /** Where `${NAME}` is looked up. */
  environment: Readonly<Record<string, string | undefined>>
  /** In a function, credentials may be left to its agency. */
  inFunction?: boolean | undefined
}

/**
 * rotation.yaml → configuration. Reports everything that is wrong at once, a line each:
 * `section.field (line N): what is wrong; what to write`. File names in it stay as they were written.
 *
 * Failures, kind `never`: `config.empty` · `config.not-yaml` · `config.invalid`.
 */
export function loadConfig(text: string, options: LoadOptions): Config {
  const source = readSource(text.replace(/^\uFEFF/, ''))
  if ('problems' in source) throw failure('config.not-yaml', 'cannot be read', source.problems, options)
  if (source.value === null || source.value === undefined) {
    throw new Failure({
      code: 'config.empty',
      kind: 'never',
      message: `${options.file} is empty`,
      next: 'Write at least store: { directory: ./bucket } and one certificate; the README has an example.',
      facts: { file: options.file },
    })
  }

  const { value, problems: missing } = substitute(source.value, options.environment)
  const judged = configSchema.safeParse(value)
  const found = judged.success ? [] : explain(judged.error.issues, configSchema, value)
  const problems = [
    ...missing,
    // What has no value for want of a variable needs no second complaint.
    ...found.filter((problem) => !missing.some(({ path }) => isWithin(path, problem.path))),
    ...crossFieldProblems({ ...acceptedSections(value), inFunction: options.inFunction ?? false }),
  ]
  if (judged.success && problems.length === 0) return withBareSections(judged.data)
  throw failure('config.invalid', problemCount(problems.length), located(problems, source), options)
}

/** Sections by names that people choose get no prototype: `constructor` and `toString` are names like any other. */
function withBareSections(config: Config): Config {
  const bare = <Value>(section: Record<string, Value>): Record<string, Value> =>
    Object.assign(Object.create(null), section)
  const { certificates, alerts } = config
  return { ...config, certificates: bare(certificates), alerts: { ...alerts, owners: bare(alerts.owners) } }
}

/** Section by section, so that one bad section does not hide what is wrong between the others. */
function acceptedSections(value: unknown) {
  const accepted = <T>(schema: z.ZodType<T>, path: Path): T | undefined =>
    schema.safeParse(valueAt(value, path)).data
  const { cloud, store, certificates, alerts } = configSchema.shape
  const one = certificates.unwrap().valueType
  const names = Object.keys(asRecord(valueAt(value, ['certificates'])))
  const entries = names.map(
    (name) => [name, accepted<CertificateConfig>(one, ['certificates', name])] as const,
  )
  return {
    cloud: accepted<Config['cloud']>(cloud, ['cloud']),
    store: accepted<Config['store']>(store, ['store']),
    alerts: accepted<Config['alerts']>(alerts, ['alerts']),
    certificates: Object.fromEntries(
      entries.filter((entry): entry is [string, CertificateConfig] => entry[1] !== undefined),
    ),
    discover: valueAt(value, ['discover']) === true,
    hasCloud: valueAt(value, ['cloud']) !== undefined,
  }
}

function asRecord(value: unknown): Record<string, unknown> {
  return value !== null && typeof value === 'object' && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {}
}

function isWithin(path: Path, other: Path): boolean {
  return path.every((step, index) => step === other[index])
}

function located(problems: readonly Problem[], source: Source): Problem[] {
  const withLines = problems.map((problem) => ({
    ...problem,
    line: problem.line ?? source.lineOf(problem.path),
  }))
  return withLines.sort((a, b) => (a.line ?? 0) - (b.line ?? 0))
}

function problemCount(count: number): string {
  return count === 1 ? 'has a problem' : `has ${count} problems`
}

function failure(code: string, what: string, problems: readonly Problem[], { file }: LoadOptions): Failure {
  const lines = [...new Set(problems.map(printProblem))]
  return new Failure({
    code,
    kind: 'never',
    message: `${file} ${what}:\n${lines.map((line) => `  ${line}`).join('\n')}`,
    next: `Correct ${file} and run again.`,
    facts: { file, problems: lines },
  })
}
