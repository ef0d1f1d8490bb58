import { afterEach, describe, expect, it } from 'vitest'
import { minute, second } from '../../shared/base/clock.ts'
import { codes, Story, type StoryOptions, statuses } from '../support/story.ts'

/** What the gateway says about the certificate itself. */
const REFUSED = { status: 400, errorCode: 'APIG.2104', message: 'no' }
const hosts = ['a.shop.example', 'b.shop.example', 'c.shop.example']

describe('an attach that does not succeed', () => {
  let story: Story
  afterEach(() => story.close())
  const begin = async (options: StoryOptions = {}) => {
    story = await Story.start({ apig: hosts, roma: [], ...options })
    return { before: story.cloud.bound(), bundle: await story.drop() }
  }

  // Attaches before the one that counts: at each domain the rehearsal, and the first try beside the old certificate.
  for (const [gateway, canary, later] of [
    [{}, 3, 5],
    [{ attachFirst: true }, 3, 6],
    [{ attachFirst: 'never' }, 2, 4],
    [{ strategy: 'add' }, 2, 3],
  ] as const) {
    const route = 'strategy' in gateway ? 'apig.addCertificate' : 'apig.attachCertificate'
    const what = JSON.stringify(gateway)

    it(`of the canary, refused for good, puts the predecessor back and touches nothing else (${what})`, async () => {
      const { before } = await begin({ gateway })
      story.fault(route, REFUSED, { nth: canary })
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'rolled back' })
      expect(outcome?.failures[0]).toMatchObject({
        code: 'gateway.refused',
        facts: { errorCode: 'APIG.2104' },
      })
      expect(statuses(outcome)).toEqual({
        'a.shop.example': 'restored',
        'b.shop.example': 'untouched',
        'c.shop.example': 'untouched',
      })
      expect(story.cloud.bound()).toEqual(before)
      expect(story.called('apig.detachCertificate')).toBe(1)
      expect(await story.cloud.keys()).not.toContain('incoming/shop/fullchain.pem')
      expect(await story.results('rejected')).toMatchObject([{ status: 'rolled back' }])
    })

    it(`of a later domain leaves the other domains' results standing and names domain and reason (${what})`, async () => {
      const { before, bundle } = await begin({ gateway, rest: { concurrency: 1 } })
      story.fault(route, REFUSED, { nth: later })
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'failed' })
      expect(statuses(outcome)).toEqual({
        'a.shop.example': 'served',
        'b.shop.example': 'restored',
        'c.shop.example': 'served',
      })
      expect(outcome?.domains[1]).toMatchObject({
        failure: { code: 'gateway.refused', message: expect.stringContaining('APIG.2104') },
      })
      expect(story.cloud.bound()).toEqual({
        ...before,
        'a.shop.example': [bundle.fingerprint],
        'c.shop.example': [bundle.fingerprint],
      })
    })
  }

  for (const [what, fault] of [
    ['server errors', { status: 500, errorCode: 'APIG.9999' }],
    ['throttling', { status: 429, errorCode: 'APIGW.0308', headers: { 'Retry-After': '20' } }],
    ['throttling hidden in a 500', { status: 500, errorCode: 'APIG.9008' }],
    ['lost requests', { lose: 'request' }],
  ] as const) {
    it(`within its budget for ${what} is undone at once, and tried again by a later tick`, async () => {
      const { before, bundle } = await begin({ gateway: {} })
      story.fault('apig.attachCertificate', fault, { from: 3, times: what === 'throttling' ? 1 : 4 })
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'unfinished' })
      expect(statuses(outcome)['a.shop.example']).toBe('restored')
      expect(story.cloud.bound()).toEqual(before)
      const [gap] = story.cloud.emulator.state().gaps
      expect(gap?.durationMs).toBeLessThan(20 * second)
      const all = await story.ticks()
      expect(all.at(-1)).toMatchObject({ status: 'rotated' })
      expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(bundle.fingerprint))
      expect(story.copies(bundle)).toBe(1)
    })
  }

  it('is not tried again by ticks, nor when the same bundle is dropped again', async () => {
    const { bundle } = await begin()
    story.fault('apig.attachCertificate', REFUSED, { nth: 3 })
    await story.tick()
    await story.cloud.drop(bundle)
    story.cloud.emulator.clearCalls()
    story.clock.advance(60 * minute)
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'refused', checks: [{ code: 'refused-before' }] })
    expect(story.changes()).toEqual([])
  })

  it('is tried again when a person asks', async () => {
    const { bundle } = await begin()
    story.fault('apig.attachCertificate', REFUSED, { nth: 3 })
    await story.tick()
    await story.cloud.drop(bundle)
    const [outcome] = await story.ask()
    expect(outcome).toMatchObject({ status: 'rotated', failures: [] })
    expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(bundle.fingerprint))
    expect(story.copies(bundle)).toBe(1)
  })

  it('is tried again when the config has changed, also where only some domains were refused', async () => {
    const { bundle } = await begin({ rest: { concurrency: 1 } })
    story.fault('apig.attachCertificate', REFUSED, { nth: 5 })
    expect((await story.tick())[0]).toMatchObject({ status: 'failed' })
    await story.cloud.drop(bundle)
    await story.configure({ gateway: { attachFirst: true }, rest: { concurrency: 1 } })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(bundle.fingerprint))
  })

  it('does not keep another bundle from being rotated', async () => {
    await begin()
    story.fault('apig.attachCertificate', REFUSED, { nth: 3 })
    await story.tick()
    const next = await story.drop()
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(next.fingerprint))
  })

  it('and whose undo is refused as well is finished by a later tick, and said to be without a certificate', async () => {
    const { before } = await begin()
    // Old and new, and once more the new one instead of nothing.
    story.fault('apig.attachCertificate', REFUSED, { from: 3, times: 3 })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'unfinished' })
    expect(statuses(outcome)['a.shop.example']).toBe('without certificate')
    story.clock.advance(second)
    const calls = story.cloud.emulator.calls().length
    await story.tick()
    // The first act of the next run, however long the growing wait.
    expect(story.bare()).toEqual([])
    expect(
      story.cloud.emulator
        .calls()
        .slice(calls)
        .find((call) => call.mutating),
    ).toMatchObject({ route: 'apig.attachCertificate' })
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rolled back' })
    expect(story.cloud.bound()).toEqual(before)
  })

  const NO_EFFECT = { status: 204, effect: 'none' } as const

  it('because an answer had no effect is repeated until the gateway shows it', async () => {
    const { bundle } = await begin()
    story.fault('apig.attachCertificate', NO_EFFECT, { from: 3, times: 2 })
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(bundle.fingerprint))
  })

  it('and whose undo has no effect either is told as bare, judges no bundle, and is the next run’s first act', async () => {
    const { bundle } = await begin()
    story.fault('apig.attachCertificate', NO_EFFECT, { from: 3 })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'unfinished' })
    expect(codes(outcome)).toEqual(['rotation.attach-without-effect'])
    expect(statuses(outcome)['a.shop.example']).toBe('without certificate')
    expect(story.bare()).toEqual(['a.shop.example'])
    expect((await story.state()).current).toMatchObject({ status: 'running' })
    // Inside the growing wait, and as deaf as before: nobody is told that it has one now.
    await story.tick()
    const left = Object.values((await story.state()).current!.domains).filter(({ bareSince }) => bareSince)
    expect(left).toMatchObject([{ host: 'a.shop.example' }])
    expect(await story.cloud.keys()).toContain('incoming/shop/fullchain.pem')
    story.cloud.emulator.faults.clear()
    await story.tick()
    expect(story.bare()).toEqual([])
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(bundle.fingerprint))
  })

  it('by strategy update leaves everything as it was, once and for all', async () => {
    const { before } = await begin({ gateway: { strategy: 'update', updateWithoutWayBack: true } })
    story.fault('apig.updateCertificate', REFUSED, { nth: 1 })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rolled back' })
    expect(story.cloud.bound()).toEqual(before)
    expect(await story.cloud.store.list('incoming/')).toEqual([])
  })

  it('because somebody deleted the new certificate is no verdict on the bundle: it is created again', async () => {
    const { before, bundle } = await begin()
    const stop = story.cloud.emulator.intercept(async (stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.detachCertificate') return
      stop()
      const made = story.cloud.emulator
        .state()
        .certificates.find((one) => one.fingerprint === bundle.fingerprint)
      await fetch(`${story.cloud.emulator.url}/__emulator/certificates?id=${made?.id}`, { method: 'DELETE' })
    })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'unfinished', failures: [{ code: 'rotation.certificate-gone' }] })
    expect(story.cloud.bound()).toEqual(before)
    expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(bundle.fingerprint))
  })
})
