import { afterEach, describe, expect, it } from 'vitest'
import { hour, minute } from '../../shared/base/clock.ts'
import type { ProbeTarget } from '../../shared/probe/port.ts'
import { giveUp } from '../../shared/rotation/record/domain.ts'
import { codes, Story, type StoryOptions } from '../support/story.ts'

/**
 * One odd answer is not a verdict: only what the service says about the content, or a handshake, is held against a
 * bundle.
 */

const hosts = ['a.shop.example', 'b.shop.example', 'c.shop.example']
const page = (status: number) => ({
  status,
  reply: '<html><body>Request blocked. Incident 4711</body></html>',
  headers: { 'Content-Type': 'text/html' },
})
const changes: { route: string; gateway: Record<string, unknown> }[] = [
  { route: 'createCertificate', gateway: {} },
  { route: 'detachCertificate', gateway: {} },
  { route: 'attachCertificate', gateway: {} },
  { route: 'attachCertificate', gateway: { attachFirst: true } },
  { route: 'addCertificate', gateway: { strategy: 'add' } },
  { route: 'updateCertificate', gateway: { strategy: 'update', updateWithoutWayBack: true } },
]

describe('an odd answer', () => {
  let story: Story
  afterEach(() => story.close())
  const begin = async (options: StoryOptions = {}) => {
    story = await Story.start({
      apig: hosts,
      roma: [],
      ...options,
      rest: { concurrency: 1, ...options.rest },
    })
    return story.drop()
  }
  const everywhere = (bundle: { fingerprint: string }) =>
    Object.fromEntries(hosts.map((host) => [host, [bundle.fingerprint]]))
  const rejected = async () => (await story.cloud.keys()).filter((key) => key.startsWith('rejected/'))

  for (const { route, gateway } of changes)
    for (const effect of ['none', 'done'] as const)
      for (const status of [403, 404, 418])
        it(`of a firewall (a ${status} page) at one ${route}, effect ${effect}, is seen by nobody (${JSON.stringify(gateway)})`, async () => {
          const bundle = await begin({ gateway })
          story.fault(`apig.${route}`, { ...page(status), effect }, { nth: 1 })
          const all = await story.ticks()
          expect(all.map((outcome) => outcome.status)).toEqual(['rotated'])
          expect(story.cloud.bound()).toEqual(everywhere(bundle))
          expect(story.copies(bundle)).toBe('strategy' in gateway && gateway.strategy === 'add' ? 3 : 1)
          expect(story.bare()).toEqual([])
        })

  it('of a firewall at a look-up does not make a domain or a certificate disappear', async () => {
    const bundle = await begin()
    for (const route of ['apig.showGroup', 'apig.showCertificate', 'apig.listCertificates'])
      story.fault(route, page(404), { times: 2 })
    expect((await story.ticks()).map(({ status }) => status)).toEqual(['rotated'])
    expect(story.cloud.bound()).toEqual(everywhere(bundle))
    expect(story.copies(bundle)).toBe(1)
  })

  for (const { route, gateway } of changes.filter((one) => one.route !== 'createCertificate'))
    for (const nth of route === 'updateCertificate' ? [1] : [1, 2])
      it(`with a code that is not about the content, at ${route} number ${nth}, is left for later (${JSON.stringify(gateway)})`, async () => {
        const bundle = await begin({ gateway })
        story.fault(`apig.${route}`, { status: 400, errorCode: 'APIG.2012', message: 'odd' }, { nth })
        const all = await story.ticks()
        expect(all.at(-1)).toMatchObject({ status: 'rotated' })
        // The first attach is the rehearsal of the way back: refused there, nothing was begun.
        for (const { status } of all.slice(0, -1)) expect(status).toMatch(/^(unfinished|failed)$/)
        expect(all.length).toBeGreaterThan(1)
        expect(story.cloud.bound()).toEqual(everywhere(bundle))
        expect(await rejected()).toEqual([])
        expect((await story.state()).refused).toBeUndefined()
      })

  it('of a full quota under strategy add is left for later, and the domain keeps what it had until then', async () => {
    const bundle = await begin({ gateway: { strategy: 'add' } })
    const before = story.cloud.bound()
    story.fault('apig.addCertificate', { status: 403, errorCode: 'APIG.3100', message: 'full' }, { times: 1 })
    expect((await story.tick())[0]).toMatchObject({
      status: 'unfinished',
      failures: [{ code: 'gateway.quota' }],
    })
    expect(story.cloud.bound()).toEqual(before)
    story.clock.advance(2 * minute)
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(everywhere(bundle))
  })

  it('at a push leaves the push for later, not undone for ever', async () => {
    await begin({ certificate: { push: [{ service: 'ELB', project: 'eu-de' }] } })
    story.fault('scm.*', { status: 400, errorCode: 'SCM.0010', message: 'odd' }, { times: 3 })
    const all = await story.ticks()
    expect(all[0]).toMatchObject({ status: 'unfinished' })
    expect(all.at(-1)).toMatchObject({ status: 'rotated', pushed: [{ status: 'pushed' }] })
    expect(story.cloud.emulator.state().pushes).toMatchObject([{ service: 'ELB', copies: 1 }])
  })

  it('that an earlier version took for a verdict is not held against the domain, nor against the bundle', async () => {
    const bundle = await begin()
    story.fault('apig.attachCertificate', { status: 400, errorCode: 'APIG.2012', message: 'odd' }, { nth: 2 })
    await story.tick()
    const state = await story.state()
    const odd = {
      code: 'gateway.refused',
      kind: 'never' as const,
      message: 'answered 418 (it is not JSON but text/html)',
      next: '',
      facts: { status: 418 },
    }
    const [, second] = Object.values(state.current!.domains)
    giveUp(second!, odd)
    const { retry, ...rest } = state
    const refused = {
      digest: state.current!.bundle.digest,
      configDigest: retry!.configDigest,
      at: state.outcomes[0]?.at ?? state.current!.startedAt,
      failures: [odd],
    }
    await story.cloud.store.put('state/shop.json', JSON.stringify({ ...rest, refused }))
    expect((await story.tick()).at(-1)).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(everywhere(bundle))
  })
})

describe('what a handshake has shown', () => {
  let story: Story
  afterEach(() => story.close())
  /** Whether somebody else answers for all domains: a proxy in maintenance. */
  let stranger = false
  const begin = async () => {
    stranger = false
    story = await Story.start({ apig: hosts, roma: [], rest: { servedWithin: '5s', concurrency: 1 } })
    const old = await story.settled()
    const served = await story.parties().probe.handshake(probeOf(hosts[0]!))
    story.change = (parties) => ({
      ...parties,
      probe: {
        handshake: async (target, signal) => (stranger ? served : parties.probe.handshake(target, signal)),
      },
    })
    return { old, bundle: await story.drop() }
  }
  const probeOf = (serverName: string): ProbeTarget => {
    const { host, port } = story.cloud.emulator.tls
    return { serverName, host, port }
  }
  const all = (bundle: { fingerprint: string }) =>
    Object.fromEntries(hosts.map((host) => [host, [bundle.fingerprint]]))

  it('is undone, and the same bundle dropped again is tried again: after a wait that is told, or when a person asks', async () => {
    for (const byPerson of [false, true]) {
      const { old, bundle } = await begin()
      stranger = true
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'rolled back', failures: [{ code: 'served.not-new' }] })
      expect(outcome?.failures[0]?.next).toContain('drop the bundle again')
      expect(story.cloud.bound()).toEqual(all(old))
      // Dropped by a machine at once, before anybody has put anything right.
      await story.cloud.drop(bundle)
      story.cloud.emulator.clearCalls()
      expect(codes((await story.tick())[0])).toEqual(['rotation.waits'])
      expect(story.changes()).toEqual([])

      stranger = false
      if (!byPerson) story.clock.advance(minute)
      const outcomes = await (byPerson ? story.ask() : story.tick())
      expect(outcomes.at(-1)).toMatchObject({ status: 'rotated', failures: [] })
      expect(story.cloud.bound()).toEqual(all(bundle))
      if (!byPerson) await story.close()
    }
  })

  it('again and again is waited for longer and longer, at most for hours', async () => {
    const { bundle } = await begin()
    stranger = true
    const waits: number[] = []
    for (let attempt = 0; attempt < 4; attempt++) {
      expect((await story.tick()).at(-1)).toMatchObject({ status: 'rolled back' })
      const { refused } = await story.state()
      waits.push(Date.parse(refused!.notBefore!) - story.clock.lazy.now().getTime())
      story.clock.advance(waits.at(-1)! + 1)
      await story.cloud.drop(bundle)
    }
    expect(waits).toEqual(waits.toSorted((a, b) => a - b))
    expect(waits.at(-1)).toBeGreaterThanOrEqual(4 * minute)
    expect(waits.at(-1)).toBeLessThan(hour)
  })

  it('and a run could not undo is looked at again before the next one does: a cloud that is well again keeps it', async () => {
    const { bundle } = await begin()
    stranger = true
    // The undo begins with a detach of the new certificate; the first detach is that of the old one.
    story.fault('apig.detachCertificate', { status: 403, errorCode: 'APIG.1005', message: 'no' }, { nth: 2 })
    expect((await story.tick())[0]).toMatchObject({ status: 'unfinished' })
    expect(story.cloud.bound()[hosts[0]!]).toEqual([bundle.fingerprint])

    stranger = false
    story.clock.advance(2 * minute)
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(story.cloud.bound()).toEqual(all(bundle))
    expect(Object.values((await story.state()).current!.domains).every(({ givenUp }) => !givenUp)).toBe(true)
  })
})
