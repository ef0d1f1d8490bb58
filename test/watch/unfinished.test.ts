import { afterEach, describe, expect, test } from 'vitest'
import { hour } from '../../shared/base/clock.ts'
import { emptyRunMemory } from '../../shared/watch/alert-memory.ts'
import { watch } from '../../shared/watch/watch.ts'
import { Story } from '../support/story.ts'
import { config, gathered } from './support.ts'

/** The state as a rotation writes it, not as this folder imagines it: a renamed note once made it "0 of N" for ever. */
describe('a rotation that does not come to its end', () => {
  let story: Story
  afterEach(() => story.close())

  test('says how many of its domains are done', async () => {
    const apig = ['a.shop.example', 'b.shop.example', 'c.shop.example', 'd.shop.example']
    // One at a time, so that the fault meets exactly one of the domains after the canary.
    story = await Story.start({ apig, roma: [], rest: { concurrency: 1 } })
    await story.settled()
    await story.drop()
    story.fault(
      'apig.detachCertificate',
      { status: 409, errorCode: 'APIG.9999', message: 'busy' },
      { nth: 3 },
    )
    expect((await story.tick())[0]).toMatchObject({ status: 'unfinished' })

    const state = await story.state()
    const now = new Date(story.clock.lazy.now().getTime() + 7 * hour)
    const { notices } = watch(
      gathered(now, config({ shop: {} }, { unfinishedAfter: '6h' }), { states: new Map([['shop', state]]) }),
      emptyRunMemory(),
    )
    expect(notices.filter(({ kind }) => kind === 'unfinished')).toMatchObject([{ done: 3, total: 4 }])
  })
})
