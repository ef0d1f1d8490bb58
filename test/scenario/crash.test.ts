import { describe, expect, it } from 'vitest'
import { seedFor, TestCloud } from '../support/cloud.ts'
import { runOnce, runUntilSettled } from '../support/crash-run.ts'
import { Crashed, Crasher } from '../support/crasher.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

const push = [
  { service: 'ELB', project: 'eu-de' },
  { service: 'CDN', project: 'eu-de' },
]
const strategies = {
  rebind: {},
  'rebind, attach first': { attachFirst: true },
  update: { strategy: 'update', updateWithoutWayBack: true },
  add: { strategy: 'add' },
} as const

/** Every n-th boundary only, for a quick run; 1 tries them all. */
const STEP = Number(process.env.CRASH_STEP ?? 1)

/**
 * The process dies at every boundary that the code has: before a call leaves, and after its effect before its
 * answer is seen. The boundaries are counted in a run that lives; then each gets its death and its recovery.
 */
describe('a rotation that is killed at any boundary', () => {
  for (const [name, gateway] of Object.entries(strategies))
    it(`converges when it is run again, by strategy ${name}`, { timeout: 300_000 }, async () => {
      const clock = new VirtualClock()
      const cloud = await TestCloud.start({
        clock: clock.lazy,
        apig: ['api.shop.example', 'www.shop.example'],
        roma: ['erp.shop.example'],
      })
      try {
        const bundle = await cloud.issue()
        const wiring = await cloud.wire(cloud.config({ push }, gateway), { clock: clock.eager })
        const fresh = async () => {
          await cloud.emulator.reset(seedFor(cloud.apig, cloud.roma))
          for (const key of await cloud.keys()) await cloud.store.delete(key)
          await cloud.drop(bundle)
        }
        const check = async (where: string) => {
          expect(cloud.bound(), where).toEqual(
            Object.fromEntries(cloud.hosts.map((host) => [host, [bundle.fingerprint]])),
          )
          const state = cloud.emulator.state()
          const ours = state.certificates.filter((one) => one.fingerprint === bundle.fingerprint)
          expect(ours.length, `${where}: certificates of the bundle`).toBe(name === 'add' ? 3 : 2)
          expect(
            ours.every((one) => one.boundTo.length > 0),
            `${where}: all of them in use`,
          ).toBe(true)
          expect(state.scm.length, `${where}: imported once`).toBe(1)
          expect(
            state.pushes.map((one) => one.copies),
            `${where}: pushed once each`,
          ).toEqual([1, 1])
          const stray = (await cloud.keys()).filter(
            (key) =>
              !/^(state\/shop\.json|deployed\/shop\/[^/]+\/(fullchain|privkey)\.pem|deployed\/shop\/[^/]+\/result\.json)$/.test(
                key,
              ),
          )
          expect(stray, `${where}: stray objects`).toEqual([])
          expect((await cloud.keys()).filter((key) => key.endsWith('result.json')).length, where).toBe(1)
        }

        await fresh()
        const counting = new Crasher(0)
        const outcomes = await runOnce(wiring, clock, counting)
        await check(`without a crash: ${JSON.stringify(outcomes)}`)
        expect(counting.passed.length).toBeGreaterThan(40)

        for (let at = Number(process.env.CRASH_FROM ?? 1); at <= counting.passed.length; at += STEP) {
          await fresh()
          const came = await runOnce(wiring, clock, new Crasher(at))
          const where = came instanceof Crashed ? `${at}: ${came.message}` : `${at}: lived`
          const { outcomes } = await runUntilSettled(wiring, clock, () => new Crasher(0))
          await check(
            `${where}; then ${outcomes.map(({ status, sentence }) => `${status}: ${sentence}`).join('; ')}`,
          )
        }
      } finally {
        await cloud.close()
      }
    })
})
