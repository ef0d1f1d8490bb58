import { minute, second } from '../base/clock.ts'
import type { FailureReport } from '../base/failure.ts'
import { SIGNATURE_TOLERANCE_MS } from '../http/clock-ahead.ts'
import type { CloudSeen } from '../watch/facts.ts'
import { durationText } from '../watch/words.ts'
import { type HealthCheck, linesOf } from './port.ts'

/** Beyond this a clock is not what it should be. The difference is right to about a second. */
const CLOCK_WARNING_MS = minute

/**
 * Who we are to the cloud, and by which clock. `refusal`: why a call was not let through, if none was; a missing
 * permission (403) is no such reason, since who is forbidden something is known. Pure.
 */
export function credentialsCheck(cloud: CloudSeen, refusal: FailureReport | undefined): HealthCheck[] {
  const { credentials, region, projectId, clockAheadMs: aheadMs, temporary } = cloud
  const { passed, warning, failure } = linesOf('credentials')
  if (refusal) return [failure(credentials, refusal)]
  const project = projectId === undefined ? `region ${region}` : `project ${projectId} in ${region}`
  const lines = [
    passed(credentials, `accepted, ${project}${aheadMs === undefined ? '' : `; ${clock(aheadMs)}`}`),
  ]
  if (temporary)
    lines.push(
      warning(
        credentials,
        'is temporary: it ends, within a day mostly, and nothing here renews it',
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
