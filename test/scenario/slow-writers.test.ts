import { appendFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { minute, second } from '../../shared/base/clock.ts'
import type { Outcome } from '../../shared/rotation/record/state.ts'
import type { Bundle } from '../support/cloud.ts'
import { servedChain } from '../support/served-chain.ts'
import { Story } from '../support/story.ts'

/** A folder is written in place: by scp over a slow link, by an editor, by a network file system. */

const HOST = 'api.shop.example'
const SETTLE_MS = 2 * second

let story: Story
afterEach(() => story?.close())

async function start(): Promise<Bundle> {
  story = await Story.start({
    apig: [HOST],
    roma: [],
    rest: { store: { directory: './bucket', settle: '2s' } },
  })
  await mkdir(folder(), { recursive: true })
  return story.cloud.issue()
}

const folder = () => join(story.cloud.folder, 'bucket/incoming/shop')
const write = (name: string, content: string | Uint8Array) => writeFile(join(folder(), name), content)
const rejected = async () => (await story.cloud.keys()).filter((key) => key.startsWith('rejected/'))
const incoming = async () =>
  (await story.cloud.keys()).flatMap((key) => (key.startsWith('incoming/') ? [key.slice(14)] : []))

/** Whoever writes goes on while somebody waits. */
function meanwhile(work: (pause: number) => Promise<unknown>): number[] {
  const looks: number[] = []
  let pauses = 0
  story.change = (parties) => ({
    ...parties,
    clock: {
      ...parties.clock,
      async sleep(ms, signal) {
        await work(++pauses)
        await parties.clock.sleep(ms, signal)
        looks.push(parties.clock.monotonic())
      },
    },
  })
  return looks
}

describe('a file that is being written', () => {
  it.each([
    ['between leaf and intermediate, where it looks whole', (one: Bundle) => one.certificatePem.length],
    ['in the middle of the leaf', () => 300],
    ['before its first byte', () => 0],
  ])('and stands still %s is read when it is whole, in the same run', async (_, cut) => {
    const bundle = await start()
    await write('privkey.pem', bundle.privateKeyPem)
    const at = cut(bundle)
    await write('fullchain.pem', bundle.fullchainPem.slice(0, at))
    meanwhile(async (pause) => {
      if (pause === 1) await appendFile(join(folder(), 'fullchain.pem'), bundle.fullchainPem.slice(at))
    })
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
    expect(await servedChain(story.cloud, HOST)).toHaveLength(2)
    expect(await rejected()).toEqual([])
  })

  it('byte by byte for longer than anybody waits is left to the next run, and so is what lies beside it', async () => {
    const bundle = await start()
    await write('privkey.pem', bundle.privateKeyPem)
    let written = 0
    const typing = async () => {
      await appendFile(join(folder(), 'fullchain.pem'), bundle.fullchainPem.slice(written, written + 20))
      written += 20
    }
    await typing()
    const looks = meanwhile(typing)
    const begun = story.clock.lazy.monotonic()
    expect(await story.tick()).toMatchObject([
      { status: 'waiting', sentence: expect.stringContaining('fullchain.pem (still being written)') },
    ])
    expect(looks.at(-1)! - begun).toBeLessThanOrEqual(minute)
    expect(await incoming()).toEqual(['fullchain.pem', 'privkey.pem'])
    await write('fullchain.pem', bundle.fullchainPem)
    meanwhile(async () => {})
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
    expect(await rejected()).toEqual([])
  })

  it('is judged by two looks at least two seconds apart, also where a timer comes early', async () => {
    const bundle = await start()
    await story.cloud.drop(bundle)
    const looks: number[] = []
    story.change = (parties) => ({
      ...parties,
      clock: { ...parties.clock, sleep: (ms, signal) => parties.clock.sleep(Math.min(ms, 700), signal) },
      store: new Proxy(parties.store, {
        get(target, property) {
          const value = Reflect.get(target, property)
          if (property !== 'list') return value
          return (prefix: string) => {
            if (prefix === 'incoming/shop/') looks.push(parties.clock.monotonic())
            return value.call(target, prefix)
          }
        },
      }),
    })
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
    // The first listing asks whether there is anything to do at all.
    expect(looks[2]! - looks[1]!).toBeGreaterThanOrEqual(SETTLE_MS)
  })

  it('while the time of the invocation runs out is taken up by the next one, and nothing is moved', async () => {
    const bundle = await start()
    await story.cloud.drop(bundle)
    const ended = new AbortController()
    meanwhile(async () => ended.abort())
    const deadline = { signal: ended.signal, remainingMs: () => (ended.signal.aborted ? 0 : minute) }
    expect(await story.tick(deadline)).toMatchObject([{ status: 'unfinished', failures: [] }])
    expect(await incoming()).toEqual(['fullchain.pem', 'privkey.pem'])
    meanwhile(async () => {})
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
  })
})

describe('a file that is empty or cut short', () => {
  const parts: [string, (bundle: Bundle) => string][] = [
    ['empty', () => ''],
    ['cut in its block', (bundle) => bundle.privateKeyPem.slice(0, 200)],
    ['cut in its end line', (bundle) => bundle.privateKeyPem.slice(0, -10)],
    ['room that was reserved and not filled', () => '\0'.repeat(241)],
  ]

  it.each(parts)('%s, waits as half a pair does, and rotates when it is whole', async (_, content) => {
    const bundle = await start()
    await write('fullchain.pem', bundle.fullchainPem)
    await write('privkey.pem', content(bundle))
    for (const later of [0, 10 * minute]) {
      story.clock.advance(later)
      expect(await story.tick()).toMatchObject([
        {
          status: 'waiting',
          sentence: expect.stringMatching(/privkey\.pem \((empty|cut short)\)/),
          failures: [],
        },
      ])
    }
    expect(await incoming()).toEqual(['fullchain.pem', 'privkey.pem'])
    await write('privkey.pem', bundle.privateKeyPem)
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
    expect(await rejected()).toEqual([])
  })

  it.each(parts)('%s, does not block a good pair beside it, and stays where it is', async (_, content) => {
    const bundle = await start()
    await story.cloud.drop(bundle)
    await write('other.key', content(bundle))
    const [outcome, then] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated' })
    expect(outcome?.repairs.map(({ message }) => message).join()).toMatch(
      /other\.key \((empty|cut short)\) was left/,
    )
    expect(then).toMatchObject({ status: 'waiting', failures: [] })
    expect(await readFile(join(folder(), 'other.key'), 'utf8')).toBe(content(bundle))
  })

  it('beside a leaf without intermediates is waited for some minutes: it may be the chain', async () => {
    const bundle = await start()
    await write('cert.pem', bundle.certificatePem)
    await write('privkey.pem', bundle.privateKeyPem)
    const chain = bundle.fullchainPem.slice(bundle.certificatePem.length)
    await write('chain.pem', chain.slice(0, 100))
    expect(await story.tick()).toMatchObject([
      { status: 'waiting', sentence: expect.stringContaining('intermediate certificates') },
    ])
    await write('chain.pem', chain)
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
    expect(await servedChain(story.cloud, HOST)).toHaveLength(2)
  })
})

describe('an object that cannot be read, and is not cut', () => {
  const broken = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'
  const told = (outcome: Outcome | undefined) => outcome?.repairs.map(({ message }) => message).join()

  it('does not spoil a pair that has leaf, issuer and key without it; it goes where the bundle goes', async () => {
    const bundle = await start()
    await story.cloud.drop(bundle)
    await write('extra.crt', broken)
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated' })
    expect(told(outcome)).toMatch(/extra\.crt .*complete without it/)
    const [moved] = (await story.cloud.keys()).filter((key) => key.endsWith('extra.crt'))
    expect(moved).toMatch(/^deployed\//)
    expect(await story.text(moved!)).toBe(broken)
  })

  it('is a reason to refuse where it may be the chain', async () => {
    const bundle = await start()
    await write('cert.pem', bundle.certificatePem)
    await write('privkey.pem', bundle.privateKeyPem)
    await write('chain.pem', broken)
    expect(await story.tick()).toMatchObject([{ status: 'refused', checks: [{ code: 'unreadable' }] }])
  })
})

describe('the drop folder', () => {
  it('stays after a rotation, so that a plain copy of a hook works again and again', async () => {
    const bundle = await start()
    for (const one of [bundle, await story.cloud.issue()]) {
      await write('fullchain.pem', one.fullchainPem)
      await write('privkey.pem', one.privateKeyPem)
      expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
      story.clock.advance(minute)
    }
  })

  it('what is moved out of it is byte for byte what was judged, also where it is written again meanwhile', async () => {
    const bundle = await start()
    await story.cloud.drop(bundle)
    const stop = story.cloud.emulator.intercept(async (stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.createCertificate') return
      stop()
      await appendFile(join(folder(), 'privkey.pem'), 'a later line')
    })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated' })
    const [moved] = (await story.cloud.keys()).filter((key) => /^deployed.*privkey\.pem$/.test(key))
    expect(await story.text(moved!)).toBe(bundle.privateKeyPem)
    expect(await readFile(join(folder(), 'privkey.pem'), 'utf8')).toBe(`${bundle.privateKeyPem}a later line`)
  })
})
