import { Agent, type Dispatcher, request } from 'undici'
import type { Clock } from '../base/clock.ts'
import { Failure, type FailureInit } from '../base/failure.ts'
import { retryAfterMs } from '../base/retry-after.ts'
import { hostOf } from './problems.ts'

/** One reply of an ACME server. */
export interface AcmeReply {
  status: number
  headers: Record<string, string | undefined>
  /** Parsed JSON, else the text. */
  data: unknown
}

export interface TransportOptions {
  directory: string
  /** Roots in PEM instead of the system's. */
  caPem?: string | undefined
  clock: Clock
  /** Milliseconds one request may take. */
  timeoutMs: number
  /** Milliseconds that are left of the work this belongs to. */
  remainingMs?: (() => number) | undefined
  userAgent: string
}

/** Of the time that is left, the share that one request may take: what hangs has failed before the time is over. */
const REQUEST_SHARE = 1 / 3
/** A reply is a certificate chain or a small JSON document. */
const maxReplyBytes = 1024 * 1024
/** A clock that is off by more breaks renewal times and certificate checks. */
const skewLimitMs = 10 * 60_000

/**
 * HTTP to one ACME server: its own connections and roots, nothing shared between servers. Sends each request
 * once; a network failure becomes `acme.unreachable` or `acme.untrusted`.
 */
export class AcmeTransport {
  readonly #options: TransportOptions
  #agent: Agent | undefined
  /** Milliseconds this machine's clock is ahead of the server's, where that is more than ten minutes. */
  skewMs: number | undefined

  constructor(options: TransportOptions) {
    this.#options = options
  }

  async send(
    method: 'GET' | 'HEAD' | 'POST',
    url: string,
    body: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<AcmeReply> {
    signal?.throwIfAborted()
    const { userAgent, remainingMs } = this.#options
    const share = Math.ceil((remainingMs?.() ?? Number.POSITIVE_INFINITY) * REQUEST_SHARE)
    const timeoutMs = Math.min(this.#options.timeoutMs, share)
    const timeout = AbortSignal.timeout(timeoutMs)
    try {
      const reply = await request(url, {
        method,
        dispatcher: this.#dispatcher(),
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
        headers: {
          'user-agent': userAgent,
          'accept-language': 'en',
          // RFC 8555, section 6.2: the only type a server takes.
          ...(body !== undefined && { 'content-type': 'application/jose+json' }),
        },
        body: body ?? null,
      })
      const headers = flatten(reply.headers)
      this.#noteSkew(headers.date)
      return { status: reply.statusCode, headers, data: parsed(await limited(reply.body)) }
    } catch (thrown) {
      signal?.throwIfAborted()
      throw thrown instanceof Failure ? thrown : this.#networkFailure(thrown, timeout.aborted, timeoutMs)
    }
  }

  /** Milliseconds that `Retry-After` asks for, at least 0. */
  retryAfter(reply: AcmeReply): number | undefined {
    return retryAfterMs(reply.headers['retry-after'], this.#options.clock.now())
  }

  async close(): Promise<void> {
    await this.#agent?.destroy()
    this.#agent = undefined
  }

  #dispatcher(): Dispatcher {
    this.#agent ??= new Agent({
      connect: {
        timeout: this.#options.timeoutMs,
        ...(this.#options.caPem !== undefined && { ca: this.#options.caPem }),
      },
    })
    return this.#agent
  }

  #noteSkew(date: string | undefined): void {
    const server = Date.parse(date ?? '')
    if (Number.isNaN(server)) return
    const skew = this.#options.clock.now().getTime() - server
    this.skewMs = Math.abs(skew) > skewLimitMs ? skew : undefined
  }

  #networkFailure(thrown: unknown, timedOut: boolean, timeoutMs: number): Failure {
    const { directory } = this.#options
    const code = timedOut ? 'ETIMEDOUT' : causeCode(thrown)
    const facts = { directory, cause: code }
    const server = hostOf(directory)
    const base = { facts, cause: thrown, effect: 'unknown' as const }
    if (/^CERT_|^ERR_TLS|SELF_SIGNED|UNABLE_TO_|DEPTH_ZERO/.test(code)) {
      const dates = code === 'CERT_NOT_YET_VALID' || code === 'CERT_HAS_EXPIRED'
      return failure(base, {
        code: 'acme.untrusted',
        kind: 'later',
        message: `The ACME server ${server} showed a TLS certificate that is not trusted here (${code}).`,
        next: dates
          ? 'Check the clock of this machine first, then the certificate of the ACME server.'
          : 'For a private ACME server put its root certificate into a file and name it as `ca`; otherwise check the directory URL.',
      })
    }
    const reasons: Record<string, string> = {
      ETIMEDOUT: `no answer within ${timeoutMs} ms`,
      ENOTFOUND: 'its name does not resolve',
      EAI_AGAIN: 'its name could not be resolved just now',
      ECONNREFUSED: 'the connection was refused',
    }
    return failure(base, {
      code: 'acme.unreachable',
      kind: 'again',
      message: `The ACME server ${server} cannot be reached: ${reasons[code] ?? code}.`,
      next: 'Check the directory URL and whether the function may reach the internet (NAT gateway, DNS).',
    })
  }
}

function failure(base: Partial<FailureInit>, init: FailureInit): Failure {
  return new Failure({ ...base, ...init })
}

function causeCode(thrown: unknown): string {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    const code = (error as { code?: unknown }).code
    if (typeof code !== 'string') continue
    if (code.includes('TIMEOUT')) return 'ETIMEDOUT'
    // OpenSSL's own words for a server that does not speak TLS.
    return code === 'ERR_SSL_WRONG_VERSION_NUMBER' ? 'it does not speak HTTPS' : code
  }
  return thrown instanceof Error ? thrown.name : 'unknown'
}

function flatten(headers: Record<string, string | string[] | undefined>): AcmeReply['headers'] {
  return Object.fromEntries(
    Object.entries(headers).map(([name, value]) => [name, Array.isArray(value) ? value.join(', ') : value]),
  )
}

async function limited(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = []
  let size = 0
  for await (const chunk of body) {
    size += chunk.length
    if (size > maxReplyBytes) {
      throw new Failure({
        code: 'acme.bad-reply',
        kind: 'later',
        message: 'The ACME server sent more than 1 MiB in one reply.',
        next: 'Check the directory URL.',
        effect: 'unknown',
      })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parsed(text: string): unknown {
  if (!/^\s*[{[]/.test(text)) return text
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
