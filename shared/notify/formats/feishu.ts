import { createHmac } from 'node:crypto'
import type { Notice } from '../../watch/notice.ts'
import { fitting, headline, leftOut, noticePlain, truncateBytes, withoutMentions } from '../text.ts'
import { judgeErrorCode, type WebhookFormat } from './format.ts'

/**
 * Feishu and Lark custom bot, message type `post`: its `text` elements are not read for markup. Signature in the
 * body: seconds and Base64(HMAC-SHA256(key = `<timestamp>\n<secret>`, empty message)). A request may have 20 KB.
 */
export const feishu: WebhookFormat = {
  title: 'Feishu',
  requests({ digest, now, secret }) {
    const cost = (notice: Notice) => Buffer.byteLength(JSON.stringify(paragraph(notice)))
    const { shown, left } = fitting(digest, 17_000, cost)
    const content = shown.flatMap((notice) => [...paragraph(notice), [text(' ')]])
    if (left > 0) content.push([text(leftOut(left))])
    const title = withoutMentions(truncateBytes(headline(digest), 200))
    const message = { msg_type: 'post', content: { post: { en_us: { title, content } } } }
    if (secret === undefined) return [{ body: JSON.stringify(message) }]
    const timestamp = String(Math.floor(now.getTime() / 1_000))
    const sign = createHmac('sha256', `${timestamp}\n${secret.reveal()}`).update('').digest('base64')
    return [{ body: JSON.stringify({ timestamp, sign, ...message }) }]
  },
  // 9499 and 11232: sent too fast.
  judge: (_status, body) => judgeErrorCode(['code', 'StatusCode'], [9499, 11232], body),
}

function paragraph(notice: Notice) {
  return noticePlain(notice)
    .split('\n')
    .map((line) => [text(withoutMentions(truncateBytes(line, 2_000)))])
}

function text(value: string) {
  return { tag: 'text', text: value }
}
