import type { FaultRequest } from '../../emulator/faults.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { minute } from '../../shared/base/clock.ts'
import type { Failure } from '../../shared/base/failure.ts'
import type { Log } from '../../shared/base/log.ts'
import type { Deadline, Parties } from '../../shared/rotation/parties.ts'
import type { Outcome, RotationState } from '../../shared/rotation/record/state.ts'
import { retireLeftovers } from '../../shared/rotation/retire.ts'
import { rotate } from '../../shared/rotation/rotate.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import type { Wiring } from '../../shared/wire/cloud.ts'
import { type Bundle, TestCloud } from './cloud.ts'
import { mortalParties } from './crash-run.ts'
import { Crasher } from './crasher.ts'
import { VirtualClock } from './virtual-clock.ts'

export interface StoryOptions {
  apig?: string[]
  roma?: string[]
  seed?: SeedInput
  rules?: SeedInput['rules']
  certificate?: Record<string, unknown>
  gateway?: Record<string, unknown>
  rest?: Record<string, unknown>
  log?: Log
}

/**
 * One certificate's story against the embedded cloud: real HTTP, real handshakes, a real store and lease, and time
 * that passes only when somebody waits. Three domains by default, served at once unless the rules say otherwise.
 */
export class Story {
  readonly clock: VirtualClock
  readonly cloud: TestCloud
  wiring: Wiring
  readonly #options: StoryOptions
  /** The parties of the next runs can be changed by a test. */
  change: (parties: Parties) => Parties = (parties) => parties

  private constructor(clock: VirtualClock, cloud: TestCloud, wiring: Wiring, options: StoryOptions) {
    this.clock = clock
    this.cloud = cloud
    this.wiring = wiring
    this.#options = options
  }

  static async start(options: StoryOptions = {}): Promise<Story> {
    const clock = new VirtualClock()
    const cloud = await TestCloud.start({
      clock: clock.lazy,
      ...(options.apig ? { apig: options.apig } : {}),
      ...(options.roma ? { roma: options.roma } : {}),
      ...(options.seed ? { seed: options.seed } : {}),
    })
    if (options.rules) cloud.emulator.setRules(options.rules as never)
    const story = new Story(clock, cloud, undefined as never, options)
    await story.configure()
    return story
  }

  /** Another config from now on; what is not named stays as the story began. */
  async configure(change: Pick<StoryOptions, 'certificate' | 'gateway' | 'rest'> = {}): Promise<void> {
    const { certificate, gateway, rest, log } = this.#options
    const config = this.cloud.config(
      { ...certificate, ...change.certificate },
      { ...gateway, ...change.gateway },
      { ...rest, ...change.rest },
    )
    this.wiring = await this.cloud.wire(config, { clock: this.clock.eager, ...(log ? { log } : {}) })
  }

  /** Issues a bundle for all hosts and puts it into `incoming/`. */
  async drop(days?: { from?: number; to?: number }): Promise<Bundle> {
    const bundle = await this.cloud.issue(this.cloud.hosts, days)
    await this.cloud.drop(bundle)
    return bundle
  }

  /** Rotates a first bundle, so that the predecessor is one of ours. */
  async settled(): Promise<Bundle> {
    const bundle = await this.drop()
    const outcomes = await this.tick()
    if (outcomes.at(-1)?.status !== 'rotated') throw new Error(JSON.stringify(outcomes, null, 1))
    this.clock.advance(minute)
    this.cloud.emulator.clearCalls()
    return bundle
  }

  fault(route: string, fault: FaultRequest['fault'], when: Omit<FaultRequest, 'route' | 'fault'> = {}): void {
    this.cloud.emulator.faults.add({ route, fault, ...when })
  }

  /** As the timer does it. */
  tick(deadline: Deadline = noDeadline()): Promise<Outcome[]> {
    return this.#run(false, deadline)
  }

  /** As a person at a terminal does it. */
  ask(): Promise<Outcome[]> {
    return this.#run(true, noDeadline())
  }

  /** Ticks with minutes between them until the outcome is final; returns all outcomes. */
  async ticks(most = 12, apartMs = 7 * minute): Promise<Outcome[]> {
    const all: Outcome[] = []
    for (let count = 0; count < most; count++) {
      const outcomes = await this.tick()
      all.push(...outcomes)
      const left = await this.cloud.store.list('incoming/')
      if (left.length === 0 && outcomes.every(({ status }) => status !== 'unfinished')) return all
      this.clock.advance(apartMs)
    }
    return all
  }

  parties(deadline: Deadline = noDeadline()): Parties {
    const parties = mortalParties(this.wiring, this.clock, new Crasher(0), deadline)
    return this.change(this.#options.log ? { ...parties, log: this.#options.log } : parties)
  }

  async retire() {
    return retireLeftovers(await this.wiring.job('shop', false), this.parties())
  }

  async state(): Promise<RotationState> {
    return JSON.parse(await this.text('state/shop.json'))
  }

  async text(key: string): Promise<string> {
    const stored = await this.cloud.store.get(key, { maxBytes: 100 * 1024 * 1024 })
    if (!stored) throw new Error(`there is no ${key}: ${(await this.cloud.keys()).join(', ')}`)
    return new TextDecoder().decode(stored.bytes)
  }

  /** Results under `deployed/` or `rejected/`, oldest first. */
  async results(where: 'deployed' | 'rejected'): Promise<Outcome[]> {
    const found = (await this.cloud.keys()).filter(
      (key) => key.startsWith(`${where}/shop/`) && key.endsWith('/result.json'),
    )
    return Promise.all(found.sort().map(async (key) => JSON.parse(await this.text(key))))
  }

  /** Calls by route that reached a service, whatever came of them. */
  called(route: string): number {
    return this.cloud.emulator.calls().filter((call) => call.route === route).length
  }

  /** Mutating calls so far, effect or not. */
  changes(): string[] {
    return this.cloud.emulator
      .calls()
      .filter((call) => call.mutating)
      .map((call) => call.route)
  }

  bare(): string[] {
    return this.cloud.emulator
      .state()
      .bindings.filter((binding) => binding.certificates.length === 0)
      .map((binding) => binding.host)
  }

  /** Certificates at the gateways that hold this bundle. */
  copies(bundle: Pick<Bundle, 'fingerprint'>): number {
    return this.cloud.emulator.state().certificates.filter((one) => one.fingerprint === bundle.fingerprint)
      .length
  }

  flags(): Record<string, boolean> {
    return Object.fromEntries(
      this.cloud.emulator.state().bindings.map((binding) => [binding.host, binding.clientVerification]),
    )
  }

  async #run(asked: boolean, deadline: Deadline): Promise<Outcome[]> {
    return rotate(await this.wiring.job('shop', asked), this.parties(deadline))
  }

  close(): Promise<void> {
    return this.cloud.close()
  }
}

export function codes(outcome: Outcome | undefined): string[] {
  return (outcome?.failures ?? []).map((failure) => (failure as Pick<Failure, 'code'>).code)
}

export function statuses(outcome: Outcome | undefined): Record<string, string> {
  return Object.fromEntries((outcome?.domains ?? []).map(({ host, status }) => [host, status]))
}
