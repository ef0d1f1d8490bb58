import { createHash } from 'node:crypto'
import type { Dispatcher } from 'undici'
import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import { retryAfterMs } from '../base/retry-after.ts'
import type { Secret } from '../base/secret.ts'
import { guardedLookup, type Resolve } from './address.ts'
import { dingtalk } from './formats/dingtalk.ts'
import { feishu } from './formats/feishu.ts'
import type { WebhookFormat, WebhookRequest, WebhookVerdict } from './formats/format.ts'
import { generic } from './formats/generic.ts'
import { pagerduty } from './formats/pagerduty.ts'
import { slack } from './formats/slack.ts'
import { teams } from './formats/teams.ts'
import { wecom } from './formats/wecom.ts'
import { agentFor, exchange, type Outgoing, type Reply, scrubbed, targetOf } from './outgoing.ts'
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

/** A channel that posts to a webhook. Never follows a redirect: the new target would not have been configured. */
export function createWebhookChannel(options: WebhookOptions): Channel {
  const format: WebhookFormat = formats[options.format]
  const name = `${options.format} ${createHash('sha256').update(options.url.reveal()).digest('hex').slice(0, 8)}`
  const outgoing: Outgoing = {
    what: `channel ${name}`,
    who: `${format.title}, channel ${name}`,
    facts: { channel: name },
    url: options.url,
    secrets: options.secret ? [options.secret] : [],
    allowPrivateAddress: options.allowPrivateAddress,
    timeoutMs: options.timeoutMs,
    resolve: options.resolve,
  }
  const call: Call = { name, format, options, outgoing }
  const target = () => {
    if (options.format === 'pagerduty' && options.secret === undefined) throw noRoutingKey(name)
    return targetOf(outgoing)
  }

  return {
    name,
    async reach(signal) {
      const { hostname: host, port, protocol } = target()
      const lookup = options.allowPrivateAddress ? undefined : guardedLookup(outgoing.what, options.resolve)
      const { timeoutMs } = options
      const known = Number(port || (protocol === 'http:' ? 80 : 443))
      await reach({ channel: name, host, port: known, timeoutMs, lookup, signal })
    },
    async send(digest, signal) {
      const url = target()
      const requests = format.requests({ digest, now: options.clock.now(), secret: options.secret })
      const agent = agentFor(outgoing)
      try {
        let said = ''
        for (const [index, request] of requests.entries())
          said = await post(call, agent, url, request, signal, index > 0)
        return said
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
  outgoing: Outgoing
}

function noRoutingKey(name: string): Failure {
  return new Failure({
    code: 'notify.bad-target',
    kind: 'never',
    message: `Channel ${name} has no routing key`,
    next: 'Set secret: to the integration key of the PagerDuty service (Events API v2).',
    facts: { channel: name },
  })
}

async function post(
  call: Call,
  agent: Dispatcher,
  target: URL,
  request: WebhookRequest,
  signal: AbortSignal,
  /** A part of the message has been taken already. */
  begun: boolean,
): Promise<string> {
  const url = new URL(target)
  for (const [key, value] of Object.entries(request.query ?? {})) url.searchParams.set(key, value)
  const headers = { 'content-type': 'application/json; charset=utf-8', ...request.headers }
  const reply = await exchange(call.outgoing, agent, url, signal, {
    method: 'POST',
    headers,
    body: request.body,
  })
  const verdict = judge(call.format, reply.status, reply.text)
  if (!verdict.accepted) throw replyFailure(call, target.host, reply, verdict, begun)
  return scrubbed(call.outgoing, `${reply.status} ${saidIn(reply.text)}`.trim())
}

/** The service's own words in a reply that says yes. */
function saidIn(text: string): string {
  const reply = parsed(text)
  if (typeof reply === 'string') return plain(reply, 80)
  const { message, errmsg, msg } = (reply ?? {}) as Record<string, unknown>
  const words = [message, errmsg, msg].find((one) => typeof one === 'string')
  return plain(words ?? '', 80)
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

function replyFailure(
  { name, format, options, outgoing }: Call,
  host: string,
  reply: Reply,
  verdict: WebhookVerdict & { accepted: false },
  begun: boolean,
): Failure {
  const said = scrubbed(outgoing, plain(verdict.text ?? '', 200))
  const code = verdict.code ?? String(reply.status)
  const redirected = reply.status >= 300 && reply.status < 400
  const throttled = reply.status === 429
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
    facts: { channel: name, host, status: reply.status, errorCode: code },
    // 503 says that it was not taken; a gateway that says 502 or 504 does not know.
    effect: begun || (reply.status >= 500 && reply.status !== 503) ? 'unknown' : 'none',
    ...(retryAfter === undefined ? {} : { retryAfterMs: retryAfter }),
  })
}
