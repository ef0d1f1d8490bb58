import { createHmac } from 'node:crypto'
import { digestText, headline, noticeText, severityOf } from '../text.ts'
import type { WebhookFormat } from './format.ts'

/**
 * Our own JSON, a contract: `schema`, `id` (the same for a repeated delivery), `at`, `installation` (its name or null), `audience`, `severity`,
 * `headline`, `text`, and `notices` with every fact plus `title` and `lines`. With a secret configured the header
 * `X-Cert-Rotation-Signature` is `t=<seconds>,v1=<hex HMAC-SHA256 of "<seconds>.<body>">`.
 */
export const generic: WebhookFormat = {
  title: 'webhook',
  requests({ digest, now, secret }) {
    const body = JSON.stringify({
      schema: 1,
      id: digest.id,
      at: digest.at,
      installation: digest.installation ?? null,
      audience: digest.audience ?? null,
      severity: severityOf(digest),
      headline: headline(digest),
      text: digestText(digest, 60_000),
      notices: digest.notices.map((notice) => ({ ...notice, ...noticeText(notice) })),
    })
    if (secret === undefined) return [{ body }]
    const seconds = Math.floor(now.getTime() / 1_000)
    const signature = createHmac('sha256', secret.reveal()).update(`${seconds}.${body}`).digest('hex')
    return [{ body, headers: { 'x-cert-rotation-signature': `t=${seconds},v1=${signature}` } }]
  },
  judge: () => ({ accepted: true }),
}
