import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { renderReport } from '../../functions/commands/render.ts'
import { minute, second } from '../../shared/base/clock.ts'
import type { Gateway } from '../../shared/gateway/port.ts'
import type { Parties } from '../../shared/rotation/parties.ts'
import { noDeadline, StoppedByPerson } from '../../shared/runtime/context.ts'
import { exitStatus, rotateThenTell, rotateUploads } from '../../shared/runtime/jobs.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { limited } from '../../shared/runtime/time-budget.ts'
import type { Store } from '../../shared/store/port.ts'
import type { Wiring } from '../../shared/wire/cloud.ts'
import { TestCloud } from '../support/cloud.ts'
import { leaseOn } from '../support/crash-run.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

describe('people are told', () => {
  let cloud: TestCloud
  let clock: VirtualClock
  /** What the console channel wrote. */
  let told: string[]
  const running: { cancel(): void }[] = []

  async function start(apig?: string[]): Promise<void> {
    clock = new VirtualClock()
    told = []
    cloud = await TestCloud.start({ clock: clock.lazy, ...(apig && { apig, roma: [] }) })
  }
  beforeEach(() => {
    running.length = 0
  })
  afterEach(async () => {
    for (const one of running) one.cancel()
    await cloud.close()
  })

  /** A call that takes so long that its time is over, and never answers; whoever asks again has less to wait for. */
  function hangingFor(ms: number): () => Promise<never> {
    let first = true
    return () => {
      clock.advance(first ? ms : 15 * second)
      first = false
      return new Promise<never>(() => {})
    }
  }

  /** One invocation of so many milliseconds of virtual time, which go by while the page is being written. */
  async function invocation(ms: number, endsWhenTold = false): Promise<{ wiring: Wiring; parties: Parties }> {
    const config = cloud.config({}, {}, { alerts: { channels: [{ console: true }] } })
    const wiring = await cloud.wire(config, {
      clock: clock.eager,
      write: (text) => {
        told.push(text)
        if (endsWhenTold) setImmediate(() => clock.advance(ms))
      },
    })
    const deadline = limited(noDeadline(), clock.lazy, ms)
    running.push(deadline)
    const store = new Proxy(wiring.store, {
      get: (target, property) => {
        if (property !== 'put') return Reflect.get(target, property, target).bind?.(target)
        return async (...args: Parameters<Store['put']>) => {
          await target.put(...args)
          // The last thing a tick writes, and then what hangs is all that is left.
          if (args[0] === 'status/last-tick.json') clock.advance(ms)
        }
      },
    })
    const parties = {
      ...wiring.parties({ deadline }),
      store,
      lease: (name: string) => leaseOn(wiring.store, name, clock),
    }
    return { wiring, parties }
  }

  it('while a gateway that never answers holds the rotations of the tick', async () => {
    await start(['api.shop.example'])
    await cloud.drop(await cloud.issue())
    const { wiring, parties } = await invocation(14 * minute)
    const hanging = { description: 'apig', domains: hangingFor(13 * minute) }
    const report = await tick(wiring, { ...parties, gatewayFor: () => hanging as unknown as Gateway })
    expect(told.join('')).toContain('2026-12-02')
    expect(await cloud.keys()).toContain('status/index.html')
    expect(report.notLookedAt).toEqual([{ job: 'finish', names: ['still under way'] }])
    expect(report.failures.map(({ failure }) => failure.code)).toEqual(['gateway.list-late'])
    expect(exitStatus(report)).toBe(3)
    // Its lease was somebody else's all the time, and still nobody is told a second time.
    const again = await invocation(14 * minute)
    const before = told.length
    const still = { ...hanging, domains: hangingFor(13 * minute) }
    const second = await tick(again.wiring, {
      ...again.parties,
      gatewayFor: () => still as unknown as Gateway,
    })
    expect(told.length).toBe(before)
    expect(exitStatus(second)).toBe(1)
  })

  it('where the store cannot even list what was uploaded', async () => {
    await start(['api.shop.example'])
    const { wiring, parties } = await invocation(14 * minute)
    const list = parties.store.list
    const store = {
      ...parties.store,
      get: parties.store.get,
      put: parties.store.put,
      delete: parties.store.delete,
    }
    const report = await tick(wiring, {
      ...parties,
      store: {
        ...store,
        description: 'a store',
        list,
        children: () => Promise.reject(new Error('no listing')),
      },
    })
    expect(report.failures).toHaveLength(1)
    expect(told.join('')).toContain('2026-12-02')
    expect(exitStatus(report)).toBe(1)
  })

  it('by the next tick where a person stops this one, and that is no failure of telling', async () => {
    await start(['api.shop.example'])
    const { wiring } = await invocation(14 * minute)
    const ctrlC = new AbortController()
    const parties = wiring.parties({ deadline: noDeadline(ctrlC.signal) })
    const probe = {
      handshake: async () => {
        ctrlC.abort(new StoppedByPerson())
        return { reached: false as const, reason: 'stopped' }
      },
    }
    const report = await tick(wiring, { ...parties, probe })
    expect(report.failures).toEqual([])
    expect(report.notLookedAt?.at(-1)).toEqual({ job: 'watch', names: ['telling people'] })
    expect(exitStatus(report)).toBe(3)
    expect(renderReport(report, false)).toMatch(
      /… Stopped before watch: telling people; the next tick goes on\./,
    )
    expect(told).toEqual([])
    const next = await invocation(14 * minute)
    await tick(next.wiring, next.parties)
    expect(told.join('')).toContain('2026-12-02')
  })

  it('of what an upload has come to so far, where its rotation hangs', async () => {
    await start(['api.shop.example'])
    await cloud.drop(await cloud.issue())
    const { wiring, parties } = await invocation(5 * minute, true)
    const hanging = { description: 'apig', domains: hangingFor(4 * minute) }
    const report = await rotateThenTell(
      wiring,
      { ...parties, gatewayFor: () => hanging as unknown as Gateway },
      ['shop'],
    )
    expect(told.join('')).toContain('2026-12-02')
    expect(report.notLookedAt).toEqual([{ job: 'finish', names: ['shop'] }])
    expect(exitStatus(report)).toBe(3)
  })

  it('what there was no time to look at, and the next tick begins with that', async () => {
    await start(Array.from({ length: 60 }, (_, n) => `d${n}.shop.example`))
    const looked: string[][] = []
    const passedOver: string[][] = []
    for (let ticks = 0; ticks < 2; ticks++) {
      const { wiring, parties } = await invocation(2 * minute)
      const asked: string[] = []
      const probe = {
        handshake: async ({ serverName }: { serverName: string }) => {
          asked.push(serverName)
          clock.advance(2 * second)
          return { reached: false as const, reason: 'no way' }
        },
      }
      const report = await tick(wiring, { ...parties, probe })
      const names = report.notLookedAt?.flatMap(({ job, names }) => (job === 'watch' ? names : [])) ?? []
      looked.push(asked)
      passedOver.push(names.map((name) => name.split(' ').at(-1) ?? ''))
      expect(exitStatus(report)).toBe(3)
      const page = await cloud.store.get('status/status.json')
      expect(Buffer.from(page!.bytes).toString()).toContain('not looked at: the time of this tick was over')
    }
    // Two thirds of the time that is left are for looking.
    expect(looked.map((asked) => asked.length)).toEqual([40, 40])
    expect(passedOver.map((names) => names.length)).toEqual([20, 20])
    expect(looked[1]?.slice(0, 20)).toEqual(passedOver[0])
    expect(new Set(looked.flat()).size).toBe(60)
  })

  it('although somebody uploads without end: others have their turn, and the tick goes on', async () => {
    await start(['api.shop.example'])
    const { wiring, parties } = await invocation(14 * minute)
    let uploads = 0
    const upload = () => wiring.store.put('incoming/shop/all.pem', `nothing usable, number ${++uploads}`)
    const store = new Proxy(parties.store, {
      get: (target, property) => {
        if (property !== 'delete') return Reflect.get(target, property, target)
        return async (key: string) => {
          await wiring.store.delete(key)
          if (key === 'incoming/shop/all.pem' && uploads < 9) await upload()
        }
      },
    })
    await upload()
    const once = await rotateUploads(wiring, { ...parties, store }, { byPerson: false, rounds: 1 })
    expect(once.outcomes.map(({ status }) => status)).toEqual(['refused', 'refused'])
    expect(once.more).toEqual(['shop'])
    const report = await tick(wiring, { ...parties, store })
    expect(report.outcomes).toHaveLength(7)
    expect(told.join('')).toContain('2026-12-02')
  })
})
