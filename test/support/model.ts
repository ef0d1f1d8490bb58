/**
 * What a history must come to, told without knowing how a rotation works. Bundles are numbered by age: 0 is older
 * than what the domains begin with, 1 is as old, and every newer one counts up.
 */
export class Model {
  /** The bundle every untouched domain must serve in the end; undefined where the uploads contradict each other. */
  expected: number | undefined = 1
  newest = 1
  /** Hosts changed by hand since the last complete upload: nobody promised to put them right before the next. */
  readonly touched = new Set<string>()
  /** Hosts that may be without a certificate, because somebody took it away and no rotation has come since. */
  readonly mayBeBare = new Map<string, string>()
  #half: { bundle: number; other: 'fullchain.pem' | 'privkey.pem'; torn: boolean } | undefined

  get halfMissing() {
    return this.#half
  }

  newer(): number {
    this.newest += 1
    this.#uploaded(this.newest)
    return this.newest
  }

  again(): number {
    this.#uploaded(this.newest)
    return this.newest
  }

  /** It is refused where something newer is served; over an unfinished upload it takes that one's place. */
  older(incomingIsEmpty: boolean): number {
    this.#half = undefined
    if (!incomingIsEmpty || this.touched.size > 0) this.expected = undefined
    return Math.max(0, this.newest - 2)
  }

  withForeignKey(incomingIsEmpty: boolean): number {
    this.newest += 1
    this.#half = undefined
    if (!incomingIsEmpty) this.expected = undefined
    return this.newest
  }

  half(first: 'fullchain.pem' | 'privkey.pem', incomingIsEmpty: boolean): number {
    this.newest += 1
    const other = first === 'privkey.pem' ? 'fullchain.pem' : 'privkey.pem'
    // Half of one bundle over the other half of an unfinished one: whoever reads it now sees a pair that is none.
    this.#half = { bundle: this.newest, other, torn: !incomingIsEmpty }
    if (!incomingIsEmpty) this.expected = undefined
    return this.newest
  }

  /** The second half is there: complete, if nobody has taken the first one away as part of something else. */
  rest(firstIsThere: boolean): void {
    if (!this.#half) return
    const { bundle } = this.#half
    this.#half = undefined
    if (firstIsThere) this.#uploaded(bundle)
    else this.expected = undefined
  }

  changedByHand(hosts: string[], bare: boolean): void {
    for (const host of hosts) {
      this.touched.add(host)
      if (bare) this.mayBeBare.set(host, 'somebody took its certificate away')
    }
  }

  #uploaded(bundle: number): void {
    this.#half = undefined
    this.expected = bundle
    this.touched.clear()
  }
}
