import { fitting, headline, leftOut, noticePlain, truncateBytes } from '../text.ts'
import type { WebhookFormat } from './format.ts'

/**
 * Slack incoming webhook, Block Kit. Values stand in `plain_text` objects only, where neither mrkdwn nor mentions
 * are read; the notification text is escaped as the "Formatting text" page asks (`&`, `<`, `>`), which also takes
 * the power from `<!channel>` and links. Limits: 50 blocks, 3,000 characters a section, 150 a header.
 */
export const slack: WebhookFormat = {
  title: 'Slack',
  requests({ digest }) {
    const { shown, left } = fitting(digest, 100_000, () => 0, 47)
    const blocks = [
      { type: 'header', text: plainText(truncateBytes(headline(digest), 150)) },
      ...shown.map((notice) => ({
        type: 'section',
        text: plainText(truncateBytes(noticePlain(notice), 2_900)),
      })),
      ...(left === 0 ? [] : [{ type: 'context', elements: [plainText(leftOut(left))] }]),
    ]
    return [{ body: JSON.stringify({ text: escapeSlack(headline(digest)), blocks }) }]
  },
  judge: (_status, body) => {
    if (body === 'ok') return { accepted: true }
    return { accepted: false, kind: 'never', ...(typeof body === 'string' ? { text: body } : {}) }
  },
}

function plainText(text: string) {
  return { type: 'plain_text', text, emoji: false }
}

export function escapeSlack(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}
