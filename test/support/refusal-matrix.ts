import type { Outcome } from '../../shared/rotation/record/state.ts'
import type { Bundle } from './cloud.ts'
import { STRATEGIES } from './fault-matrix.ts'
import { Story } from './story.ts'

/** Every status that the error tables document for these calls, and what answers without a code of the service. */
export const REFUSALS: [status: number, errorCode?: string][] = [
  ...[
    2000, 2001, 2011, 2012, 2050, 2051, 2101, 2102, 2103, 2104, 2105, 2106, 2109, 3148, 3309, 3325, 3715,
  ].map((code): [number, string] => [400, `APIG.${code}`]),
  ...[1000, 1001, 1002, 1003].map((code): [number, string] => [401, `APIG.${code}`]),
  [401, 'APIGW.0301'],
  ...[1005, 1020, 1101, 1115, 1136, 1301, 3100, 3474].map((code): [number, string] => [403, `APIG.${code}`]),
  ...[3001, 3020, 3021, 3025, 3030, 3093, 3097].map((code): [number, string] => [404, `APIG.${code}`]),
  ...[3708, 3709, 3711, 3718].map((code): [number, string] => [409, `APIG.${code}`]),
  [409, 'APIC.7701'],
  [412, 'APIG.3458'],
  [429, 'APIGW.0308'],
  ...[3500, 9003, 9008, 9999].map((code): [number, string] => [500, `APIG.${code}`]),
  [502],
  [400],
  [403],
  [404],
]

/** What is answered so, for good: the calls of the operator's policy that may be missing one by one. */
export const ACTS: Record<string, string[]> = {
  attach: ['attachCertificate'],
  detach: ['detachCertificate'],
  both: ['attachCertificate', 'detachCertificate'],
  create: ['createCertificate', 'addCertificate', 'updateCertificate'],
}

export const FLAVOURS = ['apig', 'roma'] as const

export interface Refused {
  refusal: (typeof REFUSALS)[number]
  act: string
  flavour: (typeof FLAVOURS)[number]
}

export interface RefusalVerdict {
  where: string
  problems: string[]
  bare: number
}

/** How often the timer comes by while the service goes on refusing. */
const TICKS = 3

/** One kind of call is refused at one gateway for good, from the first time on. */
export class RefusalMatrix {
  readonly #strategy: string
  readonly #story: Story
  readonly #bundle: Bundle
  readonly #begun: number

  private constructor(strategy: string, story: Story, bundle: Bundle) {
    this.#strategy = strategy
    this.#story = story
    this.#bundle = bundle
    this.#begun = story.clock.lazy.now().getTime()
  }

  static async start(strategy: string): Promise<RefusalMatrix> {
    const story = await Story.start({
      apig: ['api.shop.example', 'www.shop.example'],
      roma: ['erp.shop.example'],
      gateway: STRATEGIES[strategy]!,
      rest: { concurrency: 1 },
    })
    return new RefusalMatrix(strategy, story, await story.cloud.issue())
  }

  static all(): Refused[] {
    return Object.keys(ACTS).flatMap((act) =>
      FLAVOURS.flatMap((flavour) => REFUSALS.map((refusal) => ({ refusal, act, flavour }))),
    )
  }

  async refuse({ refusal: [status, errorCode], act, flavour }: Refused): Promise<RefusalVerdict> {
    const story = this.#story
    const { cloud } = story
    // Hundreds of cases one after another would see the old certificate expire.
    story.clock.setWallClock(this.#begun - story.clock.lazy.now().getTime())
    await cloud.startOver()
    const before = cloud.bound()
    await cloud.drop(this.#bundle)
    for (const call of ACTS[act]!)
      story.fault(
        `${flavour}.${call}`,
        errorCode ? { status, errorCode } : { status, reply: '<html>no</html>', effect: 'none' },
      )
    const problems: string[] = []
    const outcomes: Outcome[] = []
    let bare = 0
    for (let tick = 0; tick < TICKS; tick++) {
      outcomes.push(...(await story.tick()))
      bare = Math.max(bare, story.bare().length)
      story.clock.advance(20 * 60_000)
    }
    if (bare > 0) problems.push(`${bare} domain(s) were without a certificate after a tick`)
    for (const [host, bound] of Object.entries(cloud.bound()))
      if (bound.length !== 1 || ![before[host]![0], this.#bundle.fingerprint].includes(bound[0]!))
        problems.push(`${host} has neither its own certificate nor the new one`)
    const { gaps } = cloud.emulator.state()
    // The name is said to be taken, and still is when it no longer can be: that is found out by trying.
    const lies = errorCode === 'APIG.2051' && act === 'create'
    const struck = flavour === 'apig' ? cloud.apig : cloud.roma
    const opened = gaps.filter(({ host }) => struck.includes(host))
    if (opened.length > 0 && !lies) problems.push(`${opened.length} gap(s) at domains that cannot be served`)
    const copies = story.copies(this.#bundle)
    if (copies > (this.#strategy === 'add' ? 3 : 2)) problems.push(`${copies} copies of the certificate`)
    return {
      where: `${this.#strategy}: ${flavour} ${act} answers ${status} ${errorCode ?? 'without a code'}; ${outcomes.map((one) => `${one.status}: ${one.sentence}`).join('; ')}`,
      problems,
      bare,
    }
  }

  close(): Promise<void> {
    return this.#story.close()
  }
}
