import { printable } from './redact.ts'

/** What a service says about an error, in whichever of its forms. */
export interface ReplyError {
  code?: string
  text?: string
  requestId?: string
}

/**
 * Reads `{error_code, error_msg, request_id}` (APIG, ROMA, SCM), `{code, message, request_id}` (SMN, DNS) and
 * `{error: {code, message, title}}` (IAM). Anything else gives what can be had: an error page is no error.
 */
export function readReplyError(
  body: unknown,
  headers: Record<string, string | string[] | undefined>,
  secrets: readonly string[],
): ReplyError {
  const outer = asRecord(body)
  const inner = asRecord(outer?.error) ?? outer
  const code = firstText(inner?.error_code, inner?.code)
  const text = firstText(inner?.error_msg, inner?.message, inner?.error_message)
  const requestId = firstText(
    headers['x-request-id'],
    headers['x-openstack-request-id'],
    outer?.request_id,
    inner?.request_id,
  )
  return {
    ...(code === undefined ? {} : { code: printable(code, secrets, 64) }),
    ...(text === undefined ? {} : { text: printable(text, secrets) }),
    ...(requestId === undefined ? {} : { requestId: printable(requestId, secrets, 128) }),
  }
}

/** `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110, section 10.2.3); undefined when unreadable. */
export function retryAfterMs(header: string | string[] | undefined, now: Date): number | undefined {
  const value = (Array.isArray(header) ? header[0] : header)?.trim()
  if (!value) return undefined
  if (/^\d+$/.test(value)) return Math.min(Number(value) * 1_000, LONGEST_RETRY_AFTER_MS)
  // Only the forms of RFC 9110 begin with a weekday; Date.parse alone would also take "1.5" for a date.
  if (!/^[A-Za-z]{3,9},? /.test(value)) return undefined
  const at = Date.parse(value)
  if (Number.isNaN(at)) return undefined
  return Math.min(Math.max(0, at - now.getTime()), LONGEST_RETRY_AFTER_MS)
}

/** A broken header must not put a rotation off for years. */
const LONGEST_RETRY_AFTER_MS = 6 * 3_600_000

function asRecord(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined
}

function firstText(...values: unknown[]): string | undefined {
  for (const value of values) {
    const one = Array.isArray(value) ? value[0] : value
    if (typeof one === 'string' && one.trim() !== '') return one
    if (typeof one === 'number') return String(one)
  }
  return undefined
}
