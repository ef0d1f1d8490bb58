import type { RenewalOutcome } from '../../shared/acme/renew.ts'
import type { ProgressEvent } from '../../shared/rotation/progress.ts'
import type { Outcome } from '../../shared/rotation/state.ts'
import type { CriticalFinding } from '../../shared/runtime/critical.ts'
import type { JobReport } from '../../shared/runtime/jobs.ts'
import { wrap } from '../../shared/status/table.ts'

const codes = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 }
export type Paint = (style: keyof typeof codes, text: string) => string

export function painter(color: boolean): Paint {
  return (style, text) => (color ? `\u001b[${codes[style]}m${text}\u001b[0m` : text)
}

/** One line per step while a rotation runs. */
export function renderProgress(color: boolean): (event: ProgressEvent) => string {
  const paint = painter(color)
  return (event) => {
    if (event.kind === 'bundle') return `${paint('bold', event.certificate)}  ${event.sentence}\n`
    if (event.kind === 'trouble') return `  ${paint('red', '✗')} ${event.sentence}\n`
    const duration = event.durationMs === undefined ? '' : paint('dim', ` ${Math.round(event.durationMs)} ms`)
    return `  ${paint('green', '✓')} ${event.sentence}${duration}\n`
  }
}

const marks: Record<Outcome['status'], [keyof typeof codes, string]> = {
  rotated: ['green', '✓'],
  'already deployed': ['green', '✓'],
  waiting: ['yellow', '…'],
  unfinished: ['yellow', '…'],
  superseded: ['yellow', '…'],
  refused: ['red', '✗'],
  'rolled back': ['red', '✗'],
  failed: ['red', '✗'],
}

const renewalMarks: Record<RenewalOutcome['status'], [keyof typeof codes, string]> = {
  'not-due': ['dim', '·'],
  waiting: ['yellow', '…'],
  delivered: ['green', '✓'],
  unfinished: ['yellow', '…'],
  failed: ['red', '✗'],
}

/** One line per certificate where something is to be said; all that is not due in one line. */
function renderRenewals(renewals: RenewalOutcome[], paint: Paint): string[] {
  const lines: string[] = []
  const resting = renewals.filter(({ status }) => status === 'not-due')
  for (const renewal of renewals.filter((one) => !resting.includes(one))) {
    const [style, mark] = renewalMarks[renewal.status]
    lines.push(`${paint(style, mark)} ${renewal.sentence}`)
    for (const { next, code } of renewal.failures) lines.push(`    ${next} ${paint('dim', `[${code}]`)}`)
    for (const warning of renewal.warnings) lines.push(paint('dim', `    ${warning}`))
  }
  const [first] = [...resting].sort((a, b) => a.renewAt.localeCompare(b.renewAt))
  if (first) {
    const others = `${resting.length} certificates are not due; the first: `
    lines.push(paint('dim', `· ${resting.length > 1 ? others : ''}${first.sentence}`))
  }
  return lines
}

/** Last, where the eye is: what must not be overlooked, since when, and the act that helps. */
function renderCritical(critical: readonly CriticalFinding[], paint: Paint, width: number): string[] {
  const shown = new Set(['What', 'Should be', 'Refused', 'Found'])
  return critical.flatMap(({ certificate, title, lines }) => {
    const about = title.startsWith(`${certificate}: `) ? title.slice(certificate.length + 2) : title
    const help = lines.find(({ label }) => label === 'You can')?.value
    return [
      `${paint('red', '✗')} ${paint('bold', certificate)}  ${paint('red', 'critical')}: ${about}`,
      ...lines
        .filter(({ label }) => shown.has(label))
        .map(({ label, value }) => `  ${label === 'What' ? '' : `${paint('dim', `${label}:`)} `}${value}`),
      ...(help === undefined ? [] : [`  ${paint('dim', '→')} ${help}`]),
    ].flatMap((line) => wrap(line, width))
  })
}

/** The end of a command: one line per certificate, then what to do about what went wrong. */
export function renderReport(report: JobReport, color: boolean, width = 100): string {
  const paint = painter(color)
  const lines = renderRenewals(report.renewals ?? [], paint)
  for (const outcome of report.outcomes) {
    const [style, mark] = marks[outcome.status]
    lines.push(
      `${paint(style, mark)} ${paint('bold', outcome.certificate)}  ${paint(style, outcome.status)}: ${outcome.sentence}`,
    )
    for (const check of outcome.checks)
      if (check.result === 'refused') {
        const code = paint('dim', `[${check.code}]`)
        // The first refusal is the sentence already.
        if (check.message === outcome.sentence) lines.push(`${lines.pop()} ${code}`)
        else lines.push(`    ${check.message} ${code}`)
      }
    for (const check of outcome.checks)
      if (check.result === 'warning')
        lines.push(`    ${paint('yellow', 'warning:')} ${check.message} ${paint('dim', `[${check.code}]`)}`)
    for (const repair of outcome.repairs) lines.push(paint('dim', `    repaired: ${repair.message}`))
    for (const domain of outcome.domains)
      if (domain.failure) lines.push(`    ${domain.host}: ${domain.status}: ${domain.failure.message}`)
    if (outcome.movedTo !== undefined) lines.push(`    The bundle lies in ${outcome.movedTo} now.`)
    for (const failure of outcome.failures)
      lines.push(`    ${failure.next} ${paint('dim', `[${failure.code}]`)}`)
  }
  for (const { failure, mayPass } of report.failures) {
    const mark = mayPass ? paint('yellow', '!') : paint('red', '✗')
    lines.push(
      `${mark} ${failure.message} ${paint('dim', `[${failure.code}]`)}`,
      `    ${failure.next}`,
      ...(mayPass
        ? [paint('dim', '    It may pass by itself: the next tick that meets it again fails.')]
        : []),
    )
  }
  for (const { job, names } of report.notLookedAt ?? []) {
    const some = names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '')
    lines.push(
      `${paint('yellow', '…')} ${report.stopped ? 'Stopped before' : 'The time did not suffice for'} ${job}: ${some}; the next tick goes on.`,
    )
  }
  const because = report.heartbeat?.because
  if (because !== undefined) lines.push(`${paint('yellow', '!')} No heartbeat was sent: ${because}`)
  lines.push(...renderCritical(report.critical ?? [], paint, width))
  if (lines.length === 0) lines.push('Nothing to do: nothing lies in incoming/.')
  return `${lines.join('\n')}\n`
}
