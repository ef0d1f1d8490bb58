import { afterEach, describe, expect, it } from 'vitest'
import { hour } from '../../shared/base/clock.ts'
import { runOnce } from '../support/crash-run.ts'
import { Crashed, Crasher } from '../support/crasher.ts'
import { Story, type StoryOptions, statuses } from '../support/story.ts'

const hosts = ['a.shop.example', 'b.shop.example']

describe('strategy update', () => {
  let story: Story
  afterEach(() => story.close())
  const begin = async (gateway: Record<string, unknown> = {}, options: StoryOptions = {}) => {
    story = await Story.start({
      apig: hosts,
      roma: [],
      gateway: { strategy: 'update', ...gateway },
      ...options,
    })
  }
  const neverServed = (fingerprint: string, host?: string) => {
    story.change = (parties) => ({
      ...parties,
      probe: {
        handshake: async (target, signal) => {
          const really = await parties.probe.handshake(target, signal)
          const isNew = really.reached && really.served?.fingerprint === fingerprint
          return isNew && (!host || target.serverName === host)
            ? { reached: true, served: undefined, reason: 'alert' }
            : really
        },
      },
    })
  }

  it('says before it starts that there is no way back, and changes nothing', async () => {
    await begin()
    await story.drop()
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'failed', failures: [{ code: 'rotation.no-way-back' }] })
    expect(outcome?.failures[0]?.next).toContain('updateWithoutWayBack')
    expect(story.changes()).toEqual([])
  })

  it('goes ahead without a way back only where the config allows it', async () => {
    await begin({ updateWithoutWayBack: true })
    const bundle = await story.drop()
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual([bundle.fingerprint, bundle.fingerprint])
  })

  it('has its way back in deployed/ from the second rotation on, and undoes from there', async () => {
    await begin({ updateWithoutWayBack: true })
    const first = await story.settled()
    await story.configure({ gateway: { updateWithoutWayBack: false } })
    const second = await story.drop()
    neverServed(second.fingerprint)
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rolled back' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual([first.fingerprint, first.fingerprint])
    expect(Object.values(story.cloud.served())).toEqual([first.fingerprint, first.fingerprint])
  })

  it('undoes one certificate for all domains that share it, and calls none of them served', async () => {
    await begin({ updateWithoutWayBack: true })
    const first = await story.settled()
    const second = await story.drop()
    neverServed(second.fingerprint, hosts[1])
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'rolled back' })
    expect(statuses(outcome)).toEqual({ 'a.shop.example': 'restored', 'b.shop.example': 'restored' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual([first.fingerprint, first.fingerprint])
  })

  it('keeps its way back when a newer bundle overtakes one that was never proven', async () => {
    await begin({ updateWithoutWayBack: true })
    const first = await story.settled()
    await story.configure({ gateway: { updateWithoutWayBack: false } })
    const second = await story.drop()
    const stop = new AbortController()
    const forget = story.cloud.emulator.intercept((stage, call) => {
      if (stage === 'done' && call.route === 'apig.updateCertificate') stop.abort()
    })
    const deadline = {
      signal: stop.signal,
      remainingMs: () => (stop.signal.aborted ? 0 : Number.POSITIVE_INFINITY),
    }
    expect((await story.tick(deadline))[0]).toMatchObject({ status: 'unfinished' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual([second.fingerprint, second.fingerprint])
    forget()
    story.clock.advance(2000)
    const third = await story.drop()
    neverServed(third.fingerprint)
    const outcomes = await story.tick()
    expect(outcomes.map(({ status }) => status)).toEqual(['superseded', 'rolled back'])
    expect(Object.values(story.cloud.bound()).flat()).toEqual([first.fingerprint, first.fingerprint])
  })

  it('knows the new certificate also under the id of one of ours that was never proven, and comes to an end', async () => {
    await begin({ updateWithoutWayBack: true })
    for (const host of hosts) story.cloud.emulator.bind(host, null)
    await story.drop()
    const crasher = new Crasher((name, times) => name === 'after apig.attach' && times === 1)
    expect(await runOnce(story.wiring, story.clock, crasher)).toBeInstanceOf(Crashed)
    story.clock.advance(hour)
    const newer = await story.drop()
    const outcomes = await story.ticks()
    expect(outcomes.map(({ status }) => status)).toEqual(['superseded', 'rotated'])
    expect(Object.values(story.cloud.bound()).flat()).toEqual([newer.fingerprint, newer.fingerprint])
  })

  it('refuses to change a domain that is not listed and that the new certificate does not cover', async () => {
    await begin(
      { updateWithoutWayBack: true, domains: [hosts[0]] },
      { certificate: { allowDowngrade: true } },
    )
    await story.cloud.drop(await story.cloud.issue([hosts[0]!]))
    story.cloud.emulator.setRules({ updateNotCovering: 'accept' })
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({ status: 'failed', failures: [{ code: 'rotation.update-not-covering' }] })
    expect(outcome?.failures[0]?.message).toContain(hosts[1])
    expect(story.changes()).toEqual([])
  })
})
