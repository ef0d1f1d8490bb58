import { afterEach, describe, expect, it } from 'vitest'
import { hour } from '../../shared/base/clock.ts'
import type { Bundle } from '../support/cloud.ts'
import { Story } from '../support/story.ts'

/** A renewal arrives object by object under names of its own, while the pair it replaces still lies in the folder. */

let story: Story
afterEach(() => story?.close())

const put = (name: string, content: string | Uint8Array) =>
  story.cloud.store.put(`incoming/shop/${name}`, content)
const under = async (folder: string) =>
  (await story.cloud.keys())
    .filter((key) => key.startsWith(`${folder}/shop/`))
    .map((key) => key.split('/').slice(folder === 'incoming' ? 2 : 3))
    .map((rest) => rest.join('/'))
    .filter((name) => !['result.json', 'README.txt'].includes(name))
    .sort()

/** An old pair that is good, and two renewals of it. */
async function start(): Promise<{ old: Bundle; renewed: Bundle }> {
  story = await Story.start()
  const old = await story.cloud.issue(undefined, { from: -30 })
  const renewed = await story.cloud.issue(undefined, { from: -1 })
  return { old, renewed }
}

const chainOf = ({ certificatePem, fullchainPem }: Bundle) => fullchainPem.slice(certificatePem.length)

describe('beside a complete old pair', () => {
  const halves: [string, string, (one: Bundle) => string, (one: Bundle) => string][] = [
    ['a newer leaf', 'new.crt', (one) => one.fullchainPem, (one) => one.privateKeyPem],
    ['a bare newer leaf', 'new.crt', (one) => one.certificatePem, (one) => one.privateKeyPem],
    ['a new key', 'new.key', (one) => one.privateKeyPem, (one) => one.fullchainPem],
  ]

  it.each(halves)(
    '%s stays, is named, and is rotated when its other half is there',
    async (_, name, half, rest) => {
      const { old, renewed } = await start()
      await story.cloud.drop(old)
      await put(name, half(renewed))
      const outcomes = await story.tick()
      expect(outcomes).toMatchObject([
        { status: 'rotated' },
        { status: 'waiting', sentence: expect.stringContaining(name), failures: [] },
      ])
      expect(outcomes[0]!.repairs.map(({ message }) => message).join()).toContain(`${name} (`)
      expect(await under('incoming')).toEqual([name])
      expect(await under('deployed')).toEqual(['fullchain.pem', 'privkey.pem'])
      await put(
        'rest.pem',
        name === 'new.crt' && half(renewed) === renewed.certificatePem
          ? rest(renewed) + chainOf(renewed)
          : rest(renewed),
      )
      expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
      expect([...new Set(Object.values(story.cloud.bound()).flat())]).toEqual([renewed.fingerprint])
      expect(await under('incoming')).toEqual([])
    },
  )

  it.each(halves)('that is refused, %s stays where it is', async (_, name, half, rest) => {
    const { renewed } = await start()
    await story.cloud.drop(await story.cloud.issue(undefined, { from: -30, to: -10 }))
    await put(name, half(renewed))
    expect(await story.tick()).toMatchObject([{ status: 'refused' }, { status: 'waiting' }])
    expect(await under('incoming')).toEqual([name])
    expect(await under('rejected')).toEqual(['fullchain.pem', 'privkey.pem'])
    await put('rest.pem', rest(renewed) + chainOf(renewed))
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
  })

  it('the issuers that a newer leaf may need stay with it, and a copy goes with the pair', async () => {
    const { old, renewed } = await start()
    await put('cert.pem', old.certificatePem)
    await put('privkey.pem', old.privateKeyPem)
    await put('chain.pem', chainOf(old))
    await put('new.crt', renewed.certificatePem)
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }, { status: 'waiting' }])
    expect(await under('incoming')).toEqual(['chain.pem', 'new.crt'])
    expect(await under('deployed')).toEqual(['cert.pem', 'chain.pem', 'privkey.pem'])
    await put('new.key', renewed.privateKeyPem)
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
    expect(await under('incoming')).toEqual([])
  })

  it('in one object, a newer leaf stays', async () => {
    const { old, renewed } = await start()
    await put('site.pem', old.fullchainPem + old.privateKeyPem)
    await put('new.pem', renewed.fullchainPem)
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }, { status: 'waiting' }])
    expect(await under('incoming')).toEqual(['new.pem'])
  })

  it('a newer leaf that was written behind the old one stays with it, until its key is there', async () => {
    const { old, renewed } = await start()
    await put('fullchain.pem', old.fullchainPem + renewed.fullchainPem)
    await put('privkey.pem', old.privateKeyPem)
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }, { status: 'waiting' }])
    expect(await under('incoming')).toEqual(['fullchain.pem'])
    expect(await under('deployed')).toEqual(['fullchain.pem', 'privkey.pem'])
    await put('new.key', renewed.privateKeyPem)
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
    expect([...new Set(Object.values(story.cloud.bound()).flat())]).toEqual([renewed.fingerprint])
  })

  it('a newer leaf in the same object as both old halves goes with them, and that is told', async () => {
    const { old, renewed } = await start()
    await put('site.pem', old.fullchainPem + old.privateKeyPem + renewed.certificatePem)
    const outcomes = await story.tick()
    expect(outcomes).toMatchObject([{ status: 'rotated' }])
    expect(outcomes[0]!.repairs.map(({ message }) => message).join()).toMatch(/site\.pem also holds/)
    expect(await under('incoming')).toEqual([])
    expect(await story.tick()).toEqual([])
  })

  it('what is no half of a newer one goes along: an older leaf, a second copy, another pair', async () => {
    const { old, renewed } = await start()
    await story.cloud.drop(renewed)
    await put('copy.pem', renewed.fullchainPem)
    await put('copy.key', renewed.privateKeyPem)
    await put('older.crt', old.fullchainPem)
    expect(await story.tick()).toMatchObject([{ status: 'rotated' }])
    expect(await under('incoming')).toEqual([])
  })

  it('a newer leaf that never gets its key is told of after its time, and stays', async () => {
    const { old, renewed } = await start()
    await story.cloud.drop(old)
    await put('new.crt', renewed.fullchainPem)
    await story.tick()
    story.clock.advance(25 * hour)
    expect(await story.tick()).toMatchObject([
      { status: 'waiting', failures: [{ code: 'bundle.waiting-too-long' }] },
    ])
    expect(await under('incoming')).toEqual(['new.crt'])
  })
})
