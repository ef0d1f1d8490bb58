import { Agent, type Dispatcher } from 'undici'
import { Failure } from '../base/failure.ts'
import type { Secret } from '../base/secret.ts'
import { guardedLookup, isPrivateAddress, privateAddressFailure, type Resolve } from './address.ts'
import { plain } from './text.ts'

/** A URL that somebody has configured, and that may be a password: what it leads to and how it is spoken of. */
export interface Outgoing {
  /** `channel slack 1a2b3c4d` */
  what: string
  /** Behind the host's name: `Slack, channel slack 1a2b3c4d`. */
  who: string
  facts: Readonly<Record<string, string>>
  /** The URL is the credential: it is never printed. */
  url: Secret
  /** Besides the URL. */
  secrets: readonly Secret[]
  /** Also allows plain http. */
  allowPrivateAddress: boolean
  /** For connecting, for the headers and for the body, in milliseconds. */
  timeoutMs: number
  /** For tests: how names are resolved. */
  resolve?: Resolve | undefined
}

export interface Reply {
  status: number
  headers: Dispatcher.ResponseData['headers']
  /** Its beginning. */
  text: string
}

const mostReplyBytes = 64 * 1024

/** Fails with `notify.bad-target` or `notify.private-address`. */
export function targetOf({ what, facts, url: secret, allowPrivateAddress }: Outgoing): URL {
  let url: URL | undefined
  try {
    url = new URL(secret.reveal())
  } catch {
    // The parser's own words would quote the URL.
  }
  const wanted = allowPrivateAddress ? ['https:', 'http:'] : ['https:']
  if (url === undefined || !wanted.includes(url.protocol)) {
    throw new Failure({
      code: 'notify.bad-target',
      kind: 'never',
      message: `The URL of ${what} is not an ${wanted.map((scheme) => scheme.slice(0, -1)).join(' or ')} URL`,
      next: 'Correct it in rotation.yaml; it must start with https://.',
      facts,
    })
  }
  // A literal address never reaches `lookup`.
  if (!allowPrivateAddress && isPrivateAddress(url.hostname)) throw privateAddressFailure(what)
  return url
}

/** Its connections lead to public addresses only, unless others are allowed. Destroy it when the work is over. */
export function agentFor({ what, timeoutMs, allowPrivateAddress, resolve }: Outgoing): Agent {
  return new Agent({
    connections: 1,
    connect: {
      timeout: timeoutMs,
      ...(allowPrivateAddress ? {} : { lookup: guardedLookup(what, resolve) }),
    },
  })
}

/**
 * One request and the beginning of its reply, whatever its status. Never follows a redirect: the new target would not
 * have been configured. Fails with `notify.timeout`, `notify.unreachable` or `notify.private-address`.
 */
export async function exchange(
  outgoing: Outgoing,
  agent: Dispatcher,
  url: URL,
  signal: AbortSignal,
  request: { method: 'GET' | 'POST'; headers?: Record<string, string>; body?: string },
): Promise<Reply> {
  const { timeoutMs } = outgoing
  try {
    const reply = await agent.request({
      ...request,
      origin: url.origin,
      path: `${url.pathname}${url.search}`,
      headers: { 'user-agent': 'cert-rotation', ...request.headers },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs * 2)]),
    })
    return { status: reply.statusCode, headers: reply.headers, text: await boundedText(reply) }
  } catch (thrown) {
    throw transportFailure(outgoing, url.host, thrown)
  }
}

/** Without what a receiver quotes back of the URL or a secret. */
export function scrubbed({ url, secrets }: Outgoing, text: string): string {
  const address = url.reveal()
  const parts = [address, ...secrets.map((secret) => secret.reveal()), ...address.split(/[/?&=]/)]
  return parts
    .filter((part) => part.length >= 8)
    .reduce((clean, part) => clean.replaceAll(part, '[secret]'), text)
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

/** Sentences are ours, with the host and nothing else of the URL: what undici or a receiver says may quote it all. */
function transportFailure({ who, facts }: Outgoing, host: string, thrown: unknown): Failure {
  const inner = thrown instanceof Error && thrown.cause instanceof Failure ? thrown.cause : thrown
  if (inner instanceof Failure) return inner
  const code = codeOf(thrown)
  const late = /TIMEOUT|ABORT/i.test(code)
  return new Failure({
    code: late ? 'notify.timeout' : 'notify.unreachable',
    kind: 'later',
    message: late ? `${host} (${who}) did not answer in time` : `Cannot reach ${host} (${who}): ${code}`,
    next: 'Check the network of the function if this goes on.',
    facts: { ...facts, host, cause: code },
    effect: 'unknown',
  })
}

function codeOf(thrown: unknown): string {
  const { code, name } = thrown as { code?: unknown; name?: unknown }
  const label = typeof code === 'string' ? code : typeof name === 'string' ? name : 'unknown error'
  return plain(label, 60)
}
