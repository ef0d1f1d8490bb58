import { stripVTControlCharacters } from 'node:util'
import { expect, test } from 'vitest'
import { emptyOutbox } from '../../shared/notify/outbox.ts'
import { buildStatus } from '../../shared/status/build.ts'
import { renderJson } from '../../shared/status/json.ts'
import { renderMetrics } from '../../shared/status/metrics.ts'
import { renderPage } from '../../shared/status/page.ts'
import { renderTable } from '../../shared/status/table.ts'
import { config, gathered, start } from '../watch/support.ts'
import { hostileModel, largeModel, smallModel } from './fixtures.ts'

test('the table shows the most urgent first, with what is served, left, next and last, and what to do', () => {
  const text = renderTable(smallModel(), { color: false, width: 120 })
  const lines = text.split('\n')
  expect(lines[1]).toMatch(/^✗ {2}old-portal +1\/2 +▏·+ 12 hours +expires 2026-11-22 18:00/)
  expect(lines[2]).toMatch(
    /^! {2}mail +1\/2 +█+[▏▎▍▌▋▊▉]?·+ 11 days +expires 2026-12-03 06:00 +rolled back 2 hours ago$/,
  )
  expect(lines[3]).toMatch(
    /^✓ {2}shop +2\/2 +█+[▏▎▍▌▋▊▉]?·+ 33 days +renew 2026-12-09 06:00 +rotated 13 days ago$/,
  )
  expect(text).toContain('● mail: the rotation was rolled back')
  expect(text).toContain('→ Read what the gateway says about the certificate')
  expect(text).toContain('3 certificates, 4 of 6 domains served as expected, 1 not seen from here')
  expect(text).toContain('apig 0a1b: 47 of 50 certificates used')
  expect(text).not.toContain('\u001b')
})

test.each([60, 80, 100, 160])('at %i columns no line is longer, with colours or without', (width) => {
  for (const model of [smallModel(), largeModel(30)]) {
    const plain = renderTable(model, { color: false, width })
    expect(stripVTControlCharacters(renderTable(model, { color: true, width }))).toBe(plain)
    for (const line of plain.split('\n')) expect([...line].length, line).toBeLessThanOrEqual(width)
  }
})

test('names that bring control sequences do not reach the terminal', () => {
  expect(renderTable(hostileModel(), { color: false, width: 100 })).not.toMatch(
    /[\u0000-\u0009\u000b-\u001f\u202e]/,
  )
})

test('nothing configured is said, not drawn', () => {
  const model = buildStatus({ ...gathered(start, config({})), outbox: emptyOutbox() })
  expect(renderTable(model, { color: false, width: 80 })).toContain('No certificates are configured.')
  expect(renderPage(model)).toContain('No certificate is watched yet')
})

test('an installation that has a name is named by table, page, JSON and every metric', () => {
  const settings = { ...config({}), name: 'production eu-de' }
  const model = buildStatus({ ...gathered(start, settings), outbox: emptyOutbox() })
  expect(renderTable(model, { color: false, width: 80 })).toContain('production eu-de: 0 certificates')
  expect(renderPage(model)).toContain(
    '<title>No certificate is watched yet · cert-rotation · production eu-de</title>',
  )
  expect(renderPage(model)).toContain('<p class="brand">cert-rotation · production eu-de</p>')
  expect(JSON.parse(renderJson(model)).name).toBe('production eu-de')
  const samples = renderMetrics({ ...smallModel(), name: 'a "b"' })
    .split('\n')
    .filter((line) => /^[^#]/.test(line))
  expect(samples.length).toBeGreaterThan(20)
  for (const line of samples) expect(line).toContain('{installation="a \\"b\\""')
})

test('the JSON document is the model, with health, next act and rotations', () => {
  const document = JSON.parse(renderJson(smallModel()))
  expect(document).toMatchObject({
    schema: 1,
    at: start.toISOString(),
    summary: {
      certificates: 3,
      critical: 1,
      warning: 1,
      due: 0,
      ok: 1,
      unknown: 0,
      domains: 6,
      domainsAsExpected: 4,
      domainsNotSeen: 1,
    },
    quotas: [{ where: 'apig 0a1b', used: 47, limit: 50 }],
    channels: [{ name: 'slack 3fa2c1d0', pending: 0, dropped: 0 }],
  })
  expect(
    document.certificates.map(
      ({ name, health, next }: { name: string; health: string; next: { act: string } }) =>
        `${name} ${health} ${next.act}`,
    ),
  ).toEqual(['old-portal critical expires', 'mail warning expires', 'shop ok renew'])
  expect(document.certificates[2].rotations[0]).toMatchObject({
    status: 'rotated',
    durationMs: 13_000,
    longestGapMs: 120,
  })
  expect(document.certificates[2].rotations[0].steps.slice(0, 3)).toMatchObject([
    { step: 'create', tookMs: 800 },
    { step: 'detach', tookMs: 300 },
    { step: 'attach', tookMs: 110 },
  ])
})

test('a page of a thousand certificates stays below three megabytes', () => {
  expect(Buffer.byteLength(renderPage(largeModel(1_000)))).toBeLessThan(3_000_000)
})
