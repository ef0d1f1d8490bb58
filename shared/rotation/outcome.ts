import { countText } from '../base/count-text.ts'
import { Failure, type FailureReport } from '../base/failure.ts'
import type { RunEnd } from './act/run.ts'
import type { Run } from './act/run-context.ts'
import { type Attempt, outcomeOf } from './intake/attempt.ts'
import type { Job, Parties } from './parties.ts'
import { knownGateway } from './plan/attach-habit.ts'
import { isMissing } from './plan/look.ts'
import { afterRehearsal, type Difference } from './record/difference.ts'
import { awaitsUndo, isDone, type RecordedDomain, stageOf } from './record/domain.ts'
import { judgeOf } from './record/judged.ts'
import { makeOutcome } from './record/make-outcome.ts'
import { type DomainOutcome, NOT_VERIFIED, type Outcome, type OutcomeStatus } from './record/state.ts'

/** What came of each domain, from its record and from what went wrong in this run. */
export function domainOutcomes(run: Run, begunAt: Date): DomainOutcome[] {
  const missing = [...run.views.values()].flatMap((view) =>
    view.missing.map(({ asked, failure }): DomainOutcome => {
      return { gateway: view.key, host: asked, status: 'failed', failure: failure.toJSON() }
    }),
  )
  const known = Object.entries(run.current.domains).filter(
    ([, record]) => ![...run.views.values()].some((view) => isMissing(view, record)),
  )
  const looked = known.map(([target, record]): DomainOutcome => {
    const failure = record.givenUp ?? run.troubles.get(target)?.toJSON() ?? unverified(run, target)?.toJSON()
    return {
      gateway: record.gateway,
      host: record.host,
      status: statusOf(record, failure !== undefined, begunAt),
      ...(record.gapMs === undefined ? {} : { gapMs: record.gapMs }),
      ...(failure ? { failure } : {}),
      ...(record.unverified ? { note: record.unverified } : {}),
    }
  })
  return [...looked, ...missing]
}

/** A handshake was wanted and none was possible. */
function unverified(run: Run, target: string): Failure | undefined {
  const record = run.current.domains[target]!
  const wanted = run.views.get(record.gateway)?.domains.find((domain) => domain.target === target)?.probe
  if (!record.unverified || record.servedAt || !wanted) return undefined
  return new Failure({
    code: NOT_VERIFIED,
    kind: 'later',
    message: `${record.host}: nobody has seen that the new certificate is served: ${record.unverified}`,
    next: 'Let handshakes reach it from here (verify: { connect: host:port }), or say that none is wanted (verify: false).',
    facts: { required: run.job.config.requireVerified },
  })
}

function statusOf(record: RecordedDomain, failed: boolean, begunAt: Date): DomainOutcome['status'] {
  const stage = stageOf(record)
  switch (stage.is) {
    case 'bare':
      return 'without certificate'
    case 'given up':
      return stage.wayBack ? 'failed' : 'without certificate'
    case 'served':
      return stage.at < begunAt.toISOString() ? 'already served' : 'served'
    case 'unverifiable':
      return 'bound, not verified'
    case 'untouched':
      return failed ? 'failed' : 'untouched'
    default:
      return stage.is
  }
}

/** What was to change, and what the run has learnt of the way back. */
export function differenceAfter({ current, journal }: Run): Difference | undefined {
  const rehearsed = (gateway: string) => {
    const { wayBack } = knownGateway(journal.state, gateway)
    return wayBack?.digest === current.bundle.digest ? wayBack : undefined
  }
  return current.difference && afterRehearsal(current.difference, rehearsed)
}

/** What went wrong in this run, and what an earlier one gave a domain up for. */
export function failuresOf(run: Run): FailureReport[] {
  const known = Object.entries(run.current.domains).flatMap(([target, { givenUp }]) =>
    givenUp && !run.troubles.has(target) ? [givenUp] : [],
  )
  const all = [...[...run.troubles.values()].map((failure) => failure.toJSON()), ...known]
  // Domains that share a certificate share its failure.
  return all.filter((one, index) => all.findIndex(({ message }) => message === one.message) === index)
}

/** Nothing that time mends: somebody has to allow a call, or to look why a certificate cannot come back. */
const FOR_PEOPLE = new Set([
  'gateway.forbidden',
  'gateway.unauthorized',
  'rotation.way-back-refused',
  'rotation.no-proven-way-back',
])

/** The run failed, and the bundle waits in `incoming/` until somebody has allowed what was refused. */
export function waitsForPeople(run: Run): boolean {
  // Not over: the next run begins by closing the gap, and until then it is critical by itself.
  if (Object.values(run.current.domains).some(({ bareSince }) => bareSince)) return false
  return [...run.troubles].some(
    ([target, { code }]) => FOR_PEOPLE.has(code) && !run.current.domains[target]?.noUndo,
  )
}

/** How a run as a whole came out. `first`: this bundle had not been concluded before. */
export function runStatus(run: Run, end: RunEnd, first: boolean, acted: boolean): OutcomeStatus {
  const records = Object.values(run.current.domains)
  const done = records.filter(isDone).length
  const givenUp = records.filter((record) => record.givenUp)
  // What cannot be undone will not be done by another run either.
  const troubles = [...run.troubles].filter(([target]) => !run.current.domains[target]?.noUndo)
  if (end === 'out of time' || records.some(awaitsUndo)) return 'unfinished'
  if (waitsForPeople(run)) return 'failed'
  if (troubles.some(([, failure]) => !judgeOf(failure))) return 'unfinished'
  // Not back where it was: what is bound stays, and the bundle with it.
  if (givenUp.some((record) => record.noUndo)) return 'failed'
  if (end === 'stopped at the canary' || (givenUp.length > 0 && done === 0)) return 'rolled back'
  if (givenUp.length > 0 || troubles.length > 0) return 'failed'
  if (done < records.length) return 'unfinished'
  return first || acted ? 'rotated' : 'already deployed'
}

export function runSentence(run: Run, status: OutcomeStatus): string {
  const records = Object.values(run.current.domains)
  const served = records.filter((record) => record.servedAt).length
  const bound = records.filter((record) => record.unverified && !record.servedAt).length
  const restored = records.filter((record) => stageOf(record).is === 'restored').length
  // Also those of the config that no group has: they are not done.
  const all = records.length + [...run.views.values()].reduce((sum, { missing }) => sum + missing.length, 0)
  const until = run.current.bundle.notAfter.slice(0, 10)
  const reason = failuresOf(run)[0]?.message
  switch (status) {
    case 'rotated':
      return `${served} of ${all} domains serve the new certificate${bound > 0 ? `, ${bound} bound but not verified` : ''}; valid until ${until}`
    case 'already deployed':
      return `nothing to do: this bundle is in service on all ${all} domains; valid until ${until}`
    case 'unfinished':
      return `${served + bound} of ${all} domains done; the next run goes on${reason ? `: ${reason}` : ''}`
    case 'rolled back':
      return `the new certificate did not go into service; ${countText(restored, 'domain')} ${restored === 1 ? 'has its' : 'have their'} predecessor, the others were not touched${reason ? `: ${reason}` : ''}`
    default:
      return `${served + bound} of ${all} domains have the new certificate, ${restored} kept their predecessor${reason ? `: ${reason}` : ''}`
  }
}

export function pushOutcomes(run: Run): Outcome['pushed'] {
  return run.job.config.push.map((target) => {
    const failure = run.troubles.get(`${target.service}:${target.project}`) ?? run.troubles.get('scm')
    if (failure) return { ...target, status: 'failed' as const, failure: failure.toJSON() }
    const noted = Object.values(run.current.notes).some(
      (note) => note.step === 'push' && note.target === `${target.service}:${target.project}`,
    )
    return { ...target, status: noted ? ('pushed' as const) : ('failed' as const) }
  })
}

/**
 * A rotation was begun, and somebody has taken its bundle away: some domains have the new certificate, others the old
 * one, and only a bundle ends that.
 */
export function bundleGone({
  job,
  parties,
  begunAt,
  journal,
}: Pick<Attempt, 'job' | 'parties' | 'begunAt'> & { journal: Pick<Attempt['journal'], 'state'> }): Outcome[] {
  const { current } = journal.state
  if (current?.status !== 'running') return []
  const records = Object.values(current.domains)
  const done = records.filter(isDone).length
  const folder = `incoming/${job.name}/`
  const sentence = `${done} of ${records.length} domains done, and the bundle is no longer in ${folder}`
  const until = current.bundle.notAfter.slice(0, 10)
  const failure = new Failure({
    code: 'rotation.bundle-gone',
    kind: 'later',
    message: `${job.name}: ${sentence}`,
    next: `Drop it into ${folder} again (valid until ${until}, SHA-256 ${current.bundle.fingerprint}), or another one to take its place; until then each domain keeps what it has.`,
    facts: { certificate: job.name, digest: current.bundle.digest },
  })
  return [
    outcomeOf(
      { job, parties, begunAt },
      { status: 'unfinished', bundle: current.bundle, sentence, failures: [failure] },
    ),
  ]
}

/** The time was over inside a call: an ordinary end, and nothing that anybody has to look into. */
export function cutShort(job: Pick<Job, 'name'>, parties: Pick<Parties, 'clock'>): Outcome {
  const at = parties.clock.now()
  const sentence = 'the time of this run was over before it could begin; the next run goes on'
  return makeOutcome({ certificate: job.name, status: 'unfinished', begunAt: at, endedAt: at, sentence })
}

export function heldElsewhere(
  job: Job,
  parties: Pick<Parties, 'clock'>,
  heldBy: string,
  until: Date,
): Outcome {
  const at = parties.clock.now()
  const sentence = `another run is at work on it (${heldBy}, until ${until.toISOString()} at the latest)`
  return makeOutcome({ certificate: job.name, status: 'unfinished', begunAt: at, endedAt: at, sentence })
}

/** All may be well with the certificate, and yet something has to be allowed before the next time. */
export function claimsLeft(job: Job, { clock }: Pick<Parties, 'clock'>, denied: Failure): Outcome {
  const at = clock.now()
  return makeOutcome({
    certificate: job.name,
    status: 'failed',
    begunAt: at,
    endedAt: at,
    sentence: denied.message,
    failures: [denied],
  })
}
