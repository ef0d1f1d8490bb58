import { mkdir, readFile, symlink, truncate, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Worker } from 'node:worker_threads'
import { afterEach, describe, expect, it } from 'vitest'
import { createAuthority } from '../../emulator/authority.ts'
import { day, hour, minute } from '../../shared/base/clock.ts'
import type { Log } from '../../shared/base/log.ts'
import { createWorkerReader } from '../../shared/reader/in-worker.ts'
import type { Outcome } from '../../shared/rotation/record/state.ts'
import { exitStatus, rotateThenTell, rotateUploads } from '../../shared/runtime/jobs.ts'
import type { Store } from '../../shared/store/port.ts'
import { type Bundle, TestCloud } from '../support/cloud.ts'
import { servedChain } from '../support/served-chain.ts'
import { codes, Story } from '../support/story.ts'

/** What is not a good bundle: refused and moved aside, waited for, or left alone. */

const HOST = 'api.shop.example'
const INSTANT = /\d{4}-\d\d-\d\dT[\d-]+Z-[0-9a-z]{8}/

let cloud: TestCloud
let closing: (() => Promise<void>)[] = []
afterEach(async () => {
  for (const close of closing) await close()
  closing = []
})

async function start(): Promise<void> {
  cloud = await TestCloud.start({ apig: [HOST], roma: [] })
  closing.push(() => cloud.close())
}

interface Settings {
  certificate?: Record<string, unknown>
  byPerson?: boolean
  store?: Store
  log?: Log
}

async function rotate({ certificate = {}, byPerson = false, store, log }: Settings = {}): Promise<Outcome[]> {
  const wiring = await cloud.wire(cloud.config(certificate), log ? { log } : {})
  const parties = cloud.parties(wiring)
  const report = await rotateUploads(wiring, store ? { ...parties, store } : parties, { byPerson })
  expect(report.failures).toEqual([])
  return report.outcomes
}

async function put(files: Record<string, string | Uint8Array>): Promise<void> {
  for (const [name, content] of Object.entries(files)) await cloud.store.put(`incoming/shop/${name}`, content)
}

async function text(key: string): Promise<string> {
  return new TextDecoder().decode((await cloud.store.get(key))?.bytes)
}

async function shownKeys(): Promise<string[]> {
  return (await cloud.keys()).map((key) => key.replace(INSTANT, '<instant>'))
}

async function find(end: string): Promise<string> {
  const key = (await cloud.keys()).find((one) => one.endsWith(end))
  if (!key) throw new Error(`nothing ends with ${end}: ${(await cloud.keys()).join(', ')}`)
  return key
}

const pair = (bundle: Bundle) => ({
  'fullchain.pem': bundle.fullchainPem,
  'privkey.pem': bundle.privateKeyPem,
})

/** As if it had been uploaded this long ago. */
async function age(name: string, ms: number): Promise<void> {
  const then = new Date(Date.now() - ms)
  await utimes(join(cloud.folder, 'bucket/incoming/shop', name), then, then)
}

describe('a refused bundle', () => {
  it('is moved to rejected/ with a result and a README that says what is wrong and what to do', async () => {
    await start()
    const wrong = await cloud.issue(['other.example'])
    await cloud.drop(wrong)
    const before = cloud.served()
    const [outcome] = await rotate()
    expect(outcome).toMatchObject({ status: 'refused' })
    expect(await shownKeys()).toEqual([
      'rejected/shop/<instant>/README.txt',
      'rejected/shop/<instant>/fullchain.pem',
      'rejected/shop/<instant>/privkey.pem',
      'rejected/shop/<instant>/result.json',
      'state/shop.json',
    ])
    const readme = await text(await find('README.txt'))
    expect(readme).toContain(`does not cover ${HOST}`)
    expect(readme).toContain('[names-covered]')
    expect(readme).toContain('Order the certificate with all domains in it')
    expect(readme).toContain('incoming/shop/')
    expect(readme).toContain('cert-rotation rotate shop')
    expect(JSON.parse(await text(await find('result.json')))).toMatchObject({
      status: 'refused',
      checks: expect.arrayContaining([
        expect.objectContaining({ code: 'names-covered', reason: 'name-not-covered', result: 'refused' }),
      ]),
    })
    expect(cloud.served()).toEqual(before)
    expect(cloud.effects()).toEqual({})
    for (const key of await cloud.keys())
      if (!key.endsWith('/privkey.pem')) expect(await text(key)).not.toContain('PRIVATE KEY')
  })

  it('because reading it took too much is moved and told like any other, and is not read again', async () => {
    await start()
    const told: string[] = []
    const config = cloud.config({}, {}, { alerts: { channels: [{ console: true }] } })
    const wiring = await cloud.wire(config, { write: (text) => void told.push(text) })
    let threads = 0
    const reader = createWorkerReader({
      limits: { milliseconds: 50 },
      start: (limits) => {
        threads++
        const endless = `const { parentPort } = require('node:worker_threads')
          parentPort.on('message', () => { for (;;); })
          parentPort.postMessage('ready')`
        return new Worker(endless, { ...limits, eval: true })
      },
    })
    closing.unshift(() => reader.close())
    const parties = { ...cloud.parties(wiring), reader }
    await cloud.drop(await cloud.issue())
    const before = cloud.served()
    const report = await rotateThenTell(wiring, parties, ['shop'])
    const sentence = 'took more than 0.05 s to read, twice'
    expect(report.outcomes).toMatchObject([
      { status: 'refused', sentence: expect.stringContaining(sentence), checks: [{ code: 'overran' }] },
    ])
    expect(exitStatus(report)).toBe(1)
    expect(await shownKeys()).toEqual(
      expect.arrayContaining([
        'rejected/shop/<instant>/README.txt',
        'rejected/shop/<instant>/fullchain.pem',
        'rejected/shop/<instant>/privkey.pem',
        'rejected/shop/<instant>/result.json',
      ]),
    )
    expect(await cloud.store.list('incoming/')).toEqual([])
    const readme = await text(await find('README.txt'))
    expect(readme).toContain(sentence)
    expect(readme).toContain('[overran]')
    expect(JSON.parse(await text(await find('result.json')))).toMatchObject({
      status: 'refused',
      checks: [{ code: 'overran', result: 'refused' }],
    })
    expect(told.join('').replace(/\s+/g, ' ')).toContain(sentence)
    expect(cloud.served()).toEqual(before)
    expect(cloud.effects()).toEqual({})

    const asked = threads
    expect((await rotateThenTell(wiring, parties, ['shop'])).outcomes).toEqual([])
    expect(threads).toBe(asked)
    await cloud.drop(await cloud.issue())
    expect(await rotate()).toMatchObject([{ status: 'rotated' }])
  })

  it('does not stand in the way of a corrected one, which is put into service at once', async () => {
    await start()
    await cloud.drop(await cloud.issue(['other.example']))
    await rotate()
    const good = await cloud.issue()
    await cloud.drop(good)
    expect(await rotate()).toMatchObject([{ status: 'rotated' }])
    expect(cloud.served()[HOST]).toBe(good.fingerprint)
  })

  it('keeps the protection its key had, byte for byte', async () => {
    await start()
    const { createPrivateKey } = await import('node:crypto')
    const good = await cloud.issue()
    const encrypted = createPrivateKey(good.privateKeyPem)
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'correct horse' })
      .toString()
    const files = { 'fullchain.pem': good.fullchainPem, 'privkey.pem': encrypted }
    await put(files)
    const [missing] = await rotate()
    expect(missing?.sentence).toMatch(/privkey\.pem is encrypted, and no password is configured/)
    expect(await text(await find('privkey.pem'))).toBe(encrypted)
    expect(await text(await find('README.txt'))).toContain('Set `password`')
    await put(files)
    const [wrong] = await rotate({ certificate: { password: 'battery staple' } })
    expect(wrong?.sentence).toMatch(/the configured password does not open it/)
    await put(files)
    expect(await rotate({ certificate: { password: 'correct horse' } })).toMatchObject([
      { status: 'rotated' },
    ])
    for (const key of (await cloud.keys()).filter((one) => one.endsWith('privkey.pem')))
      expect(await text(key)).toBe(encrypted)
  })

  it('copied back as the README says leaves no old story beside the new result', async () => {
    await start()
    const good = await cloud.issue()
    await put(pair(good))
    await rotate({ certificate: { trust: 'public' }, byPerson: true })
    const folder = (await find('README.txt')).slice(0, -'README.txt'.length)
    for (const name of ['fullchain.pem', 'privkey.pem', 'README.txt', 'result.json'])
      await put({ [name]: await text(`${folder}${name}`) })
    expect(await rotate()).toMatchObject([{ status: 'rotated' }])
    expect((await shownKeys()).filter((key) => key.startsWith('deployed/'))).toEqual([
      'deployed/shop/<instant>/fullchain.pem',
      'deployed/shop/<instant>/privkey.pem',
      'deployed/shop/<instant>/result.json',
    ])
    expect((await cloud.keys()).filter((key) => key.startsWith('incoming/'))).toEqual([])
  })
})

async function story(): Promise<Story> {
  const one = await Story.start({ apig: [HOST], roma: [] })
  closing.push(() => one.close())
  return one
}

describe('half a bundle', () => {
  it('waits, is said to be waiting, is reported after waitForPair, and rotates when the rest arrives', async () => {
    const one = await story()
    const good = await one.cloud.issue()
    await one.cloud.store.put('incoming/shop/tls.crt', good.fullchainPem)
    expect(await one.tick()).toMatchObject([
      { status: 'waiting', sentence: 'waiting for the private key: so far there is tls.crt', failures: [] },
    ])
    one.clock.advance(23 * hour)
    expect(codes((await one.tick())[0])).toEqual([])
    one.clock.advance(2 * hour)
    const [late] = await one.tick()
    expect(late).toMatchObject({
      status: 'waiting',
      failures: [{ code: 'bundle.waiting-too-long', next: expect.stringContaining('incoming/shop/') }],
    })
    expect(await one.cloud.keys()).toContain('incoming/shop/tls.crt')
    await one.cloud.store.put('incoming/shop/tls.key', good.privateKeyPem)
    expect(await one.tick()).toMatchObject([{ status: 'rotated' }])
    expect((await one.state()).waitingSince).toBeUndefined()
  })

  it('that was taken away is forgotten, and the next one has its own day', async () => {
    const one = await story()
    const good = await one.cloud.issue()
    await one.cloud.store.put('incoming/shop/tls.crt', good.fullchainPem)
    await one.tick()
    await one.cloud.store.delete('incoming/shop/tls.crt')
    one.clock.advance(2 * day)
    expect(await one.tick()).toEqual([])
    expect((await one.state()).waitingSince).toBeUndefined()
    await one.cloud.store.put('incoming/shop/tls.key', good.privateKeyPem)
    expect(await one.tick()).toMatchObject([{ status: 'waiting', failures: [] }])
  })

  it('that came after its bundle was in service is moved beside it instead of being reported', async () => {
    const one = await story()
    const good = await one.drop()
    await one.tick()
    await one.cloud.store.put('incoming/shop/cert.pem', good.certificatePem)
    expect(await one.tick()).toMatchObject([{ status: 'waiting' }])
    one.clock.advance(25 * hour)
    expect(await one.tick()).toMatchObject([{ status: 'already deployed', failures: [] }])
    const keys = (await one.cloud.keys()).map((key) => key.replace(INSTANT, '<instant>'))
    expect(keys).toContain('deployed/shop/<instant>/late/cert.pem')
    expect(keys.filter((key) => key.startsWith('incoming/'))).toEqual([])
    expect((await one.state()).waitingSince).toBeUndefined()
  })
})

describe('halves of two bundles', () => {
  const KEY = 'incoming/shop/privkey.pem'
  const CHAIN = 'incoming/shop/fullchain.pem'

  /** A first bundle in service, and a part of it uploaded once more. */
  async function leftover(part: 'privkey.pem' | 'fullchain.pem'): Promise<Story> {
    const one = await story()
    const old = await one.settled()
    await one.cloud.store.put(
      `incoming/shop/${part}`,
      part === 'privkey.pem' ? old.privateKeyPem : old.fullchainPem,
    )
    expect(await one.tick()).toMatchObject([{ status: 'waiting', failures: [] }])
    return one
  }

  it.each([
    ['privkey.pem', 1],
    ['fullchain.pem', 1],
    ['privkey.pem', 25 * 60],
  ] as const)(
    '%s uploaded twice is no obstacle for the next renewal, object by object, %i minutes later',
    async (part, minutes) => {
      const one = await leftover(part)
      const next = await one.cloud.issue()
      one.clock.advance(minutes * minute)
      const [first, then] =
        part === 'privkey.pem'
          ? [
              { key: CHAIN, content: next.fullchainPem },
              { key: KEY, content: next.privateKeyPem },
            ]
          : [
              { key: KEY, content: next.privateKeyPem },
              { key: CHAIN, content: next.fullchainPem },
            ]
      await one.cloud.store.put(first.key, first.content)
      expect(await one.tick()).toMatchObject([
        { status: 'waiting', sentence: expect.stringContaining('other half of the newer bundle') },
      ])
      one.clock.advance(minute)
      await one.cloud.store.put(then.key, then.content)
      expect(await one.tick()).toMatchObject([{ status: 'rotated' }])
      expect(one.cloud.served()[HOST]).toBe(next.fingerprint)
      expect((await one.cloud.keys()).filter((key) => /^(rejected|incoming)/.test(key))).toEqual([])
    },
  )

  it('that stay what they are: the one of the bundle in service is moved beside it, the new one waits as half a pair and rotates whenever the rest comes', async () => {
    const one = await leftover('privkey.pem')
    const next = await one.cloud.issue()
    await one.cloud.store.put(CHAIN, next.fullchainPem)
    await one.tick()
    one.clock.advance(6 * minute)
    const [parted] = await one.tick()
    expect(parted).toMatchObject({ status: 'waiting', failures: [] })
    expect(parted?.sentence).toMatch(/privkey\.pem belongs to the bundle that is in service/)
    const keys = (await one.cloud.keys()).map((key) => key.replace(INSTANT, '<instant>'))
    expect(keys).toContain('deployed/shop/<instant>/late/privkey.pem')
    expect(keys.filter((key) => /^(rejected|incoming)/.test(key))).toEqual([CHAIN])
    one.clock.advance(3 * hour)
    expect(await one.tick()).toMatchObject([{ status: 'waiting', failures: [] }])
    // Another name than the old one had: the half that waits is told by its content.
    await one.cloud.store.put('incoming/shop/new.key', next.privateKeyPem)
    expect(await one.tick()).toMatchObject([{ status: 'rotated' }])
    expect(one.cloud.served()[HOST]).toBe(next.fingerprint)
  })

  it('of which neither is in service wait some minutes since the last of them came, and are then refused together', async () => {
    const one = await story()
    const [first, second] = [await one.cloud.issue(), await one.cloud.issue()]
    await one.cloud.store.put(CHAIN, first.fullchainPem)
    await one.cloud.store.put(KEY, second.privateKeyPem)
    for (const _ of [1, 2]) {
      expect(await one.tick()).toMatchObject([{ status: 'waiting' }])
      one.clock.advance(4 * minute)
    }
    expect(await one.tick()).toMatchObject([
      {
        status: 'refused',
        checks: expect.arrayContaining([expect.objectContaining({ code: 'key-matches' })]),
      },
    ])
    const keys = (await one.cloud.keys()).map((key) => key.replace(INSTANT, '<instant>'))
    expect(keys.filter((key) => /pem$/.test(key))).toEqual([
      'rejected/shop/<instant>/fullchain.pem',
      'rejected/shop/<instant>/privkey.pem',
    ])
  })

  it('of three bundles, with two keys of which none fits, wait as well', async () => {
    const one = await story()
    const [first, second, third] = [await one.cloud.issue(), await one.cloud.issue(), await one.cloud.issue()]
    await one.cloud.store.put(CHAIN, third.fullchainPem)
    await one.cloud.store.put('incoming/shop/1.key', first.privateKeyPem)
    await one.cloud.store.put('incoming/shop/2.key', second.privateKeyPem)
    expect(await one.tick()).toMatchObject([{ status: 'waiting' }])
    one.clock.advance(minute)
    await one.cloud.store.put('incoming/shop/3.key', third.privateKeyPem)
    // The keys that fit nothing may each be half of something newer: they stay.
    expect(await one.tick()).toMatchObject([{ status: 'rotated' }, { status: 'waiting' }])
  })

  it('are judged at once where a person asks', async () => {
    const one = await story()
    await one.cloud.store.put(CHAIN, (await one.cloud.issue()).fullchainPem)
    await one.cloud.store.put(KEY, (await one.cloud.issue()).privateKeyPem)
    expect(await one.ask()).toMatchObject([{ status: 'refused' }])
  })
})

describe('intermediates that arrive after leaf and key, as acme.sh writes them', () => {
  async function trusted(): Promise<Settings> {
    await writeFile(join(cloud.folder, 'root.pem'), (await cloud.emulator.root).certificatePem)
    return { certificate: { trust: { private: 'root.pem' } } }
  }
  const acmeSh = (bundle: Bundle) => ({
    'api.shop.example.cer': bundle.certificatePem,
    'api.shop.example.key': bundle.privateKeyPem,
  })

  it('are waited for, and then the bundle rotates with its whole chain', async () => {
    await start()
    const settings = await trusted()
    const good = await cloud.issue()
    await put(acmeSh(good))
    expect(await rotate(settings)).toMatchObject([
      { status: 'waiting', sentence: expect.stringContaining('intermediate certificates') },
    ])
    await put({ 'ca.cer': good.fullchainPem.slice(good.certificatePem.length) })
    expect(await rotate(settings)).toMatchObject([{ status: 'rotated' }])
    expect(await servedChain(cloud, HOST)).toHaveLength(2)
    await put({ 'fullchain.cer': good.fullchainPem })
    expect(await rotate(settings)).toMatchObject([{ status: 'waiting' }])
  })

  it('are waited for with trust any too; without them the leaf alone never takes the place of a whole chain', async () => {
    await start()
    const before = await servedChain(cloud, HOST)
    const first = await cloud.issue()
    await put(acmeSh(first))
    expect(await rotate()).toMatchObject([
      { status: 'waiting', sentence: expect.stringContaining('intermediate certificates') },
    ])
    await put({ 'ca.cer': first.fullchainPem.slice(first.certificatePem.length) })
    expect(await rotate()).toMatchObject([{ status: 'rotated' }])
    const whole = await servedChain(cloud, HOST)
    expect(whole).toHaveLength(2)
    expect(whole).not.toEqual(before)
    const second = await cloud.issue()
    await put(acmeSh(second))
    for (const name of Object.keys(acmeSh(second))) await age(name, 3 * 60_000)
    expect(await rotate()).toMatchObject([
      { status: 'refused', sentence: expect.stringContaining('comes without intermediates') },
    ])
    expect(await servedChain(cloud, HOST)).toEqual(whole)
  })

  it('that never come end the wait after some minutes with a refusal, or at once where a person asks', async () => {
    await start()
    const settings = await trusted()
    const good = await cloud.issue()
    await put(acmeSh(good))
    for (const name of Object.keys(acmeSh(good))) await age(name, 3 * 60_000)
    expect(await rotate(settings)).toMatchObject([{ status: 'refused' }])
    await put(acmeSh(good))
    expect(await rotate({ ...settings, byPerson: true })).toMatchObject([{ status: 'refused' }])
    expect(await text(await find('README.txt'))).toContain('Upload the full chain')
  })
})

describe('an object with a temporary name', () => {
  it('stays where it is, before and after the rotation, and keeps nobody busy', async () => {
    await start()
    const temporary = {
      'fullchain.pem.part': 'half',
      'privkey.pem.tmp': 'half',
      'cert.pem~': 'old',
      '.privkey.pem.swp': 'x',
    }
    await put(temporary)
    expect(await rotate()).toEqual([])
    await cloud.drop(await cloud.issue())
    expect(await rotate()).toMatchObject([{ status: 'rotated' }])
    expect(await rotate()).toEqual([])
    const left = (await cloud.keys()).filter((key) => key.startsWith('incoming/'))
    expect(left).toEqual(
      Object.keys(temporary)
        .map((name) => `incoming/shop/${name}`)
        .sort(),
    )
    for (const [name, content] of Object.entries(temporary))
      expect(await text(`incoming/shop/${name}`)).toBe(content)
    expect((await cloud.keys()).filter((key) => /^(deployed|rejected).*(part|tmp|swp|~)$/.test(key))).toEqual(
      [],
    )
  })
})

describe('objects that are too many or too large for a bundle', () => {
  /** Looks at how many objects are in memory at a time. */
  function counting(store: Store): { store: Store; most: () => number } {
    let now = 0
    let most = 0
    const counted = new Proxy(store, {
      get: (target, property) =>
        property !== 'get'
          ? (Reflect.get(target, property).bind?.(target) ?? Reflect.get(target, property))
          : async (...args: Parameters<Store['get']>) => {
              if (args[0].startsWith('incoming/')) most = Math.max(most, ++now)
              try {
                return await target.get(...args)
              } finally {
                if (args[0].startsWith('incoming/')) now--
              }
            },
    })
    return { store: counted, most: () => most }
  }

  it('are refused with the reason and moved a few at a time', async () => {
    await start()
    const files = Object.fromEntries(
      Array.from({ length: 70 }, (_, index) => [`part-${index}.pem`, `this is part ${index}`]),
    )
    await put(files)
    const { store, most } = counting(cloud.store)
    const [outcome] = await rotate({ store })
    expect(outcome).toMatchObject({ status: 'refused', checks: [{ code: 'too-many-objects' }] })
    expect(outcome?.sentence).toMatch(/holds 70 objects/)
    expect(most()).toBeLessThanOrEqual(4)
    const keys = await cloud.keys()
    expect(keys.filter((key) => key.startsWith('incoming/'))).toEqual([])
    expect(keys.filter((key) => key.startsWith('rejected/'))).toHaveLength(72)
    expect(await text(await find('part-69.pem'))).toBe('this is part 69')
  })

  it.each([300, 1024, 3 * 1024, 5 * 1024, 50 * 1024])(
    'a stray file of %i KiB is left where it is and named, and a bundle beside it rotates',
    async (kib) => {
      await start()
      await put({ 'backup.tar': 'x' })
      await truncate(join(cloud.folder, 'bucket/incoming/shop/backup.tar'), kib * 1024)
      expect(await rotate()).toMatchObject([
        { status: 'waiting', sentence: expect.stringMatching(/backup\.tar/) },
      ])
      await cloud.drop(await cloud.issue())
      const [outcome] = await rotate()
      expect(outcome).toMatchObject({ status: 'rotated' })
      expect(outcome?.repairs).toContainEqual(
        expect.objectContaining({ code: 'ignored-object', message: expect.stringMatching(/backup\.tar/) }),
      )
      expect((await cloud.keys()).filter((key) => /backup|rejected/.test(key))).toEqual([
        'incoming/shop/backup.tar',
      ])
    },
  )
})

describe('names of objects', () => {
  it('below a folder of their own are part of the bundle', async () => {
    await start()
    const good = await cloud.issue()
    await put({ 'live/api/fullchain.pem': good.fullchainPem, 'live/api/privkey.pem': good.privateKeyPem })
    expect(await rotate()).toMatchObject([{ status: 'rotated' }])
    expect(await shownKeys()).toContain('deployed/shop/<instant>/live/api/privkey.pem')
    expect((await cloud.keys()).filter((key) => key.startsWith('incoming/'))).toEqual([])
  })

  it('that are links out of the store are not followed, and what they lead to stays', async () => {
    await start()
    const good = await cloud.issue()
    const outside = join(cloud.folder, 'outside')
    await mkdir(outside)
    await writeFile(join(outside, 'privkey.pem'), good.privateKeyPem)
    const incoming = join(cloud.folder, 'bucket/incoming/shop')
    await put({ 'fullchain.pem': good.fullchainPem })
    await symlink(join(outside, 'privkey.pem'), join(incoming, 'privkey.pem'))
    await symlink(outside, join(incoming, 'folder'))
    const [waiting] = await rotate()
    expect(waiting).toMatchObject({ status: 'waiting' })
    expect(waiting?.sentence).toMatch(/privkey\.pem \(leads out of the store and is not followed\)/)
    await put({ 'key.pem': good.privateKeyPem })
    expect((await rotate())[0]).toMatchObject({ status: 'rotated' })
    expect(await readFile(join(outside, 'privkey.pem'), 'utf8')).toBe(good.privateKeyPem)
  })

  it('and of certificates reach no log, state or result unescaped', async () => {
    await start()
    const evil = 'x\u202egnp.\u2066exe\u200b'
    const authority = await createAuthority({ commonName: `Root\n\u001b[31m${evil}` })
    const issued = await authority.issue({
      names: ['other.example'],
      commonName: `a\r\nforged: line ${evil}`,
    })
    await put({
      [`full${evil}.pem`]: issued.fullchainPem,
      [`key${evil}.pem`]: issued.privateKeyPem,
      [`torn${evil}.pem`]: '-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n',
      [`${evil}.bin`]: 'what is this',
    })
    await cloud.store.put(`incoming/no${evil}body/x.pem`, 'x')
    const lines: string[] = []
    const write = (message: string, facts?: object) => void lines.push(message, JSON.stringify(facts ?? {}))
    const log: Log = { debug: write, info: write, warn: write, error: write, with: () => log }
    const wiring = await cloud.wire(cloud.config(), { log })
    const report = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
    lines.push(JSON.stringify(report.failures.map(({ failure }) => failure)))
    await put({ [`full${evil}.pem`]: issued.fullchainPem, [`key${evil}.pem`]: issued.privateKeyPem })
    const second = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
    expect([...report.outcomes, ...second.outcomes].map(({ status }) => status)).toEqual([
      'refused',
      'refused',
    ])
    for (const key of await cloud.keys())
      if (/(README\.txt|result\.json|state\/shop\.json)$/.test(key)) lines.push(await text(key))
    const all = lines.join('\n')
    expect(all).toContain('\\u{202e}')
    expect(
      all.match(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2066-\u2069]/g),
    ).toBe(null)
  })
})
