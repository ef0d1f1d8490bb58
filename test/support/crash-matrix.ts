import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Outcome } from '../../shared/rotation/record/state.ts'
import type { Wiring } from '../../shared/wire/cloud.ts'
import { type Bundle, TestCloud } from './cloud.ts'
import { runOnce, runUntilSettled } from './crash-run.ts'
import { Crashed, Crasher } from './crasher.ts'
import { STRATEGIES } from './fault-matrix.ts'
import { VirtualClock } from './virtual-clock.ts'

/** What stands in the way of the rotation that dies. */
export type Obstacle = 'nothing' | 'the canary is refused' | 'the canary never serves it'
/** What the gateways do with an attach beside another certificate. */
export type Habit = 'refuse' | 'replace' | 'keep-both'

export interface CrashVerdict {
  where: string
  problems: string[]
}

const PUSH = [
  { service: 'ELB', project: 'eu-de' },
  { service: 'CDN', project: 'eu-de' },
]
/** What a directory store leaves where the process dies while it writes. */
const HALF_WRITTEN = '.tmp-0123456789abcdef01234567'

/** A rotation that dies at one boundary after another, and is run again each time. */
export class CrashMatrix {
  readonly #strategy: string
  readonly #obstacle: Obstacle
  readonly #habit: Habit
  readonly #clock: VirtualClock
  readonly #cloud: TestCloud
  #wiring!: Wiring
  #bundle!: Bundle
  #before: Record<string, string[]> = {}

  private constructor(
    [strategy, obstacle, habit]: [string, Obstacle, Habit],
    clock: VirtualClock,
    cloud: TestCloud,
  ) {
    this.#strategy = strategy
    this.#obstacle = obstacle
    this.#habit = habit
    this.#clock = clock
    this.#cloud = cloud
  }

  static async start(
    strategy: string,
    obstacle: Obstacle = 'nothing',
    habit: Habit = 'refuse',
  ): Promise<CrashMatrix> {
    const clock = new VirtualClock()
    const cloud = await TestCloud.start({
      clock: clock.lazy,
      apig: ['api.shop.example', 'www.shop.example'],
      roma: ['erp.shop.example'],
    })
    const matrix = new CrashMatrix([strategy, obstacle, habit], clock, cloud)
    const config = cloud.config({ push: PUSH }, STRATEGIES[strategy], { servedWithin: '6s' })
    matrix.#bundle = await cloud.issue()
    matrix.#wiring = matrix.#hindered(await cloud.wire(config, { clock: clock.eager }))
    return matrix
  }

  #hindered(wiring: Wiring): Wiring {
    if (this.#obstacle !== 'the canary never serves it') return wiring
    const parties: Wiring['parties'] = (run) => {
      const real = wiring.parties(run)
      const handshake: typeof real.probe.handshake = async (target, signal) => {
        const really = await real.probe.handshake(target, signal)
        const isNew = really.reached && really.served?.fingerprint === this.#bundle.fingerprint
        return isNew && target.serverName === 'api.shop.example'
          ? { reached: true, served: undefined, reason: 'handshake failure' }
          : really
      }
      return { ...real, probe: { handshake } }
    }
    return { ...wiring, parties }
  }

  async #fresh(): Promise<void> {
    await this.#cloud.startOver()
    this.#cloud.emulator.setRules({ attachOverOther: this.#habit })
    await this.#cloud.drop(this.#bundle)
    this.#before = this.#cloud.bound()
    if (this.#obstacle === 'the canary is refused')
      this.#cloud.emulator.faults.add({
        route:
          { update: 'apig.updateCertificate', add: 'apig.addCertificate' }[this.#strategy] ??
          'apig.attachCertificate',
        // Before it: the rehearsal (an attach), and the first try, which finds the name occupied.
        nth: { update: 1, add: 2 }[this.#strategy] ?? 3,
        fault: { status: 400, errorCode: 'APIG.2104' },
      })
  }

  /** The boundaries of a run that lives, and what is wrong with its end. */
  async count(): Promise<{ boundaries: string[]; problems: string[] }> {
    await this.#fresh()
    const counting = new Crasher(0)
    const came = await runOnce(this.#wiring, this.#clock, counting)
    if (came instanceof Crashed) throw came
    return { boundaries: counting.passed, problems: await this.#problems(came) }
  }

  async dieAt(boundary: number): Promise<CrashVerdict> {
    await this.#fresh()
    const came = await runOnce(this.#wiring, this.#clock, new Crasher(boundary))
    const folder = join(this.#cloud.folder, 'bucket', 'state')
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, HALF_WRITTEN), '{"schema": 1, "na')
    const { outcomes } = await runUntilSettled(this.#wiring, this.#clock, () => new Crasher(0))
    const death = came instanceof Crashed ? came.message : 'it lived'
    return {
      where: `${this.#strategy}, ${this.#obstacle}, ${this.#habit}, boundary ${boundary}: ${death}; then ${outcomes.map(({ status, sentence }) => `${status}: ${sentence}`).join('; ')}`,
      problems: await this.#problems(came instanceof Crashed ? outcomes : came),
    }
  }

  async #problems(outcomes: Outcome[]): Promise<string[]> {
    const cloud = this.#cloud
    const problems: string[] = []
    const bound = cloud.bound()
    const isAll = (wanted: (host: string) => string[]) =>
      cloud.hosts.every((host) => JSON.stringify(bound[host]) === JSON.stringify(wanted(host)))
    const isNew = isAll(() => [this.#bundle.fingerprint])
    const isOld = isAll((host) => this.#before[host]!)
    const end = JSON.stringify(bound)
    if (this.#obstacle === 'nothing' && !isNew) problems.push(`not every domain has the new one: ${end}`)
    if (this.#obstacle === 'the canary never serves it' && !isOld)
      problems.push(`not every domain has its predecessor: ${end}`)
    if (!isNew && !isOld) problems.push(`neither all new nor all as before: ${end}`)
    if (this.#obstacle === 'nothing' && outcomes.some(({ status }) => status === 'rolled back'))
      problems.push('a false failure')
    const state = cloud.emulator.state()
    const copies = state.certificates.filter((one) => one.fingerprint === this.#bundle.fingerprint)
    if (isNew && copies.length !== (this.#strategy === 'add' ? 3 : 2))
      problems.push(`${copies.length} certificates of the bundle`)
    if (isNew && copies.some((one) => one.boundTo.length === 0)) problems.push('one of them is not in use')
    if (isNew && state.scm.length !== 1) problems.push(`imported ${state.scm.length} times`)
    if (isNew && JSON.stringify(state.pushes.map((one) => one.copies)) !== '[1,1]')
      problems.push(`pushed ${JSON.stringify(state.pushes)}`)
    problems.push(...(await this.#problemsInStore(copies, state.scm)))
    return problems
  }

  async #problemsInStore(copies: { id: string }[], imported: { id: string }[]): Promise<string[]> {
    const problems: string[] = []
    const keys = await this.#cloud.keys()
    const known =
      /^(state\/shop\.json|(deployed|rejected)\/shop\/[^/]+\/((fullchain|privkey)\.pem|result\.json|README\.txt))$/
    const stray = keys.filter((key) => !known.test(key))
    if (stray.length > 0) problems.push(`stray objects: ${stray.join(', ')}`)
    const results = keys.filter((key) => key.endsWith('result.json')).length
    if (results !== 1) problems.push(`${results} results`)
    const stored = await this.#cloud.store.get('state/shop.json')
    const state = JSON.parse(new TextDecoder().decode(stored?.bytes))
    const created = new Set(state.created.map(({ id }: { id: string }) => id))
    if (this.#strategy !== 'update')
      for (const { id } of [...copies, ...imported])
        if (!created.has(id)) problems.push(`${id} is ours and is not remembered as such`)
    return problems
  }

  close(): Promise<void> {
    return this.#cloud.close()
  }
}
