import { expect, test } from 'vitest'
import { sentence } from '../../shared/status/page-html.ts'

const at = '2026-12-04 06:13 UTC'
const aside = (form: string) => `<time datetime="2026-12-04T06:13:00Z" data-as="${form}"></time>`

test.each([
  [`a ends ${at}, in 12 days`, `a ends ${at}${aside(', ')}`],
  [`a ended ${at}, 12 hours ago; b`, `a ended ${at}${aside(', ')}; b`],
  [`${at} (in 24 hours)`, `${at}${aside(' (')}`],
  [`seen (by the tick of ${at}, 2 minutes ago) once`, `seen (by the tick of ${at}${aside(', ')}) once`],
  [`since ${at}, 3 domains in 2 days`, `since ${at}, 3 domains in 2 days`],
  [`<b>${at}, "2 days ago"`, `&lt;b&gt;${at}, &quot;2 days ago&quot;`],
])('a distance from an instant is left to the script, and nothing else is touched: %s', (text, written) => {
  expect(sentence(text)).toBe(written)
})
