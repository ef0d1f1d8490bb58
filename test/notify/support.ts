import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { systemClock } from '../../shared/base/clock.ts'
import { Secret } from '../../shared/base/secret.ts'
import { createWebhookChannel, type FormatName } from '../../shared/notify/webhook.ts'
import type { Digest, Notice } from '../../shared/watch/notice.ts'
import { hostile } from '../status/fixtures.ts'
import { start } from '../watch/support.ts'

export interface Received {
  url: URL
  headers: IncomingHttpHeaders
  body: string
  json: Record<string, unknown>
}

/** A receiver on loopback that answers as it is told. */
export async function receiver(answer: (received: Received, response: ServerResponse) => void) {
  const received: Received[] = []
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const body = Buffer.concat(chunks).toString('utf8')
      const entry = {
        url: new URL(request.url ?? '/', 'http://receiver'),
        headers: request.headers,
        body,
        json: JSON.parse(body) as Record<string, unknown>,
      }
      received.push(entry)
      answer(entry, response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    received,
    port,
    url: (path: string) => `http://127.0.0.1:${port}${path}`,
    close: () =>
      new Promise((resolve) => {
        server.closeAllConnections()
        server.close(resolve)
      }),
  }
}

export function channel(
  format: FormatName,
  url: string,
  secret?: string,
  more: Partial<Parameters<typeof createWebhookChannel>[0]> = {},
) {
  return createWebhookChannel({
    url: new Secret(url),
    format,
    secret: secret === undefined ? undefined : new Secret(secret),
    allowPrivateAddress: true,
    clock: systemClock,
    timeoutMs: 2_000,
    ...more,
  })
}

const common = {
  at: start.toISOString(),
  escalate: false,
  next: 'The next tick looks again.',
  action: 'Drop a new bundle into incoming/shop/.',
}

export const expiry: Notice = {
  ...common,
  kind: 'near expiry',
  key: 'shop/expiry',
  certificate: 'shop',
  owner: 'shop-team',
  severity: 'critical',
  where: ['shop.example', '*.shop.example'],
  until: '2026-11-23T06:00:00.000Z',
  threshold: '1d',
  commonName: 'shop.example',
  notAfter: '2026-11-23T06:00:00.000Z',
}
export const rotated: Notice = {
  ...common,
  kind: 'rotated',
  key: 'mail/rotated',
  certificate: 'mail',
  severity: 'info',
  where: ['mail.example'],
  commonName: 'mail.example',
  notAfter: '2027-01-08T06:00:00.000Z',
  domains: 1,
  solves: ['mail/expiry'],
  action: '',
}
export const solved: Notice = {
  ...common,
  kind: 'solved',
  key: 'docs/served',
  certificate: 'docs',
  severity: 'info',
  where: ['docs.example'],
  of: 'not served',
  toldAt: start.toISOString(),
  remaining: 0,
  action: '',
}
export const attack: Notice = {
  ...common,
  kind: 'failed',
  key: 'evil/rotation',
  certificate: 'evil',
  severity: 'warning',
  where: [hostile],
  sentence: hostile,
  failures: [{ code: 'x.y', kind: 'never', message: hostile, next: hostile, facts: {} }],
}

export function digest(...notices: Notice[]): Digest {
  return { id: 'd1f2', at: start.toISOString(), notices }
}

/** More than any service takes in one message. */
export function hugeDigest(): Digest {
  return digest(
    ...Array.from(
      { length: 400 },
      (_, index): Notice => ({
        ...expiry,
        key: `c${index}/expiry`,
        certificate: `c${index}`,
        where: Array.from({ length: 20 }, (_, n) => `host-${n}.c${index}.例え.example`),
      }),
    ),
  )
}

export const never = new AbortController().signal
