import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import type { SeedInput } from '../../emulator/seed.ts'
import { APIG, ROMA } from '../support/cloud.ts'
import { Story, type StoryOptions } from '../support/story.ts'

const hosts = ['a.shop.example', 'b.shop.example']
const flags = { 'a.shop.example': true, 'b.shop.example': false }

function seed(flavour: 'apig' | 'roma', trustedRootCa: boolean): SeedInput {
  return {
    project: { id: '0123456789abcdef0123456789abcdef' },
    rules: { visibilityDelayMs: 0 },
    accessKeys: [{ id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' }],
    certificates: [
      {
        ref: 'old',
        scope: 'instance',
        ...(trustedRootCa ? { trustedRootCa: 'seeded' } : {}),
        generate: { names: hosts, notBefore: '-80d', notAfter: '+10d' },
      },
    ],
    instances: [
      {
        flavour,
        id: flavour === 'apig' ? APIG : ROMA,
        groups: [
          {
            domains: [
              { host: hosts[0]!, certificate: 'old', ...(trustedRootCa ? { clientVerification: true } : {}) },
              { host: hosts[1]!, certificate: 'old' },
            ],
          },
        ],
      },
    ],
  }
}

describe('client verification', () => {
  let story: Story
  afterEach(() => story.close())
  const begin = async (flavour: 'apig' | 'roma', options: StoryOptions = {}, withCa = true) => {
    story = await Story.start({
      apig: [],
      roma: [],
      [flavour]: hosts,
      seed: seed(flavour, withCa),
      certificate: { clientCa: 'roots.pem' },
      ...options,
    })
    const ca = (await story.cloud.emulator.root).certificatePem
    await writeFile(join(story.cloud.folder, 'roots.pem'), ca)
    if (withCa) story.cloud.emulator.bind(hosts[1]!, certificateOf(hosts[1]!))
    expect(story.flags()).toEqual(withCa ? { [hosts[0]!]: true, [hosts[1]!]: true } : off)
  }
  const off = { 'a.shop.example': false, 'b.shop.example': false }
  const certificateOf = (host: string) =>
    story.cloud.emulator.state().bindings.find((binding) => binding.host === host)!.certificates[0]!.id
  const setFlag = async (host: string, clientVerification: boolean) => {
    await fetch(`${story.cloud.emulator.url}/__emulator/bind`, {
      method: 'POST',
      body: JSON.stringify({ host, certificateId: certificateOf(host), clientVerification }),
    })
  }
  /** The CA comes from the config, the bundle brings none. */
  const withCa = () => story.drop()
  const everyCertificateHasCa = (fingerprint: string) =>
    story.cloud.emulator
      .state()
      .certificates.filter((one) => one.fingerprint === fingerprint)
      .every((one) => one.hasTrustedRootCa)

  const ways: [string, 'apig' | 'roma', StoryOptions][] = [
    ['rebind', 'apig', {}],
    ['rebind', 'roma', {}],
    ['attach first', 'apig', { gateway: { attachFirst: true } }],
    ['update', 'apig', { gateway: { strategy: 'update', updateWithoutWayBack: true } }],
    ['update', 'roma', { gateway: { strategy: 'update', updateWithoutWayBack: true } }],
    ['add', 'roma', { gateway: { strategy: 'add' } }],
  ]

  for (const [strategy, flavour, options] of ways) {
    it(`is after a rotation what it was before on every domain (${flavour}, ${strategy})`, async () => {
      await begin(flavour, options)
      await setFlag(hosts[1]!, false)
      const bundle = await withCa()
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'rotated' })
      expect(story.flags()).toEqual(flags)
      expect(everyCertificateHasCa(bundle.fingerprint)).toBe(true)
      expect(Object.values(story.cloud.bound()).flat()).toEqual([bundle.fingerprint, bundle.fingerprint])
    })

    it(`is after an undo what it was before on every domain (${flavour}, ${strategy})`, async () => {
      await begin(flavour, options)
      const first = await withCa()
      expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
      await setFlag(hosts[1]!, false)
      const before = story.cloud.bound()
      story.clock.advance(1000)
      const second = await withCa()
      story.change = (parties) => ({
        ...parties,
        probe: {
          handshake: async (target, signal) => {
            const really = await parties.probe.handshake(target, signal)
            const isNew = really.reached && really.served?.fingerprint === second.fingerprint
            return isNew ? { reached: true, served: undefined, reason: 'alert' } : really
          },
        },
      })
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'rolled back' })
      expect(story.cloud.bound()).toEqual(before)
      expect(Object.values(before).flat()).toEqual([first.fingerprint, first.fingerprint])
      expect(story.flags()).toEqual(flags)
      expect(everyCertificateHasCa(first.fingerprint)).toBe(true)
    })
  }

  it('keeps the CA over any number of rotations whose bundles do not bring one', async () => {
    await begin('apig')
    await withCa()
    await story.tick()
    await story.configure({ certificate: { clientCa: undefined } })
    for (const round of [1, 2, 3]) {
      story.clock.advance(2000)
      const bundle = await story.drop()
      expect((await story.tick())[0], `round ${round}`).toMatchObject({ status: 'rotated' })
      expect(story.flags()).toEqual({ 'a.shop.example': true, 'b.shop.example': true })
      expect(everyCertificateHasCa(bundle.fingerprint)).toBe(true)
    }
  })

  it('stays off where it was off and the update brings a CA, and is not switched on by rebinding', async () => {
    await begin('apig', {}, false)
    await withCa()
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.flags()).toEqual(off)
  })

  it('stays off where an update in place that brings a CA would switch it on', async () => {
    await begin('apig', { gateway: { strategy: 'update', updateWithoutWayBack: true } }, false)
    story.cloud.emulator.setRules({ updateAddingCa: 'on' })
    await withCa()
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.flags()).toEqual(off)
  })

  it('is kept where an update without a CA would drop it: the rotation says so before it touches anything', async () => {
    await begin('apig', { certificate: {}, gateway: { strategy: 'update', updateWithoutWayBack: true } })
    await story.drop()
    expect((await story.tick())[0]).toMatchObject({
      status: 'failed',
      failures: [{ code: 'bundle.client-ca-missing' }],
    })
    expect(story.changes()).toEqual([])
  })

  it('that strategy add of APIG cannot keep is said before anything is touched', async () => {
    await begin('apig')
    await withCa()
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    await story.configure({ certificate: { clientCa: undefined }, gateway: { strategy: 'add' } })
    story.cloud.emulator.clearCalls()
    story.clock.advance(2000)
    await story.drop()
    expect((await story.tick())[0]).toMatchObject({
      status: 'failed',
      failures: [{ code: 'bundle.client-ca-not-possible' }],
    })
    expect(story.changes()).toEqual([])
  })

  it('of a domain that is not listed keeps an update in place from changing it', async () => {
    await begin('apig', { gateway: { strategy: 'update', updateWithoutWayBack: true, domains: [hosts[1]] } })
    await withCa()
    expect((await story.tick())[0]).toMatchObject({
      status: 'failed',
      failures: [{ code: 'rotation.update-beside-client-verification' }],
    })
    expect(story.changes()).toEqual([])
  })
})
