import { afterEach, describe, expect, it, vi } from 'vitest'
import { second } from '../../shared/base/clock.ts'
import { deadlineOf, noDeadline } from '../../shared/runtime/context.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { limited } from '../../shared/runtime/time-budget.ts'
import { TestCloud } from '../support/cloud.ts'
import { leaseOn } from '../support/crash-run.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** Domains; DEADLINE_DOMAINS=500 for the size that people have. */
const DOMAINS = Number(process.env.DEADLINE_DOMAINS ?? 120)
/** What a call costs, however fast this machine is. */
const CALL_MS = 10

describe('a rotation that has only a few seconds at a time', () => {
  let cloud: TestCloud
  afterEach(() => cloud.close())

  it('goes on in the next invocation and never leaves a domain bare at the end of one', {
    timeout: 120_000,
  }, async () => {
    const clock = new VirtualClock()
    const apig = Array.from({ length: DOMAINS }, (_, n) => `d${n}.shop.example`)
    cloud = await TestCloud.start({ apig, roma: [], clock: clock.lazy })
    cloud.emulator.intercept((stage) => {
      if (stage === 'arrived') clock.advance(CALL_MS)
    })
    const bundle = await cloud.issue(['*.shop.example', ...apig.slice(0, 1)])
    await cloud.drop(bundle)
    const config = cloud.config({}, {}, { requestTimeout: '2s' })
    // A function's instance is kept between its invocations; the wiring with it.
    const wiring = await cloud.wire(config, { clock: clock.eager })
    const whole = (DOMAINS > 200 ? 3 : 2) * second
    let invocations = 0
    for (let done = false; !done; ) {
      expect(++invocations).toBeLessThan(40)
      const begun = clock.lazy.monotonic()
      // As the platform's deadline, without what is kept for writing the state.
      const deadline = limited(noDeadline(), clock.lazy, whole * 0.8)
      const lease = (name: string) => leaseOn(wiring.store, name, clock)
      const parties = { ...wiring.parties({ deadline }), lease }
      const report = await rotateUploads(wiring, parties, { byPerson: false })
      deadline.cancel()
      // The platform would have stopped the process after that.
      expect(clock.lazy.monotonic() - begun).toBeLessThan(whole)
      expect(cloud.emulator.state().domainsWithoutCertificate).toEqual([])
      expect((await cloud.keys()).filter((key) => key.includes('.lease/'))).toEqual([])
      const statuses = report.outcomes.map(({ status }) => status)
      expect(report.failures).toEqual([])
      if (statuses.includes('unfinished')) expect(exitStatus(report)).toBe(3)
      done = statuses.at(-1) === 'rotated'
    }
    expect(invocations).toBeGreaterThan(1)
    expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
    expect(cloud.effects()).toMatchObject({
      'apig.createCertificate': 1,
      'apig.detachCertificate': DOMAINS,
    })
  })

  it('begins no detach where attach and undo would not fit any more', async () => {
    cloud = await TestCloud.start()
    await cloud.drop(await cloud.issue())
    const wiring = await cloud.wire()
    const signal = new AbortController().signal
    const parties = wiring.parties({ deadline: { signal, remainingMs: () => 600 } })
    const report = await rotateUploads(wiring, parties, { byPerson: false })
    expect(report.outcomes).toMatchObject([{ status: 'unfinished' }])
    expect(exitStatus(report)).toBe(3)
    expect(cloud.effects()).not.toHaveProperty('apig.detachCertificate')
    expect((await cloud.keys()).filter((key) => key.includes('.lease/'))).toEqual([])
  })
})

describe("the platform's deadline", () => {
  it.each(['getRemainingTimeInMilliSeconds', 'getRemainingTimeInMillis'])('is asked for by %s', (name) => {
    vi.useFakeTimers()
    try {
      const clock = new VirtualClock()
      const deadline = deadlineOf({ [name]: () => 20 * second }, clock.lazy)
      // Two seconds are kept for writing the state and giving the lease back.
      expect(deadline.remainingMs()).toBe(18 * second)
      vi.advanceTimersByTime(18 * second - 1)
      expect(deadline.signal.aborted).toBe(false)
      vi.advanceTimersByTime(1)
      expect(deadline.signal.aborted).toBe(true)
      deadline.cancel()
    } finally {
      vi.useRealTimers()
    }
  })

  it('keeps a fifth of a short one', () => {
    const clock = new VirtualClock()
    const deadline = deadlineOf({ getRemainingTimeInMillis: () => 2 * second }, clock.lazy)
    expect(deadline.remainingMs()).toBe(1.6 * second)
    clock.advance(second)
    expect(deadline.remainingMs()).toBe(0.6 * second)
    deadline.cancel()
  })
})
