import { X509Certificate } from 'node:crypto'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { type Clock, day, hour, minute, second } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { silentLog } from '../../shared/base/log.ts'
import { keys } from '../../shared/base/names.ts'
import { loadConfig } from '../../shared/config/load.ts'
import type { Probe, ServedCertificate } from '../../shared/probe/port.ts'
import { inProcessReader } from '../../shared/reader/in-process.ts'
import type { Deadline, Parties } from '../../shared/rotation/parties.ts'
import { parseState } from '../../shared/rotation/record/state-file.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { type JobReport, rotateUploads } from '../../shared/runtime/jobs.ts'
import { tick } from '../../shared/runtime/tick.ts'
import type { Store } from '../../shared/store/port.ts'
import { openWiring, takeLease, type Wiring } from '../../shared/wire/cloud.ts'
import { APIG, ROMA } from './cloud.ts'
import { Crashed, Crasher } from './crasher.ts'
import {
  type Act,
  describeAct,
  type History,
  type Misfortune,
  type ProcessPlan,
  type Scene,
} from './history.ts'
import { HistoryStore } from './history-store.ts'
import { Model } from './model.ts'
import { VirtualClock } from './virtual-clock.ts'

const HOSTS = { apig: ['a1.shop.example', 'a2.shop.example'], roma: ['r1.shop.example', 'r2.shop.example'] }
const ALL_HOSTS = [...HOSTS.apig, ...HOSTS.roma]
/** More newer bundles than a history can ask for. */
const BUNDLES = 20
const CHANGES = ['create', 'add', 'update', 'attach', 'detach', 'remove', 'import', 'push']

interface TestBundle {
  fullchainPem: string
  privateKeyPem: string
  fingerprint: string
  served: ServedCertificate
}

/** One emulator and its certificates for any number of histories; nothing is generated between them. */
export class HistoryLab {
  readonly emulator: Emulator
  readonly clock: VirtualClock
  readonly bundles: TestBundle[]
  readonly other: TestBundle
  readonly byFingerprint: Map<string, ServedCertificate>

  private constructor(emulator: Emulator, clock: VirtualClock, bundles: TestBundle[], other: TestBundle) {
    this.emulator = emulator
    this.clock = clock
    this.bundles = bundles
    this.other = other
    this.byFingerprint = new Map([...bundles, other].map((one) => [one.fingerprint, one.served]))
  }

  static async open(): Promise<HistoryLab> {
    const clock = new VirtualClock()
    const emulator = await startEmulator({ clock: clock.lazy })
    const start = clock.lazy.now().getTime() - 60 * day
    const issue = async (age: number): Promise<TestBundle> => {
      const issued = await emulator.intermediate.issue({
        names: ALL_HOSTS,
        // Mostly one algorithm, sometimes the other: then the new one comes before the old one goes.
        key: age % 4 === 3 ? 'RSA-2048' : 'P-256',
        notBefore: new Date(start + age * day),
        notAfter: new Date(start + 3_000 * day + age * day),
      })
      const { fullchainPem, privateKeyPem, fingerprint } = issued
      return { fullchainPem, privateKeyPem, fingerprint, served: servedFrom(fullchainPem) }
    }
    const bundles = await Promise.all(Array.from({ length: BUNDLES }, (_, age) => issue(age)))
    return new HistoryLab(emulator, clock, bundles, await issue(1))
  }

  seed(scene: Scene): SeedInput {
    const planted = (ref: string, { fullchainPem, privateKeyPem }: TestBundle) => ({
      ref,
      certificatePem: fullchainPem,
      privateKeyPem,
    })
    const instance = (flavour: 'apig' | 'roma', id: string) => ({
      flavour,
      id,
      groups: [{ name: 'shop', domains: HOSTS[flavour].map((host) => ({ host, certificate: 'old' })) }],
    })
    return {
      project: { id: '0123456789abcdef0123456789abcdef' },
      rules: { visibilityDelayMs: 0, attachOverOther: scene.attachOverOther },
      users: [{ name: 'rotation', password: 'emulator-only' }],
      accessKeys: [{ id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' }],
      certificates: [planted('old', this.bundles[1]!), planted('other', this.other)],
      instances: [instance('apig', APIG), instance('roma', ROMA)],
    }
  }

  config(scene: Scene) {
    const { url } = this.emulator
    const strategy = {
      rebind: {},
      'attach first': { attachFirst: true },
      update: { strategy: 'update', updateWithoutWayBack: true },
      add: { strategy: 'add' },
    }[scene.strategy]
    const gateway = (flavour: 'apig' | 'roma', instanceId: string, count: number) =>
      count === 0 ? [] : [{ flavour, instanceId, domains: HOSTS[flavour].slice(0, count), ...strategy }]
    return {
      cloud: {
        region: 'eu-de',
        projectId: '0123456789abcdef0123456789abcdef',
        auth:
          scene.auth === 'password'
            ? { password: { domain: 'emulator', user: 'rotation', password: 'emulator-only' } }
            : { accessKey: { id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' } },
        endpoints: { iam: url, apig: url, roma: url, scm: url, smn: url, dns: url },
      },
      store: { directory: './not-used' },
      certificates: {
        shop: {
          gateways: [...gateway('apig', APIG, scene.apig), ...gateway('roma', ROMA, scene.roma)],
          push: [
            { service: 'ELB', project: 'eu-de' },
            { service: 'CDN', project: 'eu-de' },
          ],
          retire: { after: scene.retireAfter, keep: scene.keep },
        },
      },
    }
  }

  /** Lives the history and checks it; throws `Violation`. */
  async live(history: History): Promise<void> {
    const life = await Life.begin(this, history.scene)
    try {
      for (const act of history.acts) await life.act(act)
      await life.judge()
    } finally {
      await life.end()
    }
  }

  close(): Promise<void> {
    return this.emulator.close()
  }
}

/** A promise was broken; the message tells what happened up to then. */
export class Violation extends Error {
  override readonly name = 'Violation'
}

interface Process {
  name: string
  plan: ProcessPlan
  crasher: Crasher
  /** Has the lease, from the grant to the release. */
  holds: boolean
  everHeld: boolean
  /** Changes that have left and are not answered. */
  inFlight: number
  /** Calls of any kind that are not answered. */
  flying: number
  report: JobReport | undefined
}

/** One history while it happens. */
class Life {
  readonly lab: HistoryLab
  readonly scene: Scene
  readonly store: HistoryStore
  readonly model = new Model()
  readonly story: string[] = []
  readonly hosts: string[]
  readonly wiring: Wiring
  readonly random: () => number
  readonly processes: Process[] = []
  #latest = 0
  /** In this act. */
  #clockJumped = false
  #storeFault: { left: number; effect: boolean } | undefined
  #keptState: string | undefined
  #tampered = false
  #mostCertificates = new Map<string, number>()
  #stopWatching: () => void = () => {}
  #surprise: (() => void | Promise<void>) | undefined
  #calls = 0
  #surpriseAt = 0
  #broken: string | undefined

  private constructor(lab: HistoryLab, scene: Scene, wiring: Wiring, random: () => number) {
    this.lab = lab
    this.scene = scene
    this.store = new HistoryStore(lab.clock.lazy)
    this.hosts = [...HOSTS.apig.slice(0, scene.apig), ...HOSTS.roma.slice(0, scene.roma)]
    this.wiring = wiring
    this.random = random
  }

  static async begin(lab: HistoryLab, scene: Scene): Promise<Life> {
    // Every history begins at the same instant, whatever the one before did to the clock.
    const { clock } = lab
    clock.setWallClock(Date.parse('2026-11-22T12:00:00Z') - clock.lazy.now().getTime())
    await lab.emulator.reset(lab.seed(scene))
    const random = randomFrom(scene.seed)
    const wiring = await openWiring({
      reader: inProcessReader,
      config: loadConfig(JSON.stringify(lab.config(scene)), { file: 'a history', environment: {} }),
      folder: '.',
      clock: clock.eager,
      random,
      log: silentLog,
      owner: 'a history',
    })
    const life = new Life(lab, scene, wiring, random)
    life.#stopWatching = lab.emulator.intercept((stage, call) =>
      life.#onCall(stage, call.route, call.mutating),
    )
    return life
  }

  async end(): Promise<void> {
    this.#stopWatching()
    await this.wiring.close()
  }

  // ---------------------------------------------------------------- acts

  async act(act: Act): Promise<void> {
    this.story.push(`- ${describeAct(act)}`)
    const { model, store, lab } = this
    const empty = this.#incomingIsEmpty()
    switch (act.act) {
      case 'upload':
        if (act.what === 'newer') this.#put(model.newer())
        else if (act.what === 'again') this.#put(model.again())
        else if (act.what === 'older') this.#put(model.older(empty))
        else this.#put(model.withForeignKey(empty), 'privkey.pem of another')
        break
      case 'half':
        this.#put(model.half(act.first, empty), act.first)
        break
      case 'rest':
        this.#rest()
        break
      case 'run':
        await this.#run(act)
        break
      case 'fault':
        lab.emulator.faults.add({
          route: act.route,
          from: act.nth,
          times: act.what === '403' ? 1 : act.times,
          fault: FAULTS[act.what],
        })
        break
      case 'store fault':
        this.#storeFault = { left: act.nth, effect: act.effect }
        break
      case 'tokens end':
        lab.emulator.expireTokens()
        break
      case 'wall clock':
        lab.clock.setWallClock(act.minutes * minute)
        break
      case 'time passes':
        lab.clock.advance(act.minutes * minute)
        break
      case 'by hand':
        await this.#byHand(act.what, act.domain)
        break
      case 'state file':
        if (act.what === 'keep a copy') this.#keptState = store.text(keys.state('shop'))
        else if (act.what === 'restore the copy') {
          if (this.#keptState !== undefined) await this.#tamper(this.#keptState)
        } else if (act.what === 'remove') {
          store.objects.delete(keys.state('shop'))
          this.#forgotten()
        } else await this.#tamper(act.what === 'garbage' ? '{"schema":1,"name":"sh' : '')
        break
    }
    this.#check()
  }

  #put(age: number, part?: 'fullchain.pem' | 'privkey.pem' | 'privkey.pem of another'): void {
    const bundle = this.lab.bundles[age]!
    // No two uploads have the same time.
    this.lab.clock.advance(1)
    const put = (name: string, text: string) => {
      const bytes = new TextEncoder().encode(text)
      const key = `${keys.incoming('shop')}${name}`
      this.store.objects.set(key, { key, bytes, modifiedAt: this.lab.clock.lazy.now() })
    }
    this.story.push(`    bundle ${age} (${bundle.fingerprint.slice(0, 8)})`)
    if (part !== 'privkey.pem') put('fullchain.pem', bundle.fullchainPem)
    if (part === 'privkey.pem of another') put('privkey.pem', this.lab.other.privateKeyPem)
    else if (part !== 'fullchain.pem') put('privkey.pem', bundle.privateKeyPem)
  }

  #rest(): void {
    const half = this.model.halfMissing
    if (!half) return
    const first = half.other === 'privkey.pem' ? 'fullchain.pem' : 'privkey.pem'
    const lies = this.store.text(`${keys.incoming('shop')}${first}`)
    const bundle = this.lab.bundles[half.bundle]!
    const isFirst = lies === (first === 'fullchain.pem' ? bundle.fullchainPem : bundle.privateKeyPem)
    this.#put(half.bundle, half.other)
    this.model.rest(isFirst)
  }

  async #byHand(what: 'bind another' | 'unbind' | 'delete ours', index: number): Promise<void> {
    const { emulator } = this.lab
    const host = this.hosts[index % this.hosts.length]!
    const binding = emulator.state().bindings.find((one) => one.host === host)!
    if (what === 'delete ours') {
      const [certificate] = binding.certificates
      const found = emulator.state().certificates.find((one) => one.id === certificate?.id)
      if (!found) return
      this.model.changedByHand(found.boundTo, true)
      await fetch(`${emulator.url}/__emulator/certificates?id=${found.id}`, { method: 'DELETE' })
      this.story.push(`    deleted ${found.name}, bound to ${found.boundTo.join(', ')}`)
      return
    }
    const other = emulator
      .state()
      .certificates.find(
        (one) => one.fingerprint === this.lab.other.fingerprint && one.flavour === binding.flavour,
      )
    if (what === 'bind another' && !other) return
    emulator.bind(host, what === 'unbind' ? null : other!.id)
    this.model.changedByHand([host], what === 'unbind')
  }

  async #tamper(text: string): Promise<void> {
    await this.store.put(keys.state('shop'), text)
    this.#forgotten()
  }

  /** Nobody knows any more what a domain that stands bare was to have, until the next bundle comes. */
  #forgotten(): void {
    this.#tampered = true
    for (const host of this.#bare()) this.model.mayBeBare.set(host, 'the state file was lost')
  }

  // ---------------------------------------------------------------- runs

  async #run(act: Extract<Act, { act: 'run' }>): Promise<void> {
    const { emulator } = this.lab
    const before = new Set(this.#bare())
    const callsBefore = emulator.calls().length
    this.#calls = 0
    this.#clockJumped = false
    this.#surpriseAt = act.surprise?.at ?? 0
    let interfered = false
    if (act.surprise) {
      const { what, domain } = act.surprise
      this.#surprise = async () => {
        this.story.push(`    surprise: ${what}`)
        interfered = await this.#surpriseHappens(what, domain)
      }
    }
    const runs = act.processes.map((plan) => this.#process(plan))
    await Promise.all(runs.map(({ done }) => done))
    this.#surprise = undefined
    const processes = runs.map(({ process }) => process)
    // What the dead have sent arrives all the same, and soon: in this act, not days later.
    while (processes.some(({ inFlight }) => inFlight > 0))
      await new Promise((resolve) => setImmediate(resolve))
    for (const process of processes) process.holds = false

    const died = processes.some(({ crasher }) => crasher.dead)
    const bare = this.#bare()
    if (died) this.#excuseBare('a run was killed')
    else if (interfered) this.#excuseBare('somebody or the clock interfered')
    else if (this.#outage(callsBefore)) this.#excuseBare('the gateway failed too often in a row')
    else {
      for (const host of bare)
        if (!before.has(host) && !this.model.mayBeBare.has(host))
          this.#fail(`${host} lost its certificate in a run that lived`)
      const whole = processes.some(({ everHeld, report }) => everHeld && report?.failures.length === 0)
      for (const host of bare)
        if (whole && this.model.mayBeBare.get(host) === 'a run was killed')
          this.#fail(
            `${host} was without a certificate after a kill, and a run that lived did not close the gap`,
          )
    }
    for (const host of [...this.model.mayBeBare.keys()])
      if (!bare.includes(host)) this.model.mayBeBare.delete(host)
  }

  #process(plan: ProcessPlan): { process: Process; done: Promise<void> } {
    const { clock } = this.lab
    const name = `process ${this.processes.length + 1}`
    const crasher = new Crasher(plan.killAt)
    const process: Process = {
      name,
      plan,
      crasher,
      holds: false,
      everHeld: false,
      inFlight: 0,
      flying: 0,
      report: undefined,
    }
    this.processes.push(process)
    const deadline = this.#deadline(plan.deadline)
    const parties = this.#parties(process, deadline)
    const work =
      plan.door === 'tick'
        ? tick(this.wiring, parties, ['finish', 'retire'])
        : rotateUploads(this.wiring, parties, {
            byPerson: plan.door === 'person',
            ...(plan.door === 'event' ? { names: ['shop'] } : {}),
          })
    work.catch(() => {})
    const done = Promise.race([work, crasher.died])
      .then(
        (report) => {
          process.report = report
          for (const { status, sentence, failures, domains } of report.outcomes) {
            this.story.push(`    ${name}: ${status}: ${sentence}`)
            const reasons = [...failures, ...domains.flatMap(({ failure }) => failure ?? [])]
            for (const reason of new Set(reasons.map(({ code, message }) => `${code}: ${message}`)))
              this.story.push(`        ${reason}`)
          }
          for (const { failure } of report.failures)
            this.story.push(`    ${name}: FAILURE ${failure.message}`)
          if (report.outcomes.length + report.failures.length === 0)
            this.story.push(`    ${name}: nothing to do`)
        },
        (thrown: unknown) => {
          if (thrown instanceof Failure) {
            process.report = { outcomes: [], failures: [{ failure: thrown }] }
            this.story.push(`    ${name}: FAILURE ${thrown.message}`)
            return
          }
          if (!(thrown instanceof Crashed)) throw thrown
          this.story.push(`    ${name}: ${thrown.message}`)
        },
      )
      .finally(() => {
        deadline.cancel()
        clock.advance(0)
      })
    return { process, done }
  }

  #parties(process: Process, deadline: Deadline): Parties {
    const { clock } = this.lab
    const parties = this.wiring.parties({ deadline })
    // Calls take no virtual time by themselves: nobody sleeps past another's call that is under way.
    const ownClock: Clock = {
      ...clock.eager,
      sleep: async (ms, signal) => {
        const others = this.processes.filter((one) => one !== process)
        while (others.some(({ flying }) => flying > 0)) await new Promise((resolve) => setImmediate(resolve))
        await clock.eager.sleep(ms, signal)
      },
    }
    const store = process.crasher.wrap('store', this.#faultyStore())
    // What waits in the background (heartbeats) must not drive the time; what waits in the story does.
    const leaseClock: Clock = {
      ...clock.eager,
      sleep: (ms, signal) =>
        (signal === undefined || signal === deadline.signal ? ownClock : clock.lazy).sleep(ms, signal),
    }
    return {
      ...parties,
      store,
      clock: ownClock,
      random: this.random,
      manager: parties.manager && process.crasher.wrap('manager', this.#watched(parties.manager, process)),
      gatewayFor: (config) =>
        process.crasher.wrap(config.flavour, this.#watched(parties.gatewayFor(config), process)),
      probe: process.crasher.wrap('probe', this.#probe(), () => false),
      lease: async (name) => {
        const options = { clock: leaseClock, random: this.random, owner: process.name }
        const answer = await takeLease(name, store, options, deadline, silentLog)
        if (!answer.held) return answer
        process.holds = true
        process.everHeld = true
        const { lease } = answer
        const release = () => {
          process.holds = false
          return lease.release()
        }
        return { held: true, lease: { ...lease, release } }
      },
      log: silentLog,
    }
  }

  /** Virtual time that ends; 0 never does. */
  #deadline(seconds: number): Deadline & { cancel(): void } {
    if (seconds === 0) return noDeadline()
    const { lazy } = this.lab.clock
    const end = lazy.monotonic() + seconds * second
    const controller = new AbortController()
    const over = new AbortController()
    lazy.sleep(seconds * second, over.signal).then(
      () => controller.abort(new Error('the time of this invocation is over')),
      () => {},
    )
    return {
      signal: controller.signal,
      remainingMs: () => Math.max(0, end - lazy.monotonic()),
      cancel: () => over.abort(),
    }
  }

  #faultyStore(): Store {
    return new Proxy(this.store as Store, {
      get: (target, property) => {
        const value = Reflect.get(target, property) as unknown
        if (typeof value !== 'function') return value
        return async (...args: unknown[]) => {
          const fault = this.#storeFault
          const fails = fault !== undefined && --fault.left === 0
          if (fails && !fault.effect) throw storeFailure(String(property))
          const result: unknown = await value.apply(target, args)
          if (fails) throw storeFailure(String(property))
          return result
        }
      },
    })
  }

  /** What a handshake would show; the edge itself has tests of its own. */
  #probe(): Probe {
    return {
      handshake: async ({ serverName }) => {
        const binding = this.lab.emulator.state().bindings.find(({ host }) => host === serverName)
        const bound = binding?.certificates ?? []
        const chosen = bound.find(({ algorithm }) => algorithm !== 'RSA') ?? bound[0]
        const served = chosen && this.lab.byFingerprint.get(chosen.fingerprint)
        return served ? { reached: true, served } : { reached: true, served: undefined, reason: 'alert' }
      },
    }
  }

  // ---------------------------------------------------------------- the lease

  /** Every change is checked when it leaves (its process must hold the lease) and when it arrives. */
  #watched<T extends object>(port: T, process: Process): T {
    return new Proxy(port, {
      get: (target, property) => {
        const value = Reflect.get(target, property) as unknown
        if (typeof value !== 'function') return value
        if (!CHANGES.includes(String(property)))
          return (...args: unknown[]) => this.#flying(process, value.apply(target, args))
        return async (...args: unknown[]) => {
          const claims = this.#liveClaims()
          if (!process.holds || !claims.includes(process.name))
            this.#fail(
              `${process.name} acts (${String(property)}) without the lease; claims: ${claims.join(', ') || 'none'}`,
            )
          this.#requireOneHolder(String(property))
          process.inFlight += 1
          try {
            return await this.#flying(process, value.apply(target, args))
          } finally {
            process.inFlight -= 1
          }
        }
      },
    })
  }

  async #flying(process: Process, call: unknown): Promise<unknown> {
    process.flying += 1
    try {
      return await call
    } finally {
      process.flying -= 1
    }
  }

  async #onCall(stage: 'arrived' | 'done', route: string, mutating: boolean): Promise<void> {
    if (stage !== 'arrived') return
    if (mutating && !route.startsWith('iam.')) {
      this.#requireOneHolder(route)
      const claims = this.#liveClaims()
      const callers = this.processes.filter(({ inFlight }) => inFlight > 0)
      // A call that was on its way when the clock jumped cannot be called back.
      if (!this.#clockJumped && !callers.some(({ name }) => claims.includes(name)))
        this.#broken ??= `${route} arrived and nobody who acts has a live claim; claims: ${claims.join(', ') || 'none'}`
    }
    this.#calls += 1
    const surprise = this.#surprise
    if (surprise && this.#calls === this.#surpriseAt) {
      this.#surprise = undefined
      await surprise()
    }
  }

  #requireOneHolder(what: string): void {
    const claims = this.#liveClaims()
    const holders = this.processes.filter(
      ({ holds, name, crasher }) => holds && !crasher.dead && claims.includes(name),
    )
    if (holders.length > 1)
      this.#broken ??= `${holders.map(({ name }) => name).join(' and ')} hold the lease at the same time (${what})`
  }

  /** Owners of the claims that nobody may ignore yet. */
  #liveClaims(): string[] {
    const now = this.lab.clock.lazy.now().getTime()
    return this.store.keys(keys.lease('shop')).flatMap((key) => {
      const until = Number(key.slice(keys.lease('shop').length).split('-')[0])
      if (until <= now) return []
      return [(JSON.parse(this.store.text(key)!) as { owner: string }).owner]
    })
  }

  // ---------------------------------------------------------------- surprises and excuses

  /** Returns whether it may leave a domain bare although nobody was killed. */
  async #surpriseHappens(
    what: NonNullable<Extract<Act, { act: 'run' }>['surprise']>['what'],
    domain: number,
  ): Promise<boolean> {
    const { clock, emulator } = this.lab
    switch (what) {
      case 'upload a newer bundle':
        this.#put(this.model.newer())
        return false
      case 'upload half of a newer bundle':
        this.#put(this.model.half('fullchain.pem', this.#incomingIsEmpty()), 'fullchain.pem')
        return false
      case 'the tokens end':
        emulator.expireTokens()
        return false
      case 'the call takes four seconds':
        await this.#slowly(4 * second)
        return false
      case 'the call takes half a minute':
        await this.#slowly(30 * second)
        return false
      case 'the wall clock goes forward an hour':
        clock.setWallClock(hour)
        this.#clockJumped = true
        return true
      case 'the wall clock goes back ten minutes':
        clock.setWallClock(-10 * minute)
        return true
      case 'unbind a domain by hand':
        await this.#byHand('unbind', domain)
        this.model.expected = undefined
        return true
      case 'bind another certificate by hand':
        await this.#byHand('bind another', domain)
        this.model.expected = undefined
        return true
    }
  }

  /** In small steps, so that heartbeats beat. */
  async #slowly(ms: number): Promise<void> {
    for (let left = ms; left > 0; left -= second) {
      this.lab.clock.advance(Math.min(left, second))
      await new Promise((resolve) => setImmediate(resolve))
    }
  }

  #excuseBare(reason: string): void {
    for (const host of this.#bare())
      if (!this.model.mayBeBare.has(host)) this.model.mayBeBare.set(host, reason)
  }

  /** Attaches that failed so often that no patience of a tool would have helped. */
  #outage(callsBefore: number): boolean {
    const failed = this.lab.emulator
      .calls()
      .slice(callsBefore)
      .filter(({ route, effect }) => /attachCertificate|addCertificate/.test(route) && !effect)
      .filter(({ status }) => status === null || status >= 400)
    return failed.length >= 4 || failed.filter(({ status }) => status === 403).length >= 2
  }

  // ---------------------------------------------------------------- judgement

  /** Peace at last: faults end, time goes on, ticks run until nothing changes. Then the model is asked. */
  async judge(): Promise<void> {
    this.story.push('- peace: no more faults, ticks until nothing changes')
    await this.#settle()
    const { model } = this
    if (model.expected !== undefined)
      for (const host of this.hosts)
        if (!model.touched.has(host) && !this.#strangerBeside(model.expected))
          this.#requireServed(host, model.expected, 'the newest acceptable bundle')
    this.#requireTidy(false)
    this.story.push('- a last, newer bundle')
    const last = model.newer()
    this.#put(last)
    await this.#settle()
    for (const host of this.hosts) this.#requireServed(host, last, 'the last bundle')
    if (!this.#incomingIsEmpty()) this.#fail('the last bundle still lies in incoming/')
    this.#requireTidy(true)
  }

  async #settle(): Promise<void> {
    const { emulator, clock } = this.lab
    emulator.faults.clear()
    this.#storeFault = undefined
    // Claims dated into the future by a clock that was set back are cleared away a day after their time.
    clock.advance(Math.max(0, this.#latest - clock.lazy.now().getTime()) + 2 * day)
    let quiet = 0
    for (let round = 0; quiet < 2; round++) {
      if (round > 15) this.#fail('ticks go on changing things for ever')
      clock.advance(7 * hour)
      const sequence = emulator.calls().at(-1)?.sequence ?? 0
      await this.#run({ act: 'run', processes: [{ door: 'tick', killAt: 0, deadline: 0 }] })
      this.#check()
      const changed = emulator
        .calls()
        .some((call) => call.sequence > sequence && call.effect && call.mutating)
      quiet = changed ? 0 : quiet + 1
    }
  }

  /**
   * A stranger's of the other algorithm beside the new one, and the state file lost: clients may be served either, so that
   * the new one may be told to be not served, and the bundle be refused at the first domain. By its name it is a
   * stranger's also where strategy update has changed its content: that this was our doing stood in the state.
   */
  #strangerBeside(age: number): boolean {
    const both = this.lab.emulator
      .state()
      .bindings.map(
        ({ certificates }) =>
          certificates.some((one) => this.#ageOf(one.fingerprint) === String(age)) &&
          certificates.some((one) => this.#isStranger(one, age)),
      )
    return this.#tampered && both.includes(true)
  }

  #isStranger({ fingerprint, name }: { fingerprint: string; name: string }, age: number): boolean {
    const own = this.#ageOf(fingerprint)
    return own !== String(age) && (['1', 'another'].includes(own) || !name.startsWith('cr_'))
  }

  #requireServed(host: string, age: number, what: string): void {
    const binding = this.lab.emulator.state().bindings.find((one) => one.host === host)!
    const bound = binding.certificates.map(({ fingerprint }) => this.#ageOf(fingerprint))
    // A stranger's of the other algorithm stays beside: whose place the new one was to take went with the state file.
    const ours = this.#tampered
      ? binding.certificates
          .filter((one) => !this.#isStranger(one, age))
          .map(({ fingerprint }) => this.#ageOf(fingerprint))
      : bound
    if (ours.length === 1 && ours[0] === String(age)) return
    this.#fail(`${host} must serve ${what} (${age}); bound to it: ${bound.join(', ') || 'nothing'}`)
  }

  #ageOf(fingerprint: string): string {
    const age = this.lab.bundles.findIndex((one) => one.fingerprint === fingerprint)
    return age === -1 ? 'another' : String(age)
  }

  /** After every act. */
  #check(): void {
    if (this.#broken) throw this.#violation(this.#broken)
    this.#latest = Math.max(this.#latest, this.lab.clock.lazy.now().getTime())
    const state = this.lab.emulator.state()
    const count = (key: string) => this.#mostCertificates.set(key, (this.#mostCertificates.get(key) ?? 0) + 1)
    this.#mostCertificates.clear()
    for (const { flavour, name } of state.certificates)
      if (name.startsWith('cr_')) count(`${name} at ${flavour}`)
    for (const { name } of state.scm) count(`${name} in SCM`)
    for (const [what, times] of this.#mostCertificates)
      if (times > 1) this.#fail(`${what} is there ${times} times`)
    for (const { service, project, copies } of state.pushes)
      if (copies > 1) this.#fail(`${service} in ${project} got ${copies} copies of one certificate`)
    for (const key of this.store.keys('state/'))
      if (/PRIVATE KEY/.test(this.store.text(key)!)) this.#fail(`${key} holds a private key`)
  }

  /** Claims of the dead are cleared away by whoever takes the lease next, if anybody does. */
  #requireTidy(someoneTookTheLease: boolean): void {
    const { store } = this
    const state = store.text(keys.state('shop'))
    const parsed = state === undefined ? undefined : parseState('shop', state)
    if (state !== undefined && !parsed) this.#fail('the state file does not parse')
    if (someoneTookTheLease && !this.#tampered)
      for (const { id, name } of [
        ...this.lab.emulator.state().certificates,
        ...this.lab.emulator.state().scm,
      ])
        if (name.startsWith('cr_') && !parsed?.created.some((one) => one.id === id))
          this.#fail(`${name} is ours, and the state file does not know it: it would never be retired`)
    const stray = store
      .keys()
      .filter(
        (key) =>
          !/^(state\/shop(\.broken-[^/]+)?\.json|incoming\/shop\/(fullchain|privkey)\.pem|(deployed|rejected)\/shop\/[^/]+\/((late\/)?(fullchain|privkey)\.pem|result\.json|README\.txt))$/.test(
            key,
          ),
      )
      .filter((key) => someoneTookTheLease || !key.startsWith(keys.lease('shop')))
    if (stray.length > 0) this.#fail(`stray objects: ${stray.join(', ')}`)
    const folders = new Set(
      store.keys().flatMap((key) => /^((deployed|rejected)\/shop\/[^/]+)\//.exec(key)?.[1] ?? []),
    )
    for (const folder of folders) {
      const result = store.text(`${folder}/result.json`)
      // A move that died and is noted is undone by the next one.
      const isNoted = parsed?.moving?.to === `${folder}/`
      if (result === undefined && !this.#tampered && !isNoted) this.#fail(`${folder} has no result.json`)
      if (result !== undefined && /PRIVATE KEY/.test(result)) this.#fail(`${folder}/result.json holds a key`)
    }
  }

  #bare(): string[] {
    return this.lab.emulator
      .state()
      .domainsWithoutCertificate.map(({ host }) => host)
      .filter((host) => this.hosts.includes(host))
  }

  #incomingIsEmpty(): boolean {
    return this.store.keys(keys.incoming('shop')).length === 0
  }

  /** Inside a call nobody would hear a thrown error: it is kept, and thrown at the next check too. */
  #fail(what: string): never {
    this.#broken ??= what
    throw this.#violation(this.#broken)
  }

  #violation(what: string): Violation {
    return new Violation(`${what}\n\nWhat happened:\n${this.story.join('\n')}`)
  }
}

const FAULTS: Record<Misfortune, Parameters<Emulator['faults']['add']>[0]['fault']> = {
  'reply lost': { lose: 'reply' },
  'request lost': { lose: 'request' },
  'half a reply': { lose: 'half-reply' },
  '500': { status: 500 },
  '429': { status: 429, errorCode: 'APIG.0308' },
  '429 with Retry-After': { status: 429, errorCode: 'APIG.0308', headers: { 'Retry-After': '2' } },
  '500 APIG.9008': { status: 500, errorCode: 'APIG.9008' },
  '403': { status: 403, errorCode: 'APIG.1005' },
}

function storeFailure(operation: string): Failure {
  return new Failure({
    code: 'store.unreachable',
    kind: 'again',
    message: `The store did not answer (${operation})`,
    next: 'Nothing: it is a test.',
    effect: 'unknown',
  })
}

function servedFrom(fullchainPem: string): ServedCertificate {
  const [leaf, ...rest] = fullchainPem
    .match(/-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g)!
    .map((pem) => new X509Certificate(pem))
  const fingerprint = (one: X509Certificate) => one.fingerprint256.replaceAll(':', '').toLowerCase()
  return {
    fingerprint: fingerprint(leaf!),
    chain: [leaf!, ...rest].map(fingerprint),
    notBefore: new Date(leaf!.validFrom),
    notAfter: new Date(leaf!.validTo),
    commonName: ALL_HOSTS[0]!,
    issuer: leaf!.issuer,
    names: ALL_HOSTS,
  }
}

/** Small, seeded and good enough for jitter (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
