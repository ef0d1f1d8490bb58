import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { readState } from '../rotation/record/journal.ts'
import type { Wiring } from '../wire/cloud.ts'

/** Certificates side by side; each has its own lease and state file. */
export const CERTIFICATES_AT_ONCE = 4

/** What was begun and is not over, though nobody uploads anything: a domain may stand without a certificate. */
export async function begunWithout(
  uploaded: readonly string[],
  wiring: Wiring,
  parties: Pick<Parties, 'store'>,
): Promise<string[]> {
  const begun: string[] = []
  const others = wiring.names.filter((name) => !uploaded.includes(name))
  await inParallel(CERTIFICATES_AT_ONCE, others, async (name) => {
    // A state that cannot be read is for those who hold the lease.
    const state = await readState(name, parties).catch(() => undefined)
    if (state?.current?.status === 'running') begun.push(name)
  })
  return begun
}
