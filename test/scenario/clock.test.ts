import { afterEach, describe, expect, it } from 'vitest'
import { day, minute } from '../../shared/base/clock.ts'
import { emptyOutbox } from '../../shared/notify/outbox.ts'
import type { Deadline } from '../../shared/rotation/parties.ts'
import { gather } from '../../shared/runtime/gather.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { buildStatus } from '../../shared/status/build.ts'
import { Story } from '../support/story.ts'

const hosts = ['a.shop.example', 'b.shop.example']

describe('time', () => {
  let story: Story
  afterEach(() => story.close())

  it('that has not come yet for a certificate lets its bundle wait, says until when, and puts it into service then', async () => {
    story = await Story.start({ apig: hosts, roma: [] })
    const bundle = await story.drop({ from: 3, to: 60 })
    const { notBefore } = (await story.tick())[0]!.bundle!
    const [outcome] = await story.tick()
    expect(outcome).toMatchObject({
      status: 'waiting',
      failures: [],
      sentence: expect.stringContaining(notBefore),
    })
    expect(story.changes()).toEqual([])
    const next = async () => {
      const gathered = await gather(story.wiring, story.cloud.parties(story.wiring))
      return buildStatus({ ...gathered, outbox: emptyOutbox() }).certificates[0]
    }
    expect(await next()).toMatchObject({ next: { act: 'rotate, valid from', at: notBefore } })
    story.clock.advance(Date.parse(notBefore) - story.clock.lazy.now().getTime() - minute)
    expect((await story.tick())[0]).toMatchObject({ status: 'waiting', failures: [] })
    story.clock.advance(2 * minute)
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual([bundle.fingerprint, bundle.fingerprint])
    expect(await story.results('rejected')).toEqual([])
    expect(await next()).toMatchObject({ next: { act: 'expires' } })
  })

  it('of a machine whose clock is a day behind does not reject a bundle in flight', async () => {
    story = await Story.start({ apig: hosts, roma: [], rest: { concurrency: 1 } })
    const bundle = await story.drop()
    story.fault('apig.detachCertificate', { status: 409, errorCode: 'APIG.9999', message: 'no' }, { nth: 2 })
    expect((await story.tick())[0]).toMatchObject({ status: 'unfinished' })
    story.clock.setWallClock(-day)
    const changes = story.changes().length
    expect((await story.tick())[0]).toMatchObject({
      status: 'unfinished',
      sentence: expect.stringContaining('begins to be valid'),
    })
    expect(story.changes()).toHaveLength(changes)
    expect(await story.results('rejected')).toEqual([])
    story.clock.setWallClock(day)
    story.clock.advance(2 * minute)
    expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    expect(Object.values(story.cloud.bound()).flat()).toEqual([bundle.fingerprint, bundle.fingerprint])
  })

  for (const call of ['list', 'get', 'put'] as const)
    it(`that is over inside a ${call} of the store is an ordinary end: unfinished, and nothing failed`, async () => {
      story = await Story.start({ apig: hosts, roma: [] })
      await story.drop()
      const controller = new AbortController()
      const over = new Error('the time of this invocation is over')
      const deadline: Deadline = {
        signal: controller.signal,
        remainingMs: () => (controller.signal.aborted ? 0 : 60_000),
      }
      const parties = story.parties(deadline)
      const store = new Proxy(parties.store, {
        get: (target, property) => {
          const value = Reflect.get(target, property) as unknown
          if (typeof value !== 'function') return value
          if (property !== call) return value.bind(target)
          return async () => {
            controller.abort(over)
            throw over
          }
        },
      })
      const report = await rotateUploads(
        story.wiring,
        { ...parties, store },
        { names: ['shop'], byPerson: false },
      )
      expect(report.failures).toEqual([])
      expect(report.outcomes).toMatchObject([{ status: 'unfinished' }])
      expect(exitStatus(report)).toBe(3)
      expect((await story.tick())[0]).toMatchObject({ status: 'rotated' })
    })
})
