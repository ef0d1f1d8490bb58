import type { CheckResult } from './bundle.ts'
import type { InspectedCertificate, InspectReport } from './inspect-report.ts'
import { printableList } from './printable.ts'

type Paint = (text: string) => string

const plain: Paint = (text) => text
const paints = (color: boolean) => ({
  bold: color ? (text: string) => `\x1b[1m${text}\x1b[22m` : plain,
  dim: color ? (text: string) => `\x1b[2m${text}\x1b[22m` : plain,
  passed: color ? (text: string) => `\x1b[32m${text}\x1b[39m` : plain,
  warning: color ? (text: string) => `\x1b[33m${text}\x1b[39m` : plain,
  refused: color ? (text: string) => `\x1b[31m${text}\x1b[39m` : plain,
})

const MARKS: Record<CheckResult['result'], string> = { passed: '✓', warning: '!', refused: '✗' }

/** The report for a person at a terminal: files, chain as a tree, checks, repairs, verdict. Ends with a line break. */
export function renderInspect(report: InspectReport, options: { color?: boolean } = {}): string {
  const paint = paints(options.color === true)
  const lines: string[] = [paint.bold('Found')]
  for (const file of report.files) lines.push(`  ${file.name}  ${paint.dim(describeFile(file))}`)
  if (report.bundle !== undefined) {
    const { leaf, chain, addedByClient, trustedRootCa } = report.bundle
    const tree = [
      ...addedByClient.toReversed().map((certificate) => ({ certificate, note: ' (added by the client)' })),
      ...chain.toReversed().map((certificate) => ({ certificate, note: '' })),
      { certificate: leaf, note: '' },
    ]
    lines.push('', paint.bold('Chain'))
    for (const [depth, { certificate, note }] of tree.entries()) {
      const indent = depth === 0 ? '  ' : `  ${'   '.repeat(depth - 1)}└─ `
      lines.push(
        `${indent}${certificate.commonName || certificate.subject || '(no subject)'}${paint.dim(note)}`,
      )
      lines.push(
        `  ${'   '.repeat(depth)}${paint.dim(`${certificate.algorithm} ${certificate.keyBits}, ${dayOf(certificate.notBefore)} – ${dayOf(certificate.notAfter)}`)}`,
      )
      if (certificate === leaf)
        lines.push(
          `  ${'   '.repeat(depth)}${printableList(certificate.names, 8) || paint.warning('no names')}`,
        )
    }
    for (const certificate of trustedRootCa) lines.push(`  client certificates from ${oneLine(certificate)}`)
  }
  if (report.repairs.length > 0) {
    lines.push('', paint.bold('Put right'))
    for (const repair of report.repairs) lines.push(`  ${paint.dim(repair.code)}  ${repair.message}`)
  }
  lines.push('', paint.bold('Checks'))
  const width = Math.max(...report.checks.map((check) => check.code.length), 0)
  for (const check of report.checks)
    lines.push(`  ${paint[check.result](MARKS[check.result])} ${check.code.padEnd(width)}  ${check.message}`)
  lines.push('', verdictLine(report, paint), '')
  return lines.join('\n')
}

function describeFile(file: InspectReport['files'][number]): string {
  const parts = [file.format as string]
  const { length } = file.certificates
  if (length > 0) parts.push(`${length} certificate${length === 1 ? '' : 's'}`)
  if (file.privateKeys.length > 0) parts.push(`private key ${file.privateKeys.join(', ')}`)
  if (file.note !== undefined) parts.push(file.note)
  return parts.join(' · ')
}

function oneLine(certificate: InspectedCertificate): string {
  return `${certificate.commonName || certificate.subject}, until ${dayOf(certificate.notAfter)}`
}

function dayOf(instant: string): string {
  return instant.slice(0, instant.indexOf('T'))
}

function verdictLine(report: InspectReport, paint: ReturnType<typeof paints>): string {
  const { decision, browser, refusedBy, warnings } = report.verdict
  const when = `at ${report.at}, trust ${report.trust}`
  if (decision === 'accept') {
    const but =
      warnings.length === 0 ? '' : ` with ${warnings.length} warning${warnings.length === 1 ? '' : 's'}`
    return `${paint.passed(paint.bold('Accepted'))}${but} (${when})`
  }
  const browsers = browser === 'accept' ? '; a browser would take it' : ''
  return `${paint.refused(paint.bold('Refused'))} by ${refusedBy.join(', ')}${browsers} (${when})`
}
