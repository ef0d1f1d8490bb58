import { createHash } from 'node:crypto'
import { countText } from '../base/count-text.ts'
import type { HealthCheck } from '../health/port.ts'
import { instantText } from '../watch/words.ts'
import type { CertificateStatus, StatusModel } from './model.ts'
import { html, jsonForScript, moment, sentence } from './page-html.ts'
import { pageScript } from './page-script.ts'
import { pageStyle } from './page-style.ts'
import { timeline } from './page-timeline.ts'

/**
 * `status/index.html`: one file that needs nothing else, from a bucket or from disk. The policy allows exactly this
 * style sheet and this script; without script the overview and everything that is wrong can still be read.
 */
export function renderPage(model: StatusModel): string {
  const policy = [
    "default-src 'none'",
    `script-src '${sha256(pageScript)}'`,
    `style-src '${sha256(pageStyle)}'`,
    'img-src data:',
    "base-uri 'none'",
    "form-action 'none'",
    "require-trusted-types-for 'script'",
  ].join('; ')
  const title = verdict(model)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
${html`<meta http-equiv="Content-Security-Policy" content="${policy}">`}
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<meta name="robots" content="noindex">
<link rel="icon" href="data:,">
${html`<title>${title} · ${brand(model)}</title>`}
<style>${pageStyle}</style>
</head>
<body>
<a class="skip" href="#list">Skip to the certificates</a>
${header(model, title)}
<main class="wrap">
<p class="stale" id="stale" role="status" hidden>This page has not been written for a while: the timer may not be running. What it shows may no longer be so.</p>
${sideNotes(model)}
${timeline(model)}
${list(model)}
${toolHealth(model)}
</main>
<footer class="wrap"><p><kbd>/</kbd> search · <kbd>↑</kbd> <kbd>↓</kbd> from row to row · <kbd>Enter</kbd> opens</p></footer>
<script type="application/json" id="model">${jsonForScript(slim(model))}</script>
<script>${pageScript}</script>
</body>
</html>
`
}

function sha256(text: string): string {
  return `sha256-${createHash('sha256').update(text).digest('base64')}`
}

/** The one sentence that a tired person needs. */
function verdict({ summary, unread, misplaced = [], channels, health }: StatusModel): string {
  const { critical, warning, due, certificates } = summary
  if (certificates === 0) return 'No certificate is watched yet'
  if (critical > 0)
    return `${countText(critical, 'certificate')} ${critical === 1 ? 'needs' : 'need'} you now`
  if (warning > 0) return `${countText(warning, 'certificate')} ${warning === 1 ? 'needs' : 'need'} a look`
  if (unread.length > 0) return 'Not everything could be looked at'
  if (misplaced.length > 0) return 'An upload lies where no certificate looks'
  if (channels.some(({ lastFailure }) => lastFailure !== undefined)) return 'Not everybody could be told'
  // What each name serves is the certificates' matter.
  if (health.checks.some(({ group, result }) => group !== 'handshakes' && result === 'failed'))
    return 'The certificates are well, the tool is not'
  if (due > 0)
    return `All is well; ${countText(due, 'certificate')} ${due === 1 ? 'is' : 'are'} being renewed`
  return 'All is well'
}

function brand({ name }: StatusModel): string {
  return name === undefined ? 'cert-rotation' : `cert-rotation · ${name}`
}

function header(model: StatusModel, title: string): string {
  const { summary, at } = model
  const unseen = summary.domainsNotSeen === 0 ? '' : `, ${summary.domainsNotSeen} cannot be seen from here`
  const served =
    summary.domains === 0
      ? 'No domain is watched'
      : `${number(summary.domainsAsExpected)} of ${number(summary.domains)} domains serve what they should${unseen}`
  return html`<header><div class="wrap"><div><p class="brand">${brand(model)}</p><h1>${title}</h1>
<p class="sub">${served} · as of ${instantText(at)}, <span id="age">when this page was written</span></p></div>
<button class="theme" id="theme" type="button" hidden>Theme: system</button></div></header>`
}

function sideNotes({ quotas, unread, misplaced = [], channels }: StatusModel): string {
  const notes = [
    ...unread.map(({ where, message, next }) => `${where} could not be read: ${message}. ${next}`),
    ...misplaced.map(({ message, next }) => `${message}. ${next}`),
    ...quotas
      .filter(({ used, limit }) => used >= limit * 0.85)
      .map(({ where, used, limit }) => `${where}: ${used} of ${limit} certificates used.`),
    ...channels.flatMap(({ name, pending, dropped, lastFailure }) => {
      if (lastFailure === undefined && dropped === 0) return []
      const waiting = pending === 0 ? '' : ` ${countText(pending, 'message')} waiting.`
      const lost = dropped === 0 ? '' : ` ${countText(dropped, 'message')} given up.`
      const why = lastFailure === undefined ? '' : ` ${lastFailure.message}. ${lastFailure.next}`
      return [`Channel ${name} does not take messages.${waiting}${lost}${why}`]
    }),
  ]
  if (notes.length === 0) return ''
  return `<ul class="side">${notes.map((note) => `<li>${sentence(note)}</li>`).join('')}</ul>`
}

const healthMarks = {
  passed: ['ok', 'well'],
  warning: ['warning', 'to know'],
  failed: ['critical', 'does not work'],
} as const

/** More lines than this are the same trouble over and over; status.json has them all. */
const MOST_CHECKS = 40

/** How the tool itself is: open where something does not work. */
function toolHealth({ health }: StatusModel): string {
  // What each name serves stands in its row.
  const checks = health.checks.filter(({ group }) => group !== 'handshakes')
  const count = (wanted: keyof typeof healthMarks) => checks.filter((one) => one.result === wanted).length
  const said = [
    count('failed') > 0 ? `${count('failed')} of ${countText(checks.length, 'check')} failed` : 'all works',
    count('warning') > 0 ? `${countText(count('warning'), 'thing')} to know` : '',
  ]
  const urgent = [...checks].sort((a, b) => weightOf(a) - weightOf(b))
  const lines = urgent.slice(0, MOST_CHECKS).map(({ group, about, result: own, message, next: help }) => {
    const [tone, word] = healthMarks[own]
    const act = help === undefined ? '' : html`<span class="soft">${help}</span>`
    return `${html`<li><span class="dot ${tone}"></span><span class="sr">${word}: </span><span class="soft">${group}</span><span><b>${about}</b> `}${sentence(message)}${act === '' ? '' : `<br>${act}`}</span></li>`
  })
  const more = urgent.length - lines.length
  const rest = more > 0 ? html`<p class="soft">… and ${number(more)} more in status.json</p>` : ''
  return `<section class="panel tool" aria-labelledby="tool-title"><details${count('failed') > 0 ? ' open' : ''}><summary><h2 id="tool-title">How the tool is</h2>${html`<span class="soft">${said.filter(Boolean).join(', ')}; cert-rotation doctor looks at more</span>`}</summary><ul>${lines.join('')}</ul>${rest}</details></section>`
}

function weightOf({ result }: HealthCheck): number {
  return ['failed', 'warning', 'passed'].indexOf(result)
}

function list(model: StatusModel): string {
  const { summary, certificates } = model
  const chips = (
    [
      ['all', 'All', summary.certificates],
      ['need', 'Needs you', summary.critical + summary.warning],
      ['due', 'In progress', summary.due],
      ['ok', 'Well', summary.ok],
      ['unknown', 'Unknown', summary.unknown],
    ] as const
  )
    .filter(([filter, , count]) => filter === 'all' || filter === 'need' || count > 0)
    .map(
      ([filter, label, count]) =>
        html`<button class="chip" type="button" data-f="${filter}" aria-pressed="${filter === 'all' ? 'true' : 'false'}">${label} <b>${number(count)}</b></button>`,
    )
  const now = new Date(model.at)
  return `<section id="list" aria-labelledby="list-title"><h2 class="sr" id="list-title">Certificates</h2>
<div class="heads" id="tools" hidden><input class="search" id="search" type="search" placeholder="Search name, domain, issuer, owner, serial …" aria-label="Search certificates" autocomplete="off" spellcheck="false">
<div class="chips" role="group" aria-label="Show">${chips.join('')}</div>
<select class="sort" id="sort" aria-label="Order"><option value="urgency">Most urgent first</option><option value="end">By end</option><option value="name">By name</option></select></div>
<p class="found" id="found" role="status"></p>
<noscript><p class="found">Searching and details need the script of this page; status.json beside it holds everything.</p></noscript>
<ul class="panel rows" id="rows">${certificates.map((certificate) => row(certificate, now)).join('')}</ul>
<p class="empty" id="nothing" hidden>No certificate fits. Clear the search or choose “All”.</p>${certificates.length === 0 ? '<p class="empty">List certificates in rotation.yaml, or set discover: true to watch what the gateways have.</p>' : ''}</section>`
}

const healthWords = {
  critical: 'critical',
  warning: 'needs a look',
  due: 'in progress',
  ok: 'well',
  unknown: 'unknown',
} as const

function row(certificate: CertificateStatus, now: Date): string {
  const { name, health, leaf, domains, domainsAsExpected, problems } = certificate
  const [problem] = problems
  const second =
    problem === undefined
      ? html`<span class="soft">${leaf?.commonName ?? 'nothing seen yet'}</span>`
      : `${html`<span class="t ${problem.severity}">`}${sentence(withoutName(problem.title, name, leaf?.commonName))}</span>`
  const tag = certificate.managed ? '' : '<small class="tag">found</small>'
  const snoozed = certificate.snoozeUntil === undefined ? '' : html`<small class="tag">snoozed</small>`
  const served = domains.length === 0 ? '–' : `${domainsAsExpected}/${domains.length}`
  const short = domains.length > domainsAsExpected ? 'short' : ''
  const [last] = certificate.rotations
  return `${html`<li data-h="${health}">`}<details><summary>${html`<span class="dot ${health}"></span>
<span class="cell"><span><span class="name">${name}</span>`}${tag}${snoozed}${html`<span class="sr">, ${healthWords[health]}</span></span>`}${second}</span>${html`
<span class="cell"><span class="${short}">${served}</span><span class="soft">served</span></span>`}${left(certificate)}${next(certificate, now)}${
    last === undefined
      ? html`<span class="cell c-last"><span class="soft">${certificate.managed ? 'never rotated' : 'not ours'}</span></span>`
      : `${html`<span class="cell c-last"><span>${last.status}</span><span class="soft">`}${moment(last.at, 'ago', dayOf(last.at))}</span></span>`
  }</summary><div class="body">${problems.map(problemBox).join('')}</div></details></li>`
}

function left({ leaf, health }: CertificateStatus): string {
  if (leaf === undefined) return '<span class="cell c-left"><span class="soft">not seen</span></span>'
  const over = leaf.secondsLeft < 0
  const words = moment(leaf.notAfter, 'left', `${over ? 'ended' : 'until'} ${dayOf(leaf.notAfter)}`)
  const tone = over ? 'critical' : health
  const width = (leaf.shareLeft * 100).toFixed(1)
  return `${html`<span class="cell c-left"><span class="left ${over || leaf.shareLeft < 0.34 ? tone : ''}">`}${words}${html`</span><svg class="bar" viewBox="0 0 100 5" preserveAspectRatio="none" aria-hidden="true"><rect class="track" width="100" height="5"/><rect class="f-${tone}" width="${width}" height="5"/></svg></span>`}`
}

function dayOf(instant: string): string {
  return instantText(instant).slice(0, 10)
}

function next({ next: { act, at } }: CertificateStatus, now: Date): string {
  const when =
    at === undefined
      ? ''
      : Date.parse(at) <= now.getTime() && act !== 'expired'
        ? 'now'
        : instantText(at).slice(0, 16)
  return html`<span class="cell c-next"><span>${act}</span><span class="soft">${when}</span></span>`
}

function problemBox({ severity, title, lines }: CertificateStatus['problems'][number]): string {
  const facts = lines
    .map(({ label, value }) => `${html`<dt>${label}</dt>`}<dd>${sentence(value)}</dd>`)
    .join('')
  return `${html`<div class="problem ${severity}">`}<h3>${sentence(title)}</h3><dl>${facts}</dl></div>`
}

function withoutName(title: string, name: string, commonName: string | undefined): string {
  if (title.startsWith(`${name}: `)) return title.slice(name.length + 2)
  return commonName !== undefined && title.startsWith(`${commonName} `)
    ? title.slice(commonName.length + 1)
    : title
}

/**
 * What the rows show already, or what follows from the leaf, is not said twice; with many certificates older
 * rotations, and the steps of what went well, stay in status.json. That keeps a thousand quick to open.
 */
function slim(model: StatusModel) {
  const many = model.certificates.length > 300
  const certificates = model.certificates.map(({ problems, ...certificate }) => ({
    ...certificate,
    kinds: [...new Set(problems.map(({ kind }) => kind))],
    domains: certificate.domains.map(({ served, ...domain }) =>
      served === undefined || served.fingerprint === certificate.leaf?.fingerprint
        ? domain
        : { ...domain, served },
    ),
    rotations: certificate.rotations
      .slice(0, many ? 2 : 5)
      .map((rotation) => (many && problems.length === 0 ? { ...rotation, steps: [] } : rotation)),
  }))
  return { at: model.at, lastTick: model.lastTick, certificates }
}

function number(value: number): string {
  return value.toLocaleString('en-GB')
}
