import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { type Clock, day, systemClock } from '../../shared/base/clock.ts'
import { type Log, silentLog } from '../../shared/base/log.ts'
import { loadConfig } from '../../shared/config/load.ts'
import { inProcessReader } from '../../shared/reader/in-process.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { createDirectoryStore } from '../../shared/store/directory.ts'
import type { Store } from '../../shared/store/port.ts'
import { openWiring, type Wiring } from '../../shared/wire/cloud.ts'

export const APIG = 'f0fa1789-3b76-433b-a787-9892951c620e'
export const ROMA = 'aa1b2c3d-0000-4000-8000-000000000001'

export interface Bundle {
  certificatePem: string
  fullchainPem: string
  privateKeyPem: string
  fingerprint: string
}

export interface CloudOptions {
  apig?: string[]
  roma?: string[]
  seed?: SeedInput
  clock?: Clock
}

/** An emulator, a directory store and a config that point at one another; closed with `close`. */
export class TestCloud {
  readonly emulator: Emulator
  readonly folder: string
  readonly store: Store
  readonly apig: string[]
  readonly roma: string[]
  readonly #wirings: Wiring[] = []
  readonly #origin: SeedInput
  #seed: SeedInput | undefined

  private constructor(
    emulator: Emulator,
    folder: string,
    options: Required<Pick<CloudOptions, 'apig' | 'roma' | 'seed'>>,
  ) {
    this.#origin = options.seed
    this.emulator = emulator
    this.folder = folder
    this.store = createDirectoryStore(join(folder, 'bucket'))
    this.apig = options.apig
    this.roma = options.roma
  }

  static async start(options: CloudOptions = {}): Promise<TestCloud> {
    const apig = options.apig ?? ['api.shop.example', 'www.shop.example']
    const roma = options.roma ?? ['erp.shop.example']
    const folder = await mkdtemp(join(tmpdir(), 'cert-rotation-test-'))
    await mkdir(join(folder, 'bucket'))
    const seed = options.seed ?? seedFor(apig, roma)
    const emulator = await startEmulator({
      seed,
      ...(options.clock ? { clock: options.clock } : {}),
    })
    return new TestCloud(emulator, folder, { apig, roma, seed })
  }

  get hosts(): string[] {
    return [...this.apig, ...this.roma]
  }

  /** rotation.yaml as an object, with the emulator's addresses; `certificate` and `rest` are laid over it. */
  config(
    certificate: Record<string, unknown> = {},
    gateway: Record<string, unknown> = {},
    rest: Record<string, unknown> = {},
  ) {
    const { ready, url, tls } = this.emulator
    const [key] = ready.seed.accessKeys
    const verify = { connect: `${tls.host}:${tls.port}` }
    const gateways = [
      ...(this.apig.length > 0
        ? [{ flavour: 'apig', instanceId: APIG, domains: this.apig, verify, ...gateway }]
        : []),
      ...(this.roma.length > 0
        ? [{ flavour: 'roma', instanceId: ROMA, domains: this.roma, verify, ...gateway }]
        : []),
    ]
    return {
      cloud: {
        region: 'eu-de',
        projectId: ready.seed.project.id,
        auth: { accessKey: { id: key?.id, secret: key?.secret } },
        endpoints: { iam: url, apig: url, roma: url, scm: url, smn: url, dns: url },
      },
      // The tests write through a store, whose writes are whole; what is written in place has tests of its own.
      store: { directory: './bucket', settle: '0s' },
      certificates: { shop: { gateways, ...certificate } },
      ...rest,
    }
  }

  async wire(
    config: unknown = this.config(),
    options: { clock?: Clock; log?: Log; write?: (text: string) => void } = {},
  ): Promise<Wiring> {
    const wiring = await openWiring({
      reader: inProcessReader,
      config: loadConfig(JSON.stringify(config), { file: 'test config', environment: {} }),
      folder: this.folder,
      clock: options.clock ?? systemClock,
      random: () => 0.5,
      log: options.log ?? silentLog,
      owner: 'a test',
      ...(options.write && { write: options.write }),
    })
    this.#wirings.push(wiring)
    return wiring
  }

  parties(wiring: Wiring) {
    return wiring.parties({ deadline: noDeadline() })
  }

  /** A bundle for all hosts (or others) by the seeded CA, valid around the emulator's time. */
  async issue(names: string[] = this.hosts, days: { from?: number; to?: number } = {}): Promise<Bundle> {
    const now = this.emulator.clock.now().getTime()
    return this.emulator.intermediate.issue({
      names,
      notBefore: new Date(now + (days.from ?? -1 / 24) * day),
      notAfter: new Date(now + (days.to ?? 90) * day),
    })
  }

  async drop(bundle: Bundle, name = 'shop'): Promise<void> {
    await this.store.put(`incoming/${name}/fullchain.pem`, bundle.fullchainPem)
    await this.store.put(`incoming/${name}/privkey.pem`, bundle.privateKeyPem)
  }

  /** Fingerprint served at the TLS edge by host, as the edge sees it at the emulator's time. */
  served(): Record<string, string | undefined> {
    return Object.fromEntries(
      this.emulator.state().bindings.map((binding) => [binding.host, binding.served.fingerprints[0]]),
    )
  }

  bound(): Record<string, string[]> {
    return Object.fromEntries(
      this.emulator
        .state()
        .bindings.map((binding) => [binding.host, binding.certificates.map((one) => one.fingerprint)]),
    )
  }

  /** As at the start, without making keys again: for tests that start over hundreds of times. */
  async startOver(): Promise<void> {
    this.#seed ??= await this.#fixedSeed()
    await this.emulator.reset(this.#seed)
    for (const key of await this.keys()) await this.store.delete(key)
  }

  async #fixedSeed(): Promise<SeedInput> {
    const old = await this.issue(this.hosts, { from: -80, to: 10 })
    return {
      ...this.#origin,
      certificates: [{ ref: 'old', certificatePem: old.fullchainPem, privateKeyPem: old.privateKeyPem }],
    }
  }

  /** Calls that changed something, by route. */
  effects(): Record<string, number> {
    const counts: Record<string, number> = {}
    for (const call of this.emulator.calls())
      if (call.mutating && call.effect) counts[call.route] = (counts[call.route] ?? 0) + 1
    return counts
  }

  async keys(): Promise<string[]> {
    return (await this.store.list('')).map((object) => object.key)
  }

  async close(): Promise<void> {
    await Promise.all(this.#wirings.map((wiring) => wiring.close()))
    await this.emulator.close()
    await rm(this.folder, { recursive: true, force: true })
  }
}

export function seedFor(
  apig: string[],
  roma: string[],
  rules: SeedInput['rules'] = { visibilityDelayMs: 0 },
): SeedInput {
  const domain = (host: string) => ({ host, certificate: 'old' })
  return {
    project: { id: '0123456789abcdef0123456789abcdef' },
    rules,
    accessKeys: [{ id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' }],
    certificates: [{ ref: 'old', generate: { notBefore: '-80d', notAfter: '+10d' } }],
    instances: [
      {
        flavour: 'apig',
        id: APIG,
        groups: grouped(apig).map((hosts, index) => ({ name: `group_${index}`, domains: hosts.map(domain) })),
      },
      {
        flavour: 'roma',
        id: ROMA,
        groups: grouped(roma).map((hosts, index) => ({ name: `group_${index}`, domains: hosts.map(domain) })),
      },
    ],
  }
}

/** A group takes five custom domains. */
function grouped(hosts: string[]): string[][] {
  return Array.from({ length: Math.ceil(hosts.length / 5) }, (_, index) =>
    hosts.slice(index * 5, index * 5 + 5),
  )
}
