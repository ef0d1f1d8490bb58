import { createHash } from 'node:crypto'
import type { ConnectionOptions } from 'node:tls'
import { Failure } from '../base/failure.ts'
import type { Secret } from '../base/secret.ts'
import type { Channel } from './port.ts'
import { reach } from './reach.ts'
import { digestText, headline, plain, severityOf } from './text.ts'

export interface SmtpOptions {
  host: string
  port: number
  user?: string | undefined
  password?: Secret | undefined
  from: string
  to: readonly string[]
  timeoutMs: number
  /** For a private CA. */
  tls?: ConnectionOptions
}

/**
 * E-mail. Port 465 speaks TLS from the start, others by STARTTLS; a password is never sent in the clear. nodemailer
 * is loaded when the first message is sent: most runs say nothing.
 */
export function createSmtpChannel(options: SmtpOptions): Channel {
  const target = createHash('sha256').update(options.to.join(',')).digest('hex').slice(0, 8)
  const name = `smtp ${options.host} ${target}`
  return {
    name,
    reach: (signal) =>
      reach({ channel: name, host: options.host, port: options.port, timeoutMs: options.timeoutMs, signal }),
    async send(digest, signal) {
      const { createTransport } = await import('nodemailer')
      const transport = createTransport({
        host: options.host,
        port: options.port,
        secure: options.port === 465,
        requireTLS: options.password !== undefined && options.port !== 465,
        connectionTimeout: options.timeoutMs,
        greetingTimeout: options.timeoutMs,
        socketTimeout: options.timeoutMs,
        disableFileAccess: true,
        disableUrlAccess: true,
        ...(options.user === undefined
          ? {}
          : { auth: { user: options.user, pass: options.password?.reveal() ?? '' } }),
        ...(options.tls === undefined ? {} : { tls: options.tls }),
      })
      try {
        const sent = await transport.sendMail({
          from: options.from,
          to: [...options.to],
          subject: plain(`[cert-rotation] ${headline(digest)}`, 200),
          text: `${digestText(digest, 200_000)}\n`,
          // The same digest sent again is the same message for the reader's mail program.
          messageId: `<${digest.id}.${target}@cert-rotation.invalid>`,
          priority: severityOf(digest) === 'critical' ? 'high' : 'normal',
          headers: { 'Auto-Submitted': 'auto-generated' },
          signal,
        })
        return plain(sent.response, 80)
      } catch (thrown) {
        throw smtpFailure(name, options, thrown)
      } finally {
        transport.close()
      }
    },
  }
}

/** 4xx replies are temporary, 5xx are not (RFC 5321, section 4.2.1); no reply is temporary. */
function smtpFailure(name: string, { host, port, password }: SmtpOptions, thrown: unknown): Failure {
  const { code, responseCode, response } = thrown as {
    code?: unknown
    responseCode?: unknown
    response?: unknown
  }
  const status = typeof responseCode === 'number' ? responseCode : undefined
  const never = status !== undefined && status >= 500
  const label = typeof code === 'string' ? plain(code, 40) : 'unknown error'
  const words = plain(typeof response === 'string' ? response : label, 160)
  const secret = password?.reveal() ?? ''
  const said = secret.length >= 4 ? words.replaceAll(secret, '[secret]') : words
  return new Failure({
    code: never
      ? 'notify.refused'
      : label === 'ETIMEDOUT' || label === 'EABORT'
        ? 'notify.timeout'
        : 'notify.unreachable',
    kind: never ? 'never' : 'later',
    message: `The mail server ${host}:${port} did not take the message (channel ${name}): ${said}`,
    next:
      label === 'ETLS'
        ? 'The server offers no STARTTLS, and a password is sent over TLS only: use port 465 or another server.'
        : never
          ? 'Check user, password, sender and recipients of this channel in rotation.yaml.'
          : 'Check host, port and the network of the function if this goes on.',
    facts: { channel: name, cause: label, ...(status === undefined ? {} : { status }) },
    effect: 'unknown',
  })
}
