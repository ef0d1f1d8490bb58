import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { day, minute, second } from '../../shared/base/clock.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { exitStatus } from '../../shared/runtime/jobs.ts'
import { type TickReport, tick } from '../../shared/runtime/tick.ts'
import { limited } from '../../shared/runtime/time-budget.ts'
import { APIG, seedFor, TestCloud } from '../support/cloud.ts'
import { leaseOn } from '../support/crash-run.ts'
import { type Pebble, pebbleMissing, startPebble } from '../support/pebble.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** More than there are slots. */
const RENEWALS = 5

describe.skipIf(pebbleMissing())('renewals whose challenge never becomes visible', () => {
  let cloud: TestCloud
  let pebble: Pebble
  let clock: VirtualClock
  let told: string[]

  beforeEach(async () => {
    const hosts = Array.from({ length: RENEWALS }, (_, n) => `d${n}.shop.example`)
    clock = new VirtualClock(new Date().toISOString())
    told = []
    cloud = await TestCloud.start({
      apig: hosts,
      roma: [],
      seed: {
        ...seedFor(hosts, [], { visibilityDelayMs: 0, signatureToleranceMs: 30 * day }),
        dns: { zones: [{ name: 'shop.example' }], pendingMs: 20, propagationMs: 'never' },
      },
    })
    pebble = await startPebble({
      dns: cloud.emulator.ready.dnsServer ?? '',
      config: { profiles: { default: { description: '90 days', validityPeriod: 7_776_000 } } },
    })
    await writeFile(join(cloud.folder, 'pebble.pem'), pebble.caPem)
  })
  afterEach(async () => {
    await pebble?.remove()
    await cloud?.close()
  })

  /** One invocation of the timer, on a virtual clock; what it has taken of its time. */
  async function invocation(ms: number): Promise<{ report: TickReport; tookMs: number }> {
    const base = cloud.config({}, {}, { alerts: { channels: [{ console: true }] } })
    const { tls } = cloud.emulator
    const acme = { directory: pebble.directory, profile: 'default', dns: 'otc', ca: 'pebble.pem' }
    const certificates = Object.fromEntries(
      cloud.apig.map((host, n) => [
        `c${n}`,
        {
          gateways: [
            {
              flavour: 'apig',
              instanceId: APIG,
              domains: [host],
              verify: { connect: `${tls.host}:${tls.port}` },
            },
          ],
          renew: { acme },
          // The seeded certificate covers all of them.
          allowDowngrade: true,
        },
      ]),
    )
    const config = {
      ...base,
      certificates,
      dnsServers: [cloud.emulator.ready.dnsServer],
      accountKeySecret: 'a passphrase of the test',
    }
    const wiring = await cloud.wire(config, { clock: clock.eager, write: (text) => void told.push(text) })
    const deadline = limited(noDeadline(), clock.lazy, ms)
    const begun = clock.lazy.monotonic()
    try {
      const report = await tick(wiring, {
        ...wiring.parties({ deadline }),
        lease: (name: string) => leaseOn(wiring.store, name, clock),
      })
      return { report, tookMs: clock.lazy.monotonic() - begun }
    } finally {
      deadline.cancel()
    }
  }
  const placed = () => pebble.logLines.filter((line) => /Added order "/.test(line)).length
  const challenges = () =>
    cloud.emulator.zones.zoneFor('d0.shop.example') &&
    cloud.emulator.state().dns.flatMap(({ records }) => records.filter(({ type }) => type === 'TXT'))

  test('all of them get their turn, people are told, and the orders go on in the next tick', async () => {
    const first = await invocation(14 * minute)
    expect(first.report.renewals.map(({ status }) => status)).toEqual(Array(RENEWALS).fill('unfinished'))
    expect(first.report.renewals[0]?.sentence).toMatch(/^c\d is being renewed: The challenge for d\d\.shop/)
    expect(challenges()).toHaveLength(RENEWALS)
    expect(first.tookMs).toBeLessThan(4 * minute)
    expect(told.join('')).toContain('d0.shop.example')
    expect(await cloud.keys()).toContain('status/index.html')
    expect(exitStatus(first.report)).toBe(3)

    cloud.emulator.zones.rules.propagationMs = 0
    const second = await invocation(14 * minute)
    expect(second.report.renewals.map(({ status }) => status)).toEqual(Array(RENEWALS).fill('delivered'))
    expect(
      second.report.outcomes.map(
        ({ status, sentence }) => `${status}${status === 'rotated' ? '' : sentence}`,
      ),
    ).toEqual(Array(RENEWALS).fill('rotated'))
    expect(placed()).toBe(RENEWALS)
    await expect.poll(challenges).toEqual([])
  }, 120_000)

  test('fail when ten minutes have passed, over however many ticks, and are taken down', async () => {
    await invocation(14 * minute)
    clock.advance(10 * minute)
    const { report } = await invocation(14 * minute)
    expect(report.renewals.map(({ status, failures }) => [status, failures[0]?.code])).toEqual(
      Array(RENEWALS).fill(['failed', 'dns.not-visible']),
    )
    expect(exitStatus(report)).toBe(1)
    await expect.poll(challenges).toEqual([])
  }, 120_000)

  test('leave a short invocation half of its time for telling', async () => {
    const { tookMs } = await invocation(40 * second)
    expect(told.join('')).toContain('d0.shop.example')
    expect(await cloud.keys()).toContain('status/index.html')
    expect(tookMs).toBeLessThan(22 * second)
  }, 120_000)
})
