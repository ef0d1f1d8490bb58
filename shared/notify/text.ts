import { countText } from '../base/count-text.ts'
import type { Digest, Notice } from '../watch/notice.ts'
import { worstSeverity } from '../watch/notice.ts'
import { type NoticeText, noticeText } from '../watch/notice-text.ts'

export { noticeText, plain } from '../watch/notice-text.ts'

/** One line for subjects, titles and notifications: whose it is, the most urgent fact and how many more there are. */
export function headline(digest: Digest): string {
  const [first] = digest.notices
  if (first === undefined) return 'cert-rotation'
  const rest = digest.notices.length - 1
  return `${titled(digest, first)}${rest === 0 ? '' : `, and ${rest} more`}`
}

/** The title of one notice where it stands alone, with the name of the installation before it. */
export function titled({ installation }: Digest, notice: Notice): string {
  const { title } = noticeText(notice)
  return installation === undefined ? title : `${installation}: ${title}`
}

export const marks = { critical: '🔴', warning: '🟠', info: '🟢' } as const

/** With each label once: several lines may answer the same question. */
export function labelled(lines: NoticeText['lines']): NoticeText['lines'] {
  return lines.map((line, at) => (lines[at - 1]?.label === line.label ? { ...line, label: '' } : line))
}

/** One notice as plain text. */
export function noticePlain(notice: Notice): string {
  const { title, lines } = noticeText(notice)
  return [
    `${marks[notice.severity]} ${title}`,
    ...labelled(lines).map(({ label, value }) => (label === '' ? `  ${value}` : `${label}: ${value}`)),
  ].join('\n')
}

/**
 * The whole digest as plain text within `maxBytes` of UTF-8: whole notices, most urgent first, and how many had to
 * be left out. `escapeText` is the format's own and is applied before anything is measured.
 */
export function digestText(
  digest: Digest,
  maxBytes: number,
  escapeText: (text: string) => string = (text) => text,
): string {
  const from = digest.installation === undefined ? [] : [escapeText(`Installation: ${digest.installation}`)]
  const { shown, left } = fitting(
    digest,
    maxBytes - 120 - Buffer.byteLength(from.join()),
    (notice) => Buffer.byteLength(escapeText(noticePlain(notice))) + 2,
  )
  const parts = [...from, ...shown.map((notice) => escapeText(noticePlain(notice)))]
  if (left > 0) parts.push(leftOut(left))
  return truncateBytes(parts.join('\n\n'), maxBytes)
}

export function leftOut(count: number): string {
  return `… and ${countText(count, 'more notice')}; the status page has everything.`
}

/** As many notices as fit, at least one. */
export function fitting(
  digest: Digest,
  budget: number,
  cost: (notice: Notice) => number,
  most = Number.POSITIVE_INFINITY,
): { shown: Notice[]; left: number } {
  const shown: Notice[] = []
  let used = 0
  for (const notice of digest.notices) {
    used += cost(notice)
    if (shown.length > 0 && (used > budget || shown.length >= most)) break
    shown.push(notice)
  }
  return { shown, left: digest.notices.length - shown.length }
}

/** Cuts at a character boundary and says so. */
export function truncateBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text
  let bytes = Buffer.byteLength('…')
  let kept = ''
  for (const character of text) {
    bytes += Buffer.byteLength(character)
    if (bytes > maxBytes) break
    kept += character
  }
  return `${kept}…`
}

/** For a colour or a priority. */
export function severityOf(digest: Digest) {
  return worstSeverity(digest.notices)
}

/**
 * Chat services that read text for mentions (`@all`, `@所有人`, `<at …>`) get a word joiner behind the sign: it reads
 * the same and calls nobody.
 */
export function withoutMentions(text: string): string {
  return text.replaceAll('@', '@\u2060')
}
