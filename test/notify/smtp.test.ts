import type { AddressInfo } from 'node:net'
import { SMTPServer, type SMTPServerOptions } from 'smtp-server'
import { afterEach, expect, test } from 'vitest'
import { Secret } from '../../shared/base/secret.ts'
import { createSmtpChannel, type SmtpOptions } from '../../shared/notify/smtp.ts'
import { attack, digest, expiry, never } from './support.ts'

let server: SMTPServer | undefined
const mails: { from: string; to: string[]; text: string; user: string | undefined; secure: boolean }[] = []
afterEach(async () => {
  mails.length = 0
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(resolve)))
  server = undefined
})

async function mailServer(options: SMTPServerOptions = {}): Promise<number> {
  const created = new SMTPServer({
    authOptional: true,
    onAuth: ({ username, password }, _session, done) =>
      password === 'right'
        ? done(null, { user: username ?? '' })
        : done(Object.assign(new Error(`no, ${password} is wrong`), { responseCode: 535 })),
    onData: (stream, session, done) => {
      const chunks: Buffer[] = []
      stream.on('data', (chunk: Buffer) => chunks.push(chunk))
      stream.on('end', () => {
        const { mailFrom, rcptTo } = session.envelope
        mails.push({
          from: mailFrom === false ? '' : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          text: Buffer.concat(chunks).toString('utf8'),
          user: session.user,
          secure: session.secure,
        })
        done()
      })
    },
    ...options,
  })
  created.on('error', () => {})
  server = created
  await new Promise<void>((resolve) => created.listen(0, '127.0.0.1', resolve))
  return (created.server.address() as AddressInfo).port
}

function smtp(port: number, more: Partial<SmtpOptions> = {}) {
  return createSmtpChannel({
    host: '127.0.0.1',
    port,
    from: 'Certificates <certs@example.org>',
    to: ['a@example.org', 'b@example.org'],
    timeoutMs: 2_000,
    ...more,
  })
}

test('a digest becomes one message to all recipients, with one line of subject', async () => {
  const port = await mailServer({ disabledCommands: ['STARTTLS', 'AUTH'] })
  await smtp(port).send(digest(expiry, { ...attack, certificate: 'x\r\nBcc: everybody@example.org' }), never)
  expect(mails).toHaveLength(1)
  expect(mails[0]).toMatchObject({ from: 'certs@example.org', to: ['a@example.org', 'b@example.org'] })
  expect(mails[0]?.text).toContain('Subject: [cert-rotation] shop expires in 24 hours, and 1 more')
  expect(mails[0]?.text).toContain('Auto-Submitted: auto-generated')
  expect(mails[0]?.text).not.toMatch(/^Bcc:/m)
})

test('a password is sent over TLS only: a server without STARTTLS gets none', async () => {
  const port = await mailServer({ disabledCommands: ['STARTTLS'] })
  const sending = smtp(port, { user: 'u', password: new Secret('right') }).send(digest(expiry), never)
  await expect(sending).rejects.toMatchObject({
    code: 'notify.refused',
    kind: 'never',
    next: expect.stringContaining('STARTTLS'),
  })
  expect(mails).toEqual([])
})

test('with STARTTLS the password is used, and a wrong one is refused without being printed', async () => {
  const port = await mailServer()
  // smtp-server brings a certificate of its own for tests.
  const tls = { rejectUnauthorized: false }
  await smtp(port, { user: 'u', password: new Secret('right'), tls }).send(digest(expiry), never)
  expect(mails[0]).toMatchObject({ secure: true, user: 'u' })
  const failure = await smtp(port, { user: 'u', password: new Secret('wrongpassword'), tls })
    .send(digest(expiry), never)
    .catch((error: unknown) => error)
  expect(failure).toMatchObject({ code: 'notify.refused', kind: 'never', facts: { status: 535 } })
  expect(JSON.stringify([(failure as Error).message, failure])).not.toContain('wrongpassword')
})

test('a server that is not there is tried again with the next tick', async () => {
  const port = await mailServer()
  await new Promise<void>((resolve) => server?.close(() => resolve()))
  server = undefined
  await expect(smtp(port).send(digest(expiry), never)).rejects.toMatchObject({
    code: 'notify.unreachable',
    kind: 'later',
  })
})
