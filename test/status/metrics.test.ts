import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import { day } from '../../shared/base/clock.ts'
import { renderMetrics } from '../../shared/status/metrics.ts'
import { later, start } from '../watch/support.ts'
import { hostile, hostileModel, largeModel, smallModel } from './fixtures.ts'

interface Family {
  name: string
  help: string
  type: string
  metrics: { value: string; labels?: Record<string, string> }[]
}

// The package's ES build is not usable as a module in Node.
const parse = createRequire(import.meta.url)('parse-prometheus-text-format') as (text: string) => Family[]

function families(text: string): Map<string, Family> {
  return new Map(parse(text).map((family) => [family.name, family]))
}

test('a real parser reads every family with help, type and values', () => {
  const parsed = families(renderMetrics(smallModel()))
  for (const { help, type } of parsed.values()) {
    expect(help).not.toBe('')
    expect(type).toBe('GAUGE')
  }
  const ends = parsed.get('cert_rotation_certificate_not_after_timestamp_seconds')?.metrics ?? []
  const shop = ends.find(({ labels }) => labels?.certificate === 'shop')
  expect(Number(shop?.value)).toBe(later(33 * day).getTime() / 1_000)
  expect(shop?.labels).toEqual({ certificate: 'shop', managed: 'true', owner: 'shop-team' })
  const served = parsed.get('cert_rotation_domain_served_as_expected')?.metrics ?? []
  expect(served.map(({ labels, value }) => `${labels?.host} ${value}`).sort()).toEqual([
    'mail.example 1',
    'old-portal.example 1',
    'shop.example 1',
    'www.old-portal.example 0',
    'www.shop.example 1',
  ])
  expect(parsed.get('cert_rotation_last_tick_timestamp_seconds')?.metrics).toEqual([
    { value: String(start.getTime() / 1_000) },
  ])
  expect(
    parsed
      .get('cert_rotation_last_rotation_gap_seconds')
      ?.metrics.map(({ value, labels }) => [labels?.certificate, value]),
  ).toEqual([
    ['mail', '0.412'],
    ['shop', '0.12'],
  ])
  expect(
    parsed
      .get('cert_rotation_recent_rotations')
      ?.metrics.map(({ value, labels }) => [labels?.outcome, value]),
  ).toEqual([
    ['rolled back', '1'],
    ['rotated', '2'],
  ])
  expect(parsed.get('cert_rotation_gateway_certificates_limit')?.metrics).toEqual([
    { value: '50', labels: { gateway: 'apig 0a1b' } },
  ])
})

test('no label breaks out of its quotes', () => {
  const text = renderMetrics(hostileModel())
  const parsed = families(text)
  const names = parsed
    .get('cert_rotation_certificate_not_after_timestamp_seconds')
    ?.metrics.map(({ labels }) => labels?.certificate)
  expect(names).toContain(hostile.replace('\u202e\n', ' '))
  for (const line of text.trimEnd().split('\n')) expect(line).toMatch(/^(# (HELP|TYPE) )?cert_rotation_/)
})

test('names and metrics of a thousand certificates are unique', () => {
  const lines = renderMetrics(largeModel(1_000))
    .trimEnd()
    .split('\n')
    .filter((line) => !line.startsWith('#'))
  const series = lines.map((line) => line.slice(0, line.lastIndexOf(' ')))
  expect(new Set(series).size).toBe(series.length)
  expect(families(lines.slice(0, 50).join('\n')).size).toBeGreaterThan(0)
})
