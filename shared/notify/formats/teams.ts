import type { Notice } from '../../watch/notice.ts'
import { fitting, headline, labelled, leftOut, noticeText } from '../text.ts'
import type { WebhookFormat } from './format.ts'

const colours = { critical: 'attention', warning: 'warning', info: 'good' } as const

/**
 * Microsoft Teams, Workflows trigger "When a Teams webhook request is received": a message with one Adaptive Card.
 * Values stand in text runs, the only card element that does not read Markdown; mentions need entities that are
 * never sent. A message may have 28 KB.
 */
export const teams: WebhookFormat = {
  title: 'Microsoft Teams',
  requests({ digest }) {
    const cost = (notice: Notice) => Buffer.byteLength(JSON.stringify(container(notice)))
    const { shown, left } = fitting(digest, 25_000, cost)
    const content = {
      $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
      type: 'AdaptiveCard',
      version: '1.4',
      msteams: { width: 'Full' },
      fallbackText: headline(digest).slice(0, 500),
      body: [
        rich([{ text: headline(digest), size: 'medium', weight: 'bolder' }]),
        ...shown.map(container),
        ...(left === 0 ? [] : [rich([{ text: leftOut(left), isSubtle: true }])]),
      ],
    }
    const attachment = { contentType: 'application/vnd.microsoft.card.adaptive', contentUrl: null, content }
    return [{ body: JSON.stringify({ type: 'message', attachments: [attachment] }) }]
  },
  // 202 from Workflows says that the flow was started; what it does then cannot be seen from here.
  judge: () => ({ accepted: true }),
}

function container(notice: Notice) {
  const { title, lines } = noticeText(notice)
  return {
    type: 'Container',
    separator: true,
    spacing: 'medium',
    items: [
      rich([{ text: title, weight: 'bolder', color: colours[notice.severity] }]),
      ...labelled(lines).map(({ label, value }) => ({
        ...rich([...(label === '' ? [] : [{ text: `${label}: `, weight: 'bolder' }]), { text: value }]),
        spacing: 'small',
      })),
    ],
  }
}

function rich(runs: Record<string, unknown>[]) {
  return { type: 'RichTextBlock', inlines: runs.map((run) => ({ type: 'TextRun', ...run })) }
}
