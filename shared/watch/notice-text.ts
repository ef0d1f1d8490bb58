import { countText } from '../base/count-text.ts'
import type { Notice, ServedDifference } from './notice.ts'
import { durationText, instantText, listText, relativeText } from './words.ts'

/** What a notice says to a person, before any format's escaping: facts first, one per line. */
export interface NoticeText {
  /** What: one short sentence. */
  title: string
  /** Label and value; labels are ours, values may hold anything that a certificate or a server says. */
  lines: readonly { label: string; value: string }[]
}

/** Values come from certificates and servers: no line breaks, controls or bidirectional overrides reach a message. */
export function plain(text: string, most = 300): string {
  const clean = text
    .replace(/[\p{Cc}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/[\p{Cf}\p{Co}\p{Cn}\p{Cs}]/gu, '')
    .trim()
  return clean.length > most ? `${clean.slice(0, most - 1)}…` : clean
}

export function noticeText(notice: Notice): NoticeText {
  const now = new Date(notice.at)
  const lines: { label: string; value: string }[] = []
  const add = (label: string, value: string) => {
    if (value !== '') lines.push({ label, value: plain(value, 600) })
  }
  for (const detail of new Set(details(notice))) add('What', detail)
  if (notice.kind === 'not served') {
    for (const text of perDomain(notice.domains, 'before')) add('Should be', text)
    for (const text of perDomain(notice.domains, 'refusal')) add('Refused', text)
  }
  if (notice.kind === 'rotated') add('Changed', notice.changes?.join('; ') ?? '')
  add('Where', listText(notice.where, 8))
  if (notice.until !== undefined)
    add('Until', `${instantText(notice.until)} (${relativeText(notice.until, now)})`)
  add('Next', notice.next)
  add('You can', notice.action)
  return { title: plain(titleOf(notice, now), 200), lines }
}

function titleOf(notice: Notice, now: Date): string {
  const name = notice.certificate ?? ''
  switch (notice.kind) {
    case 'near expiry':
      return `${name} expires ${relativeText(notice.notAfter, now)}`
    case 'expired':
      return `${name} has expired`
    case 'rotated':
      return `${name} was rotated: ${countText(notice.domains, 'domain')} serve${notice.domains === 1 ? 's' : ''} the new certificate`
    case 'unfinished':
      return `${name}: a rotation has been unfinished for ${durationText(now.getTime() - Date.parse(notice.since))}`
    case 'failed':
      return `${name}: the rotation failed`
    case 'rolled back':
      return `${name}: the rotation was rolled back`
    case 'refused':
      return `${name}: the new bundle was refused`
    case 'waiting for pair':
      return `${name}: half a bundle has been waiting for ${durationText(now.getTime() - Date.parse(notice.since))}`
    case 'renewal failing':
      return `${name}: renewal has failed ${notice.attempts === 1 ? 'once' : `${notice.attempts} times`}`
    case 'not served':
      return `${name}: ${countText(notice.domains.length, 'domain')} ${servedTitle(notice)}`
    case 'quota nearly used':
      return `${notice.where.join(', ')}: ${notice.used} of ${notice.limit} certificates used`
    case 'gateway not read':
      return `${notice.where.join(', ')}: what is ${notice.where[0] === 'scm' ? 'held' : 'bound'} there could not be read`
    case 'no longer watched':
      return `${name} has left rotation.yaml: ${notice.unwatched.length === 0 ? 'its domains are watched under another name' : `nobody watches ${listText(notice.unwatched, 3)}`}`
    case 'timer did not run':
      return `The timer has not run since ${instantText(notice.lastTick)}`
    case 'test':
      return 'TEST: this is a test message, nothing is wrong'
    case 'solved':
      return `${name === '' ? notice.where.join(', ') : name}: solved (${notice.of})`
  }
}

const servedTitles = {
  nobody: 'without a certificate',
  older: 'with an older certificate',
  foreign: 'with a certificate that is not ours',
  'incomplete chain': 'with an incomplete chain',
  'wrong name': 'with a certificate for another name',
} as const

function servedTitle({ domains }: Extract<Notice, { kind: 'not served' }>): string {
  const problems = new Set(domains.map(({ problem }) => problem))
  const [only] = problems
  return problems.size === 1 && only !== undefined ? servedTitles[only] : 'not as expected'
}

/** What is the same for all domains is said once, else for each by name. */
function perDomain(domains: readonly ServedDifference[], field: 'before' | 'refusal'): string[] {
  const said = domains.flatMap((domain) => {
    const text = domain[field]
    return text === undefined ? [] : [{ host: domain.host, text }]
  })
  const [first] = said
  if (first === undefined) return []
  const same = said.length === domains.length && said.every(({ text }) => text === first.text)
  return same ? [first.text] : said.slice(0, 5).map(({ host, text }) => `${host}: ${text}`)
}

/** A sentence often ends with the first of its reasons. */
function onceEach(sentence: string, reasons: readonly string[]): string[] {
  return [sentence, ...reasons.filter((reason) => !sentence.includes(reason))]
}

function details(notice: Notice): string[] {
  switch (notice.kind) {
    case 'near expiry':
      return [`${notice.commonName} has passed the threshold ${notice.threshold}.`]
    case 'expired':
      return [`${notice.commonName} ended ${instantText(notice.notAfter)}; clients refuse it.`]
    case 'rotated': {
      const gap = notice.longestGapMs
      const solves = notice.solves.length === 0 ? '' : 'What was told about it before is solved.'
      return [gap === undefined ? '' : `Longest time without a certificate: ${durationText(gap)}.`, solves]
    }
    case 'unfinished':
      return [`${notice.done} of ${notice.total} domains done since ${instantText(notice.since)}.`]
    case 'failed':
    case 'rolled back':
      return onceEach(
        notice.sentence,
        notice.failures.slice(0, 3).map(({ message }) => message),
      )
    case 'refused':
      return onceEach(notice.sentence, notice.reasons.slice(0, 5))
    case 'waiting for pair':
      return [notice.missing]
    case 'renewal failing':
      return [notice.failure.message]
    case 'not served':
      return notice.domains.slice(0, 8).map(({ host, gateway, detail, since }) => {
        const from = since === undefined ? '' : `, since ${instantText(since)}`
        return `${host} at ${gateway}: ${detail}${from}`
      })
    case 'quota nearly used':
      return []
    case 'gateway not read':
      return [notice.failure.message]
    case 'no longer watched':
      return [
        `In the store stay ${listText(notice.stays, 3)}${notice.stays.length > 1 ? ', with its private keys' : ''}.`,
      ]
    case 'timer did not run':
      return [`That is ${durationText(notice.lateMs)} later than expected.`]
    case 'test':
      return [
        'Somebody wants to see whether messages arrive here (cert-rotation alert --test, or doctor --send).',
      ]
    case 'solved':
      return [`It was told ${instantText(notice.toldAt)}.`]
  }
}
