import type { RenewalOutcome } from '../acme/renew.ts'
import { asFailure, Failure } from '../base/failure.ts'
import { emptyOutbox } from '../notify/outbox.ts'
import { isCutShort } from '../rotation/out-of-time.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { retireLeftovers } from '../rotation/retire.ts'
import type { StatusModel } from '../status/model.ts'
import type { RenewalFacts } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import { CERTIFICATES_AT_ONCE } from './begun.ts'
import { StoppedByPerson } from './context.ts'
import { criticalIn } from './critical.ts'
import { gather } from './gather.ts'
import { beat, type Watched } from './heartbeat.ts'
import { type JobReport, notLookedAt, rotateUploads } from './jobs.ts'
import { notSeen } from './not-seen.ts'
import { publish } from './publish.ts'
import { lookAgain, renewAll } from './renewals.ts'
import { lookTwice } from './second-look.ts'
import { deafChannels, notTold, storedOutbox, type Told, tellAll } from './tell.ts'
import { workThenTell } from './time-budget.ts'

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
  const work: Work = { known: undefined, job: undefined }
  let watched: Watched | undefined
  if (!jobs.has('watch')) await workThrough(wiring, parties, jobs, report, work)
  else
    await workThenTell(
      parties,
      (own) => workThrough(wiring, own, jobs, report, work),
      async () => {
        if (work.job !== undefined) {
          parties.log.warn(`people are told while ${work.job} is still under way`, { job: work.job })
          notLookedAt(report, work.job, ['still under way'])
        }
        if (!parties.deadline.signal.aborted)
          watched = await watchAndTell(wiring, parties, report, work.known)
      },
    )
  if (parties.deadline.signal.reason instanceof StoppedByPerson) {
    const told = report.status && !report.stopped
    if (jobs.has('watch') && !told) notLookedAt(report, 'watch', ['telling people'])
    report.stopped = true
  } else
    for (const { job, names } of report.notLookedAt ?? [])
      parties.log.warn(`the time did not suffice for ${job}: ${names.length} not looked at`, { job, names })
  if (jobs.has('watch')) await beat(wiring, parties, report, watched)
  return report
}

/** How far the work has come. */
interface Work {
  /** What the renewals have found out about themselves, once all have been looked at. */
  known: Map<string, RenewalFacts> | undefined
  /** The job under way. */
  job: TimerJob | undefined
}

/** Everything but telling. A job that fails as a whole does not keep the others from their turn. */
async function workThrough(
  wiring: Wiring,
  parties: Parties,
  jobs: ReadonlySet<TimerJob>,
  report: TickReport,
  work: Work,
): Promise<void> {
  const doing = (job: TimerJob, act: () => Promise<void>) => {
    work.job = job
    return jobs.has(job) ? orReport(parties, report, act) : undefined
  }
  let more: string[] = []
  await doing('finish', async () => {
    const first = await rotateUploads(wiring, parties, { byPerson: false, rounds: 1 })
    more = first.more ?? []
    add(report, first)
  })
  await doing('renew', async () => {
    const names: string[] = []
    const { facts, outcomes } = await renewAll(wiring, parties, report, async (name) => {
      names.push(name)
      add(report, await rotateUploads(wiring, parties, { names: [name], byPerson: false }))
    })
    work.known = facts
    report.renewals.push(...outcomes)
    await lookAgain(wiring, parties, names, facts)
  })
  await doing('retire', () => retireAll(wiring, parties, report))
  // Whoever uploads without end has what time is left, not the renewals'.
  if (more.length > 0)
    await doing('finish', async () =>
      add(report, await rotateUploads(wiring, parties, { names: more, byPerson: false })),
    )
  work.job = undefined
}

/** Each part is tried whatever became of the one before: a page that is written helps where nobody could be told. */
async function watchAndTell(
  wiring: Wiring,
  parties: Parties,
  report: TickReport,
  renewals: Map<string, RenewalFacts> | undefined,
): Promise<Watched | undefined> {
  const failed = (failure: Failure, mayPass = false) => {
    // What is to be told is kept for the next tick; that a person wanted no more of it now is nobody's failure.
    if (parties.deadline.signal.reason instanceof StoppedByPerson) {
      report.stopped = true
      return parties.log.info(failure.message, { failure })
    }
    parties.log.error(failure.message, { failure })
    report.failures.push({ failure, ...(mayPass && { mayPass }) })
  }
  try {
    const begunAt = parties.clock.now()
    const gathered = await lookTwice(wiring, parties, await gather(wiring, parties, renewals))
    const { certificates = [], domains = [] } = gathered.notLookedAt ?? {}
    notLookedAt(report, 'watch', [...certificates, ...domains])
    const told = await tellAll(wiring, parties, gathered).catch(async (thrown): Promise<Told> => {
      const outbox = await storedOutbox(parties).catch(emptyOutbox)
      return { outbox, untold: notTold(asFailure(thrown)) }
    })
    for (const { failure, mayPass } of notSeen(gathered, told.standing)) failed(failure, mayPass)
    if (told.untold) failed(told.untold)
    for (const { failure, mayPass } of deafChannels(told, begunAt)) failed(failure, mayPass)
    report.status = await publish(parties, gathered, told.outbox, {
      ticked: true,
      public: wiring.config.status.public,
    })
    report.critical = criticalIn(report.status)
    return {
      toldHere: told.standing !== undefined,
      unread: gathered.unread ?? [],
      failedBefore: gathered.lastTick?.heartbeatFailed === true,
    }
  } catch (thrown) {
    failed(notTold(asFailure(thrown)))
    return undefined
  }
}

async function orReport(parties: Parties, report: TickReport, act: () => Promise<void>): Promise<void> {
  try {
    await act()
  } catch (thrown) {
    const failure = asFailure(thrown)
    parties.log.error(failure.message, { failure })
    report.failures.push({ failure })
  }
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
  // From another place each time: where the time does not suffice, it is not always the same who have to wait.
  const from = Math.floor(parties.random() * wiring.names.length)
  const late: string[] = []
  await inParallel(
    CERTIFICATES_AT_ONCE,
    [...wiring.names.slice(from), ...wiring.names.slice(0, from)],
    async (name) => {
      if (parties.deadline.signal.aborted) return void late.push(name)
      try {
        await retireLeftovers(await wiring.job(name, false), {
          ...parties,
          log: parties.log.with({ certificate: name }),
        })
      } catch (thrown) {
        if (isCutShort(thrown, parties.deadline.signal)) return void late.push(name)
        const failure = asFailure(thrown)
        parties.log.warn(failure.message, { certificate: name, failure })
        report.failures.push({ certificate: name, failure })
      }
    },
  )
  notLookedAt(report, 'retire', late)
}

function add(report: JobReport, more: JobReport): void {
  report.outcomes.push(...more.outcomes)
  report.failures.push(...more.failures)
  report.critical = [...(report.critical ?? []), ...(more.critical ?? [])]
  for (const { job, names } of more.notLookedAt ?? []) notLookedAt(report, job, names)
}
