import type { Clock } from '../../shared/base/clock.ts'

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

  /** A few turns of the event loop, so that others who sleep until the same moment get theirs. */
  async #jump(ms: number, signal?: AbortSignal): Promise<void> {
    if (signal?.aborted) throw signal.reason
    const until = this.#monotonic + ms
    await new Promise((resolve) => setImmediate(resolve))
    if (until > this.#monotonic) this.advance(until - this.#monotonic)
    if (signal?.aborted) throw signal.reason
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
