import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { connectAcme } from '../../shared/acme/server.ts'
import { day, minute, second } from '../../shared/base/clock.ts'
import { asFailure } from '../../shared/base/failure.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { type TickReport, tick } from '../../shared/runtime/tick.ts'
import { limited } from '../../shared/runtime/time-budget.ts'
import { APIG, seedFor, TestCloud } from '../support/cloud.ts'
import { leaseOn } from '../support/crash-run.ts'
import { type Pebble, pebbleMissing, startPebble } from '../support/pebble.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** Takes every request and answers none; with `head`, only that much of an answer. */
class HangingCa {
  readonly #server: Server
  requests = 0
  onRequest: () => void = () => {}

  constructor(head = false) {
    this.#server = createServer((request, response) => {
      request.resume()
      this.requests += 1
      if (head) response.writeHead(200, { 'content-type': 'application/json' }).flushHeaders()
      this.onRequest()
    })
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/dir`
  }

  stop(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}

test.each([false, true])(
  'a CA that hangs fails within its share of the time (its head sent: %s)',
  async (head) => {
    const ca = new HangingCa(head)
    const directory = await ca.start()
    const { eager: clock } = new VirtualClock()
    const server = connectAcme({ clock, remainingMs: () => 600 })({ directory })
    const failure = await server.features().then(() => undefined, asFailure)
    expect(failure).toMatchObject({
      code: 'acme.unreachable',
      message: expect.stringContaining('within 200 ms'),
    })
    await server.close()
    ca.stop()
  },
)

describe.skipIf(pebbleMissing())('a CA that takes requests and never answers', () => {
  let cloud: TestCloud
  let pebble: Pebble
  let clock: VirtualClock
  let hanging: HangingCa
  let told: string[]

  /** More of its certificates than there are slots, and one of another CA. */
  const hosts = [...Array.from({ length: 5 }, (_, n) => `h${n}.shop.example`), 'good.shop.example']

  beforeEach(async () => {
    clock = new VirtualClock(new Date().toISOString())
    told = []
    hanging = new HangingCa()
    cloud = await TestCloud.start({
      apig: hosts,
      roma: [],
      seed: {
        ...seedFor(hosts, [], { visibilityDelayMs: 0, signatureToleranceMs: 30 * day }),
        dns: { zones: [{ name: 'shop.example' }], pendingMs: 20 },
      },
    })
    pebble = await startPebble({
      dns: cloud.emulator.ready.dnsServer ?? '',
      config: { profiles: { default: { description: '90 days', validityPeriod: 7_776_000 } } },
    })
    await writeFile(join(cloud.folder, 'pebble.pem'), pebble.caPem)
  })
  afterEach(async () => {
    hanging.stop()
    await pebble?.remove()
    await cloud?.close()
  })

  /** One invocation of fourteen minutes, which go by when nothing but the hanging CA is left to wait for. */
  async function invocation(done: () => Promise<boolean>): Promise<TickReport> {
    const directory = await hanging.start()
    const { tls } = cloud.emulator
    const good = { directory: pebble.directory, profile: 'default', dns: 'otc', ca: 'pebble.pem' }
    const certificates = Object.fromEntries(
      hosts.map((host) => [
        host.split('.')[0],
        {
          gateways: [
            {
              flavour: 'apig',
              instanceId: APIG,
              domains: [host],
              verify: { connect: `${tls.host}:${tls.port}` },
            },
          ],
          renew: { acme: host.startsWith('good') ? good : { directory, dns: 'otc' } },
          allowDowngrade: true,
        },
      ]),
    )
    const config = {
      ...cloud.config({}, {}, { alerts: { channels: [{ console: true }] } }),
      certificates,
      dnsServers: [cloud.emulator.ready.dnsServer],
      accountKeySecret: 'a passphrase of the test',
    }
    const wiring = await cloud.wire(config, { clock: clock.eager, write: (text) => void told.push(text) })
    const deadline = limited(noDeadline(), clock.lazy, 14 * minute)
    const over = async () => {
      // Two minutes pass for the good one; then the time is over whatever became of it.
      for (let looks = 0; looks < 60 && !(await done()); looks++) {
        clock.advance(2 * second)
        await new Promise((resolve) => setTimeout(resolve, 250))
      }
      // Work is asked to stop after 12 min 31 s, and people are told from 12 min 36 s on.
      clock.advance(12 * minute + 33 * second - clock.lazy.monotonic())
    }
    hanging.onRequest = () => {
      hanging.onRequest = () => {}
      void over()
    }
    try {
      return await tick(wiring, {
        ...wiring.parties({ deadline }),
        lease: (name: string) => leaseOn(wiring.store, name, clock),
      })
    } finally {
      deadline.cancel()
    }
  }

  test('keeps neither another CA’s certificate from its place nor people from being told', async () => {
    const rotated = async () =>
      (await cloud.keys()).some((key) => /^deployed\/good\/.*result\.json$/.test(key))
    const report = await invocation(rotated)
    expect(report.outcomes).toMatchObject([{ certificate: 'good', status: 'rotated' }])
    const { renewals } = report
    expect(renewals.find(({ certificate }) => certificate === 'good')?.status).toBe('delivered')
    const others = renewals.filter(({ certificate }) => certificate !== 'good')
    expect(others.map(({ status }) => status)).toEqual(others.map(() => 'unfinished'))
    const late = report.notLookedAt?.map(({ job, names }) => [job, names.includes('good')])
    // How many of the hanging CA's had their turn before the time was over is chance.
    expect(late).toContainEqual(['retire', true])
    expect(late).not.toContainEqual(['renew', true])
    expect(report.notLookedAt?.map(({ job }) => job)).not.toContain('watch')
    expect(report.failures).toEqual([])
    expect(told.join('')).not.toBe('')
    expect(await cloud.keys()).toContain('status/index.html')
  }, 60_000)
})
