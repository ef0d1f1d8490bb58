import { asFailure } from '../../base/failure.ts'
import type { HeldLease, Job, Parties } from '../parties.ts'
import { gatewayKey } from '../plan/look.ts'
import { noteBound, notePutBack, type RecordedDomain } from '../record/domain.ts'
import type { Journal } from '../record/journal.ts'
import { untilSeen } from './attach-seen.ts'
import { attachTo } from './hands.ts'
import { CallTimes, guarded } from './run-context.ts'

/**
 * The first act of every run: a domain that an earlier run left between its detach and its attach gets a
 * certificate again, before anything else is looked at. The new one where it exists, else the predecessor.
 */
export async function closeGaps(
  job: Job,
  parties: Parties,
  lease: HeldLease,
  journal: Journal,
): Promise<void> {
  const current = journal.state.current
  if (current?.status !== 'running') return
  const open = Object.values(current.domains).filter((record) => record.predecessor)
  for (const config of job.config.gateways) {
    const key = gatewayKey(config)
    const records = open.filter((record) => record.gateway === key)
    if (records.length === 0) continue
    const gateway = guarded(parties.gatewayFor(config), { lease, parties, times: new CallTimes() })
    const present = await gateway.domains()
    for (const record of records) {
      const now = present.find((one) => one.domainId === record.domainId && one.groupId === record.groupId)
      if (!now || now.certificates.length > 0) continue
      for (const id of candidates(record, current.certificates[key])) {
        if (await attached(id, record)) break
      }
    }

    async function attached(id: string, record: RecordedDomain): Promise<boolean> {
      const hands = { gateway, patience: { clock: parties.clock, random: parties.random, tries: 6 } }
      const attach = () => attachTo(hands, record, id)
      try {
        await attach()
        await untilSeen(
          parties,
          { host: record.host, domain: `${key}/${record.host}`, certificate: id },
          async () => (await gateway.domain(record))?.certificates.length !== 0,
          attach,
        )
      } catch (thrown) {
        const failure = asFailure(thrown)
        parties.log.error(
          `${record.host} has no certificate and could not be given one yet: ${failure.message}`,
          { failure },
        )
        return false
      }
      const which = id === record.predecessor?.id ? 'its predecessor' : 'the new certificate'
      parties.log.warn(
        `${record.host} was left without a certificate by an earlier run; it has ${which} now`,
        { step: 'close-gap' },
      )
      if (id === record.predecessor?.id) notePutBack(record)
      else noteBound(record, parties.clock.now())
      journal.touch()
      return true
    }
  }
}

function candidates(record: RecordedDomain, created: string | undefined): string[] {
  const predecessor = record.predecessor ? [record.predecessor.id] : []
  if (!created) return predecessor
  // Even a certificate that was given up is better than none, where the predecessor is gone.
  return record.givenUp ? [...predecessor, created] : [created, ...predecessor]
}
