import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { SeedInput } from '../../emulator/seed.ts'
import type { ServedCertificate } from '../../shared/probe/port.ts'
import { createProbe } from '../../shared/probe/tls.ts'
import { probeTarget } from '../../shared/rotation/plan/look.ts'
import { type TickReport, tick } from '../../shared/runtime/tick.ts'
import { TestClock } from './acme.ts'
import { seedFor, TestCloud } from './cloud.ts'
import { type Pebble, startPebble } from './pebble.ts'
import { type Printed, runCli } from './terminal.ts'

export interface RenewalCloudOptions {
  apig?: string[]
  zones?: string[]
  seed?: Partial<SeedInput>
  pebble?: Partial<Parameters<typeof startPebble>[0]>
}

type Laid = Record<string, unknown>

/**
 * The embedded cloud with its DNS, a real ACME server that asks it, and a rotation.yaml that renews one
 * certificate. Pebble's default profile is made to last 90 days; its clock is the machine's.
 */
export class RenewalCloud {
  readonly cloud: TestCloud
  readonly pebble: Pebble
  readonly clock = new TestClock()

  private constructor(cloud: TestCloud, pebble: Pebble) {
    this.cloud = cloud
    this.pebble = pebble
  }

  static async start(options: RenewalCloudOptions = {}): Promise<RenewalCloud> {
    const apig = options.apig ?? ['api.shop.example', '*.cdn.shop.example']
    const zones = (options.zones ?? ['shop.example']).map((name) => ({ name }))
    const seed = { ...seedFor(apig, []), dns: { zones, pendingMs: 20 }, ...options.seed }
    const cloud = await TestCloud.start({ apig, roma: [], seed })
    try {
      const pebble = await startPebble({
        dns: cloud.emulator.ready.dnsServer ?? '',
        ...options.pebble,
        config: {
          profiles: { default: { description: '90 days', validityPeriod: 7_776_000 } },
          ...options.pebble?.config,
        },
      })
      await writeFile(join(cloud.folder, 'pebble.pem'), pebble.caPem)
      return new RenewalCloud(cloud, pebble)
    } catch (error) {
      await cloud.close()
      throw error
    }
  }

  /** One entry of `renew.acme`. */
  authority(more: Laid = {}): Laid {
    return {
      directory: this.pebble.directory,
      email: 'ops@shop.example',
      dns: 'otc',
      ca: 'pebble.pem',
      profile: 'default',
      ...more,
    }
  }

  config(acme: Laid | Laid[] = this.authority(), renew: Laid = {}, rest: Laid = {}): Laid {
    return this.cloud.config(
      { renew: { ...renew, acme } },
      {},
      {
        accountKeySecret: 'a passphrase of the test',
        dnsServers: [this.cloud.emulator.ready.dnsServer],
        ...rest,
      },
    )
  }

  /** As the timer does it, with waits fifty times as fast. */
  async tick(config: Laid = this.config()): Promise<TickReport> {
    const wiring = await this.cloud.wire(config, { clock: this.clock })
    return tick(wiring, this.cloud.parties(wiring))
  }

  /** As a person at a terminal does it. */
  async cli(
    command: 'tick' | 'status',
    config: Laid = this.config(),
    ...options: string[]
  ): Promise<Printed> {
    const file = join(this.cloud.folder, 'rotation.yaml')
    await writeFile(file, JSON.stringify(config))
    return runCli(command, '--config', file, ...options)
  }

  /** What a TLS client is given at the edge. */
  async served(host = 'api.shop.example'): Promise<ServedCertificate | undefined> {
    const { tls } = this.cloud.emulator
    const target = probeTarget(host, { connect: `${tls.host}:${tls.port}` })
    const result = target && (await createProbe({ timeoutMs: 4_000 }).handshake(target))
    return result?.reached ? result.served : undefined
  }

  /** Time goes by, here and in the cloud; Pebble's does not. */
  pass(ms: number): void {
    this.clock.offset += ms
    this.cloud.emulator.clock.advance(ms)
  }

  /** Orders that Pebble has accepted since it was started, in its own words. */
  ordersPlaced(): number {
    return this.pebble.logLines.filter((line) => /Added order "/.test(line)).length
  }

  certificatesIssued(): number {
    return this.pebble.logLines.filter((line) => line.includes('Issued certificate serial')).length
  }

  /** What lies in the zones below `_acme-challenge` now. */
  challenges(): string[] {
    return this.cloud.emulator
      .state()
      .dns.flatMap(({ records }) => records.filter(({ type }) => type === 'TXT').map(({ name }) => name))
  }

  async text(key: string): Promise<string> {
    const stored = await this.cloud.store.get(key)
    if (!stored) throw new Error(`there is no ${key}: ${(await this.cloud.keys()).join(', ')}`)
    return new TextDecoder().decode(stored.bytes)
  }

  async close(): Promise<void> {
    await this.pebble.remove()
    await this.cloud.close()
  }
}
