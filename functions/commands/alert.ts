import { nearest } from '../../shared/base/nearest.ts'
import { sendTest, type TestResult } from '../../shared/notify/test-message.ts'
import { wrap } from '../../shared/status/table.ts'
import { helpFor } from './help.ts'
import { painter } from './render.ts'
import { openSession, useColor } from './session.ts'
import { specs } from './specs.ts'
import { readArguments, UsageError } from './usage.ts'

/** `cert-rotation alert --test [--owner NAME]`: a test message through every channel, and what each of them said. */
export async function run(args: string[]): Promise<number> {
  const { values } = readArguments('alert', args)
  if (!values.test) {
    process.stderr.write(helpFor('alert', specs.alert))
    return 2
  }
  const session = await openSession({ ...values, quiet: false })
  try {
    const { wiring, parties } = session
    const { owners } = wiring.config.alerts
    if (values.owner !== undefined) requireOwner(values.owner, Object.keys(owners), values.config)
    const channels = await wiring.channels()
    if (channels.all.length === 0)
      throw new UsageError(
        `${values.config} has no channel: nobody is ever told anything`,
        'Add one under alerts: channels:, for example { webhook: "${SLACK_URL}", format: slack }.',
      )
    const results = await sendTest(channels, {
      from: wiring.installation,
      clock: parties.clock,
      signal: parties.deadline.signal,
      ...(values.owner === undefined ? {} : { audience: `owner ${values.owner}` }),
    })
    const exitStatus = results.some(({ failure }) => failure) ? 1 : 0
    process.stdout.write(
      values.json
        ? `${JSON.stringify({ command: 'alert', exitStatus, channels: results })}\n`
        : render(results, useColor(process.stdout), process.stdout.columns ?? 100),
    )
    return exitStatus
  } finally {
    await session.close()
  }
}

function requireOwner(owner: string, known: string[], file: string): void {
  if (known.includes(owner)) return
  const meant = nearest(owner, known)
  const has = known.length > 0 ? `it has: ${known.join(', ')}` : 'it has none'
  throw new UsageError(
    `${file} has no owner ${JSON.stringify(owner)}; ${meant ? `did you mean ${meant}?` : has}`,
    `Owners with channels of their own stand under alerts: owners: in ${file}.`,
  )
}

function render(results: readonly TestResult[], color: boolean, width: number): string {
  const paint = painter(color)
  const lines = results.flatMap(({ channel, audiences, said, failure }) => {
    const mark = failure ? paint('red', '✗') : paint('green', '✓')
    const what = failure ? failure.message : `took the test message${said ? `: ${said}` : ''}`
    return [
      `${mark} ${paint('bold', channel)} (${audiences.join(', ')})  ${what}`,
      ...(failure ? [`    ${failure.next} ${paint('dim', `[${failure.code}]`)}`] : []),
    ]
  })
  return `${lines.flatMap((line) => wrap(line, width)).join('\n')}\n`
}
