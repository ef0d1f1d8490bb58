import { systemClock } from '../../shared/base/clock.ts'
import { countText } from '../../shared/base/count-text.ts'
import {
  doctorDocument,
  type HealthCheck,
  type HealthReport,
  type HealthResult,
} from '../../shared/health/port.ts'
import { runChecks, unopened } from '../../shared/runtime/run-checks.ts'
import { type Paint, painter } from './render.ts'
import { columnsOf, openWith, readConfig, useColor } from './session.ts'
import { readArguments } from './usage.ts'

/** `cert-rotation doctor [--read-only] [--send]`: whether everything that the tool depends on works, and what to do. */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('doctor', args)
  const readOnly = values['read-only']
  const config = await readConfig(values.config)
  const show = renderChecks(painter(useColor(process.stdout)), columnsOf(process.stdout))
  const told = (checks: HealthCheck[]) => {
    const wanted = values.quiet ? checks.filter(({ result }) => result === 'failed') : checks
    if (!values.json) process.stdout.write(show(wanted))
  }
  const report = await lookAt(config, values, { readOnly, send: values.send, told })
  const document = doctorDocument(report)
  const { exitStatus } = document
  if (values.json) process.stdout.write(`${JSON.stringify(document)}\n`)
  else if (!values.quiet) process.stdout.write(summary(report, exitStatus))
  return exitStatus
}

async function lookAt(
  config: Awaited<ReturnType<typeof readConfig>>,
  values: Parameters<typeof openWith>[1],
  options: Required<Parameters<typeof runChecks>[2]>,
): Promise<HealthReport> {
  const session = await openWith(config, values).catch((thrown: unknown) => ({ thrown }))
  if ('thrown' in session) {
    const report = unopened(config, session.thrown, options.readOnly, systemClock.now())
    options.told(report.checks)
    return report
  }
  try {
    return await runChecks(session.wiring, { ...session.parties, progress: () => {} }, options)
  } finally {
    await session.close()
  }
}

const marks: Record<HealthResult, ['green' | 'yellow' | 'red', string]> = {
  passed: ['green', '✓'],
  warning: ['yellow', '!'],
  failed: ['red', '✗'],
}

const GROUP_WIDTH = 12

/** Lines as they come: the group's name once, what it is about first, and below it what to do. */
export function renderChecks(paint: Paint, width: number): (checks: readonly HealthCheck[]) => string {
  let last: string | undefined
  return (checks) =>
    checks
      .map(({ group, about, result, message, next }) => {
        const heading = group === last ? '' : group
        last = group
        const [style, mark] = marks[result]
        const room = Math.max(width - GROUP_WIDTH - 2, 20)
        const said = folded(`${about}: ${message}`, room)
        const help = next === undefined || result === 'passed' ? [] : folded(`→ ${next}`, room)
        const [first = '', ...rest] = [...said, ...help]
        const indent = ' '.repeat(GROUP_WIDTH + 2)
        return [
          `${paint('dim', heading.padEnd(GROUP_WIDTH))}${paint(style, mark)} ${first.replace(about, paint('bold', about))}`,
          ...rest.map((line) => `${indent}${line}`),
        ].join('\n')
      })
      .map((text) => `${text}\n`)
      .join('')
}

/** At spaces; what has none stays whole, so that it can be copied. */
function folded(text: string, width: number): string[] {
  const lines: string[] = []
  for (const line of text.split('\n')) {
    let current = ''
    for (const word of line.trim().split(' ')) {
      if (current !== '' && current.length + 1 + word.length > width) {
        lines.push(current)
        current = word
      } else current = current === '' ? word : `${current} ${word}`
    }
    lines.push(current)
  }
  return lines
}

export function summary(
  { checks, readOnly }: Pick<HealthReport, 'checks' | 'readOnly'>,
  exitStatus: number,
): string {
  const count = (wanted: HealthResult) => checks.filter(({ result }) => result === wanted).length
  const [failed, warnings] = [count('failed'), count('warning')]
  const said =
    failed + warnings === 0
      ? 'All is well'
      : [
          failed > 0 ? countText(failed, 'problem') : '',
          warnings > 0 ? `${countText(warnings, 'thing')} to know` : '',
        ]
          .filter(Boolean)
          .join(', ')
  return `${said}${readOnly ? ' (read only)' : ''} · exit ${exitStatus}\n`
}
