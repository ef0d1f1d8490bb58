import { stripVTControlCharacters } from 'node:util'
import { countText } from '../base/count-text.ts'
import { durationText, instantText, listText, relativeText } from '../watch/words.ts'
import type { CertificateStatus, Health, StatusModel } from './model.ts'

export interface TableOptions {
  color: boolean
  /** Columns of the terminal. */
  width: number
}

const colours: Record<Health, string> = {
  critical: '31;1',
  warning: '33',
  due: '36',
  ok: '32',
  unknown: '90',
}
const signs: Record<Health, string> = { critical: '✗', warning: '!', due: '↻', ok: '✓', unknown: '?' }

/** The terminal's table: most urgent first, then what is wrong and what to do about it. */
export function renderTable(model: StatusModel, options: TableOptions): string {
  const paint = (code: string, text: string) => (options.color ? `\u001b[${code}m${text}\u001b[0m` : text)
  const now = new Date(model.at)
  const rows = model.certificates.map((certificate) => cells(certificate, now, options, paint))
  const header = ['', 'CERTIFICATE', 'SERVED', 'LEFT', 'NEXT', 'LAST'].map((text) => paint('90', text))
  const lines =
    model.certificates.length === 0
      ? ['No certificates are configured.']
      : layout([header, ...rows], options.width)
  const problems = model.certificates.flatMap(({ name, problems: list, health }) =>
    list.slice(0, 3).flatMap((problem) => {
      const action = problem.lines.find(({ label }) => label === 'You can')?.value
      const title = problem.title.startsWith(name) ? problem.title : `${name}: ${problem.title}`
      return [
        `${paint(colours[health], '●')} ${title}`,
        ...problem.lines
          .filter(({ label }) => label === 'What')
          .slice(0, 3)
          .map(({ value }) => `  ${value}`),
        ...problem.lines
          .filter(({ label }) => ['Should be', 'Refused', 'Found'].includes(label))
          .map(({ label, value }) => `  ${paint('90', `${label}:`)} ${value}`),
        ...(action === undefined ? [] : [`  ${paint('90', '→')} ${action}`]),
      ]
    }),
  )
  for (const { where, message, next, severity } of model.unread)
    problems.push(
      paint(colours[severity], `${signs[severity]} ${where} could not be read: ${message}`),
      `  ${paint('90', '→')} ${next}`,
    )
  const wrapped = problems.flatMap((line) => wrap(line, options.width))
  return [
    ...lines,
    '',
    ...(wrapped.length === 0 ? [] : [...wrapped, '']),
    ...footer(model, now, paint).flatMap((line) => wrap(line, options.width)),
    '',
  ].join('\n')
}

type Paint = (code: string, text: string) => string

function cells(certificate: CertificateStatus, now: Date, { width }: TableOptions, paint: Paint): string[] {
  const { health, leaf, domains, domainsAsExpected, next } = certificate
  const colour = colours[health]
  const served = domains.length === 0 ? '–' : `${domainsAsExpected}/${domains.length}`
  const allServed = domains.length > 0 && domainsAsExpected === domains.length
  const [last] = certificate.rotations
  return [
    paint(colour, signs[health]),
    paint(health === 'ok' ? '0' : colour, shorten(certificate.name, width < 100 ? 24 : 36)) +
      (certificate.managed ? '' : paint('90', ' (found)')),
    allServed || domains.length === 0 ? served : paint('33', served),
    leaf === undefined
      ? paint('90', 'nothing seen')
      : `${bar(leaf.shareLeft, colour, paint, width < 80 ? 6 : 12)} ${paint(colour, leftText(leaf.secondsLeft))}`,
    nextText(next, now),
    last === undefined ? paint('90', '–') : `${last.status} ${paint('90', relativeText(last.at, now))}`,
  ]
}

function nextText({ act, at }: CertificateStatus['next'], now: Date): string {
  if (at === undefined) return act
  return Date.parse(at) <= now.getTime() && act !== 'expired'
    ? `${act} now`
    : `${act} ${at.slice(0, 16).replace('T', ' ')}`
}

/** What is left of the lifetime, in eighths of a cell. */
function bar(share: number, colour: string, paint: Paint, width: number): string {
  const eighths = Math.max(share > 0 ? 1 : 0, Math.round(share * width * 8))
  const full = Math.floor(eighths / 8)
  const part = eighths % 8 === 0 ? '' : '▏▎▍▌▋▊▉'.charAt((eighths % 8) - 1)
  const rest = width - full - part.length
  return paint(colour, '█'.repeat(full) + part) + paint('90', '·'.repeat(rest))
}

function leftText(seconds: number): string {
  return seconds < 0 ? `expired ${durationText(seconds * 1_000)} ago` : durationText(seconds * 1_000)
}

function layout(rows: string[][], width: number): string[] {
  const columns = rows[0]?.length ?? 0
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => textWidth(row[column] ?? ''))),
  )
  // What does not fit is left out from the right: the last outcome, then the next act.
  let shown = columns
  while (shown > 4 && widths.slice(0, shown).reduce((sum, each) => sum + each + 2, -2) > width) shown--
  return rows.map((row) =>
    row
      .slice(0, shown)
      .map((cell, column) =>
        column === shown - 1 ? cell : cell + ' '.repeat((widths[column] ?? 0) - textWidth(cell)),
      )
      .join('  ')
      .trimEnd(),
  )
}

function textWidth(text: string): number {
  return [...stripVTControlCharacters(text)].length
}

function shorten(text: string, most: number): string {
  return text.length <= most ? text : `${text.slice(0, most - 1)}…`
}

/** Lines of at most `width` columns, where no single word is longer; those after the first begin with `hanging`. */
export function wrap(line: string, width: number, hanging = '  '): string[] {
  if (textWidth(line) <= width) return [line]
  const [lead = ''] = /^ */.exec(line) ?? []
  const lines: string[] = []
  let current = lead
  for (const word of line.slice(lead.length).split(' ')) {
    const candidate = current.trim() === '' ? current + word : `${current} ${word}`
    if (textWidth(candidate) > width && current.trim() !== '') {
      lines.push(current)
      current = hanging + word
    } else current = candidate
  }
  return [...lines, current]
}

function footer(
  { name, summary, certificates, misplaced = [], channels, quotas, lastTick, health }: StatusModel,
  now: Date,
  paint: Paint,
): string[] {
  const lines = [
    `${name === undefined ? '' : `${name}: `}${countText(summary.certificates, 'certificate')}, ${summary.domainsAsExpected} of ${countText(summary.domains, 'domain')} served as expected${summary.domainsNotSeen === 0 ? '' : `, ${summary.domainsNotSeen} not seen from here`}`,
  ]
  const warn = (text: string) => lines.push(paint('33', `! ${text}`))
  const unsettled = certificates.flatMap(({ domains }) => domains.filter((one) => one.unsettled))
  if (unsettled.length > 0)
    warn(
      `${listText(
        unsettled.map(({ host }) => host),
        4,
      )}: not served as it should be in this one look. cert-rotation tick looks twice, and tells people`,
    )
  for (const { where, used, limit } of quotas) {
    if (used >= limit * 0.85) warn(`${where}: ${used} of ${limit} certificates used`)
  }
  for (const { message, next } of misplaced) warn(`${message}. ${next}`)
  for (const { name: channel, pending, lastFailure } of channels) {
    if (lastFailure !== undefined)
      warn(`channel ${channel}: ${countText(pending, 'message')} waiting; ${lastFailure.message}`)
  }
  // What each name serves stands in the rows.
  const ill = health.checks.filter(
    ({ group, result }) => group !== 'handshakes' && result === 'failed',
  ).length
  if (ill > 0)
    warn(`${countText(ill, 'check')} of the tool itself failed: cert-rotation doctor says what to do`)
  if (lastTick !== undefined)
    lines.push(paint('90', `last tick ${instantText(lastTick.at)}, ${relativeText(lastTick.at, now)}`))
  return lines
}
