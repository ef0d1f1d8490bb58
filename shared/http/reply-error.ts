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
