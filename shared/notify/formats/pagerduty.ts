import { digestOf } from '../../base/names.ts'
import type { Digest, Notice } from '../../watch/notice.ts'
import { noticeText, plain, titled, truncateBytes } from '../text.ts'
import type { WebhookFormat, WebhookRequest } from './format.ts'

const severities = { critical: 'critical', warning: 'warning', info: 'info' } as const

/**
 * PagerDuty Events API v2. One event per condition, `dedup_key` from its incident, so that a repeat or a worse threshold
 * updates the incident and what is solved resolves it. Good news about what was never an incident is not sent.
 */
export const pagerduty: WebhookFormat = {
  title: 'PagerDuty',
  requests: ({ digest, secret }) => {
    const routingKey = secret?.reveal() ?? ''
    return digest.notices.flatMap((notice) => events(notice, digest, routingKey))
  },
  judge: (status, body) => {
    const said = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
    if (status === 202 || said.status === 'success') return { accepted: true }
    return {
      accepted: false,
      kind: 'later',
      ...(typeof said.message === 'string' ? { text: said.message } : {}),
    }
  },
}

function events(notice: Notice, digest: Digest, routingKey: string): WebhookRequest[] {
  const incident = (key: string) => dedupKey(digest.incidents?.[key] ?? key)
  const resolve = (key: string): WebhookRequest => ({
    body: JSON.stringify({ routing_key: routingKey, event_action: 'resolve', dedup_key: incident(key) }),
  })
  if (notice.kind === 'rotated') return notice.solves.map(resolve)
  if (notice.kind === 'solved') return notice.remaining === 0 ? [resolve(notice.key)] : []
  const { lines } = noticeText(notice)
  const { installation } = digest
  const payload = {
    summary: truncateBytes(titled(digest, notice), 1_024),
    source: plain(notice.where[0] ?? notice.certificate ?? 'cert-rotation'),
    severity: severities[notice.severity],
    timestamp: notice.at,
    component: plain(notice.certificate ?? 'cert-rotation'),
    ...(notice.owner === undefined ? {} : { group: plain(notice.owner) }),
    class: notice.kind,
    custom_details: {
      ...(installation === undefined ? {} : { Installation: installation }),
      ...details(lines),
    },
  }
  const trigger = {
    body: JSON.stringify({
      routing_key: routingKey,
      event_action: 'trigger',
      dedup_key: incident(notice.key),
      client: 'cert-rotation',
      payload,
    }),
  }
  // An incident that is a test must not wait for anybody.
  return notice.kind === 'test' ? [trigger, resolve(notice.key)] : [trigger]
}

/** At most 255 characters. */
export function dedupKey(incident: string): string {
  const full = `cert-rotation/${plain(incident, 1_000)}`
  return full.length <= 255 ? full : `${full.slice(0, 220)}/${digestOf(incident)}`
}

function details(lines: FormatLines): Record<string, string> {
  const result: Record<string, string> = {}
  for (const { label, value } of lines)
    result[label] = result[label] === undefined ? value : `${result[label]}\n${value}`
  return result
}

type FormatLines = ReturnType<typeof noticeText>['lines']
