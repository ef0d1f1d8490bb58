import type { DesiredService } from '../../deploy/desired.ts'
import type { DeploySession } from '../../deploy/session.ts'
import { say } from './installing.ts'
import { painter } from './render.ts'
import { useColor } from './session.ts'

/** Looks around from inside the deployed function: with its credentials, from its network. Returns the exit status. */
export async function checkInFunction(
  service: DesiredService,
  { functionGraph }: DeploySession,
): Promise<number> {
  const { name } = service.functions.find(({ key }) => key === 'on-timer')!
  const event = {
    version: 'v1.0',
    trigger_type: 'TIMER',
    trigger_name: 'setup',
    user_event: JSON.stringify({ jobs: ['watch'] }),
  }
  const { status, result, requestId } = await functionGraph.invoke(name, event)
  const paint = painter(useColor(process.stdout))
  const answer = read(result)
  const failures =
    status === 200 ? (answer.failures ?? []) : [{ message: answer.errorMessage ?? result, next: '' }]
  for (const { message, next } of failures) {
    say(`${paint('red', '✗')} ${message}`)
    if (next) say(`  → ${next}`)
  }
  if (failures.length === 0) {
    say(`${paint('green', '✓')} The function ${name} looked at everything and found nothing wrong.`)
    return 0
  }
  say(
    `  → What was granted just now can take some minutes to have effect: run setup again (request ${requestId}).`,
  )
  return 1
}

interface Answer {
  failures?: { message: string; next: string }[]
  errorMessage?: string
}

function read(result: string): Answer {
  try {
    return JSON.parse(result) as Answer
  } catch {
    return {}
  }
}
