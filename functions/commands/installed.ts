import type { DesiredService } from '../../deploy/desired.ts'
import type { DeploySession } from '../../deploy/session.ts'
import { Failure } from '../../shared/base/failure.ts'
import type { doctorDocument } from '../../shared/health/port.ts'
import { renderChecks, summary } from './doctor.ts'
import { painter } from './render.ts'
import { useColor } from './session.ts'

/** `doctor` inside the deployed function: with its credentials, from its network. Returns the exit status. */
export async function checkInFunction(
  service: DesiredService,
  { functionGraph }: DeploySession,
): Promise<number> {
  const { name } = service.functions.find(({ key }) => key === 'on-timer')!
  const { status, result, requestId } = await functionGraph.invoke(name, { doctor: true })
  const answer = read(result)
  if (status !== 200 || !('checks' in answer))
    throw new Failure({
      code: 'setup.function-failed',
      kind: 'later',
      message: `Everything is made, but the function ${name} cannot look around (request ${requestId}): ${'errorMessage' in answer ? answer.errorMessage : 'its answer cannot be read'}`,
      next: 'What was granted just now can take some minutes to have effect: run "cert-rotation setup --check" then.',
    })
  const { stdout } = process
  stdout.write(`\nSeen from inside the function ${name}:\n`)
  stdout.write(renderChecks(painter(useColor(stdout)), stdout.columns ?? 100)(answer.checks))
  stdout.write(summary(answer, answer.exitStatus))
  return answer.exitStatus
}

function read(result: string): ReturnType<typeof doctorDocument> | { errorMessage: string } {
  try {
    const answer = JSON.parse(result) as object
    return 'checks' in answer || 'errorMessage' in answer
      ? (answer as never)
      : { errorMessage: result.slice(0, 300) }
  } catch {
    return { errorMessage: result.slice(0, 300) }
  }
}
