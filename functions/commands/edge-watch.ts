import { systemClock } from '../../shared/base/clock.ts'
import type { ProbeTarget, ServedCertificate } from '../../shared/probe/port.ts'
import { createProbe } from '../../shared/probe/tls.ts'
import { probeTarget } from '../../shared/rotation/plan/look.ts'

/** What a client that keeps connecting saw of one domain. */
export interface Watched {
  host: string
  before: ServedCertificate | undefined
  after: ServedCertificate | undefined
  handshakes: number
  refused: number
  longestRefusalMs: number
}

const PAUSE_MS = 15

/** Shakes hands with every domain all the time, from `start` to `stop`. */
export class EdgeWatch {
  readonly #domains: Watched[]
  readonly #edge: { host: string; port: number }
  readonly #probe = createProbe({ timeoutMs: 2_000 })
  #running: Promise<void>[] = []
  #stopped = false

  constructor(hosts: string[], edge: { host: string; port: number }) {
    this.#edge = edge
    this.#domains = hosts.map((host) => ({
      host,
      before: undefined,
      after: undefined,
      handshakes: 0,
      refused: 0,
      longestRefusalMs: 0,
    }))
  }

  async start(): Promise<void> {
    await Promise.all(this.#domains.map(async (domain) => (domain.before = await this.#handshake(domain))))
    this.#running = this.#domains.map((domain) => this.#keepLooking(domain))
  }

  async stop(): Promise<Watched[]> {
    if (!this.#stopped) {
      this.#stopped = true
      await Promise.all(this.#running)
      await Promise.all(this.#domains.map(async (domain) => (domain.after = await this.#handshake(domain))))
    }
    return this.#domains
  }

  async #keepLooking(domain: Watched): Promise<void> {
    let refusedSince: number | undefined
    while (!this.#stopped) {
      const begun = systemClock.monotonic()
      const served = await this.#handshake(domain)
      domain.handshakes += 1
      if (served) refusedSince = undefined
      else {
        domain.refused += 1
        refusedSince ??= begun
        domain.longestRefusalMs = Math.max(
          domain.longestRefusalMs,
          Math.round(systemClock.monotonic() - refusedSince),
        )
      }
      await systemClock.sleep(PAUSE_MS)
    }
  }

  async #handshake({ host }: Watched): Promise<ServedCertificate | undefined> {
    const target = probeTarget(host, { connect: `${this.#edge.host}:${this.#edge.port}` }) as ProbeTarget
    const result = await this.#probe.handshake(target)
    return result.reached ? result.served : undefined
  }
}
