import type { FaultRequest } from '../../emulator/faults.ts'
import { minute } from '../../shared/base/clock.ts'
import type { Outcome } from '../../shared/rotation/record/state.ts'
import type { Bundle } from './cloud.ts'
import { Story } from './story.ts'

export const STRATEGIES: Record<string, Record<string, unknown>> = {
  rebind: {},
  'rebind, attach first': { attachFirst: true },
  update: { strategy: 'update', updateWithoutWayBack: true },
  add: { strategy: 'add' },
}

/** How one call can go wrong. Whatever happens, the next tick finds the service well again. */
export const FAULTS: Record<string, FaultRequest['fault']> = {
  'reply lost': { lose: 'reply' },
  'request lost': { lose: 'request' },
  'reset in the middle of the body': { lose: 'half-reply' },
  'not JSON': { reply: '<html>welcome</html>' },
  500: { status: 500, errorCode: 'APIG.9999' },
  '500, but done': { status: 500, errorCode: 'APIG.9999', effect: 'done' },
  '500 APIG.9008': { status: 500, errorCode: 'APIG.9008' },
  '429 with Retry-After': { status: 429, errorCode: 'APIGW.0308', headers: { 'Retry-After': '1' } },
  'slower than the time-out': { delayMs: 3000 },
}

const REQUEST_TIMEOUT_MS = 400
const PUSH = [
  { service: 'ELB', project: 'eu-de' },
  { service: 'CDN', project: 'eu-de' },
]

export interface StruckCall {
  route: string
  /** The n-th call of its route, from 1. */
  nth: number
}

export interface Verdict {
  where: string
  problems: string[]
  duplicates: number
  /** Domains without a certificate when the struck run had ended. */
  bare: number
  converged: boolean
}

/** One fault at each mutating call of a rotation, found by counting; then ticks until it is done. */
export class FaultMatrix {
  readonly #strategy: string
  readonly #story: Story
  readonly #bundle: Bundle

  private constructor(strategy: string, story: Story, bundle: Bundle) {
    this.#strategy = strategy
    this.#story = story
    this.#bundle = bundle
  }

  static async start(strategy: string): Promise<FaultMatrix> {
    const story = await Story.start({
      apig: ['api.shop.example', 'www.shop.example'],
      roma: ['erp.shop.example'],
      certificate: { push: PUSH },
      gateway: STRATEGIES[strategy]!,
      rest: { requestTimeout: `${REQUEST_TIMEOUT_MS}ms`, concurrency: 1 },
    })
    return new FaultMatrix(strategy, story, await story.cloud.issue())
  }

  async #fresh(): Promise<void> {
    const { cloud } = this.#story
    await cloud.startOver()
    await cloud.drop(this.#bundle)
  }

  async mutatingCalls(): Promise<StruckCall[]> {
    // On a machine that stands still for a moment a call times out: such a run is not the one to count.
    for (let tries = 1; ; tries++) {
      await this.#fresh()
      const outcomes = await this.#story.tick()
      if (outcomes.at(-1)?.status === 'rotated') break
      if (tries === 3) throw new Error(JSON.stringify(outcomes))
    }
    const counts = new Map<string, number>()
    return this.#story.changes().map((route) => {
      counts.set(route, (counts.get(route) ?? 0) + 1)
      return { route, nth: counts.get(route)! }
    })
  }

  async strike(call: StruckCall, fault: string): Promise<Verdict> {
    const story = this.#story
    await this.#fresh()
    story.fault(call.route, FAULTS[fault]!, { nth: call.nth })
    const first = await story.tick()
    // A slow call lands when nobody waits for it any more.
    story.clock.advance(minute)
    await settled()
    const bare = story.bare().length
    const later = first.at(-1)?.status === 'rotated' ? [] : await story.ticks()
    const outcomes = [...first, ...later]
    const problems = await this.#problems(outcomes)
    // Only a detach that lands after its time-out may leave a domain bare, until the next tick.
    if (bare > 0 && !(fault === 'slower than the time-out' && call.route.endsWith('detachCertificate')))
      problems.push(`${bare} domain(s) were without a certificate after the run`)
    const last = outcomes.at(-1)
    return {
      where: `${this.#strategy}: ${call.route} #${call.nth}, ${fault}; ${outcomes.map(({ status, sentence }) => `${status}: ${sentence}`).join('; ')}`,
      problems,
      duplicates: problems.filter((problem) => problem.includes('copies')).length,
      bare,
      converged: last?.status === 'rotated',
    }
  }

  async #problems(outcomes: Outcome[]): Promise<string[]> {
    const { cloud } = this.#story
    const problems: string[] = []
    const last = outcomes.at(-1)
    if (last?.status !== 'rotated' && last?.status !== 'already deployed')
      problems.push(`it ended as ${last?.status}`)
    for (const { status } of outcomes)
      if (['rolled back', 'refused'].includes(status)) problems.push(`false failure: ${status}`)
    for (const [host, bound] of Object.entries(cloud.bound()))
      if (bound.length !== 1 || bound[0] !== this.#bundle.fingerprint)
        problems.push(`${host} has ${bound.length} certificate(s), not the new one`)
    const state = cloud.emulator.state()
    const copies = this.#story.copies(this.#bundle)
    const wanted = this.#strategy === 'add' ? 3 : 2
    if (copies !== wanted) problems.push(`${copies} copies at the gateways instead of ${wanted}`)
    if (state.scm.length !== 1) problems.push(`${state.scm.length} copies in SCM`)
    for (const one of state.pushes)
      if (one.copies !== 1) problems.push(`${one.copies} copies at ${one.service}`)
    if (state.pushes.length !== PUSH.length) problems.push(`pushed to ${state.pushes.length} targets`)
    return problems
  }

  close(): Promise<void> {
    return this.#story.close()
  }
}

/** Real turns of the event loop, for calls that the emulator was still holding back. */
function settled(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 15))
}
