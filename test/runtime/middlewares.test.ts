import { describe, expect, it, vi } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import type { Invocation } from '../../shared/runtime/handler.ts'
import type { JobReport } from '../../shared/runtime/jobs.ts'
import {
  errorsInOneSentence,
  ownDeadline,
  ownLog,
  type Passage,
  resultOfReport,
} from '../../shared/runtime/middlewares.ts'

const failure = (code: string) =>
  new Failure({ code, kind: 'later', message: `What ${code} is`, next: 'Do this' })
const passage = (init: Partial<Passage> = {}): Passage => ({ event: {}, context: {}, internal: {}, ...init })

it('an error leaves as one sentence with its code, whatever was thrown', async () => {
  const one = passage({ error: failure('store.denied') })
  await errorsInOneSentence().onError!(one)
  expect(one.error).toEqual(new Error('What store.denied is. Do this [store.denied]'))
  const strange = passage({ error: 'a text' })
  await errorsInOneSentence().onError!(strange)
  expect((strange.error as Error).message).toMatch(/\[internal\.unexpected\]$/)
})

describe('the log', () => {
  const opened = async (environment: Record<string, string>, context = {}) => {
    const lines: string[] = []
    const door = { environment, write: (line: string) => void lines.push(line) }
    const one = passage({ context })
    await ownLog(door).before!(one)
    return { one, lines, log: ownLog(door) }
  }

  it('has the level of the environment, and the id of the request in every line', async () => {
    const { one, lines } = await opened({ LOG_LEVEL: 'warn' }, { getRequestID: () => 'request-1' })
    one.internal.log!.info('quiet')
    one.internal.log!.warn('loud')
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ message: 'loud', requestId: 'request-1' }])
  })

  it('gets what is thrown, and says nothing where it could not be opened itself', async () => {
    const { one, lines, log } = await opened({})
    await log.onError!({ ...one, error: failure('config.wrong') })
    expect(lines.map((line) => JSON.parse(line))).toMatchObject([{ message: 'What config.wrong is' }])
    await log.onError!(passage({ error: failure('config.wrong') }))
    expect(lines).toHaveLength(1)
  })
})

it('the deadline is that of either platform, and is taken back however it ends', async () => {
  for (const name of ['getRemainingTimeInMilliSeconds', 'getRemainingTimeInMillis'])
    for (const end of ['after', 'onError'] as const) {
      vi.useFakeTimers()
      const one = passage({ context: { [name]: () => 10_000 } })
      await ownDeadline().before!(one)
      const { deadline } = one.internal as Invocation
      expect(deadline.remainingMs()).toBeLessThanOrEqual(8_000)
      await ownDeadline()[end]!(one)
      vi.advanceTimersByTime(60_000)
      expect(deadline.signal.aborted).toBe(false)
      vi.useRealTimers()
    }
})

describe('the result', () => {
  const of = async (failures: JobReport['failures'], rest: Partial<JobReport> = {}) => {
    const one = passage({ response: { outcomes: [], failures, ...rest } })
    await resultOfReport().after!(one)
    return one.response
  }

  it.each([
    ['nothing to do', [], 'done'],
    ['what the state remembers', [{ certificate: 'shop', failure: failure('gateway.forbidden') }], 'failed'],
  ] as const)('of %s is %s', async (_, failures, status) => {
    expect(await of([...failures])).toMatchObject({ status })
  })

  it.each(['internal.unexpected', 'store.denied', 'watch.no-channel'])(
    'throws %s, which nobody else remembers',
    async (code) => {
      await expect(of([{ failure: failure(code) }])).rejects.toMatchObject({ code })
    },
  )

  it('does not throw for what may pass by itself', async () => {
    expect(await of([{ failure: failure('store.unreachable'), mayPass: true }])).toMatchObject({
      failures: [{ code: 'store.unreachable' }],
    })
  })
})
