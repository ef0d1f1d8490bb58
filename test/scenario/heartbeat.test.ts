import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { renderReport } from '../../functions/commands/render.ts'
import { minute } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Parties } from '../../shared/rotation/parties.ts'
import { noDeadline, StoppedByPerson } from '../../shared/runtime/context.ts'
import { exitStatus } from '../../shared/runtime/jobs.ts'
import { type TickReport, tick } from '../../shared/runtime/tick.ts'
import { limited } from '../../shared/runtime/time-budget.ts'
import { TestCloud } from '../support/cloud.ts'
import { leaseOn } from '../support/crash-run.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** A monitor that counts the beats, and a webhook beside it that people are told by. */
let server: Server
let beats: string[]
let hooks: number
let down: { monitor?: number; hook?: number }
let cloud: TestCloud
let clock: VirtualClock
let logged: string

beforeEach(async () => {
  beats = []
  hooks = 0
  down = {}
  logged = ''
  clock = new VirtualClock()
  server = createServer((request, response) => {
    request.resume().on('end', () => {
      const beat = request.url?.startsWith('/beat/')
      if (beat) beats.push(`${request.method} ${request.url}`)
      else hooks++
      const status = (beat ? down.monitor : down.hook) ?? 200
      response.writeHead(status, { location: '/beat/elsewhere' }).end(`OK ${request.url}`)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: [], clock: clock.lazy })
})
afterEach(async () => {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
  await cloud.close()
})

const note: Log['info'] = (...all) => {
  logged += JSON.stringify(all)
}
const log: Log = { debug() {}, info: note, warn: note, error: note, with: () => log }

async function run(
  change: (parties: Parties) => Partial<Parties> = () => ({}),
  rest: Record<string, unknown> = {},
  jobs?: string[],
): Promise<TickReport> {
  clock.advance(30 * minute)
  const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const config = cloud.config(
    {},
    {},
    {
      alerts: { channels: [{ webhook: `${at}/hook`, allowPrivateAddress: true }] },
      heartbeat: { url: `${at}/beat/verysecretpart`, allowPrivateAddress: true },
      ...rest,
    },
  )
  const wiring = await cloud.wire(config, { clock: clock.eager, log })
  const parties = { ...cloud.parties(wiring), lease: (name: string) => leaseOn(wiring.store, name, clock) }
  return tick(wiring, { ...parties, ...change(parties) }, jobs)
}

/** What stands there, whatever the width of the terminal makes of its lines. */
const unwrapped = (text: string) => text.replace(/\s+/g, ' ')

describe('after a tick that looked at everything and told everybody', () => {
  it('the monitor hears of it once, and nobody else of its address', async () => {
    const report = await run()
    expect(hooks).toBe(1)
    expect(beats).toEqual(['GET /beat/verysecretpart'])
    expect(report.heartbeat).toEqual({ sent: true })
    await run()
    expect(beats).toHaveLength(2)
  })

  it('also where a rotation was refused, for that was told, and where a stranger lies in incoming/', async () => {
    await cloud.store.put('incoming/shop/all.pem', 'nothing usable')
    await cloud.store.put('incoming/stranger/all.pem', 'x')
    const report = await run()
    expect(report.outcomes.map(({ status }) => status)).toEqual(['refused'])
    expect(exitStatus(report)).toBe(1)
    expect(beats).toHaveLength(1)
  })
})

const unread = new Failure({ code: 'store.denied', kind: 'never', message: 'denied', next: 'n' })
const stopped = new AbortController()
describe('the heartbeat is held back', () => {
  it.each<[string, (parties: Parties) => Partial<Parties>, RegExp]>([
    [
      "where a gateway's list could not be read",
      () => ({ gatewayFor: () => ({ description: 'apig', domains: () => Promise.reject(unread) }) as never }),
      /could not be read: denied/,
    ],
    [
      'where a state could not be read',
      ({ store }) => ({
        store: new Proxy(store, {
          get: (target, property) =>
            property === 'get'
              ? (key: string, options: object) =>
                  key === 'state/shop.json' ? Promise.reject(unread) : target.get(key, options)
              : (Reflect.get(target, property) as () => void).bind?.(target),
        }),
      }),
      /./,
    ],
    [
      'where incoming/ could not be listed',
      ({ store }) => ({
        store: Object.assign(Object.create(store), { children: () => Promise.reject(unread) }),
      }),
      /denied/,
    ],
    [
      'where the page could not be written',
      ({ store }) => ({
        store: new Proxy(store, {
          get: (target, property) =>
            property === 'put'
              ? (key: string, ...more: [string]) =>
                  key === 'status/index.html' ? Promise.reject(unread) : target.put(key, ...more)
              : (Reflect.get(target, property) as () => void).bind?.(target),
        }),
      }),
      /denied/,
    ],
    [
      'where another run was telling people',
      ({ lease }) => ({
        lease: (name) =>
          name === 'cert-rotation.telling'
            ? Promise.resolve({ held: false as const, heldBy: 'other', until: new Date() })
            : lease(name),
      }),
      /another run was telling people/,
    ],
    [
      'where the time did not suffice',
      () => {
        const deadline = limited(noDeadline(), clock.lazy, 2 * minute)
        const handshake = () => {
          clock.advance(100_000)
          return new Promise<never>(() => {})
        }
        return { deadline, probe: { handshake } }
      },
      /no time for watch: 1 not looked at/,
    ],
    [
      'where a person stopped it',
      () => {
        stopped.abort(new StoppedByPerson())
        return { deadline: noDeadline(stopped.signal) }
      },
      /somebody stopped this tick/,
    ],
  ])('%s', async (_, change, because) => {
    const report = await run(change)
    expect(beats).toEqual([])
    expect(report.heartbeat?.sent).toBe(false)
    expect(report.heartbeat?.because).toMatch(because)
    expect(unwrapped(renderReport(report, false))).toContain(
      `! No heartbeat was sent: ${report.heartbeat?.because}`,
    )
  })

  it('where nobody could be told', async () => {
    down.hook = 503
    const report = await run()
    expect(hooks).toBe(1)
    expect(beats).toEqual([])
    expect(report.heartbeat?.because).toMatch(/People could not be told/)
  })

  it('by a timer that does not watch', async () => {
    const report = await run(undefined, {}, ['finish', 'renew'])
    expect(beats).toEqual([])
    expect(report).not.toHaveProperty('heartbeat')
  })
})

describe('a heartbeat that cannot be sent', () => {
  it.each([404, 503, 302])(
    'is loud at once, and a failure from the second time in a row on: %i',
    async (status) => {
      down.monitor = status
      const first = await run()
      expect(beats).toHaveLength(1)
      expect(exitStatus(first)).toBe(3)
      expect(first.failures[0]?.failure.facts.status).toBe(status)
      const said = renderReport(first, false)
      expect(unwrapped(said)).toMatch(
        new RegExp(`! The heartbeat could not be sent: 127.0.0.1:\\d+ did not take the heartbeat: ${status}`),
      )
      const second = await run()
      expect(second.failures.map(({ failure }) => failure.code)).toEqual(['watch.no-heartbeat'])
      expect(exitStatus(second)).toBe(1)
      down = {}
      expect(exitStatus(await run())).toBe(0)
      down.monitor = status
      expect(exitStatus(await run())).toBe(3)
      const everything = [logged, said, JSON.stringify([first, second])].join('')
      expect(everything).toContain('did not take the heartbeat')
      expect(everything).not.toContain('verysecretpart')
    },
  )

  it.each([
    ['an address of this network', 'https://127.0.0.1/beat/verysecretpart', 'notify.private-address'],
    ['plain http', 'http://monitor.example/beat/verysecretpart', 'notify.bad-target'],
    ['no URL at all', 'verysecretpart', 'notify.bad-target'],
  ])('is refused before anything is sent: %s', async (_, url, code) => {
    const report = await run(undefined, { heartbeat: { url } })
    expect(report.failures[0]?.failure.facts.because).toBe(code)
    expect(beats).toEqual([])
    expect(logged + renderReport(report, false)).not.toContain('verysecretpart')
  })
})
