/** Thrown at nobody: it only ends the race with the work that "died". */
export class Crashed extends Error {
  constructor(boundary: string) {
    super(`the process died ${boundary}`)
  }
}

/** The n-th boundary of all, or by its name and how often that has been passed. */
type Where = number | ((name: string, times: number) => boolean)

/**
 * A process that dies at its n-th boundary: before a call leaves, or after its effect and before its answer is
 * seen. The boundaries are whatever calls the code makes; nobody lists them. From the death on no call of this
 * process reaches anything any more, and none of its promises settles.
 */
export class Crasher {
  /** Names of the boundaries passed, in order. */
  readonly passed: string[] = []
  readonly #at: Where
  readonly died: Promise<never>
  #die: (reason: Crashed) => void = () => {}
  #dead = false

  /** @param at which boundary to die at, from 1, or what it is known by; 0 never dies and only counts. */
  constructor(at: Where) {
    this.#at = at
    this.died = new Promise((_, reject) => {
      this.#die = reject
    })
    this.died.catch(() => {})
  }

  get dead(): boolean {
    return this.#dead
  }

  /** The same port, dying on the way. */
  wrap<T extends object>(name: string, port: T, only?: (method: string) => boolean): T {
    return new Proxy(port, {
      get: (target, property) => {
        const value = Reflect.get(target, property)
        if (typeof value !== 'function') return value
        const method = `${name}.${String(property)}`
        if (only && !only(String(property)))
          return (...args: unknown[]) => (this.#dead ? never : value.apply(target, args))
        return async (...args: unknown[]) => {
          await this.#boundary(`before ${method}`)
          const result = await Promise.resolve(value.apply(target, args)).then(
            (answer: unknown) => () => answer,
            (error: unknown) => () => {
              throw error
            },
          )
          await this.#boundary(`after ${method}`)
          return result()
        }
      },
    })
  }

  async #boundary(name: string): Promise<void> {
    if (this.#dead) return never
    this.passed.push(name)
    const isHere =
      typeof this.#at === 'number'
        ? this.passed.length === this.#at
        : this.#at(name, this.passed.filter((one) => one === name).length)
    if (!isHere) return
    this.#dead = true
    this.#die(new Crashed(name))
    return never
  }
}

const never: Promise<never> = new Promise(() => {})
