import { describe, expect, it } from 'vitest'
import { minute, second } from '../../shared/base/clock.ts'
import { silentLog } from '../../shared/base/log.ts'
import type { Parties } from '../../shared/rotation/parties.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { inTime, limited, tellingBudgetMs, workThenTell } from '../../shared/runtime/time-budget.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const never = () => new Promise<never>(() => {})

describe('the time for watching and telling', () => {
  it.each([
    [30 * minute, 3 * minute],
    [14 * minute, 84 * second],
    [5 * minute, minute],
    [2 * minute, minute],
    [40 * second, 20 * second],
    [2 * second, second],
    [0, 0],
  ])('of an invocation of %d ms is %d ms', (whole, budget) => {
    expect(tellingBudgetMs(whole)).toBe(budget)
  })
})

describe('work, then telling', () => {
  const clock = new VirtualClock()
  const partiesFor = (ms: number) => {
    const deadline = limited(noDeadline(), clock.lazy, ms)
    const asked: number[] = []
    const lease = async (_name: string, waitMs = Number.POSITIVE_INFINITY) => {
      asked.push(waitMs)
      return { held: false as const, heldBy: 'another', until: clock.lazy.now() }
    }
    const parties = { deadline, clock: clock.eager, log: silentLog, lease } as unknown as Parties
    return { parties, deadline, asked }
  }

  it('gives the work a signal that ends before the telling begins, and waits for what ends by then', async () => {
    const { parties, deadline } = partiesFor(14 * minute)
    const story: string[] = []
    await workThenTell(
      parties,
      async (own) => {
        const before = own.deadline.remainingMs()
        expect(before).toBe(14 * minute - 84 * second - 5 * second)
        while (!own.deadline.signal.aborted) await clock.eager.sleep(second)
        story.push('stopped')
      },
      async (ended) => {
        story.push(`telling, work ${ended ? 'ended' : 'under way'}`)
      },
    )
    expect(story).toEqual(['stopped', 'telling, work ended'])
    expect(deadline.remainingMs()).toBeGreaterThan(minute)
    deadline.cancel()
  })

  it('tells beside work that does not end, with the whole time of its own, and gives up with the invocation', async () => {
    const { parties, deadline } = partiesFor(14 * minute)
    let left = 0
    await workThenTell(
      parties,
      () => {
        clock.advance(14 * minute - 84 * second)
        return never()
      },
      async (ended) => {
        left = deadline.remainingMs()
        expect(ended).toBe(false)
        clock.advance(84 * second)
      },
    )
    expect(left).toBe(84 * second)
    deadline.cancel()
  })

  it('tells also where the work fails, and fails with its failure', async () => {
    const { parties, deadline } = partiesFor(minute)
    let told = false
    await expect(
      workThenTell(
        parties,
        () => Promise.reject(new Error('the store is gone')),
        async () => {
          told = true
        },
      ),
    ).rejects.toThrow('the store is gone')
    expect(told).toBe(true)
    deadline.cancel()
  })

  it('lets nobody wait for a lease into the time of others', async () => {
    const { parties, deadline, asked } = partiesFor(9 * minute)
    await workThenTell(
      parties,
      async (own) => {
        await own.lease('shop')
        clock.advance(8 * minute)
        await own.lease('shop')
      },
      async () => {},
    )
    expect(asked).toEqual([(8 * minute - 5 * second) / 3, 0])
    deadline.cancel()
  })

  it('works for fourteen minutes at the most where nothing ends the invocation', async () => {
    const parties = { ...partiesFor(0).parties, deadline: noDeadline() }
    await workThenTell(
      parties,
      async (own) => {
        expect(own.deadline.remainingMs()).toBe(14 * minute - 5 * second)
      },
      async () => {},
    )
  })

  it('takes what there is where an answer comes too late', async () => {
    const look = limited(noDeadline(), clock.lazy, second)
    expect(await inTime(look, Promise.resolve('seen'), 'late')).toBe('seen')
    clock.advance(second)
    expect(await inTime(look, never(), 'late')).toBe('late')
    look.cancel()
  })
})
