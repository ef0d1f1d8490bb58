import { X509Certificate } from 'node:crypto'
import { day, hour, minute } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import { type DerElement, readDer } from './der.ts'
import type { RenewalInfo } from './port.ts'

/** RFC 9773, section 4.3: a client that gets no answer asks again after six hours. */
const pollDefault = 6 * hour
/** RFC 9773, section 4.3.2: clients bound what a server may ask for. */
const pollLeast = minute
const pollMost = day

/** id-ce-authorityKeyIdentifier 2.5.29.35, as the bytes of its OBJECT IDENTIFIER. */
const authorityKeyIdentifier = Buffer.from([0x55, 0x1d, 0x23])

/**
 * RFC 9773, section 4.1: base64url of the authority key identifier, a dot, base64url of the serial's DER content
 * (a leading zero byte belongs to it). Undefined where the certificate has no such extension.
 */
export function renewalInfoId(certificate: Uint8Array | string): string | undefined {
  const { raw } = new X509Certificate(Buffer.from(certificate))
  const [tbs] = readDer(raw).children()
  const fields = tbs?.children() ?? []
  // [0] version is optional; the serial is the first INTEGER.
  const serial = fields.find((field) => field.tag === 0x02)
  const extensions = fields
    .find((field) => field.tag === 0xa3)
    ?.children()[0]
    ?.children()
  const extension = extensions?.find((item) =>
    authorityKeyIdentifier.equals(item.children()[0]?.content ?? new Uint8Array()),
  )
  const value = extension?.children().find((item: DerElement) => item.tag === 0x04)
  // AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] IMPLICIT OCTET STRING OPTIONAL, … }
  const keyIdentifier =
    value &&
    readDer(value.content)
      .children()
      .find((item) => item.tag === 0x80)
  if (serial === undefined || keyIdentifier === undefined) return undefined
  return `${base64url(keyIdentifier.content)}.${base64url(serial.content)}`
}

/** The body of a renewal information reply (RFC 9773, section 4.2), or `acme.renewal-info` where it makes no sense. */
export function readRenewalInfo(body: unknown, retryAfterMs: number | undefined): RenewalInfo {
  const { suggestedWindow, explanationURL } = (body ?? {}) as {
    suggestedWindow?: { start?: unknown; end?: unknown }
    explanationURL?: unknown
  }
  const start = instant(suggestedWindow?.start)
  const end = instant(suggestedWindow?.end)
  // RFC 9773, section 4.2: an end at or before the start is to be treated as no answer.
  if (start === undefined || end === undefined || end <= start) {
    throw new Failure({
      code: 'acme.renewal-info',
      kind: 'later',
      message: 'The CA sent renewal information without a usable window.',
      next: 'Nothing to do: the certificate is renewed by its lifetime until the CA sends a window again.',
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    })
  }
  return {
    start,
    end,
    ...(typeof explanationURL === 'string' &&
      /^https?:\/\//.test(explanationURL) && { explanationUrl: explanationURL }),
    ...(retryAfterMs !== undefined && { retryAfterMs }),
  }
}

/** When the CA is asked again: as its `Retry-After` says, between a minute and a day; six hours without one. */
export function nextPoll(now: Date, retryAfterMs: number | undefined): Date {
  const wait = Math.min(Math.max(retryAfterMs ?? pollDefault, pollLeast), pollMost)
  return new Date(now.getTime() + wait)
}

function instant(value: unknown): Date | undefined {
  // RFC 3339 only: Date.parse alone would also take "2026".
  if (typeof value !== 'string' || !/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d/.test(value)) return undefined
  const at = new Date(value)
  return Number.isNaN(at.getTime()) ? undefined : at
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url')
}
