import { hour, second } from './clock.ts'

/**
 * `Retry-After` in milliseconds: seconds or an HTTP date (RFC 9110, section 10.2.3); undefined when unreadable.
 * What a service asks for is a wish: whoever waits has a longest wait of their own, and so has this.
 */
export function retryAfterMs(header: string | readonly string[] | undefined, now: Date): number | undefined {
  const value = (typeof header === 'object' ? header[0] : header)?.trim()
  if (!value) return undefined
  if (/^\d+$/.test(value)) return Math.min(Number(value) * second, LONGEST_RETRY_AFTER_MS)
  // Only the forms of RFC 9110 begin with a weekday; Date.parse alone would also take "1.5" for a date.
  if (!/^[A-Za-z]{3,9},? /.test(value)) return undefined
  const at = Date.parse(value)
  if (Number.isNaN(at)) return undefined
  return Math.min(Math.max(0, at - now.getTime()), LONGEST_RETRY_AFTER_MS)
}

/** No rate limit in use asks for more: a CA's weekly ones fill up again within 34 hours. The rest is a broken header. */
const LONGEST_RETRY_AFTER_MS = 48 * hour
