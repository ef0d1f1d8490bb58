import { inspect } from 'node:util'

/**
 * A private key, token, password or secret key. Prints as `[secret]` wherever it ends up (templates, JSON,
 * console, pino, error texts); `reveal()` is called only where the value goes on the wire or into a cipher.
 */
export class Secret {
  readonly #value: string

  constructor(value: string) {
    this.#value = value
  }

  reveal(): string {
    return this.#value
  }

  toString(): string {
    return '[secret]'
  }

  toJSON(): string {
    return '[secret]'
  }

  [inspect.custom](): string {
    return '[secret]'
  }
}
