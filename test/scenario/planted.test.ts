import { afterEach, describe, expect, it } from 'vitest'
import { day } from '../../shared/base/clock.ts'
import type { Log } from '../../shared/base/log.ts'
import { remoteCertificateName } from '../../shared/base/names.ts'
import { Secret } from '../../shared/base/secret.ts'
import type { CreatedCertificate, RotationState } from '../../shared/rotation/record/state.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { Story, type StoryOptions } from '../support/story.ts'

const hosts = ['a.shop.example', 'b.shop.example']

/** What others write into the store, or upload, decides nothing about what is deleted. */
describe('planted in the store', () => {
  let story: Story
  const warnings: string[] = []
  const write = (message: string) => void warnings.push(message)
  const log: Log = { debug() {}, info() {}, warn: write, error: write, with: () => log }
  afterEach(async () => {
    warnings.length = 0
    await story.close()
  })
  const begin = async (options: StoryOptions = {}) => {
    story = await Story.start({
      apig: hosts,
      roma: [],
      log,
      certificate: { retire: { after: '1h', keep: 0 } },
      ...options,
    })
  }
  const gateway = () => story.parties().gatewayFor(story.wiring.config.certificates.shop!.gateways[0]!)
  /** A stranger's certificate that is bound to nothing. */
  const foreign = async (name: string): Promise<string> => {
    const bundle = await story.cloud.issue()
    const material = { certificatePem: bundle.fullchainPem, privateKey: new Secret(bundle.privateKeyPem) }
    return (await gateway().create(name, material)).id
  }
  const present = (id: string) =>
    story.cloud.emulator.state().certificates.some((certificate) => certificate.id === id)
  const change = async (edit: (state: RotationState) => void) => {
    const state = await story.state()
    edit(state)
    await story.cloud.store.put('state/shop.json', JSON.stringify(state))
  }
  const retireForDays = async () => {
    for (let round = 0; round < 3; round++) {
      await story.retire()
      story.clock.advance(2 * day)
    }
  }
  const strangers = async () => {
    for (const key of [
      'notes.txt',
      'other/ledger.csv',
      'deployed/blog/2026-01-01T00-00-00Z-0a0b0c0d/privkey.pem',
    ])
      await story.cloud.store.put(key, 'somebody needs this')
    return async () => (await story.cloud.keys()).filter((key) => /notes|ledger|blog/.test(key)).length
  }

  it.each([
    '',
    '/',
    'deployed/',
    'deployed/shop/',
    'other/',
    'state/',
    'deployed/blog/2026-01-01T00-00-00Z-0a0b0c0d/',
    'deployed/shop/../../',
  ])('"moving": { "to": %j } removes nothing, and the next bundle is rotated', async (to) => {
    await begin()
    await story.settled()
    const left = await strangers()
    const before = (await story.cloud.keys()).filter((key) => key.startsWith('deployed/'))
    await change((state) => {
      state.moving = { to, digest: 'unreadable', sources: [], copied: false }
    })
    const bundle = await story.drop()
    expect((await story.tick()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(await left()).toBe(3)
    expect(await story.cloud.keys()).toEqual(expect.arrayContaining(before))
    expect(Object.values(story.cloud.bound()).flat()).toEqual([bundle.fingerprint, bundle.fingerprint])
  })

  it('a move that is overtaken takes away what it has copied, and nothing that others have put there', async () => {
    await begin()
    await story.drop()
    const folder = '2026-01-01T00-00-00Z-0a0b0c0d'
    const to = `rejected/shop/${folder}/`
    await story.tick()
    for (const name of ['fullchain.pem', 'privkey.pem', 'result.json', 'why.txt'])
      await story.cloud.store.put(`${to}${name}`, 'x')
    await change((state) => {
      const sources = ['fullchain.pem', 'privkey.pem'].map((name) => ({
        key: `incoming/shop/${name}`,
        digest: '0'.repeat(32),
      }))
      state.moving = { to, digest: `0a0b0c0d${'0'.repeat(24)}`, sources, copied: false }
    })
    await story.drop()
    expect((await story.tick()).at(-1)).toMatchObject({ status: 'rotated' })
    expect((await story.cloud.keys()).filter((key) => key.startsWith(to))).toEqual([`${to}why.txt`])
  })

  it('a move to the folder of the bundle in service does not take that away', async () => {
    await begin()
    await story.settled()
    const before = (await story.cloud.keys()).filter((key) => key.startsWith('deployed/shop/'))
    await change((state) => {
      const { folder, digest } = state.deployed!
      const sources = before.map((key) => ({ key: `incoming/shop/${key.split('/').at(-1)}`, digest }))
      state.moving = { to: `deployed/shop/${folder}/`, digest, sources, copied: false }
    })
    await story.drop()
    expect((await story.tick()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(await story.cloud.keys()).toEqual(expect.arrayContaining(before))
  })

  const tampered: [string, (id: string) => Partial<CreatedCertificate>][] = [
    ['with its own name', () => ({ name: 'somebodys_own' })],
    [
      'with a name of ours',
      () => ({ name: remoteCertificateName('shop', 'f'.repeat(32)), digest: 'f'.repeat(32) }),
    ],
    ['with a name of the right form', () => ({ name: `cr_shop_${'0'.repeat(24)}` })],
  ]
  it.each(tampered)('a created entry for a stranger’s certificate %s deletes nothing', async (_, entry) => {
    await begin()
    await story.settled()
    const victim = await foreign('somebodys_own')
    const ours = (await story.state()).created[0]!
    await change((state) => {
      state.created.push({ ...ours, id: victim, createdAt: '2020-01-01T00:00:00Z', ...entry(victim) })
    })
    await retireForDays()
    expect(present(victim)).toBe(true)
    expect((await story.state()).created.map(({ id }) => id)).toEqual([ours.id])
  })

  it('a created entry for another certificate’s own is not believed by its look alone', async () => {
    await begin()
    await story.settled()
    // Made by this tool, for another certificate of the same readable name.
    const victim = await foreign(remoteCertificateName('shop.', 'e'.repeat(32)))
    const ours = (await story.state()).created[0]!
    const digest = 'e'.repeat(32)
    await change((state) => {
      state.created.push({ ...ours, id: victim, name: remoteCertificateName('shop.', digest), digest })
    })
    await retireForDays()
    expect(present(victim)).toBe(true)
    expect(warnings.join('\n')).toContain(victim)
  })

  /** Of the other algorithm, so that the gateway keeps it beside what is there. */
  const strangerOn = async (host: string) => {
    const { intermediate, clock } = story.cloud.emulator
    const bundle = await intermediate.issue({
      names: hosts,
      key: 'RSA-2048',
      notBefore: new Date(clock.now().getTime() - day),
      notAfter: new Date(clock.now().getTime() + 30 * day),
    })
    const material = { certificatePem: bundle.fullchainPem, privateKey: new Secret(bundle.privateKeyPem) }
    const { id } = await gateway().create('somebodys_own', material)
    const domain = (await gateway().domains()).find((one) => one.host === host)!
    await gateway().attach(domain, id, false)
    expect(story.cloud.bound()[host]).toHaveLength(2)
    return { id, fingerprint: bundle.fingerprint }
  }
  const digest = 'f'.repeat(32)
  const plants: [string, (state: RotationState, id: string) => void][] = [
    [
      'created entry',
      ({ created }, id) => {
        created.push({ ...created[0]!, id, digest, name: remoteCertificateName('shop', digest) })
      },
    ],
    [
      'created entry for the bundle in service',
      ({ created }, id) => {
        created.push({ ...created[0]!, id })
      },
    ],
    [
      'note of the certificate in use',
      ({ current }, id) => {
        current!.certificates = Object.fromEntries(Object.keys(current!.certificates).map((key) => [key, id]))
      },
    ],
  ]
  describe.each(plants)('a %s for a stranger’s certificate beside ours', (_, plant) => {
    it('detaches nothing when a bundle is rotated', async () => {
      await begin()
      await story.settled()
      const stranger = await strangerOn('a.shop.example')
      await change((state) => plant(state, stranger.id))
      const bundle = await story.drop()
      await story.ticks()
      expect(story.cloud.bound()['a.shop.example']).toContain(stranger.fingerprint)
      expect(story.cloud.bound()['b.shop.example']).toEqual([bundle.fingerprint])
    })

    it('detaches nothing when a domain gets its predecessor again', async () => {
      await begin()
      const before = await story.settled()
      const stranger = await strangerOn('a.shop.example')
      await change((state) => plant(state, stranger.id))
      await story.drop()
      // The rehearsal, and the first try beside the old certificate, come before.
      story.fault('apig.attachCertificate', { status: 400, errorCode: 'APIG.2104' }, { nth: 3 })
      const outcomes = await story.tick()
      expect(outcomes.at(-1)).toMatchObject({ status: 'rolled back' })
      expect(story.cloud.bound()['a.shop.example']!.toSorted()).toEqual(
        [before.fingerprint, stranger.fingerprint].toSorted(),
      )
    })
  })

  it('a created entry for a stranger’s certificate in SCM deletes nothing', async () => {
    await begin({
      certificate: { retire: { after: '1h', keep: 0 }, push: [{ service: 'ELB', project: 'eu-de' }] },
    })
    await story.settled()
    const bundle = await story.cloud.issue()
    const material = { certificatePem: bundle.fullchainPem, privateKey: new Secret(bundle.privateKeyPem) }
    const victim = await story.parties().manager!.import('somebodys_own', material)
    await change((state) => {
      const ours = state.created.find(({ where }) => where === 'scm')!
      const digest = 'd'.repeat(32)
      state.created.push({ ...ours, id: victim.id, name: remoteCertificateName('shop', digest), digest })
    })
    await retireForDays()
    expect(story.cloud.emulator.state().scm.map(({ id }) => id)).toContain(victim.id)
    expect((await story.state()).created.map(({ id }) => id)).not.toContain(victim.id)
  })

  it.each(['rejected', 'deployed'] as const)(
    'a result.json inside an upload that ends in %s/ is nobody’s record when the state is lost',
    async (where) => {
      await begin()
      await story.settled()
      const victim = await foreign('somebodys_own')
      const digest = 'c'.repeat(32)
      const planted = {
        certificate: 'shop',
        status: 'rotated',
        at: '2099-01-01T00:00:00Z',
        created: [
          {
            where: story.wiring.config.certificates.shop!.gateways.map((one) => `apig:${one.instanceId}`)[0],
            id: victim,
            name: 'somebodys_own',
            digest,
            createdAt: '2020-01-01T00:00:00Z',
          },
        ],
        deployed: {
          digest,
          fingerprint: 'c'.repeat(64),
          chain: [],
          serial: '1',
          commonName: 'x',
          names: hosts,
          notBefore: '2020-01-01T00:00:00Z',
          notAfter: '2099-01-01T00:00:00Z',
          algorithm: 'RSA',
          at: '2099-01-01T00:00:00Z',
          folder: '2099-01-01T00-00-00Z-cccccccc',
        },
      }
      const bundle = where === 'deployed' ? await story.drop() : undefined
      if (!bundle) await story.cloud.drop(await story.cloud.issue(['other.example']))
      for (const name of ['x/result.json', 'result.json/result.json'])
        await story.cloud.store.put(`incoming/shop/${name}`, JSON.stringify(planted))
      const status = bundle ? 'rotated' : 'refused'
      expect((await story.tick()).at(-1)).toMatchObject({ status })
      await story.cloud.store.delete('state/shop.json')
      await retireForDays()
      await story.drop()
      await story.ticks()
      await retireForDays()
      expect(present(victim)).toBe(true)
      const state = await story.state()
      expect(state.deployed!.digest).not.toBe(digest)
      expect(state.created.map(({ id }) => id)).not.toContain(victim)
    },
  )

  it('folders of others below deployed/ outlive every retirement', async () => {
    await begin()
    for (let n = 0; n < 3; n++) await story.settled()
    for (const key of ['handbook/README.txt', '2026/notes.txt', 'constructor/x'])
      await story.cloud.store.put(`deployed/shop/${key}`, 'x')
    const [oldest] = (await story.cloud.keys()).filter((key) =>
      /^deployed\/shop\/\d{4}-.*\/result.json$/.test(key),
    )
    const beside = oldest!.replace('result.json', 'why-we-changed.txt')
    await story.cloud.store.put(beside, 'x')
    story.clock.advance(400 * day)
    await story.retire()
    const left = (await story.cloud.keys()).filter((key) => key.startsWith('deployed/shop/'))
    expect(left).toEqual(
      expect.arrayContaining(['deployed/shop/2026/notes.txt', 'deployed/shop/constructor/x', beside]),
    )
    expect(left.filter((key) => key.endsWith('/privkey.pem')).length).toBe(1)
  })

  it('a state full of nonsense is kept aside, and the tick goes on', async () => {
    await begin()
    const bundle = await story.settled()
    await change((state) => {
      state.deployed!.folder = '../../../etc'
      state.alerts = {
        schema: 1,
        leaves: { x: { notAfter: 'never', told: {} } },
        conditions: { __proto__: 1 },
      } as never
    })
    for (const key of [
      'status/alerts.json',
      'status/outbox.json',
      'status/last-tick.json',
      'renew/shop.json',
    ])
      await story.cloud.store.put(
        key,
        '{"schema":1,"pending":[{"channel":"x"}],"conditions":{"a":{}},"at":7}',
      )
    const report = await tick(story.wiring, story.parties())
    expect(report.failures).toEqual([])
    expect(report.status).toBeDefined()
    expect(await story.state()).toMatchObject({ deployed: { fingerprint: bundle.fingerprint } })
    expect((await story.cloud.keys()).some((key) => key.startsWith('state/shop.broken-'))).toBe(true)
  })
})
