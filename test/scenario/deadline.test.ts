import { afterEach, describe, expect, it } from 'vitest'
import { second, systemClock } from '../../shared/base/clock.ts'
import { deadlineOf } from '../../shared/runtime/context.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { TestCloud } from '../support/cloud.ts'

/** Domains; DEADLINE_DOMAINS=500 for the size that people have. */
const DOMAINS = Number(process.env.DEADLINE_DOMAINS ?? 120)
const LATENCY_MS = 10

describe('a rotation that has only a few seconds at a time', () => {
  let cloud: TestCloud
  afterEach(() => cloud.close())

  for (const name of ['getRemainingTimeInMilliSeconds', 'getRemainingTimeInMillis'])
    it(`goes on in the next invocation and never leaves a domain bare at the end of one (${name})`, {
      timeout: 120_000,
    }, async () => {
      const apig = Array.from({ length: DOMAINS }, (_, n) => `d${n}.shop.example`)
      cloud = await TestCloud.start({ apig, roma: [] })
      cloud.emulator.setRules({ latencyMs: LATENCY_MS })
      const bundle = await cloud.issue(['*.shop.example', ...apig.slice(0, 1)])
      await cloud.drop(bundle)
      const config = cloud.config({}, {}, { requestTimeout: '2s' })
      // A function's instance is kept between its invocations; the wiring with it.
      const wiring = await cloud.wire(config)
      const seconds = DOMAINS > 200 ? 3 : 2
      let invocations = 0
      for (let done = false; !done; ) {
        expect(++invocations).toBeLessThan(40)
        const end = systemClock.monotonic() + seconds * second
        const deadline = deadlineOf({ [name]: () => seconds * second }, systemClock)
        const report = await rotateUploads(wiring, wiring.parties({ deadline }), { byPerson: false })
        deadline.cancel()
        // The platform would have stopped the process after that.
        expect(systemClock.monotonic()).toBeLessThan(end)
        expect(cloud.emulator.state().domainsWithoutCertificate).toEqual([])
        expect((await cloud.keys()).filter((key) => key.includes('.lease/'))).toEqual([])
        const statuses = report.outcomes.map(({ status }) => status)
        expect(report.failures).toEqual([])
        if (statuses.includes('unfinished')) expect(exitStatus(report)).toBe(3)
        done = statuses.at(-1) === 'rotated'
      }
      expect(invocations).toBeGreaterThan(1)
      expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
      expect(cloud.effects()).toEqual({
        'apig.createCertificate': 1,
        'apig.detachCertificate': DOMAINS,
        'apig.attachCertificate': DOMAINS,
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
