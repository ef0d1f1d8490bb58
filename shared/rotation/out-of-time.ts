import { Failure } from '../base/failure.ts'

/** The time or the lease ended inside a call. Not a failure of anything: the next run goes on. */
export function isCutShort(thrown: unknown, signal: AbortSignal): boolean {
  if (thrown instanceof OutOfTime) return true
  if (!signal.aborted) return false
  if (thrown === signal.reason) return true
  return thrown instanceof Failure && (thrown.code.endsWith('.aborted') || thrown.cause === signal.reason)
}

/** Nothing new may begin: the invocation or the lease is about to end. Not a failure; the next run goes on. */
export class OutOfTime extends Failure {
  constructor(what: string) {
    super({
      code: 'rotation.out-of-time',
      kind: 'later',
      message: `Not begun before the time was over: ${what}`,
      next: 'Nothing to do: the next timer tick goes on from here.',
    })
  }
}
