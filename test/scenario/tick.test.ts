import { mkdir, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { serveStatus } from '../../functions/commands/status-server.ts'
import { day, systemClock } from '../../shared/base/clock.ts'
import { tellAfterUpload } from '../../shared/runtime/after-upload.ts'
import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { type TickReport, tick } from '../../shared/runtime/tick.ts'
import { APIG, TestCloud } from '../support/cloud.ts'
import { leaseOn } from '../support/crash-run.ts'
import { runCli } from '../support/terminal.ts'
import { VirtualClock } from '../support/virtual-clock.ts'

/** A webhook that keeps what it is told; `down` refuses everything. */
class Receiver {
  readonly messages: string[] = []
  down = false
  readonly #server: Server

  constructor() {
    this.#server = createServer((request, response) => {
      const chunks: Buffer[] = []
      request.on('data', (chunk: Buffer) => chunks.push(chunk))
      request.on('end', () => {
        if (!this.down) this.messages.push(Buffer.concat(chunks).toString('utf8'))
        response.writeHead(this.down ? 503 : 200).end()
      })
    })
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/hook`
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

describe('the timer', () => {
  let cloud: TestCloud
  let clock: VirtualClock
  let receiver: Receiver
  let config: ReturnType<TestCloud['config']>

  beforeEach(async () => {
    clock = new VirtualClock()
    receiver = new Receiver()
    const webhook = await receiver.start()
    cloud = await TestCloud.start({ clock: clock.lazy })
    config = cloud.config({}, {}, { alerts: { channels: [{ webhook, allowPrivateAddress: true }] } })
  })
  afterEach(async () => {
    receiver.stop()
    await cloud.close()
  })

  /** One invocation at the virtual time. */
  async function run(work: 'tick' | 'upload' = 'tick', jobs?: string[]): Promise<TickReport> {
    const wiring = await cloud.wire(config, { clock: clock.eager })
    const parties = { ...cloud.parties(wiring), lease: (name: string) => leaseOn(wiring.store, name, clock) }
    if (work === 'tick') return tick(wiring, parties, jobs)
    const report = await rotateUploads(wiring, parties, { byPerson: false })
    await tellAfterUpload(wiring, parties, report)
    return { ...report, renewals: [] }
  }

  it('tells a near expiry once, whatever happens between the ticks, and once more at the next threshold', async () => {
    // The seeded certificate lives 90 days and ends in ten: past 33 % and 20 %, not yet at 10 %.
    await run()
    expect(receiver.messages).toHaveLength(1)
    expect(receiver.messages[0]).toContain('2026-12-02')
    await run()
    await run()
    expect(receiver.messages).toHaveLength(1)
    clock.advance(2 * day)
    await run()
    await run()
    expect(receiver.messages).toHaveLength(2)
  })

  it('says that a rotation has finished, and then nothing', async () => {
    await run()
    await cloud.drop(await cloud.issue())
    await run('upload')
    const told = receiver.messages.length
    expect(receiver.messages.at(-1)).toMatch(/rotated/)
    await run()
    clock.advance(day)
    await run()
    expect(receiver.messages.length).toBe(told)
  })

  it('keeps a message for the next tick where the channel is down, and sends it once', async () => {
    receiver.down = true
    const report = await run()
    // Nobody was reached at all: the platform's own alarm is what is left.
    expect(report.failures).toMatchObject([{ failure: { code: 'watch.not-told' } }])
    expect(report.status?.summary.certificates).toBe(1)
    expect(receiver.messages).toEqual([])
    receiver.down = false
    clock.advance(3_600_000)
    expect((await run()).failures).toEqual([])
    clock.advance(3_600_000)
    await run()
    expect(receiver.messages).toHaveLength(1)
  })

  it('tells that it did not run, from the other door, once', async () => {
    await run()
    clock.advance(3_600_000)
    await run()
    const before = receiver.messages.length
    clock.advance(3 * day)
    await cloud.drop(await cloud.issue())
    await run('upload')
    await run('upload')
    const about = receiver.messages.slice(before).filter((message) => message.includes('timer did not run'))
    expect(about).toHaveLength(1)
  })

  it('writes page, JSON, metrics and the instant of the last tick, and no key into any of them', async () => {
    const bundle = await cloud.issue()
    await cloud.drop(bundle)
    const { status } = await run()
    expect(status?.summary).toMatchObject({ certificates: 1, domains: 3, domainsAsExpected: 3 })
    for (const key of [
      'status/index.html',
      'status/status.json',
      'status/metrics.prom',
      'status/last-tick.json',
    ]) {
      const text = new TextDecoder().decode((await cloud.store.get(key, { maxBytes: 1e8 }))?.bytes)
      expect(text.length, key).toBeGreaterThan(20)
      for (const line of bundle.privateKeyPem.split('\n').slice(1, -2)) expect(text).not.toContain(line)
    }
  })

  it('does only the jobs that its user event selects, and refuses one it does not know', async () => {
    await cloud.drop(await cloud.issue())
    const report = await run('tick', ['watch'])
    expect(report.outcomes).toEqual([])
    expect(report.status?.summary.certificates).toBe(1)
    await expect(run('tick', ['finsh'])).rejects.toMatchObject({ code: 'event.unknown-job' })
  })

  it('with discover watches what this tool did not deploy, and reads only', async () => {
    config = { ...config, discover: true } as typeof config
    config.certificates.shop = {
      gateways: [{ ...config.certificates.shop.gateways[0]!, domains: ['api.shop.example'] }],
    }
    await run()
    expect(receiver.messages.join('\n')).toContain('www.shop.example')
    expect(cloud.effects()).toEqual({})
  })

  for (const said of [
    [4, undefined],
    [undefined, 4],
    [4, 1_000],
  ])
    it(`watches a gateway's quota where its certificates say ${said.join(' and ')}`, async () => {
      const { shop } = config.certificates
      config.certificates = {
        shop: { ...shop, ...(said[0] ? { maxCertificates: said[0] } : {}) },
        late: {
          ...shop,
          gateways: [{ ...shop.gateways[0]!, domains: ['www.shop.example'] }],
          ...(said[1] ? { maxCertificates: said[1] } : {}),
        },
      } as unknown as typeof config.certificates
      config.certificates.shop.gateways[0]!.domains = ['api.shop.example']
      const { status } = await run()
      expect(status?.quotas).toContainEqual({ where: expect.stringContaining(APIG), used: 1, limit: 4 })
    })

  it('shows the page on loopback to this machine only, and nothing else of the store', async () => {
    await run()
    const server = await serveStatus(cloud.store, 0)
    try {
      const page = await fetch(server.url)
      expect(page.status).toBe(200)
      expect(await page.text()).toContain('<!doctype html>')
      expect((await fetch(`${server.url}metrics`)).headers.get('content-type')).toContain('text/plain')
      expect((await fetch(`${server.url}state/shop.json`)).status).toBe(404)
      expect((await fetch(`${server.url}..%2fstate%2fshop.json`)).status).toBe(404)
    } finally {
      await server.close()
    }
  })

  it('by `status` shows a table and a JSON document, and writes the page', async () => {
    const file = join(cloud.folder, 'rotation.yaml')
    await mkdir(cloud.folder, { recursive: true })
    await writeFile(file, JSON.stringify(cloud.config()))
    // The command goes by this machine's clock, and a signature of another day is refused.
    clock.setWallClock(systemClock.now().getTime() - clock.lazy.now().getTime())
    const table = await runCli('status', '--config', file)
    expect(table).toMatchObject({ exitStatus: 0 })
    expect(table.stdout).toMatch(/shop\s+3\/3/)
    const { stdout } = await runCli('status', '--config', file, '--json')
    expect(JSON.parse(stdout)).toMatchObject({ schema: 1, certificates: [{ name: 'shop' }] })
    expect(await cloud.keys()).toContain('status/index.html')
  })
})
