import type { Digest } from '../watch/notice.ts'

/**
 * One way to reach people. `send` resolves when the receiver has confirmed the message in the way that it
 * documents, and throws a `Failure` else (`notify.*`): `unreachable`, `timeout`, `throttled`, `unavailable` – later ·
 * `refused` (the receiver said no: wrong URL, token, signature, format), `private-address`, `bad-target` – never.
 * Nothing is repeated inside: what failed is kept in the outbox for the next tick. A digest that arrives twice
 * carries the same id.
 */
export interface Channel {
  /** Stable and safe to print: kind and a short digest of the target, never a webhook's URL. */
  readonly name: string
  /** Resolves with the receiver's own words, where it has any. */
  send(digest: Digest, signal: AbortSignal): Promise<string | undefined>
  /**
   * Whether the receiver's address is allowed, can be found and takes connections; nothing is sent. Fails as `send`
   * does. Absent where only a message shows it.
   */
  reach?(signal: AbortSignal): Promise<void>
}
