import { DerError } from './der.ts'

/** What one upload may cost at most. A hostile one stays below a second and a few tens of megabytes. */
export interface Limits {
  /** Bytes of one object. Real bundles are below 20 KiB. */
  objectBytes: number
  /** Objects in one folder. */
  objects: number
  /** Certificates in all objects together, duplicates included. */
  certificates: number
  /** Private keys in all objects together. */
  keys: number
  /**
   * Password hashing in all objects together, over all passwords that are tried, counted in rounds of
   * HMAC-SHA-256 (0.4 µs each). OpenSSL writes 2,048 and Java 10,000 rounds; a careful person some 100,000.
   */
  hashRounds: number
  /**
   * Milliseconds for reading, on the clock: the last resort on a machine that is very slow or busy. What reading
   * may cost is bounded by the other limits, so that the outcome does not depend on the machine.
   */
  milliseconds: number
}

export const defaultLimits: Limits = {
  objectBytes: 256 * 1024,
  objects: 64,
  certificates: 64,
  keys: 16,
  hashRounds: 1_000_000,
  milliseconds: 3000,
}

/** A bundle asked for more work than it may cost. Safe to print. */
export class TooMuchWork extends DerError {}

/** What is left of the limits while one upload is read. */
export class Work {
  readonly limits: Limits
  #rounds: number
  #certificates: number
  #keys: number
  readonly #monotonic: () => number
  readonly #end: number

  constructor(limits: Limits, monotonic: () => number = () => performance.now()) {
    this.limits = limits
    this.#rounds = limits.hashRounds
    this.#certificates = limits.certificates
    this.#keys = limits.keys
    this.#monotonic = monotonic
    this.#end = monotonic() + limits.milliseconds
  }

  /** Before a key is derived from a password. Throws `TooMuchWork`. */
  hash(rounds: number): void {
    if (rounds > this.#rounds)
      throw new TooMuchWork(
        `asks for ${rounds} rounds of password hashing where ${this.#rounds} are left of ${this.limits.hashRounds}`,
      )
    this.#rounds -= rounds
    this.tick()
  }

  certificate(): void {
    if (this.#certificates-- <= 0)
      throw new TooMuchWork(`holds more than ${this.limits.certificates} certificates`)
    this.tick()
  }

  key(): void {
    if (this.#keys-- <= 0) throw new TooMuchWork(`holds more than ${this.limits.keys} private keys`)
    this.tick()
  }

  tick(): void {
    if (this.#monotonic() > this.#end)
      throw new TooMuchWork(`takes longer than ${this.limits.milliseconds} ms to read`)
  }
}
