import type { RenewalOutcome } from '../../shared/acme/renew.ts'
import type { FailureReport } from '../../shared/base/failure.ts'
import { printableList } from '../../shared/base/printable.ts'
import { remedyFor } from '../../shared/rotation/intake/rejection-readme.ts'
import { notVerified, type Outcome } from '../../shared/rotation/record/state.ts'
import type { CriticalFinding } from '../../shared/runtime/critical.ts'
import type { JobReport } from '../../shared/runtime/jobs.ts'
import { wrap } from '../../shared/status/table.ts'

const codes = { red: 31, green: 32, yellow: 33, cyan: 36, dim: 2, bold: 1 }
export type Paint = (style: keyof typeof codes, text: string) => string

export function painter(color: boolean): Paint {
  return (style, text) => (color ? `\u001b[${codes[style]}m${text}\u001b[0m` : text)
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
function renderCritical(critical: readonly CriticalFinding[], paint: Paint): string[] {
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
    ]
  })
}

function renderOutcome(outcome: Outcome, paint: Paint): string[] {
  const { certificate, status, checks, repairs, domains, failures, pushed, movedTo } = outcome
  const unseen = notVerified(outcome)
  const [style, mark] =
    unseen.length === 0 || marks[status][1] !== '✓'
      ? marks[status]
      : unseen.some(({ required }) => required)
        ? marks.failed
        : (['yellow', '!'] as const)
  const reason = failures.find(({ message }) => outcome.sentence.endsWith(`: ${message}`))
  // It stands below, with its host and with what to do.
  const sentence = reason ? outcome.sentence.slice(0, -reason.message.length - 2) : outcome.sentence
  const lines = [`${paint(style, mark)} ${paint('bold', certificate)}  ${paint(style, status)}: ${sentence}`]
  for (const check of checks) {
    const code = paint('dim', `[${check.code}]`)
    if (check.result === 'warning') lines.push(`  ${paint('yellow', 'warning:')} ${check.message} ${code}`)
    if (check.result !== 'refused') continue
    // The first refusal is the sentence already.
    if (check.message === sentence) lines[0] += ` ${code}`
    else lines.push(`  ${check.message} ${code}`)
    lines.push(...nextStep(remedyFor(check), paint))
  }
  for (const repair of repairs) lines.push(paint('dim', `  repaired: ${repair.message}`))
  for (const { where, message, failure } of troublesOf([...domains, ...pushed], failures)) {
    const code = paint('dim', `[${failure.code}]`)
    if (where === '' && message.endsWith(sentence)) lines[0] += ` ${code}`
    else lines.push(`  ${where}${message} ${code}`)
    lines.push(...nextStep(failure.next, paint))
  }
  if (movedTo !== undefined) lines.push(`  The bundle lies in ${movedTo} now.`)
  return [...lines, ...renderMeasured(outcome)]
}

function nextStep(next: string | undefined, paint: Paint): string[] {
  return next === undefined ? [] : [`  ${paint('dim', '→')} ${next}`]
}

interface Trouble {
  where: string
  message: string
  failure: FailureReport
}

/** Each failure once, with everything that it befell: domains that share a certificate share what becomes of it. */
function troublesOf(
  parts: readonly { host?: string; service?: string; status: string; failure?: FailureReport }[],
  failures: readonly FailureReport[],
): Trouble[] {
  const groups = new Map<string, { places: string[]; status: string; failure: FailureReport }>()
  for (const { host, service = '', status, failure } of parts) {
    if (!failure) continue
    const place = host ?? service
    const alike = JSON.stringify([status, failure.code, failure.message.replaceAll(place, '')])
    const group = groups.get(alike) ?? { places: [], status, failure }
    group.places.push(place)
    groups.set(alike, group)
  }
  const placed = [...groups.values()].map(({ places, status, failure }) => ({
    where: `${printableList(places, 3)}: ${status}: `,
    message: withoutPlace(failure.message, places[0]!),
    failure,
  }))
  const rest = failures.filter(({ message }) => !parts.some(({ failure }) => failure?.message === message))
  return [...placed, ...rest.map((failure) => ({ where: '', message: failure.message, failure }))]
}

function withoutPlace(message: string, place: string): string {
  return message.startsWith(place) ? message.slice(place.length).replace(/^:? /, '') : message
}

/** More domains than this were told of by one line only. */
const MANY = 10

/** Of many domains what nobody saw go by: how long it took, how long they had no certificate, who was refused. */
function renderMeasured({ domains, durationMs, handshakes }: Outcome): string[] {
  if (domains.length <= MANY || !handshakes) return []
  const gaps = domains.flatMap(({ host, gapMs }) => (gapMs === undefined ? [] : [{ host, gapMs }]))
  gaps.sort((a, b) => a.gapMs - b.gapMs)
  const [median, worst] = [gaps[Math.floor((gaps.length - 1) / 2)], gaps.at(-1)]
  const { made, refused } = handshakes
  return [
    `  time        ${(durationMs / 1000).toFixed(1)} s for ${domains.length} domains`,
    `  gap         ${median && worst ? `median ${median.gapMs} ms, worst ${worst.gapMs} ms (${worst.host})` : 'none'}`,
    `  handshakes  ${made}, ${refused === 0 ? 'none' : refused} refused`,
  ]
}

/** The end of a command: one line per certificate, then once what went wrong, where, and what to do about it. */
export function renderReport(report: JobReport, color: boolean, width = 80): string {
  const paint = painter(color)
  const lines = renderRenewals(report.renewals ?? [], paint)
  for (const outcome of report.outcomes) lines.push(...renderOutcome(outcome, paint))
  for (const { certificate = '', failure, mayPass } of report.failures) {
    const where = failure.message.includes(certificate) ? '' : `${certificate}: `
    const mark = mayPass ? paint('yellow', '!') : paint('red', '✗')
    lines.push(`${mark} ${where}${failure.message} ${paint('dim', `[${failure.code}]`)}`)
    lines.push(...nextStep(failure.next, paint))
    if (mayPass) lines.push(paint('dim', '  It may pass by itself: the next tick that meets it again fails.'))
  }
  for (const { job, names } of report.notLookedAt ?? []) {
    const some = names.slice(0, 5).join(', ') + (names.length > 5 ? ` and ${names.length - 5} more` : '')
    lines.push(
      `${paint('yellow', '…')} ${report.stopped ? 'Stopped before' : 'The time did not suffice for'} ${job}: ${some}; the next tick goes on.`,
    )
  }
  const because = report.heartbeat?.because
  if (because !== undefined) lines.push(`${paint('yellow', '!')} No heartbeat was sent: ${because}`)
  lines.push(...renderCritical(report.critical ?? [], paint))
  if (lines.length === 0) lines.push('Nothing to do: nothing lies in incoming/.')
  return `${lines.flatMap((line) => wrap(line, width, '    ')).join('\n')}\n`
}
