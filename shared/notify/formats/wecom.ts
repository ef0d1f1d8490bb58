import { digestText, withoutMentions } from '../text.ts'
import { judgeErrorCode, type WebhookFormat } from './format.ts'

/**
 * WeCom group robot, message type `text` with at most 2,048 bytes of content: its Markdown reads mentions and links
 * out of values. 20 messages a minute.
 */
export const wecom: WebhookFormat = {
  title: 'WeCom',
  requests({ digest }) {
    const content = digestText(digest, 2_048, withoutMentions)
    return [
      {
        body: JSON.stringify({
          msgtype: 'text',
          text: { content, mentioned_list: [], mentioned_mobile_list: [] },
        }),
      },
    ]
  },
  // 45009: sent too fast; -1: the service is busy.
  judge: (_status, body) => judgeErrorCode(['errcode'], [-1, 45009], body),
}
