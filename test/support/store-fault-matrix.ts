import type { IncomingMessage } from 'node:http'
import { minute } from '../../shared/base/clock.ts'
import { asFailure } from '../../shared/base/failure.ts'
import type { Store } from '../../shared/store/port.ts'
import type { Wiring } from '../../shared/wire/cloud.ts'
import { type Bundle, TestCloud } from './cloud.ts'
import { LEASE_TTL_MS, runOnce } from './crash-run.ts'
import { Crashed, Crasher } from './crasher.ts'
import { type Fault, type FaultProxy, faultProxy } from './fault-proxy.ts'
import type { S3Server } from './s3-server.ts'
import { VirtualClock } from './virtual-clock.ts'

type Operation = 'GET' | 'LIST' | 'PUT' | 'DELETE'

const xml = (code: string) => `<?xml version="1.0"?><Error><Code>${code}</Code></Error>`
const page = '<html><body>Please log in</body></html>'

/** What a proxy, a balancer or a cache between us and the store may do to one request, and to which. */
export const FALSE_ANSWERS: Record<string, { fault: Fault; to: readonly Operation[] }> = {
  '200 with a web page': { fault: { status: 200, body: page }, to: ['GET', 'LIST', 'PUT', 'DELETE'] },
  'a body cut short, its head made to fit': { fault: 'shorten', to: ['GET', 'LIST'] },
  '200 or 204, and nothing done': { fault: 'pretend', to: ['PUT', 'DELETE'] },
  '404': { fault: { status: 404, body: xml('NoSuchKey') }, to: ['GET', 'LIST', 'PUT', 'DELETE'] },
  '403': { fault: { status: 403, body: xml('AccessDenied') }, to: ['GET', 'LIST', 'PUT', 'DELETE'] },
  '403 with a web page': { fault: { status: 403, body: page }, to: ['GET', 'LIST', 'PUT', 'DELETE'] },
  'a reset, before': { fault: 'lose-request', to: ['GET', 'LIST', 'PUT', 'DELETE'] },
  'a reset, after': { fault: 'lose-reply', to: ['GET', 'LIST', 'PUT', 'DELETE'] },
  'no answer in time': { fault: 'stall', to: ['GET', 'LIST', 'PUT', 'DELETE'] },
}

export interface StoreFault {
  /** Counted from 1 over the requests of a run without a fault. */
  request: number
  kind: string
  /** Every request of the same operation from there on, until the run ends; else the one. */
  lasting: boolean
}

const MOST_RUNS = 6

/** A rotation from a bucket on a real S3 server, of whose requests one after another is answered falsely. */
export class StoreFaultMatrix {
  readonly #clock: VirtualClock
  readonly #cloud: TestCloud
  readonly #proxy: FaultProxy
  readonly #direct: Store
  readonly #wiring: Wiring
  readonly #bundle: Bundle

  private constructor(parts: {
    clock: VirtualClock
    cloud: TestCloud
    proxy: FaultProxy
    direct: Store
    wiring: Wiring
    bundle: Bundle
  }) {
    this.#clock = parts.clock
    this.#cloud = parts.cloud
    this.#proxy = parts.proxy
    this.#direct = parts.direct
    this.#wiring = parts.wiring
    this.#bundle = parts.bundle
  }

  static async start(s3: S3Server): Promise<StoreFaultMatrix> {
    // The store dates what it holds by its own clock.
    const clock = new VirtualClock(new Date().toISOString())
    const cloud = await TestCloud.start({
      clock: clock.lazy,
      apig: ['api.shop.example', 'www.shop.example'],
      roma: [],
    })
    const proxy = await faultProxy(s3.endpoint)
    const bucket = await s3.freshBucket()
    const store = {
      bucket,
      endpoint: proxy.endpoint,
      region: 'us-east-1',
      pathStyle: true,
      accessKey: { id: s3.accessKeyId, secret: s3.secretAccessKey },
    }
    const config = { ...cloud.config({}, {}, { requestTimeout: '1s' }), store }
    const wiring = await cloud.wire(config, { clock: clock.eager })
    const bundle = await cloud.issue()
    return new StoreFaultMatrix({ clock, cloud, proxy, direct: s3.store(bucket), wiring, bundle })
  }

  /** Every fault there is: found by counting the requests of a run that meets none. */
  async faults(): Promise<StoreFault[]> {
    await this.#fresh()
    const operations: Operation[] = []
    this.#proxy.plan((_, request) => {
      operations.push(operationOf(request))
      return 'none'
    })
    await this.#run()
    const problems = await this.#problems()
    if (problems.length > 0) throw new Error(`without a fault: ${problems.join('; ')}`)
    return operations.flatMap((operation, index) =>
      Object.entries(FALSE_ANSWERS).flatMap(([kind, { fault, to }]) =>
        to.includes(operation)
          ? [false, ...(fault === 'stall' ? [] : [true])].map((lasting) => ({
              request: index + 1,
              kind,
              lasting,
            }))
          : [],
      ),
    )
  }

  /** What is wrong when all is well again and the timer has come some times; empty where it converged. */
  async meet({ request, kind, lasting }: StoreFault): Promise<string[]> {
    await this.#fresh()
    const { fault } = FALSE_ANSWERS[kind]!
    let operation: Operation | undefined
    this.#proxy.plan((count, incoming) => {
      if (count === request) operation = operationOf(incoming)
      const hit = count === request || (lasting && count > request && operationOf(incoming) === operation)
      return hit ? fault : 'none'
    })
    const said = [await this.#run()]
    this.#proxy.plan(() => 'none')
    for (let runs = 1; runs < MOST_RUNS; runs++) {
      this.#clock.advance(LEASE_TTL_MS + 7 * minute)
      said.push(await this.#run())
      const left = (await this.#direct.list('')).map(({ key }) => key)
      if (!left.some((key) => key.startsWith('incoming/') || key.includes('.lease/'))) break
    }
    const problems = await this.#problems()
    return problems.length === 0 ? [] : [`${operation ?? 'nothing'}: ${said.join(' | ')}`, ...problems]
  }

  async #run(): Promise<string> {
    try {
      const came = await runOnce(this.#wiring, this.#clock, new Crasher(0))
      if (came instanceof Crashed) throw came
      return came.map(({ status, sentence }) => `${status}: ${sentence}`).join(', ') || 'nothing to do'
    } catch (thrown) {
      return asFailure(thrown).message
    }
  }

  async #fresh(): Promise<void> {
    this.#proxy.plan(() => 'none')
    await this.#cloud.startOver()
    for (const { key } of await this.#direct.list('')) await this.#direct.delete(key)
    await this.#direct.put('incoming/shop/fullchain.pem', this.#bundle.fullchainPem)
    await this.#direct.put('incoming/shop/privkey.pem', this.#bundle.privateKeyPem)
  }

  async #problems(): Promise<string[]> {
    const problems: string[] = []
    const { bindings, certificates } = this.#cloud.emulator.state()
    const { fingerprint, fullchainPem, privateKeyPem } = this.#bundle
    for (const { host, served } of bindings)
      if (served.fingerprints[0] !== fingerprint) problems.push(`${host} does not serve the new certificate`)
    const copies = certificates.filter((one) => one.fingerprint === fingerprint).length
    if (copies !== 1) problems.push(`${copies} certificates of the bundle`)
    const contents: Record<string, string> = {
      'fullchain.pem': fullchainPem,
      'privkey.pem': privateKeyPem,
      'result.json': '',
    }
    const keys = (await this.#direct.list('')).map(({ key }) => key)
    const deployed = keys.filter((key) => /^deployed\/shop\/[^/]+\/[^/]+$/.test(key))
    const folders = new Set(deployed.map((key) => key.split('/')[2]))
    if (folders.size !== 1) problems.push(`${folders.size} folders in deployed/`)
    for (const [name, content] of Object.entries(contents)) {
      const key = deployed.find((one) => one.endsWith(`/${name}`))
      const found = key && Buffer.from((await this.#direct.get(key))!.bytes).toString()
      if (!found || (content && found !== content)) problems.push(`${name} is not whole in deployed/`)
    }
    const stray = keys.filter((key) => key !== 'state/shop.json' && !deployed.includes(key))
    if (stray.length > 0) problems.push(`stray objects: ${stray.join(', ')}`)
    return problems
  }

  async close(): Promise<void> {
    await this.#cloud.close()
    await this.#proxy.close()
  }
}

function operationOf({ method, url }: IncomingMessage): Operation {
  return method === 'GET' && url?.includes('prefix=') ? 'LIST' : (method as Operation)
}
