import { isRecord } from '../base/shape.ts'
import type { HttpClient } from '../http/client.ts'
import type { Digest } from '../watch/notice.ts'
import { generic } from './formats/generic.ts'
import type { Channel } from './port.ts'
import { digestText, headline, noticeText, plain, truncateBytes } from './text.ts'

/** "Publishing a Message": at most 512 bytes, no line breaks. */
const mostSubjectBytes = 512
/** SMS: at most 490 characters, none of `[]【】`. */
const mostSmsCharacters = 490
/** The whole message: 256 KB; the parts below stay far under it. */
const mostMailBytes = 100_000

export interface SmnOptions {
  http: HttpClient
  projectId: string
  topicUrn: string
  now: () => Date
}

/**
 * Simple Message Notification: one publish per digest, `message_structure` with its own text for mail, SMS and HTTP
 * subscribers, `default` for everybody else. Failures: those of the HTTP client, `notify.*`.
 */
export function createSmnChannel({ http, projectId, topicUrn, now }: SmnOptions): Channel {
  return {
    name: `smn ${topicUrn}`,
    async send(digest, signal) {
      const { body } = await http.request({
        operation: `publish to topic ${topicUrn}`,
        method: 'POST',
        path: `/v2/${projectId}/notifications/topics/${topicUrn}/publish`,
        body: {
          subject: smnSubject(digest),
          message_structure: JSON.stringify(smnStructure(digest, now())),
          // A mail queue that is down for a night should still deliver in the morning.
          time_to_live: '86400',
        },
        permission: 'smn:topic:publish',
        signal,
      })
      const id =
        isRecord(body) && typeof body.message_id === 'string' ? plain(body.message_id, 80) : undefined
      return id && `message ${id}`
    },
  }
}

export function smnSubject(digest: Digest): string {
  return truncateBytes(plain(`[cert-rotation] ${headline(digest)}`, 500), mostSubjectBytes)
}

/** Key `default` is required; the others are read by the subscribers of that protocol. */
export function smnStructure(digest: Digest, now: Date): Record<string, string> {
  const long = digestText(digest, mostMailBytes)
  const machine = generic.requests({ digest, now })[0]?.body ?? long
  return {
    default: truncateBytes(long, 20_000),
    email: long,
    sms: smsText(digest),
    http: truncateJson(machine, long),
    https: truncateJson(machine, long),
  }
}

export function smsText(digest: Digest): string {
  const [first] = digest.notices
  const next =
    first === undefined
      ? ''
      : (noticeText(first).lines.find(({ label }) => label === 'You can')?.value ?? first.next)
  const text = `cert-rotation: ${headline(digest)}. ${next}`
    .replaceAll(/[[【]/g, '(')
    .replaceAll(/[\]】]/g, ')')
  // Characters are counted as UTF-16 units here, which is never fewer than the service counts.
  return text.length <= mostSmsCharacters
    ? text
    : `${text.slice(0, mostSmsCharacters - 1).replace(/[\ud800-\udbff]$/, '')}…`
}

/** Half a JSON document helps nobody. */
function truncateJson(machine: string, long: string): string {
  return Buffer.byteLength(machine) <= 60_000
    ? machine
    : JSON.stringify({ schema: 1, text: truncateBytes(long, 50_000) })
}
