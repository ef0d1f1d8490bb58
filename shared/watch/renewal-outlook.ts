import type { CertificateFacts } from './facts.ts'
import { instantText } from './words.ts'

/** What the renewal means for one certificate that is served now. */
export interface RenewalOutlook {
  /** What happens by itself. */
  next: string
  /** What a person can do. */
  action: string
  /** It is on its way and comes before the end: nobody is needed yet. */
  inTime: boolean
}

/**
 * Pure. A date that lies behind the end of what is served is no comfort: it was counted from another certificate
 * (one that a gateway lists and nobody is served, say), and then a person is needed.
 */
export function renewalOutlook(
  { name, renewal }: Pick<CertificateFacts, 'name' | 'renewal'>,
  end: Date,
): RenewalOutlook {
  const drop = `drop a new bundle into incoming/${name}/.`
  if (renewal?.failing !== undefined) {
    const { nextAt, attempts, failure } = renewal.failing
    const again =
      nextAt === undefined
        ? 'the next tick orders again'
        : `the next order is placed after ${instantText(nextAt)}`
    const times = attempts === 1 ? 'once' : `${attempts} times`
    return { next: `Renewal has failed ${times}; ${again}.`, action: failure.next, inTime: false }
  }
  if (renewal?.waiting !== undefined)
    return {
      next: `Its successor, valid until ${instantText(renewal.waiting.notAfter)}, is issued and waits in incoming/${name}/ for its rotation.`,
      action: `Run "cert-rotation rotate ${name}" and see what it waits for.`,
      inTime: false,
    }
  if (renewal?.renewAt === undefined)
    return {
      next: 'Nothing happens by itself: no renewal is configured for it.',
      action: `D${drop.slice(1)}`,
      inTime: false,
    }
  if (Date.parse(renewal.renewAt) > end.getTime())
    return {
      next: `The renewal comes too late for it, ${instantText(renewal.renewAt)}: it is counted from another certificate, which the gateway lists or which was deployed.`,
      action: `Run "cert-rotation plan" and see what is bound there; to be safe, ${drop}`,
      inTime: false,
    }
  return {
    next: `It is renewed by itself from ${instantText(renewal.renewAt)} on.`,
    action: `Nothing while that works; else ${drop}`,
    inTime: true,
  }
}
