import { day } from '../base/clock.ts'
import { countText } from '../base/count-text.ts'
import type { CertificateStatus, StatusModel } from './model.ts'
import { html } from './page-html.ts'

interface Coming {
  at: number
  name: string
  kind: 'renew' | 'end' | 'bare'
}

const height = 100
const middle = 62

/**
 * The coming renewals above the line, the coming ends below it; an end that no renewal precedes stands out. One
 * column a day, so that three certificates and a thousand look alike. The list beside it says the same in words.
 */
export function timeline(model: StatusModel): string {
  const now = Date.parse(model.at)
  const coming = model.certificates
    .flatMap((certificate) => eventsOf(certificate))
    .sort((a, b) => a.at - b.at)
  if (coming.length === 0) return ''
  const days = horizon(coming, now)
  const counts = {
    renew: new Map<number, number>(),
    end: new Map<number, number>(),
    bare: new Map<number, number>(),
  }
  for (const { at, kind } of coming) {
    const column = Math.max(0, Math.floor((at - now) / day))
    if (column < days) counts[kind].set(column, (counts[kind].get(column) ?? 0) + 1)
  }
  const most = Math.max(3, ...counts.renew.values(), ...sums(counts.end, counts.bare).values())
  const width = 1_000 / days
  const thickness = Math.min(width * 0.72, 15)
  const bar = (column: number, y: number, size: number, kind: Coming['kind'], label: string) =>
    html`<rect class="b-${kind}" x="${round(column * width + width / 2 - thickness / 2)}" y="${round(y)}" width="${round(thickness)}" height="${round(size)}"><title>${label}</title></rect>`
  const bars: string[] = []
  for (let column = 0; column < days; column++) {
    const date = new Date(now + column * day).toISOString().slice(0, 10)
    const renewals = counts.renew.get(column) ?? 0
    const bare = counts.bare.get(column) ?? 0
    const ends = counts.end.get(column) ?? 0
    const up = scale(renewals, most, middle - 4)
    if (renewals > 0) bars.push(bar(column, middle - 2 - up, up, 'renew', `${date}: ${renewals} to renew`))
    const first = scale(bare, most, height - middle - 4)
    if (bare > 0) bars.push(bar(column, middle + 3, first, 'bare', `${date}: ${bare} to end without renewal`))
    const second = scale(bare + ends, most, height - middle - 4) - first
    if (ends > 0)
      bars.push(bar(column, middle + 3 + first, Math.max(second, 2), 'end', `${date}: ${ends} to end`))
  }
  const marks = [0, 1, 2, 3].map(
    (part) => html`<span>${part === 0 ? 'today' : dateText(now + (days * part * day) / 3)}</span>`,
  )
  return `<section class="panel soon" aria-labelledby="soon"><div class="chart"><div class="top"><h2 id="soon">The next ${days} days</h2>
<p class="legend"><span>renewal</span><span class="end">end</span><span class="bare">end without renewal</span></p></div>
<svg viewBox="0 0 1000 ${height}" preserveAspectRatio="none" role="img" aria-label="Renewals and ends by day; the coming ones are listed beside"><rect class="base" x="0" y="${middle}" width="1000" height="1"/>${bars.join('')}</svg>
<div class="axis" aria-hidden="true">${marks.join('')}</div></div>
<div class="up"><h2>Coming up</h2><ol>${nextUp(coming, now).join('')}</ol></div></section>`
}

function eventsOf({ name, leaf, next }: CertificateStatus): Coming[] {
  const events: Coming[] = []
  const renewAt = next.act === 'renew' && next.at !== undefined ? Date.parse(next.at) : undefined
  if (renewAt !== undefined) events.push({ at: renewAt, name, kind: 'renew' })
  if (leaf !== undefined && leaf.secondsLeft > 0) {
    const at = Date.parse(leaf.notAfter)
    events.push({ at, name, kind: renewAt !== undefined && renewAt < at ? 'end' : 'bare' })
  }
  return events
}

/** Far enough to show the next dozen events, between two weeks and a third of a year. */
function horizon(coming: readonly Coming[], now: number): number {
  const far = coming[Math.min(coming.length - 1, 11)]?.at ?? now
  const wanted = coming.length > 60 ? 60 : Math.ceil((far - now) / day) + 2
  return Math.min(120, Math.max(30, Math.ceil(wanted / 3) * 3))
}

const words = { renew: 'renewal', end: 'ends', bare: 'ends, no renewal' } as const

/** Six lines: the next six by name or, where so many come on one day, the next six days. */
function nextUp(coming: readonly Coming[], now: number): string[] {
  // An end that a renewal precedes is not what somebody waits for.
  const awaited = coming.filter(({ kind }) => kind !== 'end')
  const crowded = (awaited[11]?.at ?? Number.POSITIVE_INFINITY) - now < 3 * day
  if (!crowded) {
    return awaited.slice(0, 6).map(({ at, name, kind }) => {
      const when = at <= now ? 'now' : dateText(at)
      return html`<li><span>${name}</span><span class="soft">${words[kind]} ${when}</span></li>`
    })
  }
  const days = new Map<string, { renew: number; bare: number }>()
  for (const { at, kind } of awaited) {
    const date = at <= now ? 'now' : dateText(at)
    const counts = days.get(date) ?? { renew: 0, bare: 0 }
    if (kind === 'renew') counts.renew++
    else counts.bare++
    days.set(date, counts)
  }
  return [...days].slice(0, 6).map(([date, { renew, bare }]) => {
    const parts = [
      ...(renew === 0 ? [] : [countText(renew, 'renewal')]),
      ...(bare === 0 ? [] : [`${bare} ${bare === 1 ? 'ends' : 'end'} without`]),
    ]
    return html`<li><span>${date}</span><span class="soft">${parts.join(', ')}</span></li>`
  })
}

function sums(a: ReadonlyMap<number, number>, b: ReadonlyMap<number, number>): Map<number, number> {
  const result = new Map(a)
  for (const [column, count] of b) result.set(column, (result.get(column) ?? 0) + count)
  return result
}

/** Square root: one must be seen beside a hundred. */
function scale(count: number, most: number, room: number): number {
  return count === 0 ? 0 : Math.max(4, Math.sqrt(count / most) * room)
}

function dateText(at: number): string {
  const [, month = '', date = ''] = new Date(at).toISOString().slice(0, 10).split('-')
  const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec']
  return `${Number(date)} ${months[Number(month) - 1]}`
}

function round(value: number): string {
  return value.toFixed(1)
}
