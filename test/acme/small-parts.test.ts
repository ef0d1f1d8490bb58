import { describe, expect, test } from 'vitest'
import { open, seal } from '../../shared/acme/envelope.ts'
import { namesToOrder } from '../../shared/acme/names.ts'
import { problemFailure } from '../../shared/acme/problems.ts'
import { nextPoll, readRenewalInfo, renewalInfoId } from '../../shared/acme/renewal-info.ts'
import { readState, renewKeys } from '../../shared/acme/state.ts'
import { attemptAt, nextWait } from '../../shared/acme/wait.ts'
import { hour } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { configSchema } from '../../shared/config/schema.ts'
import { temporaryStore } from '../support/acme.ts'

describe('keys in the store', () => {
  const passphrase = new Secret('correct horse')
  test('come back only with their passphrase and in their place', async () => {
    const envelope = await seal(new Secret('-----BEGIN …'), passphrase, 'the certificate shop')
    expect(JSON.stringify(envelope)).not.toContain('BEGIN')
    expect((await open(envelope, new Secret('correct horse'), 'the certificate shop')).reveal()).toBe(
      '-----BEGIN …',
    )
    await expect(open(envelope, new Secret('wrong'), 'the certificate shop')).rejects.toMatchObject({
      code: 'acme.key-unreadable',
    })
    await expect(open(envelope, passphrase, 'the certificate other')).rejects.toBeInstanceOf(Failure)
    const changed = { ...envelope, data: `${envelope.data.slice(0, -2)}AA` }
    await expect(open(changed, passphrase, 'the certificate shop')).rejects.toBeInstanceOf(Failure)
    await expect(
      open({ ...envelope, scrypt: [30, 8, 1] }, passphrase, 'the certificate shop'),
      'a cost that would fill the memory',
    ).rejects.toBeInstanceOf(Failure)
    await expect(
      open({ ...envelope, tag: envelope.tag.slice(0, 6) }, passphrase, 'the certificate shop'),
      'a shortened tag',
    ).rejects.toBeInstanceOf(Failure)
  })
  test('are sealed differently every time', async () => {
    const [one, two] = await Promise.all([1, 2].map(() => seal(new Secret('x'), passphrase, 'p')))
    expect(one?.data === two?.data && one?.iv === two?.iv).toBe(false)
  })
})

describe('the names to order', () => {
  const config = (certificate: unknown) =>
    configSchema.parse({ store: { directory: '.' }, certificates: { shop: certificate } }).certificates.shop!
  const acme = { directory: 'https://ca.example/dir', dns: 'huaweicloud' }
  const gateway = (domains: unknown[]) => ({ flavour: 'apig', instanceId: 'i', domains })

  test('are the hosts of the domains, without what a wildcard covers one label deep', () => {
    const domains = [
      'api.shop.example',
      '*.shop.example',
      'shop.example',
      'a.b.shop.example',
      'API.shop.example',
    ]
    expect(namesToOrder('shop', config({ gateways: [gateway(domains)], renew: { acme } }))).toEqual([
      '*.shop.example',
      'a.b.shop.example',
      'shop.example',
    ])
  })
  test('are those of renew.names where they are listed, as the DNS writes them', () => {
    const renew = { acme, names: ['Bücher.example', '*.bücher.example'] }
    expect(namesToOrder('shop', config({ gateways: [gateway(['x.example'])], renew }))).toEqual([
      '*.xn--bcher-kva.example',
      'xn--bcher-kva.example',
    ])
  })
  test('are refused where one is not known or not a name', () => {
    const ids = gateway([{ groupId: 'g', domainId: 'd' }, 'x.example'])
    expect(() => namesToOrder('shop', config({ gateways: [ids], renew: { acme } }))).toThrow(
      /not all of its names/,
    )
    for (const name of [
      'localhost',
      '192.0.2.1',
      'a..example',
      '*.*.example',
      '-a.example',
      'under_score.example',
    ]) {
      const renew = { acme, names: [name] }
      expect(() => namesToOrder('shop', config({ renew })), name).toThrow(/not a name/)
    }
  })
})

describe('renewal information', () => {
  // The example certificate of RFC 9773, appendix A.
  const example = `-----BEGIN CERTIFICATE-----
MIIBQzCB66ADAgECAgUAh2VDITAKBggqhkjOPQQDAjAVMRMwEQYDVQQDEwpFeGFt
cGxlIENBMCIYDzAwMDEwMTAxMDAwMDAwWhgPMDAwMTAxMDEwMDAwMDBaMBYxFDAS
BgNVBAMTC2V4YW1wbGUuY29tMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEeBZu
7cbpAYNXZLbbh8rNIzuOoqOOtmxA1v7cRm//AwyMwWxyHz4zfwmBhcSrf47NUAFf
qzLQ2PPQxdTXREYEnKMjMCEwHwYDVR0jBBgwFoAUaYhba4dGQEHhs3uEe6CuLN4B
yNQwCgYIKoZIzj0EAwIDRwAwRAIge09+S5TZAlw5tgtiVvuERV6cT4mfutXIlwTb
+FYN/8oCIClDsqBklhB9KAelFiYt9+6FDj3z4KGVelYM5MdsO3pK
-----END CERTIFICATE-----
`
  test('is asked for by the identifier of RFC 9773’s own example', () => {
    expect(renewalInfoId(example)).toBe('aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE')
  })
  test.each([
    ['nothing', undefined],
    ['no window', {}],
    [
      'an end before its start',
      { suggestedWindow: { start: '2026-01-02T00:00:00Z', end: '2026-01-01T00:00:00Z' } },
    ],
    [
      'an end at its start',
      { suggestedWindow: { start: '2026-01-01T00:00:00Z', end: '2026-01-01T00:00:00Z' } },
    ],
    ['words', { suggestedWindow: { start: 'soon', end: 'later' } }],
    ['a bare year', { suggestedWindow: { start: '2026', end: '2027' } }],
  ])('that contains %s counts as none', (_, body) => {
    expect(() => readRenewalInfo(body, undefined)).toThrow(Failure)
  })
  test('is read with its explanation, if that is a link', () => {
    const suggestedWindow = { start: '2026-01-01T00:00:00Z', end: '2026-01-02T00:00:00Z' }
    const info = readRenewalInfo({ suggestedWindow, explanationURL: 'https://ca.example/why' }, 21_600_000)
    expect(info).toEqual({
      start: new Date('2026-01-01T00:00:00Z'),
      end: new Date('2026-01-02T00:00:00Z'),
      explanationUrl: 'https://ca.example/why',
      retryAfterMs: 21_600_000,
    })
    expect(
      readRenewalInfo({ suggestedWindow, explanationURL: 'javascript:alert(1)' }, 1).explanationUrl,
    ).toBeUndefined()
  })
  test.each([
    [undefined, '2026-01-01T06:00:00.000Z'],
    [0, '2026-01-01T00:01:00.000Z'],
    [3_600_000, '2026-01-01T01:00:00.000Z'],
    [900_000_000, '2026-01-02T00:00:00.000Z'],
  ])('with Retry-After %s ms is asked for again at %s', (retryAfter, at) => {
    expect(nextPoll(new Date('2026-01-01T00:00:00Z'), retryAfter).toISOString()).toBe(at)
  })
})

describe('the wait after a failure', () => {
  const now = new Date('2026-01-01T00:00:00Z')
  const failure = (retryAfterMs?: number) =>
    new Failure({
      code: 'x.y',
      kind: 'later',
      message: 'm',
      next: 'n',
      ...(retryAfterMs && { retryAfterMs }),
    })
  const grown = (asked?: number) => {
    let wait = nextWait(now, undefined, failure(), 'r', 0)
    for (let more = 0; more < 5; more++) wait = nextWait(now, wait, failure(asked), 'r', 0)
    return wait
  }
  const inHours = (hours: number) => new Date(now.getTime() + hours * hour)
  const hoursUntil = (at: Date) => (at.getTime() - now.getTime()) / hour

  test.each([
    // served until, emergency from, asked for, waits: in hours
    ['far from the end as long as ours', 2000, 1800, 0, 8],
    ['far from the end as long as the CA asks', 2000, 1800, 720, 720],
    ['but not into the emergency', 300, 200, 720, 200],
    ['near the end an hour', 20, -148, 0, 1],
    ['near the end an hour whatever the CA asks', 20, -148, 720, 1],
    ['at the end a tenth of what is left', 2, -166, 720, 0.2],
    ['after the end an hour', -5, -173, 720, 1],
  ])('is %s', (_, ends, from, asked, waits) => {
    const end = { from: inHours(from), at: inHours(ends) }
    expect(hoursUntil(attemptAt(grown(asked * hour), 'r', end, false))).toBe(waits)
    // Neither a person nor another request is more than the CA's wish.
    for (const [request, force] of [['another', false] as const, ['r', true] as const])
      expect(attemptAt(grown(asked * hour), request, end, force).getTime()).toBe(
        asked === 0 ? 0 : inHours(waits).getTime(),
      )
  })

  test('is as long as the CA asks where nothing is served yet', () => {
    expect(hoursUntil(attemptAt(grown(720 * hour), 'r', undefined, false))).toBe(720)
  })
})

describe('what a CA says by its status alone', () => {
  const at = (status: number, retryAfterMs?: number, type?: string) =>
    problemFailure(
      { detail: 'no reason given', ...(type !== undefined && { type }) },
      {
        doing: 'its directory',
        directory: 'https://ca.example/dir',
        status,
        retryAfterMs,
        now: new Date('2026-01-01T00:00:00Z'),
      },
    )
  test.each([
    [503, undefined, 'acme.unavailable'],
    [500, 'about:blank', 'acme.unavailable'],
    [429, undefined, 'acme.rate-limited'],
  ])('%d %s blames nobody’s config', (status, type, code) => {
    const failure = at(status, 720 * hour, type)
    expect(failure.code).toBe(code)
    expect(failure.next).not.toContain('config')
    expect(failure.message).toContain('it asks to be left alone until 2026-01-31 00:00 UTC')
    expect(at(status, 5_000, type).message).not.toContain('it asks')
  })
})

test('a renewal state that cannot be read is kept aside, never deleted', async () => {
  const { store, remove } = await temporaryStore()
  try {
    for (const [index, garbage] of ['', '{', '{"schema":9}', '{"schema":1,"name":"other"}'].entries()) {
      await store.put(renewKeys.state('shop'), garbage)
      const now = new Date(Date.UTC(2026, 0, 1, 0, 0, index))
      const { state, setAside } = await readState(store, 'shop', now)
      expect(state.orders).toEqual({})
      expect(setAside).toMatch(/^renew\/shop\.broken-2026-01-01T00-00-0\dZ\.json$/)
      expect(Buffer.from((await store.get(setAside ?? ''))?.bytes ?? []).toString()).toBe(garbage)
    }
  } finally {
    await remove()
  }
})
