import { asFailure, type FailureReport } from '../../shared/base/failure.ts'
import { misplacedIn } from '../../shared/rotation/intake/misplaced.ts'
import { uploadsIn } from '../../shared/rotation/intake/uploads.ts'
import { type Preview, preview } from '../../shared/rotation/preview.ts'
import { differenceRows } from '../../shared/rotation/record/difference-words.ts'
import { begunWithout } from '../../shared/runtime/begun.ts'
import { placesUnread } from '../../shared/runtime/gather.ts'
import { unreadList } from '../../shared/runtime/not-seen.ts'
import { wrap } from '../../shared/status/table.ts'
import { painter } from './render.ts'
import { columnsOf, openSession, useColor } from './session.ts'
import { readArguments, requireKnownNames } from './usage.ts'

/** `cert-rotation plan [NAME...]`: what would be done and why, changing nothing. */
export async function run(args: string[]): Promise<number> {
  const { values, positionals } = readArguments('plan', args)
  const session = await openSession(values)
  try {
    const { wiring, parties } = session
    requireKnownNames(positionals, wiring.names, values.config)
    const { names: uploaded, strangers, outside } = await uploadsIn(wiring.store, wiring.names)
    const begun = positionals.length > 0 ? [] : await begunWithout(uploaded, wiring, parties)
    const names =
      positionals.length > 0
        ? positionals
        : wiring.names.filter((name) => uploaded.includes(name) || begun.includes(name))
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
    // "Nothing to do" is said only by somebody who could do it; what a plan has failed for is not told twice.
    const said = failures.map(({ message }) => message)
    const asked = positionals.length > 0 ? positionals : wiring.names
    for (const unread of await placesUnread(wiring, parties, asked))
      if (!said.includes(unread.failure.message)) failures.push(unreadList(unread).toJSON())
    const wrong = failures.length > 0 || previews.some((one) => one.decision === 'refuse')
    const exitStatus = wrong ? 1 : previews.some((one) => one.failures.length > 0) ? 3 : 0
    const options = { color: useColor(process.stdout), width: columnsOf(process.stdout) }
    const text = values.json
      ? `${JSON.stringify({ command: 'plan', exitStatus, plans: previews, failures })}\n`
      : renderPlan(previews, failures, options)
    process.stdout.write(text)
    session.tellRest(text)
    return exitStatus
  } finally {
    await session.close()
  }
}

type PlanFailure = FailureReport & { certificate?: string }

/** As many domains are told one by one; of more, each kind of step once. */
const EACH = 10
const LABEL = 13

export function renderPlan(
  previews: readonly Preview[],
  failures: readonly PlanFailure[],
  { color, width }: { color: boolean; width: number },
): string {
  const paint = painter(color)
  const lines: string[] = []
  const say = (line: string, hanging = '    ') => lines.push(...wrap(line, width, hanging))
  for (const one of previews) {
    const style = one.decision === 'refuse' ? 'red' : one.decision === 'rotate' ? 'cyan' : 'dim'
    say(`${paint('bold', one.certificate)}  ${paint(style, one.decision)}: ${one.sentence}`)
    for (const check of one.checks)
      if (check.result !== 'passed')
        say(`  ${check.result}: ${check.message} ${paint('dim', `[${check.code}]`)}`)
    for (const repair of one.repairs) say(`  ${repair.message} [${repair.code}]`)
    for (const { label, text, warns } of one.difference ? differenceRows(one.difference) : []) {
      const title = label.padEnd(LABEL)
      say(`  ${warns ? paint('yellow', title) : paint('dim', title)}${text}`, ' '.repeat(LABEL + 2))
    }
    for (const { sentence } of one.gateways)
      say(`  ${'seen there'.padEnd(LABEL)}${sentence}`, ' '.repeat(LABEL + 2))
    for (const { message, next } of one.failures) {
      say(`  ${paint('yellow', '!')} ${message}`)
      say(`    ${paint('dim', '→')} ${next}`, '      ')
    }
    if (one.steps.length > 0) say('  steps')
    for (const { number, sentence } of stepsShown(one.steps))
      say(`  ${number.padStart(5)}  ${sentence}`, ' '.repeat(9))
  }
  for (const failure of failures) {
    say(`${paint('red', '✗')} ${failure.certificate ? `${failure.certificate}: ` : ''}${failure.message}`)
    say(`  ${paint('dim', '→')} ${failure.next}`)
  }
  if (lines.length === 0) lines.push('Nothing to do: nothing lies in incoming/.')
  return `${lines.join('\n')}\n`
}

function stepsShown(steps: Preview['steps']): { number: string; sentence: string }[] {
  const shown: { number: string; sentence: string }[] = []
  for (let at = 0; at < steps.length; ) {
    const { step } = steps[at]!
    const next = steps.findIndex((one, index) => index > at && one.step !== step)
    const alike = steps.slice(at, next < 0 ? undefined : next)
    const most = alike.length > EACH ? 2 : alike.length
    shown.push(...alike.slice(0, most).map(({ sentence }, i) => ({ number: `${at + i + 1}.`, sentence })))
    if (alike.length > most)
      shown.push({ number: `${at + most + 1}.`, sentence: `… and ${alike.length - most} more like it` })
    at += alike.length
  }
  return shown
}
