import { describe, expect, it } from 'vitest'
import { day, minute } from '../../shared/base/clock.ts'
import { credentialsCheck } from '../../shared/health/credentials.ts'
import { type HealthCheck, worstOf } from '../../shared/health/port.ts'
import { seenChecks } from '../../shared/health/seen.ts'
import { emptyOutbox, type Outbox } from '../../shared/notify/outbox.ts'
import type { Gathered } from '../../shared/watch/facts.ts'
import { bundle, config, deployed, gathered, later, seen, serving, start } from '../watch/support.ts'

const gateway = { flavour: 'apig', instanceId: 'a', domains: ['shop.example', 'www.shop.example'] }
const shop = bundle('shop', 1, later(-10 * day))
const why = (code: string, facts = {}) => ({
  code,
  kind: 'never' as const,
  message: 'Why.',
  next: 'Do.',
  facts,
})
const cloud = {
  credentials: 'cloud.auth.accessKey (id)',
  region: 'eu-de',
  projectId: 'p',
  temporary: false,
  clockAheadMs: 0,
}
const well: Partial<Gathered> = {
  cloud,
  gateways: [{ where: 'apig:a', found: 2, missing: [] }],
  observations: [
    seen('shop', 'shop.example', serving(shop)),
    seen('shop', 'www.shop.example', serving(shop)),
  ],
  states: new Map([['shop', deployed('shop', shop, start)]]),
}
const told: Outbox = {
  ...emptyOutbox(),
  channels: { 'slack 12345678': { dropped: 0, lastSuccess: start.toISOString() } },
}
const settings = (certificate = {}, rest = {}) => ({
  ...config(
    { shop: { gateways: [gateway], ...certificate } },
    { channels: [{ webhook: 'https://hook.example' }] },
  ),
  ...rest,
})

const marks = { passed: '✓', warning: '!', failed: '✗' }
const text = (checks: readonly HealthCheck[]) =>
  checks
    .map(({ group, about, result, message }) => `${group} ${marks[result]} ${about}: ${message}`)
    .join('\n')

describe('what a tick has seen anyway', () => {
  it('tells how the tool is, where all is well', () => {
    const checks = seenChecks(gathered(start, settings(), well), told)
    expect(text(checks)).toBe(
      [
        'config ✓ rotation.yaml: 1 certificate, 2 domains, 1 gateway',
        'credentials ✓ cloud.auth.accessKey (id): accepted, project p in eu-de; clock right',
        'store ✓ store: state, uploads and what was told could be read',
        'gateways ✓ apig:a: 2 of 2 domains found',
        'handshakes ✓ 2 of 2 names: served as expected',
        'alerts ✓ slack 12345678: took its last message 2026-11-22 06:00 UTC',
      ].join('\n'),
    )
    expect(worstOf(checks)).toBe('passed')
  })

  it('warns of what goes unencrypted to other machines, unless that is meant', () => {
    const plain = {
      cloud: {
        region: 'eu-de',
        endpoints: { iam: 'http://iam.example', apig: 'http://127.0.0.1:18080', scm: 'https://scm.example' },
      },
      store: { endpoint: 'http://obs.example:7480' },
    }
    const lines = (rest: object) => {
      const checks = seenChecks(gathered(start, settings({}, rest) as never, well), told)
      return text(checks.filter(({ group, result }) => group === 'config' && result !== 'passed'))
    }
    expect(lines(plain)).toBe(
      [
        'config ! cloud.endpoints.iam: http://iam.example is not encrypted: keys and tokens can be read on the way',
        'config ! store.endpoint: http://obs.example:7480 is not encrypted: keys and tokens can be read on the way',
      ].join('\n'),
    )
    expect(lines({ ...plain, allowPlainHttp: true })).toBe('')
  })

  it.each<[string, Partial<Gathered>, Outbox, RegExp[]]>([
    [
      'wrong credentials',
      {
        gateways: [],
        unread: [{ where: 'apig:a', list: true, failure: why('gateway.unauthorized', { status: 401 }) }],
      },
      told,
      [/^credentials ✗ cloud\.auth\.accessKey \(id\): Why\.$/m, /^gateways ✗ apig:a: Why\.$/m],
    ],
    [
      'a network that does not let us through, which says nothing of the credentials',
      { gateways: [], unread: [{ where: 'apig:a', list: true, failure: why('gateway.unreachable') }] },
      told,
      [/^gateways ✗ apig:a: Why\.$/m, /^(?![\s\S]*credentials)/],
    ],
    [
      'a state file that cannot be read',
      { unread: [{ where: 'state/shop.json', failure: why('store.denied') }] },
      told,
      [/^store ✗ state\/shop\.json: Why\.$/m, /^gateways ✓ apig:a/m],
    ],
    [
      'a certificate manager that refuses',
      { unread: [{ where: 'scm', list: true, failure: why('manager.forbidden') }] },
      told,
      [/^manager ✗ scm: Why\.$/m, /^(?![\s\S]*gateways ✗)/],
    ],
    [
      'a domain that left its gateway',
      {
        gateways: [
          { where: 'apig:a', found: 1, missing: [why('gateway.unknown-domain', { domain: 'shop.example' })] },
        ],
      },
      told,
      [/^gateways ✓ apig:a: 1 of 2 domains found$/m, /^gateways ✗ shop\.example: Why\.$/m],
    ],
    [
      'a gateway that is nearly full',
      { quotas: [{ where: 'apig a', used: 45, limit: 50 }] },
      told,
      [/^gateways ! apig:a: 45 of 50 certificates used$/m],
    ],
    [
      'a certificate that ended',
      {
        observations: [seen('shop', 'shop.example', serving(bundle('shop', 2, later(-99 * day))))],
        states: new Map(),
      },
      told,
      [/^handshakes ✗ shop\.example: serves a certificate that ended/m],
    ],
    [
      'a channel that is dead',
      {},
      {
        ...told,
        channels: {
          'slack 1': { dropped: 0, lastFailure: { at: start.toISOString(), failure: why('notify.refused') } },
        },
      },
      [/^alerts ✗ slack 1: Why\.$/m],
    ],
    [
      'a renewal that fails',
      {
        renewals: new Map([['shop', { failing: { since: '', attempts: 2, failure: why('acme.refused') } }]]),
      },
      told,
      [/^renewal ✗ shop: Why\.$/m, /^config ✗ accountKeySecret: is not set/m],
    ],
  ])('names %s', (_case, more, outbox, says) => {
    const renew = { renew: { acme: { directory: 'https://ca.example/dir', dns: 'otc' } } }
    const own = settings(more.renewals ? renew : {})
    const checks = seenChecks(gathered(start, own, { ...well, ...more }), outbox)
    for (const one of says) expect(text(checks)).toMatch(one)
    for (const { result, next } of checks) if (result !== 'passed') expect(next).toBeTruthy()
  })

  it('names nobody who is told nothing', () => {
    const checks = seenChecks(gathered(start, config({ shop: { gateways: [gateway] } }), well), emptyOutbox())
    expect(text(checks)).toMatch(/^alerts ! channels: none is configured/m)
  })
})

it.each([
  [0, '✓'],
  [-59_000, '✓'],
  [2 * minute, '✓!'],
  [-20 * minute, '✓!'],
])('a clock %i ms ahead gives %s', (clockAheadMs, expected) => {
  const checks = credentialsCheck({ ...cloud, clockAheadMs }, undefined)
  expect(checks.map(({ result }) => marks[result]).join('')).toBe(expected)
})
