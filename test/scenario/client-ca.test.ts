import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { type Authority, createAuthority } from '../../emulator/authority.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { day } from '../../shared/base/clock.ts'
import { rootsFromPem } from '../../shared/certificate/trust.ts'
import type { Parties } from '../../shared/rotation/parties.ts'
import { preview } from '../../shared/rotation/preview.ts'
import type { Outcome } from '../../shared/rotation/record/state.ts'
import { gatherFor } from '../../shared/runtime/gather.ts'
import { watchOne } from '../../shared/watch/watch.ts'
import { APIG } from '../support/cloud.ts'
import { pebbleMissing } from '../support/pebble.ts'
import { RenewalCloud } from '../support/renewal-cloud.ts'
import { Story } from '../support/story.ts'

const host = 'mtls.shop.example'
const seed: SeedInput = {
  project: { id: '0123456789abcdef0123456789abcdef' },
  rules: { visibilityDelayMs: 0 },
  accessKeys: [{ id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' }],
  certificates: [
    {
      ref: 'old',
      scope: 'instance',
      trustedRootCa: 'seeded',
      generate: { names: [host], notBefore: '-80d', notAfter: '+10d' },
    },
  ],
  instances: [
    {
      flavour: 'apig',
      id: APIG,
      groups: [{ domains: [{ host, certificate: 'old', clientVerification: true }] }],
    },
  ],
}
const printOf = (pem: string) => rootsFromPem(pem)[0]!.fingerprint

describe('who may come in', () => {
  let story: Story
  let clients: Authority
  let mallory: Authority
  let given: (string | undefined)[]
  afterEach(() => story.close())
  const begin = async (certificate: Record<string, unknown> = { clientCa: 'clients.pem' }) => {
    story = await Story.start({ apig: [host], roma: [], seed, certificate })
    clients = await createAuthority({ commonName: 'Our clients' })
    mallory = await createAuthority({ commonName: 'Mallory' })
    await writeFile(join(story.cloud.folder, 'clients.pem'), clients.certificatePem)
    given = []
    story.change = (parties): Parties => ({
      ...parties,
      gatewayFor: (config) => {
        const gateway = parties.gatewayFor(config)
        return {
          ...gateway,
          create: (name, material, signal) => {
            given.push(material.trustedRootCaPem)
            return gateway.create(name, material, signal)
          },
        }
      },
    })
  }
  const put = (name: string, pem: string) => story.cloud.store.put(`incoming/shop/${name}`, pem)
  const next = async (): Promise<Outcome> => {
    story.clock.advance(2000)
    await story.drop()
    return (await story.tick())[0]!
  }
  const notes = (outcome: Outcome) => outcome.repairs.map(({ code }) => code)

  it.each(['trusted-root-ca.pem', 'ca.crt', 'sub/ca.crt'])(
    'is not decided by a %s that lies in the folder, neither now nor with any later bundle',
    async (name) => {
      await begin()
      expect(await next()).toMatchObject({ status: 'rotated' })
      await put(name, mallory.certificatePem)
      // Alone it waits, as half of anything does.
      expect((await story.tick())[0]).toMatchObject({ status: 'waiting' })
      const planned = await preview(await story.wiring.job('shop', true), story.parties())
      expect(planned.decision).toBe('wait')
      await story.drop()
      const shown = await preview(await story.wiring.job('shop', true), story.parties())
      expect(
        shown.repairs.map(({ code, message }) => [code, message.includes(printOf(mallory.certificatePem))]),
      ).toEqual([['client-ca-left-out', true]])
      story.clock.advance(2000)
      const [told] = await story.tick()
      expect(told).toMatchObject({ status: 'rotated' })
      expect(notes(told!)).toEqual(['client-ca-left-out'])
      // Without the setting, too: what lies in deployed/ beside the right one is no better for it.
      await story.configure({ certificate: { clientCa: undefined } })
      expect(notes(await next())).toEqual([])
      expect(notes(await next())).toEqual([])
      expect(given).toEqual([1, 2, 3, 4].map(() => clients.certificatePem))
      expect(story.flags()).toEqual({ [host]: true })
    },
  )

  it('cannot be planted beforehand where nothing says anything: nothing is touched, and the line to add is told', async () => {
    await begin({})
    await put('trusted-root-ca.pem', clients.certificatePem)
    const failed = await next()
    expect(failed).toMatchObject({ status: 'failed', failures: [{ code: 'bundle.client-ca-missing' }] })
    expect(failed.failures[0]!.next).toContain(`clientCa: "${printOf(clients.certificatePem)}"`)
    expect(story.changes()).toEqual([])
    await story.configure({
      certificate: { clientCa: `SHA256:${printOf(clients.certificatePem).toUpperCase()}` },
    })
    expect((await story.ask())[0]).toMatchObject({ status: 'rotated' })
    expect(given).toEqual([clients.certificatePem])
    // From now on it stays, brought or not.
    expect(await next()).toMatchObject({ status: 'rotated', repairs: [] })
    expect(given[1]).toBe(clients.certificatePem)
  })

  it('is not what somebody has put into deployed/: then nothing is known, and nothing is touched', async () => {
    await begin()
    await next()
    await story.configure({ certificate: { clientCa: undefined } })
    const { folder } = (await story.state()).deployed!
    await story.cloud.store.put(`deployed/shop/${folder}/trusted-root-ca.pem`, mallory.certificatePem)
    story.cloud.emulator.clearCalls()
    expect(await next()).toMatchObject({ status: 'failed', failures: [{ code: 'bundle.client-ca-missing' }] })
    expect(story.changes()).toEqual([])
  })

  it('is taken over once from a state of 0.1.0, and told with its fingerprint and the line to add', async () => {
    await begin()
    await next()
    await story.configure({ certificate: { clientCa: undefined } })
    const state = await story.state()
    delete state.deployed!.clientCa
    await story.cloud.store.put('state/shop.json', JSON.stringify(state))
    const told = await next()
    expect(notes(told)).toEqual(['client-ca-taken-over'])
    expect(told.repairs[0]!.message).toContain(`clientCa: "${printOf(clients.certificatePem)}"`)
    expect(notes(await next())).toEqual([])
    expect((await story.state()).deployed!.clientCa).toEqual([printOf(clients.certificatePem)])
    expect(given).toEqual([1, 2, 3].map(() => clients.certificatePem))
  })

  it('changes when the config says so, and that is told', async () => {
    await begin()
    await next()
    await writeFile(join(story.cloud.folder, 'clients.pem'), mallory.certificatePem)
    expect(notes(await next())).toEqual(['client-ca-changed'])
    expect(given).toEqual([clients.certificatePem, mallory.certificatePem])
  })

  it('is told to people with the rotation', async () => {
    await begin({ clientCa: 'clients.pem' })
    await next()
    await put('ca.crt', mallory.certificatePem)
    await next()
    const gathered = await gatherFor(story.wiring, story.parties(), ['shop'])
    const rotated = watchOne(gathered, 'shop').notices.find(({ kind }) => kind === 'rotated')
    expect(rotated?.action).toContain(printOf(mallory.certificatePem))
    expect(rotated?.action).toContain('is not used, because clientCa names another one')
  })

  it.each([
    ['a file that is not there', 'nowhere.pem', /nowhere\.pem, which cannot be read/],
    ['a file without a certificate', 'empty.pem', /empty\.pem, which holds no certificate/],
  ])('is not guessed from %s', async (_, clientCa, message) => {
    await begin({ clientCa })
    await writeFile(join(story.cloud.folder, 'empty.pem'), 'nothing here')
    await expect(story.tick()).rejects.toMatchObject({
      code: 'config.unreadable-file',
      message: expect.stringMatching(message),
    })
  })
})

describe.skipIf(pebbleMissing())('a renewal for a gateway that verifies clients', () => {
  let world: RenewalCloud
  afterEach(() => world?.close())
  const begin = async () => {
    world = await RenewalCloud.start({
      apig: [host],
      seed: { certificates: seed.certificates!, instances: seed.instances! },
    })
  }
  const config = (clientCa?: string) => {
    const whole = world.config() as { certificates: { shop: object } }
    return {
      ...whole,
      certificates: { shop: { ...whole.certificates.shop, ...(clientCa ? { clientCa } : {}) } },
    }
  }

  it('is not ordered while nothing says by which CA, which is told in every tick, and goes on when it is said', async () => {
    await begin()
    for (let n = 0; n < 2; n++) {
      const report = await world.tick(config())
      expect(report.renewals).toMatchObject([
        { status: 'failed', failures: [{ code: 'bundle.client-ca-missing' }] },
      ])
      expect(report.outcomes).toEqual([])
      expect(world.ordersPlaced()).toBe(0)
      expect(JSON.stringify(report.status)).toContain('renewal failing')
      world.pass(day / 24)
    }
    const ca = (await world.cloud.emulator.root).certificatePem
    await writeFile(join(world.cloud.folder, 'clients.pem'), ca)
    const { renewals, outcomes } = await world.tick(config('clients.pem'))
    expect(renewals).toMatchObject([{ status: 'delivered' }])
    expect(outcomes).toMatchObject([{ status: 'rotated' }])
    expect(world.ordersPlaced()).toBe(1)
  })

  it('may have its CA, named by fingerprint, lie alone in the folder, and takes nothing else from there', async () => {
    await begin()
    const ca = (await world.cloud.emulator.root).certificatePem
    await world.cloud.store.put('incoming/shop/trusted-root-ca.pem', ca)
    const { certificatePem } = await createAuthority({ commonName: 'Mallory' })
    await world.cloud.store.put('incoming/shop/chain.pem', certificatePem)
    await world.cloud.store.put('incoming/shop/ca.crt', certificatePem)
    const { renewals, outcomes } = await world.tick(config(printOf(ca)))
    expect(renewals).toMatchObject([{ status: 'delivered' }])
    const rotated = outcomes.find(({ status }) => status === 'rotated')
    expect(rotated?.repairs.map(({ code }) => code)).toEqual(['client-ca-changed'])
    expect(rotated?.bundle?.fingerprint).toBe(renewals[0]!.delivered!.fingerprint)
    const left = (await world.cloud.keys()).filter((key) => key.startsWith('incoming/'))
    expect(left).toEqual(['incoming/shop/ca.crt', 'incoming/shop/chain.pem'])
  })
})
