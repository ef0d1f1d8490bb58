import { DerError } from './der.ts'

/** What one upload may cost at most. */
export interface Limits {
  /** Bytes of one object. Real bundles are below 20 KiB. */
  objectBytes: number
  /** Objects in one folder. */
  objects: number
  /** Certificates in all objects together, duplicates included. */
  certificates: number
  /** Bytes of one certificate in DER: one with a hundred names has some 5 KiB. */
  certificateBytes: number
  /** Private keys in all objects together. */
  keys: number
  /**
   * Work for all objects together, over all passwords that are tried, in rounds of HMAC-SHA-256 (0.25 to 0.43 µs each on
   * the machines of 2020 to 2026): what reads, derives, opens and verifies is priced in these before it begins, so
   * that the outcome is the same on every machine. The most that people have is a PKCS#12 with 600,000 iterations for
   * its integrity code and each of three layers, tried with the configured, the empty and no password: 3.6 million.
   */
  rounds: number
}

export const defaultLimits: Limits = {
  objectBytes: 256 * 1024,
  objects: 64,
  certificates: 64,
  certificateBytes: 64 * 1024,
  keys: 16,
  rounds: 4_500_000,
}

/** Judging what was read: some twenty signatures and the names; a crowd of slow keys does not get through. */
export const judgingLimits: Limits = { ...defaultLimits, rounds: 500_000 }

/** A bundle asked for more work than it may cost. Safe to print. */
export class TooMuchWork extends DerError {}

/** What is left of the limits while one upload is read, or judged. */
export class Work {
  readonly limits: Limits
  #rounds: number
  #certificates: number
  #keys: number
  readonly #known = new Map<string, boolean>()

  constructor(limits: Limits) {
    this.limits = limits
    this.#rounds = limits.rounds
    this.#certificates = limits.certificates
    this.#keys = limits.keys
  }

  /** Rounds that were paid for so far. */
  get spent(): number {
    return this.limits.rounds - this.#rounds
  }

  /** Before work begins; fractions count as whole rounds. Throws `TooMuchWork`. */
  spend(rounds: number, what: string): void {
    const whole = Math.ceil(rounds)
    // Written so that NaN does not pass.
    if (!(whole <= this.#rounds))
      throw new TooMuchWork(
        `asks for ${amount(whole)} rounds of work (${what}) where ${amount(this.#rounds)} are left of ${amount(this.limits.rounds)}`,
      )
    this.#rounds -= whole
  }

  certificate(bytes: number): void {
    if (bytes > this.limits.certificateBytes)
      throw new TooMuchWork(
        `holds a certificate of ${bytes} bytes where at most ${this.limits.certificateBytes} are read`,
      )
    if (this.#certificates-- <= 0)
      throw new TooMuchWork(`holds more than ${this.limits.certificates} certificates`)
    this.spend(CERTIFICATE + bytes * DER_BYTE, 'reading a certificate')
  }

  key(bytes: number): void {
    if (this.#keys-- <= 0) throw new TooMuchWork(`holds more than ${this.limits.keys} private keys`)
    this.spend(KEY + bytes * DER_BYTE, 'opening a private key')
  }

  /** Asks what costs something once only. */
  once(question: string, rounds: number, what: string, answer: () => boolean): boolean {
    const known = this.#known.get(question)
    if (known !== undefined) return known
    this.spend(rounds, what)
    const found = answer()
    this.#known.set(question, found)
    return found
  }
}

/** Prices in rounds, measured on Node 20 and rounded up; `test/certificate/work.test.ts` holds processor time against them. */
const CERTIFICATE = 1000
const DER_BYTE = 3
const KEY = 10_000

function amount(rounds: number): string {
  return Number.isSafeInteger(rounds) ? String(rounds) : 'countless'
}
