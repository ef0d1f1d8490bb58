import { asFailure, Failure } from '../../base/failure.ts'
import type { DomainRef, Gateway } from '../../gateway/port.ts'
import type { RecordedDomain } from '../record/domain.ts'
import { type Patience, perform } from './perform.ts'
import { gatewayOf, patience, type Run } from './run-context.ts'

/** One gateway, behind its guard: nothing is changed without the lease, and every change is timed. */
export interface Hands {
  gateway: Gateway
  patience: Patience
}

export function handsAt(run: Run, gateway: string, limits: Parameters<typeof patience>[1] = {}): Hands {
  return { gateway: gatewayOf(run, gateway), patience: patience(run, limits) }
}

/** The certificate comes on the domain, with the domain's own flag. What is attached may be attached again. */
export async function attachTo(
  { gateway, patience }: Hands,
  record: RecordedDomain,
  certificateId: string,
): Promise<void> {
  await perform(
    patience,
    async () => {
      const now = await gateway.domain(record)
      const bound = now?.certificates.some(({ id }) => id === certificateId)
      return bound && now?.clientVerification === record.clientVerification ? true : undefined
    },
    async () => {
      await gateway.attach(record, certificateId, record.clientVerification)
      return true
    },
  )
}

/** What is bound is attached again, with the flag that the domain has: nothing changes, and only an answer tells that it may be. */
export async function attachAsItIs(
  { gateway, patience }: Hands,
  ref: DomainRef,
  certificateId: string,
  clientVerification: boolean,
): Promise<void> {
  await perform(
    patience,
    // It looks the same whether or not it was done.
    async () => undefined,
    () => gateway.attach(ref, certificateId, clientVerification).catch(notAgainIfSlow),
  )
}

/**
 * The certificate goes off the domain. `isGone`: how to look, where the domain's own list does not show everything;
 * `before`: asked directly before each call, and may throw.
 */
export async function detachFrom(
  { gateway, patience }: Hands,
  ref: DomainRef,
  certificateId: string,
  options: { isGone?: () => Promise<true | undefined>; before?: () => void } = {},
): Promise<void> {
  const isOff = async () =>
    (await gateway.domain(ref))?.certificates.some(({ id }) => id === certificateId) ? undefined : true
  await perform(patience, options.isGone ?? isOff, async () => {
    options.before?.()
    await gateway.detach(ref, certificateId)
    return true
  })
}

/** A slow one may still land, and must not find the new certificate there: nothing more is done in this run. */
function notAgainIfSlow(thrown: unknown): never {
  const failure = asFailure(thrown)
  if (!failure.code.endsWith('.timeout')) throw thrown
  const { code, message, next, facts } = failure
  throw new Failure({ code, kind: 'later', message, next, facts, effect: 'unknown', cause: thrown })
}
