import { type Clock, minute, second } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { Deadline, Parties } from '../rotation/parties.ts'

/** Where nothing ends an invocation (a terminal, one machine), people are told after this long all the same. */
const LONGEST_WORK_MS = 14 * minute
/** What has been begun is brought to its end in this time, so that its result can be told too. */
const LONGEST_ENDING_MS = 5 * second
/** Looked at rather than waited for: one timer may be too long for Node, and a suspended machine lets it run late. */
const CHECK_EVERY_MS = 250

/** Why a deadline's signal aborts. A failure of its own: whoever lets it through must not call it a defect. */
export function timeOver(what: string): Failure {
  return new Failure({
    code: 'invocation.aborted',
    kind: 'later',
    message: `The time of ${what} is over`,
    next: 'Nothing to do: the next timer tick goes on from here.',
    effect: 'unknown',
  })
}

/** A deadline within another one. `over` resolves when its signal aborts. */
export interface Limited extends Deadline {
  over: Promise<void>
  cancel(): void
}

/** The same deadline, ended after `ms` milliseconds at the latest. To be cancelled when nobody needs it any more. */
export function limited(outer: Deadline, clock: Clock, ms: number): Limited {
  const end = clock.monotonic() + ms
  const own = new AbortController()
  const check = () => {
    if (own.signal.aborted) return
    if (outer.signal.aborted) own.abort(outer.signal.reason)
    else if (clock.monotonic() >= end) own.abort(timeOver('this part of the invocation'))
  }
  const over = new Promise<void>((resolve) =>
    own.signal.addEventListener('abort', () => resolve(), { once: true }),
  )
  const timer = setInterval(check, CHECK_EVERY_MS)
  outer.signal.addEventListener('abort', check, { once: true })
  return {
    get signal() {
      check()
      return own.signal
    },
    remainingMs: () => Math.max(0, Math.min(outer.remainingMs(), end - clock.monotonic())),
    over,
    cancel() {
      clearInterval(timer)
      outer.signal.removeEventListener('abort', check)
    },
  }
}

/** The part of an invocation that belongs to watching and telling: a tenth, at least a minute, at most half of it. */
export function tellingBudgetMs(invocationMs: number): number {
  return Math.min(Math.max(minute, invocationMs / 10), invocationMs / 2)
}

/**
 * Work, and then watching and telling with a time of their own, which the work cannot take: it is asked to stop
 * before that time begins, and where it does not, people are told beside it. `tell` learns whether the work has
 * ended. Fails as the work does, after people have been told.
 */
export async function workThenTell(
  parties: Parties,
  work: (own: Parties) => Promise<void>,
  tell: (ended: boolean) => Promise<void>,
): Promise<void> {
  const { deadline, clock } = parties
  const whole = deadline.remainingMs()
  const workMs = Number.isFinite(whole) ? whole - tellingBudgetMs(whole) : LONGEST_WORK_MS
  const turn = limited(deadline, clock, workMs)
  const stop = limited(turn, clock, workMs - Math.min(LONGEST_ENDING_MS, workMs / 10))
  let ended = false
  try {
    const working = work(within(parties, stop)).finally(() => {
      ended = true
    })
    working.catch(() => {})
    await Promise.race([working, turn.over]).catch(() => {})
    await tell(ended)
    // What is under way ends in the open where it can: its lease is released, its outcome is in the report.
    await Promise.race([working, aborted(deadline.signal)])
  } finally {
    stop.cancel()
    turn.cancel()
  }
}

/** The same parties under a nearer deadline: waiting for somebody else's lease ends with it too. */
export function within(parties: Parties, deadline: Deadline): Parties {
  return {
    ...parties,
    deadline,
    lease: (name, waitMs = Number.POSITIVE_INFINITY) =>
      parties.lease(name, Math.min(waitMs, deadline.remainingMs() / 3)),
  }
}

/** What `promise` gives, or `otherwise` where the time is over before. Nothing is awaited beyond that. */
export async function inTime<T>(deadline: Limited, promise: Promise<T>, otherwise: T): Promise<T> {
  promise.catch(() => {})
  return Promise.race([promise, deadline.over.then(() => otherwise)])
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve()
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}
