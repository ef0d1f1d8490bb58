import { type Clock, systemClock } from '../shared/base/clock.ts'

/**
 * The emulator's time: the clock it was given plus what admins moved it by. Token expiry, certificate expiry and
 * what the TLS edge already shows all follow it.
 */
export class EmulatorClock implements Clock {
  readonly #base: Clock
  #offset = 0
  #forward = 0

  constructor(base: Clock = systemClock) {
    this.#base = base
  }

  now(): Date {
    return new Date(this.#base.now().getTime() + this.#offset)
  }

  /** Never goes back, even where `set` does: gaps and visibility delays are measured with it. */
  monotonic(): number {
    return this.#base.monotonic() + this.#forward
  }

  sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return this.#base.sleep(ms, signal)
  }

  advance(ms: number): void {
    this.#offset += ms
    this.#forward += Math.max(0, ms)
  }

  set(instant: Date): void {
    this.advance(instant.getTime() - this.now().getTime())
  }
}
