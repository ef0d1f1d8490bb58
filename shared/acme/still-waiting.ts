import { minute } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { OrderContext } from './context.ts'
import type { OrderRecord, OrderWait } from './state.ts'

/** A CA's `Retry-After` up to this is kept by whoever looks again in the same tick; a longer one is noted. */
const NOTED_FROM_MS = minute
/** Between two looks in one tick. */
const LONGEST_PAUSE_MS = minute

/** An order that can do nothing but wait. Not a failure of the order: others have their turn, and a later look goes on. */
export class StillWaiting extends Failure {
  /** Sooner it makes no sense to look. */
  readonly lookAt: Date

  constructor(what: string, lookAt: Date) {
    super({
      code: 'acme.still-waiting',
      kind: 'later',
      message: what,
      next: 'Nothing to do: the order goes on when it is looked at again.',
    })
    this.lookAt = lookAt
  }
}

/**
 * Ends this look at the order with `StillWaiting`. Returns only where the order has waited for the same thing longer
 * than `patienceMs`, over however many ticks: that is the caller's failure to tell.
 */
export async function waitFor(
  context: Pick<OrderContext, 'clock' | 'pace' | 'save'>,
  record: OrderRecord,
  wait: { for: OrderWait['for']; sentence: string; patienceMs: number; askedMs?: number | undefined },
): Promise<void> {
  const now = context.clock.now()
  const waited = waitedFor(context, record, wait.for)
  if (waited >= wait.patienceMs) {
    delete record.waiting
    return
  }
  const asked = Math.min(wait.askedMs ?? 0, context.pace.longestAskedMs)
  // The longer it lasts, the less a look more or less matters.
  const own = Math.min(Math.max(context.pace.pollMs, waited / 2), LONGEST_PAUSE_MS)
  const lookAt = new Date(now.getTime() + Math.max(own, asked))
  record.waiting = {
    for: wait.for,
    since: new Date(now.getTime() - waited).toISOString(),
    sentence: wait.sentence,
    ...(asked >= NOTED_FROM_MS && { lookAt: lookAt.toISOString() }),
  }
  await context.save()
  throw new StillWaiting(wait.sentence, lookAt)
}

/** Milliseconds that this order has waited for this so far. A clock that was set back makes nobody wait longer. */
export function waitedFor(
  { clock }: Pick<OrderContext, 'clock'>,
  { waiting }: OrderRecord,
  what: OrderWait['for'],
): number {
  return waiting?.for === what ? Math.max(0, clock.now().getTime() - Date.parse(waiting.since)) : 0
}

/** Throws `StillWaiting` before the CA is asked again earlier than it wishes to be. */
export function heedRetryAfter(
  { clock, pace }: Pick<OrderContext, 'clock' | 'pace'>,
  { waiting }: OrderRecord,
): void {
  if (waiting?.lookAt === undefined) return
  const lookAt = new Date(waiting.lookAt)
  const left = lookAt.getTime() - clock.now().getTime()
  if (left > 0 && left <= pace.longestAskedMs) throw new StillWaiting(waiting.sentence, lookAt)
}
