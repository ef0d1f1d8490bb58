import { createHmac } from 'node:crypto'
import { digestText, withoutMentions } from '../text.ts'
import { judgeErrorCode, type WebhookFormat } from './format.ts'

/**
 * DingTalk custom robot, message type `text` (Markdown of values would be read). Signature: milliseconds and
 * Base64(HMAC-SHA256(key = secret, `<timestamp>\n<secret>`)) in the query. 20 messages a minute, 20,000 bytes.
 */
export const dingtalk: WebhookFormat = {
  title: 'DingTalk',
  requests({ digest, now, secret }) {
    const content = digestText(digest, 18_000, withoutMentions)
    const body = JSON.stringify({
      msgtype: 'text',
      text: { content },
      at: { atMobiles: [], atUserIds: [], isAtAll: false },
    })
    if (secret === undefined) return [{ body }]
    const timestamp = String(now.getTime())
    const key = secret.reveal()
    const sign = createHmac('sha256', key).update(`${timestamp}\n${key}`).digest('base64')
    return [{ body, query: { timestamp, sign } }]
  },
  // 130101 and 660026: sent too fast.
  judge: (_status, body) => judgeErrorCode(['errcode'], [-1, 130101, 660026], body),
}
