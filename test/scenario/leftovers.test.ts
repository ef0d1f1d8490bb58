import { afterEach, describe, expect, it } from 'vitest'
import { day, hour } from '../../shared/base/clock.ts'
import type { Bundle } from '../support/cloud.ts'
import { Story, type StoryOptions } from '../support/story.ts'

const hosts = ['a.shop.example', 'b.shop.example']
const push = [{ service: 'ELB', project: 'eu-de' }]
const REFUSED = { status: 400, errorCode: 'APIG.2104' }

describe('retirement', () => {
  let story: Story
  afterEach(() => story.close())
  const begin = async (certificate: Record<string, unknown>, options: StoryOptions = {}) => {
    story = await Story.start({ apig: hosts, roma: [], certificate, ...options })
  }
  const rotations = async (count: number): Promise<Bundle[]> => {
    const bundles: Bundle[] = []
    for (let n = 0; n < count; n++) {
      bundles.push(await story.settled())
      story.clock.advance(hour)
    }
    return bundles
  }
  const left = (bundles: Bundle[]) => bundles.map((bundle) => story.copies(bundle))

  it('deletes what nothing is bound to after the grace period, and keeps the newest predecessors', async () => {
    await begin({ retire: { after: '7d', keep: 1 } })
    const bundles = await rotations(4)
    await story.retire()
    story.clock.advance(6 * day)
    await story.retire()
    expect(left(bundles)).toEqual([1, 1, 1, 1])
    story.clock.advance(2 * day)
    await story.retire()
    expect(left(bundles)).toEqual([0, 0, 1, 1])
    const { created } = await story.state()
    expect(created.length).toBe(2)
  })

  it('never deletes what it did not create, whatever its name', async () => {
    await begin({ retire: { after: '1h', keep: 0 } })
    const before = story.cloud.emulator.state().certificates.length
    await rotations(2)
    story.clock.advance(day)
    await story.retire()
    story.clock.advance(day)
    await story.retire()
    // The seeded one is unbound since the first rotation, and stays; one of ours is in service.
    expect(story.cloud.emulator.state().certificates.length).toBe(before + 1)
  })

  it('never deletes what somebody has bound again, and counts its grace anew', async () => {
    await begin({ retire: { after: '7d', keep: 0 } })
    const [first, second] = await rotations(2)
    await story.retire()
    const old = story.cloud.emulator
      .state()
      .certificates.find((one) => one.fingerprint === first!.fingerprint)!.id
    story.cloud.emulator.bind(hosts[0]!, old)
    story.clock.advance(8 * day)
    await story.retire()
    expect(left([first!, second!])).toEqual([1, 1])
    const now = story.cloud.emulator
      .state()
      .certificates.find((one) => one.fingerprint === second!.fingerprint)!
    story.cloud.emulator.bind(hosts[0]!, now.id)
    await story.retire()
    expect(left([first!, second!])).toEqual([1, 1])
    story.clock.advance(8 * day)
    await story.retire()
    expect(left([first!, second!])).toEqual([0, 1])
  })

  it('takes "in use" for a reason to wait', async () => {
    await begin({ retire: { after: '1h', keep: 0 }, push })
    const [first] = await rotations(2)
    await story.retire()
    story.fault('scm.deleteCertificate', { status: 400, errorCode: 'SCM.0010' }, { nth: 1 })
    story.clock.advance(2 * hour)
    await story.retire()
    expect(story.cloud.emulator.state().scm.length).toBe(2)
    for (const _ of [1, 2]) {
      story.clock.advance(2 * hour)
      await story.retire()
    }
    expect(story.cloud.emulator.state().scm.length).toBe(1)
    expect(left([first!])).toEqual([0])
  })

  it('clears away a certificate that was rolled back, and keeps the true predecessor', async () => {
    await begin({ retire: { after: '1h', keep: 1 } })
    const [first, second] = await rotations(2)
    const bad = await story.drop()
    story.fault('apig.attachCertificate', REFUSED, { nth: 3 })
    expect((await story.tick())[0]).toMatchObject({ status: 'rolled back' })
    await story.retire()
    story.clock.advance(day)
    await story.retire()
    expect(left([first!, second!, bad])).toEqual([1, 1, 0])
  })

  it('deletes the younger of two that a slow request made of one bundle', async () => {
    await begin({ retire: { after: '1h', keep: 1 } })
    const bundle = await story.drop()
    const stop = story.cloud.emulator.intercept(async (stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.createCertificate') return
      stop()
      // The same content under the same name lands once more.
      const { certificates } = story.parties().gatewayFor(story.wiring.config.certificates.shop!.gateways[0]!)
      const made = (await certificates({})).find((one) => one.name.startsWith('cr_'))
      story.clock.advance(1000)
      const gateway = story.parties().gatewayFor(story.wiring.config.certificates.shop!.gateways[0]!)
      const { Secret } = await import('../../shared/base/secret.ts')
      await gateway.create(made!.name, {
        certificatePem: bundle.fullchainPem,
        privateKey: new Secret(bundle.privateKeyPem),
      })
    })
    await story.tick()
    expect(story.copies(bundle)).toBe(2)
    await story.retire()
    story.clock.advance(day)
    await story.retire()
    // Nothing is kept of a double: it is no predecessor.
    expect(story.copies(bundle)).toBe(1)
    expect(Object.values(story.cloud.bound()).flat()).toEqual([bundle.fingerprint, bundle.fingerprint])
  })

  it('removes old bundles with their keys from deployed/, and neither the present nor the newest predecessor', async () => {
    await begin({ retire: { after: '1h', keep: 1 } })
    await rotations(3)
    const folders = async () =>
      new Set(
        (await story.cloud.keys())
          .filter((key) => key.startsWith('deployed/'))
          .map((key) => key.split('/')[2]),
      )
    expect((await folders()).size).toBe(3)
    // Objects in the directory carry real times; the grace period runs from the last of them.
    story.clock.advance(400 * day)
    await story.retire()
    expect((await folders()).size).toBe(2)
    expect(await folders()).toContain((await story.state()).deployed?.folder)
  })

  it('makes room before a rotation that would exceed the quota', async () => {
    await begin({ retire: { after: '1h', keep: 0 }, maxCertificates: 3 })
    const bundles = await rotations(2)
    await story.retire()
    story.clock.advance(day)
    const next = await story.drop()
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(left([...bundles, next])).toEqual([0, 1, 1])
  })

  it('gives way to a new certificate where the quota, which nobody knew, is full of what never served', async () => {
    await begin({ retire: { after: '30d', keep: 1 } })
    const old = await story.settled()
    const refused: Bundle[] = []
    for (let renewal = 0; renewal < 2; renewal++) {
      story.cloud.emulator.clearCalls()
      refused.push(await story.drop())
      story.fault('apig.attachCertificate', REFUSED, { nth: 3 })
      expect((await story.tick())[0]).toMatchObject({ status: 'rolled back' })
      story.clock.advance(hour)
    }
    // The seeded one, the one in service, and two that never served anybody.
    story.cloud.emulator.setRules({ certificateQuota: 4 })
    const next = await story.drop()
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated' })
    expect(left([old, ...refused, next])).toEqual([1, 0, 0, 1])
  })

  it('that cannot make room says so before anything is touched', async () => {
    await begin({ retire: { after: '7d', keep: 1 }, maxCertificates: 2 })
    await story.settled()
    const before = story.cloud.bound()
    await story.drop()
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'failed', failures: [{ code: 'gateway.quota', kind: 'later' }] })
    expect(story.cloud.bound()).toEqual(before)
    expect(story.changes()).toEqual([])
  })

  it('closes a gap that a dead run left, also where its bundle was taken away', async () => {
    await begin({})
    await story.drop()
    story.fault('apig.attachCertificate', REFUSED, { from: 3, times: 3 })
    await story.tick()
    expect(story.bare()).toEqual([hosts[0]])
    for (const { key } of await story.cloud.store.list('incoming/')) await story.cloud.store.delete(key)
    await story.retire()
    expect(story.bare()).toEqual([])
  })
})
