import { asFailure, type FailureReport } from '../../shared/base/failure.ts'
import { misplacedIn } from '../../shared/rotation/misplaced.ts'
import { type Preview, preview } from '../../shared/rotation/preview.ts'
import { uploadsIn } from '../../shared/rotation/uploads.ts'
import { painter } from './render.ts'
import { openSession, useColor } from './session.ts'
import { readArguments, requireKnownNames } from './usage.ts'

/** `cert-rotation plan [NAME...]`: what would be done and why, changing nothing. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments('plan', args)
  const session = await openSession(values)
  try {
    const { wiring, parties } = session
    requireKnownNames(positionals, wiring.names, values.config)
    const { names: uploaded, strangers, outside } = await uploadsIn(wiring.store, wiring.names)
    const names =
      positionals.length > 0 ? positionals : wiring.names.filter((name) => uploaded.includes(name))
    const previews: Preview[] = []
    const failures: PlanFailure[] = []
    for (const name of names) {
      try {
        previews.push(await preview(await wiring.job(name, positionals.length > 0), parties))
      } catch (thrown) {
        failures.push({ certificate: name, ...asFailure(thrown).toJSON() })
      }
    }
    const none = { names: [], more: 0, uncounted: false }
    const looked = { outside, strangers: positionals.length > 0 ? none : strangers }
    for (const { certificate, failure } of await misplacedIn(looked, wiring.config.certificates, parties))
      failures.push({ ...(certificate ? { certificate } : {}), ...failure.toJSON() })
    const exitStatus = failures.length > 0 || previews.some((one) => one.decision === 'refuse') ? 1 : 0
    if (values.json)
      process.stdout.write(`${JSON.stringify({ command: 'plan', exitStatus, plans: previews, failures })}\n`)
    else process.stdout.write(render(previews, failures))
    return exitStatus
  } finally {
    await session.close()
  }
}

type PlanFailure = FailureReport & { certificate?: string }

function render(previews: Preview[], failures: PlanFailure[]): string {
  const paint = painter(useColor(process.stdout))
  const lines: string[] = []
  for (const one of previews) {
    const style = one.decision === 'refuse' ? 'red' : one.decision === 'rotate' ? 'cyan' : 'dim'
    lines.push(`${paint('bold', one.certificate)}  ${paint(style, one.decision)}: ${one.sentence}`)
    for (const check of one.checks)
      if (check.result !== 'passed')
        lines.push(`    ${check.result}: ${check.message} ${paint('dim', `[${check.code}]`)}`)
    for (const repair of one.repairs) lines.push(paint('dim', `    ${repair.message} [${repair.code}]`))
    one.steps.forEach((step, index) => {
      lines.push(`  ${String(index + 1).padStart(3)}. ${step.sentence}`)
    })
    for (const { sentence } of one.gateways) lines.push(`    ${paint('dim', sentence)}`)
  }
  for (const failure of failures)
    lines.push(
      `${paint('red', '✗')} ${failure.certificate ? `${failure.certificate}: ` : ''}${failure.message}`,
      `    ${failure.next}`,
    )
  if (lines.length === 0) lines.push('Nothing to do: nothing lies in incoming/.')
  return `${lines.join('\n')}\n`
}
