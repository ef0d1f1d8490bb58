import type { Parties } from '../rotation/parties.ts'
import { readState } from '../rotation/record/journal.ts'
import type { StatusModel } from '../status/model.ts'
import { certificateFacts, isAcknowledged } from '../watch/facts.ts'
import { type NoticeText, noticeText } from '../watch/notice-text.ts'
import { mergeServed, problemsOf, watchSettings } from '../watch/problems.ts'
import type { Wiring } from '../wire/cloud.ts'

/** Clients are refused, or soon will be, and nobody has said that they know (`snoozeUntil`): exit status 1. */
export interface CriticalFinding extends NoticeText {
  certificate: string
}

/** Of everything that is watched. */
export function criticalIn({ certificates, at }: StatusModel): CriticalFinding[] {
  return certificates
    .filter((one) => !isAcknowledged(one, new Date(at)))
    .flatMap(({ name, problems }) =>
      problems
        .filter(({ severity }) => severity === 'critical')
        .map(({ title, lines }) => ({ certificate: name, title, lines })),
    )
}

/**
 * Of one certificate whose rotation has just been at work: the domains that it has noted as bare. Asks nobody: the
 * run itself has tried to put a certificate on them for longer than anything else.
 */
export async function leftBare(
  wiring: Wiring,
  parties: Pick<Parties, 'store' | 'clock'>,
  name: string,
): Promise<CriticalFinding[]> {
  const state = await readState(name, parties)
  const records = Object.values(state?.current?.domains ?? {}).filter(({ bareSince }) => bareSince)
  const now = parties.clock.now()
  const config = wiring.config.certificates[name]
  if (!state || !config || records.length === 0 || isAcknowledged(config, now)) return []
  const gathered = {
    now,
    config: wiring.config,
    states: new Map([[name, state]]),
    observations: [],
    renewals: new Map(),
    discovered: [],
    quotas: [],
  }
  const seen = records.map(({ gateway, host, groupId, domainId }) => ({
    certificate: name,
    gateway,
    host,
    binding: { groupId, domainId, certificates: [] },
    seenTwice: true,
  }))
  const facts = certificateFacts(gathered, name, seen)
  return mergeServed(problemsOf(facts, watchSettings(now, wiring.config.alerts, config.waitForPair)))
    .filter(({ kind }) => kind === 'not served')
    .map((notice) => ({ certificate: name, ...noticeText(notice) }))
}
