import type { RenewalOutcome } from '../acme/renew.ts'
import { asFailure, Failure } from '../base/failure.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { retireLeftovers } from '../rotation/retire.ts'
import type { StatusModel } from '../status/model.ts'
import type { Wiring } from '../wire/cloud.ts'
import { gather } from './gather.ts'
import { CERTIFICATES_AT_ONCE, type JobReport, rotateUploads } from './jobs.ts'
import { publish } from './publish.ts'
import { lookAgain, renewAll } from './renewals.ts'
import { tellAll } from './tell.ts'

/** What a timer's user event can choose; without a choice, all of them in this order. */
export const timerJobs = ['finish', 'renew', 'retire', 'watch'] as const
export type TimerJob = (typeof timerJobs)[number]

export interface TickReport extends JobReport {
  renewals: RenewalOutcome[]
  status?: StatusModel
}

/** The timer's job: finish what is unfinished, renew what is due, retire leftovers, watch, tell, publish the status. */
export async function tick(wiring: Wiring, parties: Parties, asked?: readonly string[]): Promise<TickReport> {
  const jobs = chosen(asked)
  const report: TickReport = { outcomes: [], failures: [], renewals: [] }
  if (jobs.has('finish')) add(report, await rotateUploads(wiring, parties, { byPerson: false }))
  const renewals = jobs.has('renew') ? await renewAll(wiring, parties, report) : undefined
  if (renewals) {
    report.renewals.push(...renewals.outcomes)
    const names = renewals.outcomes
      .filter(({ status }) => status === 'delivered')
      .map(({ certificate }) => certificate)
    if (names.length > 0) add(report, await rotateUploads(wiring, parties, { names, byPerson: false }))
    await lookAgain(wiring, parties, names, renewals.facts)
  }
  if (jobs.has('retire')) await retireAll(wiring, parties, report)
  if (jobs.has('watch') && !parties.deadline.signal.aborted) {
    try {
      const gathered = await gather(wiring, parties, renewals?.facts)
      const outbox = await tellAll(wiring, parties, gathered)
      report.status = await publish(parties, gathered, outbox, {
        ticked: true,
        public: wiring.config.status.public,
      })
    } catch (thrown) {
      const failure = asFailure(thrown)
      parties.log.error(failure.message, { failure })
      report.failures.push({ failure })
    }
  }
  return report
}

function chosen(asked: readonly string[] | undefined): Set<TimerJob> {
  const unknown = asked?.find((job) => !timerJobs.includes(job as TimerJob))
  if (unknown === undefined) return new Set((asked as TimerJob[] | undefined) ?? timerJobs)
  throw new Failure({
    code: 'event.unknown-job',
    kind: 'never',
    message: `The timer's user event asks for ${JSON.stringify(unknown)}, which is no job`,
    next: `Use some of: ${timerJobs.join(', ')}; or no user event for all of them.`,
  })
}

async function retireAll(wiring: Wiring, parties: Parties, report: TickReport): Promise<void> {
  await inParallel(CERTIFICATES_AT_ONCE, wiring.names, async (name) => {
    if (parties.deadline.signal.aborted) return
    try {
      await retireLeftovers(await wiring.job(name, false), {
        ...parties,
        log: parties.log.with({ certificate: name }),
      })
    } catch (thrown) {
      const failure = asFailure(thrown)
      parties.log.warn(failure.message, { certificate: name, failure })
      report.failures.push({ certificate: name, failure })
    }
  })
}

function add(report: JobReport, more: JobReport): void {
  report.outcomes.push(...more.outcomes)
  report.failures.push(...more.failures)
}
