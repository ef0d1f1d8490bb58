import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { cleanLeftovers } from '../../shared/acme/challenges.ts'
import { createHttp01Solver } from '../../shared/acme/http-01.ts'
import { emptyState, readState } from '../../shared/acme/state.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { silentLog } from '../../shared/base/log.ts'
import { createDns01Solver } from '../../shared/dns/dns-01.ts'
import { createDirectoryStore } from '../../shared/store/directory.ts'
import type { Store } from '../../shared/store/port.ts'

let folder: string
let web: Store
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'planted-'))
  web = createDirectoryStore(folder)
})
afterEach(() => rm(folder, { recursive: true, force: true }))

const prefix = '.well-known/acme-challenge/'
const token = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA'

async function clean(placement: Record<string, string>): Promise<{ warnings: string[]; left: number }> {
  const solver = createHttp01Solver({ id: 'http-01:web', store: web })
  const state = { ...emptyState('shop'), leftovers: [{ solver: solver.id, placement }] }
  const warnings: string[] = []
  await cleanLeftovers({
    state,
    save: async () => {},
    solvers: new Map([[solver.id, solver]]),
    warnings,
    signal: undefined,
    log: silentLog,
    progress: () => {},
  })
  return { warnings, left: state.leftovers.length }
}

describe('a leftover of renew/ that nobody of us has put there', () => {
  test.each([
    'index.html',
    'certificates/state/shop.json',
    `${prefix}robots.txt`,
    `${prefix}${token}/index.html`,
    `${prefix}../${token}`,
    '',
  ])('removes no object %j of the HTTP-01 bucket, and is told once', async (key) => {
    if (key !== '' && !key.includes('..')) await web.put(key, 'the shop')
    const before = (await web.list('')).map((object) => object.key)
    const { warnings, left } = await clean({ key, value: 'the shop' })
    expect((await web.list('')).map((object) => object.key)).toEqual(before)
    expect(warnings.join()).toContain('is not where a challenge is put')
    expect(left).toBe(0)
  })

  test('removes an object in a challenge’s place only while it is that challenge', async () => {
    await web.put(`${prefix}${token}`, 'another key authorization')
    await clean({ key: `${prefix}${token}`, value: `${token}.thumbprint` })
    expect((await web.list('')).length).toBe(1)
    await web.put(`${prefix}${token}`, `${token}.thumbprint`)
    expect(await clean({ key: `${prefix}${token}`, value: `${token}.thumbprint` })).toEqual({
      warnings: [],
      left: 0,
    })
    expect(await web.list('')).toEqual([])
  })

  test('writes no object of the HTTP-01 bucket either', async () => {
    const solver = createHttp01Solver({ id: 'http-01:web', store: web })
    await expect(solver.present({ key: 'index.html', value: 'mine' })).rejects.toMatchObject({
      code: 'http-01.foreign-placement',
    })
    expect(await web.list('')).toEqual([])
  })

  const value = 'LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ'
  test.each([
    { zoneId: 'z1', zone: 'shop.example.', record: '_dmarc.shop.example', value: 'v=DMARC1; p=reject' },
    { zoneId: 'z1', zone: 'shop.example.', record: '_acme-challenge.other.example', value },
    { zoneId: '../recordsets', zone: 'shop.example.', record: '_acme-challenge.shop.example', value },
    { zoneId: 'z1', zone: '', record: '_acme-challenge.shop.example', value },
  ])('touches no record set: %j', async (placement) => {
    const touched: string[] = []
    const service = new Proxy({} as never, {
      get: (_, name) => async () => void touched.push(String(name)),
    })
    const solver = createDns01Solver({
      id: 'dns-01:otc',
      service,
      lookup: {} as never,
      clock: systemClock,
      log: silentLog,
    })
    for (const act of ['present', 'ready', 'cleanUp'] as const)
      await expect(solver[act](placement)).rejects.toMatchObject({ code: 'dns-01.foreign-placement' })
    expect(touched).toEqual([])
  })
})

test.each([
  { leftovers: [{}] },
  { leftovers: [{ solver: 'http-01:web', placement: { key: 7 } }] },
  { leftovers: 'x' },
  { orders: { a: { directory: 'x' } } },
  { orders: [] },
  { waits: { a: null } },
  { issued: { leaf: 7 } },
])('a renewal state that could not have been written is kept aside: %j', async (change) => {
  const text = JSON.stringify({ ...emptyState('shop'), ...change })
  await web.put('renew/shop.json', text)
  const { state, setAside } = await readState(web, 'shop', new Date('2026-11-22T06:00:00Z'))
  expect(state).toEqual(emptyState('shop'))
  expect(new TextDecoder().decode((await web.get(setAside!))?.bytes)).toBe(text)
})
