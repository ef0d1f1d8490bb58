import type { Clock } from '../../shared/base/clock.ts'

/** Real milliseconds. */
const LONGEST_BACKGROUND_MS = 500
const LONGEST_STEP_MS = 2000

interface Sleeper {
  at: number
  wake(): void
}

/**
 * Time for tests that must not wait. `eager` is for the code that drives the story: its sleeps move the time
 * forward and end at once. `lazy` is for whatever sleeps in the background (a lease's heartbeat): it wakes only
 * when somebody else has moved the time past it. Both show the same time.
 */
export class VirtualClock {
  #now: number
  #monotonic = 0
  readonly #sleepers = new Set<Sleeper>()
  readonly #inBackground = new Set<() => Promise<unknown>>()
  readonly eager: Clock
  readonly lazy: Clock

  constructor(start = '2026-11-22T12:00:00Z') {
    this.#now = Date.parse(start)
    const time = { now: () => new Date(this.#now), monotonic: () => this.#monotonic }
    this.eager = { ...time, sleep: (ms, signal) => this.#jump(ms, signal) }
    this.lazy = { ...time, sleep: (ms, signal) => this.#wait(ms, signal) }
  }

  advance(ms: number): void {
    this.#now += ms
    this.#monotonic += Math.max(0, ms)
    for (const sleeper of [...this.#sleepers]) if (sleeper.at <= this.#monotonic) sleeper.wake()
  }

  /** The wall clock alone, as when an operator or NTP sets it. */
  setWallClock(ms: number): void {
    this.#now += ms
  }

  /** What a heartbeat would do: done after every step of time, and waited for. Returns how to stop it. */
  inBackground(work: () => Promise<unknown>): () => void {
    this.#inBackground.add(work)
    return () => void this.#inBackground.delete(work)
  }

  async #background(): Promise<void> {
    for (const work of [...this.#inBackground]) {
      const settled = await Promise.race([
        work().then(
          () => true,
          () => true,
        ),
        new Promise<false>((resolve) => setTimeout(resolve, LONGEST_BACKGROUND_MS, false)),
      ])
      // Of a process that has died meanwhile.
      if (!settled) this.#inBackground.delete(work)
    }
  }

  /** A few turns of the event loop, so that others who sleep until the same moment get theirs. */
  async #jump(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw signal.reason
    const until = this.#monotonic + ms
    await new Promise((resolve) => setImmediate(resolve))
    while (until > this.#monotonic) {
      this.advance(Math.min(LONGEST_STEP_MS, until - this.#monotonic))
      await this.#background()
      if (signal?.aborted) throw signal.reason
    }
  }

  #wait(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const sleeper: Sleeper = {
        at: this.#monotonic + ms,
        wake: () => {
          this.#sleepers.delete(sleeper)
          signal?.removeEventListener('abort', onAbort)
          resolve()
        },
      }
      const onAbort = () => {
        this.#sleepers.delete(sleeper)
        reject(signal?.reason)
      }
      this.#sleepers.add(sleeper)
      signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
}
