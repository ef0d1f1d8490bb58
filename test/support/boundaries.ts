import { Failure } from '../../shared/base/failure.ts'

/** How a boundary goes wrong. */
export type Fault =
  /** The process ends before the call is made. */
  | 'killed before'
  /** The process ends after the call took effect, before its reply was seen. */
  | 'killed after'
  /** The call takes effect, its reply is lost, the process lives. */
  | 'reply lost'

/** What is thrown in a dead process: no catch block can make it act again. */
export class Killed extends Error {
  override readonly name = 'Killed'
}

/**
 * Wraps ports so that every call through them is a boundary, numbered in the order of a run. Boundaries are found
 * by counting, so a new step is covered the day it is written.
 */
export class Boundaries {
  count = 0
  /** Names of the calls, `port.method`, in order. */
  readonly seen: string[] = []
  dead = false
  readonly #at: number
  readonly #fault: Fault | undefined

  /** Without a fault the run is only counted. */
  constructor(at = 0, fault?: Fault) {
    this.#at = at
    this.#fault = fault
  }

  wrap<T extends object>(
    port: string,
    target: T,
    wrapResult?: (method: string, result: unknown) => unknown,
    /** Methods that only reckon: no boundary. */
    pure: readonly string[] = [],
  ): T {
    return new Proxy(target, {
      get: (object, property) => {
        const value = Reflect.get(object, property, object) as unknown
        if (typeof value !== 'function' || typeof property !== 'string') return value
        if (pure.includes(property)) return value.bind(object)
        return async (...args: unknown[]) => {
          const result = await this.#call(`${port}.${property}`, () => value.apply(object, args) as unknown)
          return wrapResult === undefined ? result : wrapResult(property, result)
        }
      },
    })
  }

  async #call(name: string, work: () => unknown): Promise<unknown> {
    if (this.dead) throw new Killed()
    this.count += 1
    this.seen.push(name)
    const hit = this.#fault !== undefined && this.count === this.#at
    if (hit && this.#fault === 'killed before') return this.#die()
    const result = await work()
    if (hit && this.#fault === 'killed after') return this.#die()
    if (hit) {
      throw new Failure({
        code: name.startsWith('store.') ? 'store.unreachable' : 'test.reply-lost',
        kind: 'again',
        message: `The reply of ${name} was lost.`,
        next: 'Nothing: it is a test.',
        effect: 'unknown',
      })
    }
    return result
  }

  #die(): never {
    this.dead = true
    throw new Killed()
  }
}
