/**
 * What the runner does with a failure:
 * `again` – try again inside this invocation, with backoff;
 * `later` – leave it to the next timer tick;
 * `never` – report it: the same input will fail the same way.
 */
export type FailureKind = 'again' | 'later' | 'never'

/**
 * Whether a call that failed may have had its effect all the same. `unknown` (a time-out, a broken
 * connection, a 5xx) obliges the caller to look before it acts again.
 */
export type Effect = 'none' | 'unknown'

/** Facts are printed, logged and stored: names, ids, codes, numbers. Never key material, tokens or bodies. */
export type Facts = Record<string, string | number | boolean | readonly string[] | undefined>

export interface FailureInit {
  /** Stable and machine-readable: `<area>.<what-is-wrong>`, for example `gateway.refused`. */
  code: string
  kind: FailureKind
  /** One sentence: what is wrong, and where. */
  message: string
  /** One sentence: what the operator does next. */
  next: string
  facts?: Facts
  effect?: Effect
  /** The service asked not to be called again before this many milliseconds have passed. */
  retryAfterMs?: number
  cause?: unknown
}

/** The only error that crosses a port. Anything else that is thrown is a defect of ours. */
export class Failure extends Error {
  override readonly name = 'Failure'
  readonly code: string
  readonly kind: FailureKind
  readonly next: string
  readonly facts: Facts
  readonly effect: Effect
  readonly retryAfterMs: number | undefined

  constructor(init: FailureInit) {
    super(init.message, init.cause === undefined ? undefined : { cause: init.cause })
    this.code = init.code
    this.kind = init.kind
    this.next = init.next
    this.facts = init.facts ?? {}
    this.effect = init.effect ?? 'none'
    this.retryAfterMs = init.retryAfterMs
  }

  /** The shape in which failures are logged, stored in the state file and written to `result.json`. */
  toJSON(): FailureReport {
    return { code: this.code, kind: this.kind, message: this.message, next: this.next, facts: this.facts }
  }
}

export interface FailureReport {
  code: string
  kind: FailureKind
  message: string
  next: string
  facts: Facts
}

/** A defect of ours still has to reach the operator as one sentence; its stack stays in `cause` for the log. */
export function asFailure(thrown: unknown): Failure {
  if (thrown instanceof Failure) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return new Failure({
    code: 'internal.unexpected',
    kind: 'later',
    message: `Unexpected error: ${message}`,
    next: 'This is a defect of cert-rotation: report it with the log line that carries its stack.',
    effect: 'unknown',
    cause: thrown,
  })
}
