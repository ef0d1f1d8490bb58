import { Failure } from '../../base/failure.ts'
import { backoffMs, type Patience } from './perform.ts'

/** Attaches that were answered and had no effect; after so many the domain is told of as it is. */
const ANSWERS_WITHOUT_EFFECT = 3

/**
 * After an attach: looks, and attaches again while nothing is to be seen. An answer alone is no proof: a domain that was
 * believed to be bound stood without a certificate, and nobody came back to it.
 * Throws `rotation.attach-without-effect`.
 */
export async function untilSeen(
  { clock, random }: Pick<Patience, 'clock' | 'random'>,
  about: { host: string; domain: string; certificate: string },
  isThere: () => Promise<boolean>,
  attachAgain: () => Promise<void>,
): Promise<void> {
  for (let answer = 1; ; answer++) {
    if (await isThere()) return
    if (answer >= ANSWERS_WITHOUT_EFFECT) throw attachWithoutEffect(about)
    await clock.sleep(backoffMs(answer, random))
    await attachAgain()
  }
}

export function attachWithoutEffect(about: { host: string; domain: string; certificate: string }): Failure {
  const { host, domain, certificate } = about
  return new Failure({
    code: 'rotation.attach-without-effect',
    kind: 'later',
    message: `${host}: the gateway took ${certificate} and does not show it as bound`,
    next: 'Look at this domain at the gateway: somebody else may have changed it. The next run tries again.',
    facts: { domain, certificateId: certificate },
  })
}
