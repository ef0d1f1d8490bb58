import { describe, expect, it } from 'vitest'
import type { CertificateSummary } from '../../shared/certificate/summary.ts'
import {
  type ChangedDomain,
  type DifferenceFacts,
  differenceOf,
  type GatewayFacts,
  shortened,
} from '../../shared/rotation/record/difference.ts'
import { changesInWords, differenceRows } from '../../shared/rotation/record/difference-words.ts'

/** Facts → difference → words: pure, so each row says what people would be told of one change. */

const now: CertificateSummary = {
  notAfter: '2027-03-01T00:00:00.000Z',
  names: ['api.shop.example', '*.shop.example'],
  issuer: 'CN=R11, O=CA',
  key: 'RSA 2048',
  chain: ['R11'],
  uses: ['digital signature', 'key encipherment', 'server authentication'],
}
const before = (change: Partial<CertificateSummary> = {}): Partial<CertificateSummary> => ({
  ...now,
  notAfter: '2026-12-01T00:00:00.000Z',
  ...change,
})
const seen = (shown: Partial<CertificateSummary>, same = 'old'): ChangedDomain['old'] => ({
  same,
  id: same,
  seen: 'handshake',
  shown,
})
const domain = (host: string, old = seen(before()), order: ChangedDomain['order'] = 'detach, attach') => ({
  host,
  order,
  ...(old ? { old } : {}),
})
const api = domain('api.shop.example')

function facts(at: Partial<GatewayFacts>, change: Partial<DifferenceFacts> = {}): DifferenceFacts {
  const gateway: GatewayFacts = {
    gateway: 'apig:gw',
    strategy: 'rebind',
    domains: [api],
    verifying: [],
    open: ['api.shop.example'],
    habit: undefined,
    rehearsed: undefined,
    updateWithoutWayBack: false,
    measured: undefined,
    ...at,
  }
  return { certificate: now, clientCa: { old: [], new: [] }, gateways: [gateway], ...change }
}

const oldAs = (change: Partial<CertificateSummary>) =>
  facts({ domains: [domain('api.shop.example', seen(before(change)))] })
const rehearsal = (proven: boolean, refused: Record<string, string> = {}) => ({
  digest: 'd',
  at: '2026-11-26T12:00:00.000Z',
  proven,
  refused,
})

interface Row {
  of: string
  facts: DifferenceFacts
  /** A row that `plan` shows. */
  shows: [label: string, text: string]
  /** What the short message has besides the new term; default: nothing. */
  tells?: string
}

const table: Row[] = [
  { of: 'the term', facts: facts({}), shows: ['valid until', '2026-12-01 → 2027-03-01, 90 days later'] },
  {
    of: 'an earlier end',
    facts: oldAs({ notAfter: '2027-03-03T00:00:00.000Z' }),
    shows: ['valid until', '2027-03-03 → 2027-03-01, 2 days earlier'],
  },
  {
    of: 'names won and lost; one that a wildcard covers is neither',
    facts: oldAs({ names: ['www.shop.example', 'old.example', '*.dev.shop.example'] }),
    shows: ['names', 'won api.shop.example, *.shop.example; lost old.example, *.dev.shop.example'],
    tells: 'names won api.shop.example, *.shop.example; lost old.example, *.dev.shop.example',
  },
  {
    of: 'another issuer, and its chain is no news then',
    facts: oldAs({ issuer: 'CN=R10, O=CA', chain: ['R10'] }),
    shows: ['issuer', 'CN=R10, O=CA → CN=R11, O=CA'],
    tells: 'issuer CN=R10, O=CA → CN=R11, O=CA',
  },
  {
    of: 'another chain of the same issuer',
    facts: oldAs({ chain: ['R11', 'Cross Root'] }),
    shows: ['chain', 'R11 ← Cross Root → R11'],
    tells: 'chain R11 ← Cross Root → R11',
  },
  {
    of: 'another kind of key',
    facts: oldAs({ key: 'ECC 256', uses: ['digital signature', 'server authentication'] }),
    shows: ['key', 'ECC 256 → RSA 2048'],
    tells: 'key ECC 256 → RSA 2048',
  },
  {
    of: 'a client certificate that ceases to be one',
    facts: oldAs({ uses: [...now.uses, 'client authentication'] }),
    shows: ['use', 'lost client authentication: it ceases to be a client certificate'],
    tells: 'use lost client authentication: it ceases to be a client certificate',
  },
  {
    of: 'one without any limit of its purpose, which was good for clients, too',
    facts: oldAs({ uses: ['digital signature', 'key encipherment', 'any purpose'] }),
    shows: ['use', 'lost client authentication, any purpose: it ceases to be a client certificate'],
    tells: 'use lost client authentication, any purpose: it ceases to be a client certificate',
  },
  {
    of: 'key usage that is lost: shown, not told',
    facts: oldAs({ uses: [...now.uses, 'key agreement'] }),
    shows: ['use', 'lost key agreement'],
  },
  {
    of: 'what only the gateway shows: nothing is said to be lost',
    facts: facts({
      domains: [
        domain('api.shop.example', {
          same: 'old',
          id: 'old',
          seen: 'gateway',
          shown: { notAfter: '2026-12-01T00:00:00.000Z' },
        }),
      ],
    }),
    shows: ['names', 'not compared: nobody shows the old ones'],
  },
  {
    of: 'a CA for client certificates that changes',
    facts: facts({}, { clientCa: { old: ['a'.repeat(64)], new: ['b'.repeat(64)] } }),
    shows: ['client CA', 'aaaaaaaaaaaaaaaa… → bbbbbbbbbbbbbbbb…'],
    tells: 'client CA aaaaaaaaaaaaaaaa… → bbbbbbbbbbbbbbbb…',
  },
  {
    of: 'a CA for client certificates that stays',
    facts: facts({}, { clientCa: { old: ['a'.repeat(64)], new: ['a'.repeat(64)] } }),
    shows: ['client CA', 'aaaaaaaaaaaaaaaa…, as before'],
  },
  {
    of: 'a way back that is yet to be proven',
    facts: facts({}),
    shows: ['way back', 'to be proven: each domain gets again what it has, before that is detached'],
  },
  {
    of: 'a way back that was proven',
    facts: facts({ rehearsed: rehearsal(true) }),
    shows: ['way back', 'proven: what was bound was attached again before anything was changed'],
  },
  {
    of: 'no way back',
    facts: facts({ rehearsed: rehearsal(false, { old: 'APIG.3709: not trusted' }) }),
    shows: ['way back', 'none: APIG.3709: not trusted'],
    tells: 'way back none: APIG.3709: not trusted',
  },
  {
    of: 'an update in place that looks for no way back',
    facts: facts({
      strategy: 'update',
      updateWithoutWayBack: true,
      domains: [domain('api.shop.example', seen(before()), 'in place')],
    }),
    shows: ['way back', 'none: updateWithoutWayBack is set, so nobody looks for one'],
    tells: 'way back none: updateWithoutWayBack is set, so nobody looks for one',
  },
  {
    of: 'the order',
    facts: facts({ domains: ['a', 'b', 'c', 'd', 'e'].map((host) => domain(host)) }),
    shows: ['order', 'a, then 4 others'],
  },
  {
    of: 'a gap as it was measured',
    facts: facts({ measured: { ms: 31, at: '2026-09-01T08:00:00.000Z' } }),
    shows: ['gap', 'up to 31 ms, the longest measured there (2026-09-01)'],
  },
  {
    of: 'no gap where both stand side by side, whatever was measured',
    facts: facts({
      habit: 'keeps both',
      domains: [domain('api.shop.example', seen(before()), 'attach, detach')],
      measured: { ms: 31, at: '2026-09-01T08:00:00.000Z' },
    }),
    shows: ['gap', 'none: the new certificate is attached before the old one goes'],
  },
  {
    of: 'a gap although this one is tried attach first: the gateway is known to refuse it',
    facts: facts({
      habit: 'refuses',
      domains: [domain('api.shop.example', seen(before()), 'attach, detach')],
    }),
    shows: ['gap', 'the old one is detached first; not measured there yet'],
  },
  {
    of: 'a gap that nobody knows yet',
    facts: facts({ domains: [domain('api.shop.example', seen(before()), 'attach, detach')] }),
    shows: ['gap', 'none where the gateway takes both; the first domain finds that out'],
  },
  {
    of: 'a bare domain',
    facts: facts({ domains: [{ host: 'api.shop.example', order: 'attach' }] }),
    shows: ['first', 'api.shop.example: nothing is bound now'],
    tells: 'first api.shop.example: nothing is bound now',
  },
]

describe('the difference', () => {
  it.each(table)('tells $of', ({ facts: given, shows: [label, text], tells }) => {
    const difference = differenceOf(given)
    expect(differenceRows(difference)).toContainEqual(expect.objectContaining({ label, text }))
    const told = changesInWords(difference).filter((one) => !one.startsWith('valid until'))
    expect(told).toEqual(tells === undefined ? [] : [tells])
  })

  it('warns where domains that verify clients share the certificate with others', () => {
    const { warnings } = differenceOf(facts({ verifying: ['mtls.shop.example'], open: ['api.shop.example'] }))
    expect(warnings).toEqual([
      expect.stringMatching(/mtls\.shop\.example asks clients .* with api\.shop\.example, which does not/),
    ])
    for (const alone of [{ verifying: ['mtls.shop.example'], open: [] }, { verifying: [] }])
      expect(differenceOf(facts(alone)).warnings).toEqual([])
  })

  it('has one entry for each certificate in service, the one of most domains first', () => {
    const other = seen(before({ key: 'ECC 256' }), 'other')
    const difference = differenceOf(facts({ domains: [domain('a', other), domain('b'), domain('c')] }))
    expect(difference.replaces.map(({ hosts, key }) => [hosts, key.old])).toEqual([
      [['b', 'c'], 'RSA 2048'],
      [['a'], 'ECC 256'],
    ])
    expect(differenceRows(difference).filter(({ label }) => label === 'on')).toHaveLength(2)
    expect(shortened(difference, 1).replaces.map(({ hosts }) => hosts)).toEqual([['b']])
  })

  it('says once what is the same at every gateway', () => {
    const [gateway] = facts({}).gateways
    const two = [gateway!, { ...gateway!, gateway: 'roma:gw', domains: [domain('erp.shop.example')] }]
    const rows = differenceRows(differenceOf(facts({}, { gateways: two })))
    const of = (label: string) => rows.filter((row) => row.label === label).map(({ text }) => text)
    expect(of('way back')).toHaveLength(1)
    expect(of('order')).toEqual(['apig:gw: api.shop.example', 'roma:gw: erp.shop.example'])
  })
})
