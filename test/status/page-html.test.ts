import { expect, test } from 'vitest'
import type { StatusModel } from '../../shared/status/model.ts'
import { renderPage } from '../../shared/status/page.ts'
import { sentence } from '../../shared/status/page-html.ts'
import { smallModel } from './fixtures.ts'

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

const well = (): StatusModel => {
  const model = smallModel()
  const summary = { ...model.summary, critical: 0, warning: 0, due: 0 }
  return {
    ...model,
    summary,
    unread: [],
    misplaced: [],
    channels: [],
    health: { result: 'passed', checks: [] },
  }
}
const one = { message: 'm', next: 'n' }

test.each<[string, Partial<StatusModel>]>([
  ['All is well', {}],
  ['An upload lies where no certificate looks', { misplaced: [one] }],
  ['Not everything could be looked at', { unread: [{ ...one, where: 'apig', severity: 'warning' }] }],
  [
    'Not everybody could be told',
    { channels: [{ name: 'slack', pending: 1, dropped: 0, lastFailure: { ...one, code: 'c' } }] as never },
  ],
  [
    'The certificates are well, the tool is not',
    {
      health: {
        result: 'failed',
        checks: [{ ...one, group: 'store', about: 'a', result: 'failed' }] as never,
      },
    },
  ],
])('the headline says that all is well where it is, and what is not: %s', (headline, changes) => {
  expect(renderPage({ ...well(), ...changes })).toContain(`<h1>${headline}</h1>`)
})
