import type { Secret } from '../../base/secret.ts'
import type { Digest } from '../../watch/notice.ts'

export interface FormatInput {
  digest: Digest
  /** For signatures. */
  now: Date
  /** Signing secret or routing key. */
  secret?: Secret | undefined
}

export interface WebhookRequest {
  body: string
  headers?: Readonly<Record<string, string>>
  /** Added to the URL's own query. */
  query?: Readonly<Record<string, string>>
}

/** What the reply means; `code` and `text` are the service's own words. */
export type WebhookVerdict =
  | { accepted: true }
  | { accepted: false; kind: 'later' | 'never'; code?: string; text?: string }

/** One vendor's documented form: pure. */
export interface WebhookFormat {
  /** How the vendor is called in sentences. */
  readonly title: string
  /** More than one only where the vendor takes one condition per request. */
  requests(input: FormatInput): WebhookRequest[]
  /** Judges a reply with a 2xx status; other statuses mean the same everywhere. */
  judge(status: number, body: unknown): WebhookVerdict
}

/** Services that answer 200 with an error code in the body. */
export function judgeErrorCode(
  fields: readonly string[],
  throttled: readonly number[],
  body: unknown,
): WebhookVerdict {
  const record = typeof body === 'object' && body !== null ? (body as Record<string, unknown>) : {}
  const code = fields.map((field) => record[field]).find((value) => typeof value === 'number')
  if (code === 0) return { accepted: true }
  const text = [record.errmsg, record.msg, record.StatusMessage].find((value) => typeof value === 'string')
  return {
    accepted: false,
    kind: typeof code === 'number' && !throttled.includes(code) ? 'never' : 'later',
    code: code === undefined ? 'no error code in the reply' : String(code),
    ...(typeof text === 'string' ? { text } : {}),
  }
}
