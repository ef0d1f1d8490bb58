import { minute, second } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import { SIGNATURE_TOLERANCE_MS } from '../http/clock-ahead.ts'
import { durationText, instantText } from '../watch/words.ts'
import { type HealthCheck, linesOf } from './port.ts'

export interface CredentialFacts {
  /** Which, as `Credentials.description` says it. */
  description: string
  region: string
  projectId: string | undefined
  /** Why a call was not let through. A missing permission (403) is no such reason: who is forbidden something is known. */
  refusal: Failure | undefined
  /** Milliseconds that this machine's clock is ahead of the service's; undefined where nobody answered. */
  aheadMs: number | undefined
  /** They end, and nothing here renews them; when, where it can be known. */
  ends: 'never' | 'unseen' | Date
}

/** Beyond this a clock is not what it should be. The difference is right to about a second. */
const CLOCK_WARNING_MS = minute

/** Who we are to the cloud, and by which clock. Pure. */
export function credentialsCheck(facts: CredentialFacts): HealthCheck[] {
  const { description, region, projectId, refusal, aheadMs, ends } = facts
  const { passed, warning, failure } = linesOf('credentials')
  if (refusal) return [failure(description, refusal)]
  const project = projectId === undefined ? `region ${region}` : `project ${projectId} in ${region}`
  const lines = [
    passed(description, `accepted, ${project}${aheadMs === undefined ? '' : `; ${clock(aheadMs)}`}`),
  ]
  if (ends !== 'never')
    lines.push(
      warning(
        description,
        ends === 'unseen'
          ? 'is temporary: it ends, within a day mostly, and nothing here renews it'
          : `is temporary: it ends ${instantText(ends)}, and nothing here renews it`,
        'For anything but a try use an access key without a token, a password, or in a function its agency.',
      ),
    )
  if (aheadMs !== undefined && Math.abs(aheadMs) > CLOCK_WARNING_MS)
    lines.push(
      warning(
        'clock',
        `of this machine is ${offText(aheadMs)} the cloud's`,
        `Set it, and keep it set (NTP): from ${durationText(SIGNATURE_TOLERANCE_MS)} on signed requests are refused.`,
      ),
    )
  return lines
}

function clock(aheadMs: number): string {
  return Math.abs(aheadMs) < 2 * second ? 'clock right' : `clock ${offText(aheadMs)} the cloud's`
}

function offText(aheadMs: number): string {
  return `${durationText(aheadMs)} ${aheadMs > 0 ? 'ahead of' : 'behind'}`
}
