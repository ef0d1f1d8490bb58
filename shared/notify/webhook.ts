import { createHash } from 'node:crypto'
import { Agent, type Dispatcher } from 'undici'
import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import { retryAfterMs } from '../base/retry-after.ts'
import type { Secret } from '../base/secret.ts'
import { guardedLookup, isPrivateAddress, privateAddressFailure, type Resolve } from './address.ts'
import { dingtalk } from './formats/dingtalk.ts'
import { feishu } from './formats/feishu.ts'
import type { WebhookFormat, WebhookRequest, WebhookVerdict } from './formats/format.ts'
import { generic } from './formats/generic.ts'
import { pagerduty } from './formats/pagerduty.ts'
import { slack } from './formats/slack.ts'
import { teams } from './formats/teams.ts'
import { wecom } from './formats/wecom.ts'
import type { Channel } from './port.ts'
import { reach } from './reach.ts'
import { plain } from './text.ts'

export const formats = { slack, teams, dingtalk, feishu, wecom, pagerduty, generic } as const
export type FormatName = keyof typeof formats

export interface WebhookOptions {
  /** The URL is the credential: it is never printed. */
  url: Secret
  format: FormatName
  secret?: Secret | undefined
  /** Also allows plain http. */
  allowPrivateAddress: boolean
  clock: Clock
  /** For connecting, for the headers and for the body, in milliseconds. */
  timeoutMs: number
  /** For tests: how names are resolved. */
  resolve?: Resolve
}

const mostReplyBytes = 64 * 1024

/** A channel that posts to a webhook. Never follows a redirect: the new target would not have been configured. */
export function createWebhookChannel(options: WebhookOptions): Channel {
  const format: WebhookFormat = formats[options.format]
  const name = `${options.format} ${createHash('sha256').update(options.url.reveal()).digest('hex').slice(0, 8)}`
  const call: Call = { name, format, options }

  return {
    name,
    async reach(signal) {
      const { hostname: host, port, protocol } = targetOf(call)
      const lookup = options.allowPrivateAddress ? undefined : guardedLookup(options.resolve)
      const { timeoutMs } = options
      const known = Number(port || (protocol === 'http:' ? 80 : 443))
      await reach({ channel: name, host, port: known, timeoutMs, lookup, signal })
    },
    async send(digest, signal) {
      const target = targetOf(call)
      const requests = format.requests({ digest, now: options.clock.now(), secret: options.secret })
      const agent = new Agent({
        connections: 1,
        connect: {
          timeout: options.timeoutMs,
          ...(options.allowPrivateAddress ? {} : { lookup: guardedLookup(options.resolve) }),
        },
      })
      try {
        for (const [index, request] of requests.entries())
          await post(call, agent, target, request, signal, index > 0)
      } finally {
        await agent.destroy()
      }
    },
  }
}

interface Call {
  name: string
  format: WebhookFormat
  options: WebhookOptions
}

function targetOf({ name, options }: Call): URL {
  let url: URL | undefined
  try {
    url = new URL(options.url.reveal())
  } catch {
    // The parser's own words would quote the URL.
  }
  const wanted = options.allowPrivateAddress ? ['https:', 'http:'] : ['https:']
  if (url === undefined || !wanted.includes(url.protocol)) {
    throw new Failure({
      code: 'notify.bad-target',
      kind: 'never',
      message: `The URL of channel ${name} is not an ${wanted.map((scheme) => scheme.slice(0, -1)).join(' or ')} URL`,
      next: 'Correct the webhook in rotation.yaml; it must start with https://.',
      facts: { channel: name },
    })
  }
  if (options.format === 'pagerduty' && options.secret === undefined) {
    throw new Failure({
      code: 'notify.bad-target',
      kind: 'never',
      message: `Channel ${name} has no routing key`,
      next: 'Set secret: to the integration key of the PagerDuty service (Events API v2).',
      facts: { channel: name },
    })
  }
  // A literal address never reaches `lookup`.
  if (!options.allowPrivateAddress && isPrivateAddress(url.hostname)) throw privateAddressFailure()
  return url
}

async function post(
  call: Call,
  agent: Dispatcher,
  target: URL,
  request: WebhookRequest,
  signal: AbortSignal,
  /** A part of the message has been taken already. */
  begun: boolean,
): Promise<void> {
  const url = new URL(target)
  for (const [key, value] of Object.entries(request.query ?? {})) url.searchParams.set(key, value)
  const { timeoutMs } = call.options
  const overall = AbortSignal.any([signal, AbortSignal.timeout(timeoutMs * 2)])
  let reply: Dispatcher.ResponseData
  let text: string
  try {
    reply = await agent.request({
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      method: 'POST',
      headers: {
        'content-type': 'application/json; charset=utf-8',
        'user-agent': 'cert-rotation',
        ...request.headers,
      },
      body: request.body,
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      signal: overall,
    })
    text = await boundedText(reply)
  } catch (thrown) {
    throw transportFailure(call, target.host, thrown)
  }
  const verdict = judge(call.format, reply.statusCode, text)
  if (!verdict.accepted) throw replyFailure(call, target.host, reply, verdict, begun)
}

async function boundedText(reply: Dispatcher.ResponseData): Promise<string> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of reply.body) {
    size += (chunk as Buffer).length
    if (size > mostReplyBytes) break
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function judge(format: WebhookFormat, status: number, text: string): WebhookVerdict {
  if (status >= 200 && status < 300) return format.judge(status, parsed(text))
  if (status === 429 || status === 408 || status >= 500)
    return { accepted: false, kind: 'later', code: String(status) }
  return { accepted: false, kind: 'never', code: String(status) }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text.trim()
  }
}

/** Sentences are ours, with the host and nothing else of the URL: what undici or a receiver says may quote it all. */
function transportFailure({ name, format }: Call, host: string, thrown: unknown): Failure {
  const inner = thrown instanceof Error && thrown.cause instanceof Failure ? thrown.cause : thrown
  if (inner instanceof Failure) return inner
  const code = codeOf(thrown)
  const late = /TIMEOUT|ABORT/i.test(code)
  return new Failure({
    code: late ? 'notify.timeout' : 'notify.unreachable',
    kind: 'later',
    message: late
      ? `${host} (${format.title}, channel ${name}) did not answer in time`
      : `Cannot reach ${host} (${format.title}, channel ${name}): ${code}`,
    next: 'Check the network of the function if this goes on.',
    facts: { channel: name, host, cause: code },
    effect: 'unknown',
  })
}

function codeOf(thrown: unknown): string {
  const { code, name } = thrown as { code?: unknown; name?: unknown }
  const label = typeof code === 'string' ? code : typeof name === 'string' ? name : 'unknown error'
  return plain(label, 60)
}

function replyFailure(
  { name, format, options }: Call,
  host: string,
  reply: Dispatcher.ResponseData,
  verdict: WebhookVerdict & { accepted: false },
  begun: boolean,
): Failure {
  const said = scrub(plain(verdict.text ?? '', 200), options)
  const code = verdict.code ?? String(reply.statusCode)
  const redirected = reply.statusCode >= 300 && reply.statusCode < 400
  const throttled = reply.statusCode === 429
  const retryAfter = retryAfterMs(reply.headers['retry-after'], options.clock.now())
  return new Failure({
    code: throttled ? 'notify.throttled' : verdict.kind === 'later' ? 'notify.unavailable' : 'notify.refused',
    kind: verdict.kind,
    message: `${host} (${format.title}, channel ${name}) did not take the message: ${code}${said === '' ? '' : ` ${said}`}`,
    next: redirected
      ? 'The webhook redirects, which is not followed: configure the final URL.'
      : verdict.kind === 'later'
        ? 'See what the service says about it if this goes on.'
        : 'Check the webhook URL and its secret in rotation.yaml; the receiver may have been removed.',
    facts: { channel: name, host, status: reply.statusCode, errorCode: code },
    // 503 says that it was not taken; a gateway that says 502 or 504 does not know.
    effect: begun || (reply.statusCode >= 500 && reply.statusCode !== 503) ? 'unknown' : 'none',
    ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
  })
}

function scrub(text: string, { url, secret }: WebhookOptions): string {
  const parts = [url.reveal(), secret?.reveal(), ...url.reveal().split(/[/?&=]/)].filter(
    (part): part is string => part !== undefined && part.length >= 8,
  )
  return parts.reduce((clean, part) => clean.replaceAll(part, '[secret]'), text)
}
