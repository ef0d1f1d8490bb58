import { afterEach, describe, expect, it } from 'vitest'
import { renderReport } from '../../functions/commands/render.ts'
import { day, minute, second } from '../../shared/base/clock.ts'
import type { ProbeResult } from '../../shared/probe/port.ts'
import { exitStatus } from '../../shared/runtime/jobs.ts'
import { Story, type StoryOptions, statuses } from '../support/story.ts'

const hosts = ['a.shop.example', 'b.shop.example', 'c.shop.example']

describe('a domain that got the new certificate', () => {
  let story: Story
  afterEach(() => story.close())
  const begin = async (options: StoryOptions = {}) => {
    story = await Story.start({ apig: hosts, roma: [], ...options })
    return { before: story.cloud.bound(), bundle: await story.drop() }
  }
  /** What handshakes show, by host, instead of what the edge shows. */
  const showing = (change: (host: string, really: ProbeResult) => ProbeResult) => {
    story.change = (parties) => ({
      ...parties,
      probe: {
        handshake: async (target, signal) =>
          change(target.serverName, await parties.probe.handshake(target, signal)),
      },
    })
  }

  for (const delay of [5, 10])
    it(`is waited for where the gateway needs ${delay} s to serve it, and the rest follow only then`, async () => {
      const { bundle } = await begin({ rules: { visibilityDelayMs: delay * second } })
      const served: Record<string, string | undefined>[] = []
      story.cloud.emulator.intercept((stage, call) => {
        if (stage === 'arrived' && call.route === 'apig.detachCertificate') served.push(story.cloud.served())
      })
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'rotated' })
      expect(story.cloud.served()).toEqual(
        Object.fromEntries(hosts.map((host) => [host, bundle.fingerprint])),
      )
      // When the second domain's detach arrives, the canary is served.
      expect(served[1]).toMatchObject({ 'a.shop.example': bundle.fingerprint })
    })

  for (const strategy of ['rebind', 'update', 'add'])
    it(`and never serves it is undone, and the undo verified, before any other is touched (${strategy})`, async () => {
      story = await Story.start({ apig: hosts, roma: [] })
      const first = await story.settled()
      await story.configure({ gateway: { strategy } })
      await story.drop()
      const old = (await story.wiring.parties({ deadline: story.parties().deadline }).probe.handshake({
        serverName: hosts[0]!,
        host: '127.0.0.1',
        port: story.cloud.emulator.tls.port,
      })) as ProbeResult
      // Another gateway answers for the canary's name: it goes on showing the old certificate.
      showing((host, really) => (host === hosts[0] ? old : really))
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'rolled back', failures: [{ code: 'served.not-new' }] })
      expect(statuses(outcome)[hosts[0]!]).toBe('restored')
      expect(story.cloud.bound()).toEqual(
        Object.fromEntries(hosts.map((host) => [host, [first.fingerprint]])),
      )
      const { current } = await story.state()
      expect(Object.values(current?.domains ?? {})[0]).toMatchObject({ undo: 'served' })
      if (strategy !== 'update') expect(story.called('apig.detachCertificate')).toBe(2)
    })

  it('and whose undo is not served either is reported as such', async () => {
    await begin()
    let looks = 0
    const nothing: ProbeResult = { reached: true, served: undefined, reason: 'alert' }
    showing((host, really) => (host === hosts[0] && ++looks > 1 ? nothing : really))
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rolled back' })
    expect(outcome?.failures).toMatchObject([{ code: 'served.not-restored' }])
  })

  it('and cannot be reached from here is bound, not verified, and said to be so', async () => {
    const { bundle } = await begin({ gateway: { verify: { connect: '127.0.0.1:1' } } })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated', sentence: expect.stringContaining('not verified') })
    expect(outcome?.domains.map(({ status }) => status)).toEqual(Array(3).fill('bound, not verified'))
    expect(outcome?.domains[0]?.note).toContain('127.0.0.1:1')
    expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(bundle.fingerprint))
    const report = { outcomes: [outcome!], failures: [] }
    expect(exitStatus(report)).toBe(3)
    const said = renderReport(report, false)
    expect(said).toMatch(/^! shop {2}rotated/)
    expect(said).toContain('→ Let handshakes reach it from here')
  })

  it('and must be verified by config is a failure where nobody can look, and stays bound', async () => {
    const { bundle } = await begin({
      gateway: { verify: { connect: '127.0.0.1:1' } },
      certificate: { requireVerified: true },
    })
    const [outcome] = await story.tick()
    const report = { outcomes: [outcome!], failures: [] }
    expect(exitStatus(report)).toBe(1)
    expect(renderReport(report, false)).toMatch(/^✗ shop {2}rotated/)
    expect(Object.values(story.cloud.bound()).flat()).toEqual(Array(3).fill(bundle.fingerprint))
  })

  it('and served it before but cannot be reached after the change is undone', async () => {
    const { before } = await begin()
    let looks = 0
    showing((host, really) =>
      host === hosts[0] && ++looks > 1 && looks < 20 ? { reached: false, reason: 'refused' } : really,
    )
    expect((await story.tick())[0]).toMatchObject({ status: 'rolled back' })
    expect(story.cloud.bound()).toEqual(before)
  })

  it('with an incomplete chain is not served properly, and undone', async () => {
    const { before } = await begin()
    showing((host, really) =>
      host === hosts[0] && really.reached && really.served
        ? { ...really, served: { ...really.served, chain: really.served.chain.slice(0, 1) } }
        : really,
    )
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rolled back' })
    expect(outcome?.domains[0]?.failure?.message).toContain('intermediate')
    expect(story.cloud.bound()).toEqual(before)
  })

  it('and is not to be verified by config is not shaken hands with', async () => {
    await begin({ gateway: { verify: false } })
    story.change = (parties) => ({
      ...parties,
      probe: {
        handshake() {
          throw new Error('a handshake')
        },
      },
    })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rotated' })
    expect(new Set(outcome?.domains.map(({ status }) => status))).toEqual(new Set(['bound, not verified']))
    expect(exitStatus({ outcomes: [outcome!], failures: [] })).toBe(0)
  })

  it('later than its budget is judged by the time that passes, not by a clock that somebody sets', async () => {
    await begin({ rules: { visibilityDelayMs: 8 * second } })
    story.cloud.emulator.intercept((stage, call) => {
      if (stage === 'done' && call.route === 'apig.detachCertificate') story.clock.setWallClock(2 * minute)
    })
    // The lease is lost by such a jump, so a second tick may be needed.
    const all = await story.ticks()
    expect(all.map(({ status }) => status)).not.toContain('rolled back')
    expect(all.at(-1)).toMatchObject({ status: 'rotated' })
  })

  it('in a run that died is not undone for one failing handshake of the next', async () => {
    await begin({ rules: { visibilityDelayMs: 8 * second } })
    const stop = new AbortController()
    story.cloud.emulator.intercept((stage, call) => {
      if (stage === 'done' && call.route === 'apig.detachCertificate') stop.abort()
    })
    const deadline = {
      signal: stop.signal,
      remainingMs: () => (stop.signal.aborted ? 0 : Number.POSITIVE_INFINITY),
    }
    expect((await story.tick(deadline))[0]).toMatchObject({ status: 'unfinished' })
    story.clock.advance(day / 24)
    let looks = 0
    showing((host, really) =>
      host === hosts[0] && ++looks === 2 ? { reached: false, reason: 'a moment' } : really,
    )
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
  })
})
