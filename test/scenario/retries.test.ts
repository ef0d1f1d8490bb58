import { afterEach, describe, expect, it } from 'vitest'
import { hour, minute, second } from '../../shared/base/clock.ts'
import { TestCloud } from '../support/cloud.ts'
import { codes, Story } from '../support/story.ts'

const FORBIDDEN = { status: 403, errorCode: 'APIG.1005', message: 'no' }

describe('a failure that is left for later', () => {
  let story: Story
  afterEach(() => story.close())
  const begin = async () => {
    story = await Story.start({ apig: ['a.shop.example', 'b.shop.example'], roma: [] })
    return story.drop()
  }

  it('is tried again by ticks with a wait that grows to hours and is kept in the state file', async () => {
    await begin()
    story.fault('apig.createCertificate', FORBIDDEN)
    const waits: number[] = []
    for (let attempt = 1; attempt <= 12; attempt++) {
      expect(codes((await story.tick())[0])).toEqual(['gateway.forbidden'])
      const { retry } = await story.state()
      expect(retry).toMatchObject({ attempts: attempt, failure: { code: 'gateway.forbidden' } })
      const wait = Date.parse(retry!.notBefore) - story.clock.lazy.now().getTime()
      waits.push(wait)
      // A tick before it is over looks for gaps, changes nothing, and does not say that all is well.
      const changes = story.changes().length
      story.clock.advance(wait - second)
      const [waiting] = await story.tick()
      expect(waiting).toMatchObject({ status: 'unfinished', failures: [{ code: 'rotation.waits' }] })
      for (const said of [retry!.notBefore, 'APIG.1005']) expect(waiting?.sentence).toContain(said)
      expect(waiting?.failures[0]?.next).toContain('"cert-rotation rotate shop" does not wait')
      expect((await story.state()).retry).toEqual(retry)
      expect(story.changes().length).toBe(changes)
      story.clock.advance(2 * second)
    }
    expect(waits[0]).toBeLessThanOrEqual(minute)
    expect(waits.every((wait, n) => n === 0 || wait >= waits[n - 1]!)).toBe(true)
    expect(waits.at(-1)).toBeGreaterThan(4 * hour)
    expect(waits.at(-1)).toBeLessThanOrEqual(6 * hour)
    story.cloud.emulator.faults.clear()
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect((await story.state()).retry).toBeUndefined()
  })

  it('does not keep a person waiting, nor a changed config, nor a new bundle', async () => {
    for (const way of ['a person', 'a config', 'a bundle'] as const) {
      await begin()
      story.fault('apig.createCertificate', FORBIDDEN, { nth: 1 })
      await story.tick()
      expect(codes((await story.tick())[0])).toEqual(['rotation.waits'])
      if (way === 'a config') await story.configure({ gateway: { attachFirst: true } })
      if (way === 'a bundle') {
        story.clock.advance(2 * second)
        await story.drop()
      }
      const outcomes = await (way === 'a person' ? story.ask() : story.tick())
      expect(outcomes.at(-1), way).toMatchObject({ status: 'rotated' })
      if (way !== 'a bundle') await story.close()
    }
  })

  it('waits at least as long as the service asks for, but never longer than six hours', async () => {
    await begin()
    story.fault('apig.createCertificate', {
      status: 429,
      errorCode: 'APIGW.0308',
      headers: { 'Retry-After': '600' },
    })
    await story.tick()
    const wait = async () =>
      Date.parse((await story.state()).retry!.notBefore) - story.clock.lazy.now().getTime()
    expect(await wait()).toBe(10 * minute)
  })

  it('that is over within the invocation is not seen outside at all', async () => {
    await begin()
    for (const route of ['createCertificate', 'detachCertificate', 'attachCertificate'])
      for (const nth of [1, 2])
        story.fault(
          `apig.${route}`,
          {
            status: 429,
            errorCode: nth === 1 ? 'APIGW.0308' : 'APIG.0308',
            headers: { 'Retry-After': '1' },
          },
          { nth },
        )
    expect((await story.tick())[0]).toMatchObject({ status: expect.stringMatching(/rotated|unfinished/) })
    story.clock.advance(minute)
    const all = await story.ticks()
    for (const outcome of all) expect(outcome.status).toBe('rotated')
  })
})

describe('a token that ends in the middle of a rotation', () => {
  it('is renewed once, and nothing is done twice', async () => {
    const cloud = await TestCloud.start({ roma: [] })
    try {
      const bundle = await cloud.issue()
      await cloud.drop(bundle)
      const config = cloud.config({}, {}, { concurrency: 1 })
      const [user] = cloud.emulator.ready.seed.users
      const auth = { password: { domain: user!.domainName, user: user!.name, password: 'emulator' } }
      const wiring = await cloud.wire({ ...config, cloud: { ...config.cloud, auth } })
      let expired = 0
      cloud.emulator.intercept((stage, call) => {
        if (stage === 'done' && /detach|create(?!Token)/.test(call.route)) {
          expired++
          cloud.emulator.expireTokens()
        }
      })
      const { rotateUploads } = await import('../../shared/runtime/jobs.ts')
      const report = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
      expect(report).toMatchObject({ failures: [], outcomes: [{ status: 'rotated', failures: [] }] })
      expect(expired).toBe(3)
      expect(cloud.effects()).toMatchObject({ 'apig.createCertificate': 1, 'apig.attachCertificate': 2 })
    } finally {
      await cloud.close()
    }
  })
})
