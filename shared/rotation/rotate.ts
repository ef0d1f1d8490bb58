import { Failure } from '../base/failure.ts'
import { closeGaps } from './act/gap.ts'
import { runPlan } from './act/run.ts'
import { requireUpdatable } from './act/update.ts'
import { beginRun, supersede } from './begin.ts'
import { decide, judgeInPlace, requireKnownNames } from './decide.ts'
import { type Attempt, about, outcomeOf } from './intake/attempt.ts'
import { clientCaFacts, requireClientCa } from './intake/client-ca.ts'
import { finishMove } from './intake/conclude.ts'
import { asDelivered } from './intake/delivered.ts'
import { collectUpload, isEmpty, withoutHalves } from './intake/incoming.ts'
import { factsOf } from './intake/material.ts'
import { forgetWaiting, partOldHalf, waitForRest, waitUntilValid } from './intake/waiting.ts'
import { OutOfTime } from './out-of-time.ts'
import {
  bundleGone,
  claimsLeft,
  differenceAfter,
  domainOutcomes,
  failuresOf,
  heldElsewhere,
  pushOutcomes,
  runSentence,
  runStatus,
} from './outcome.ts'
import type { Job, Parties } from './parties.ts'
import { findingsOf } from './plan/attach-habit.ts'
import { differenceFor } from './plan/difference-facts.ts'
import { lookAtGateways, probeBefore } from './plan/look.ts'
import { makePlan } from './plan/make-plan.ts'
import { nothingToDo } from './plan/nothing-to-do.ts'
import { openJournal } from './record/journal.ts'
import type { Outcome } from './record/state.ts'
import { requireRoom, retire } from './retire.ts'
import { interrupted, notYet, refuse, settle, stillWaiting } from './settle.ts'

/** How many bundles of one certificate are taken up before others have their turn, and whether that cut it short. */
export interface Turn {
  /** At least two: the second look finds out whether the store has deleted what was moved. */
  bundles: number
  more: boolean
}

/**
 * One certificate, from whatever lies in `incoming/<name>/` to every domain serving it:
 * lease → close gaps → bundle → verdict → look → plan → run → outcome. Returns what came of each bundle it
 * found; nothing at all where nothing lay there and nothing had been begun. Throws only where not even the outcome could be written.
 */
export async function rotate(job: Job, parties: Parties, turn?: Turn): Promise<Outcome[]> {
  if (await nothingToDo(job, parties)) return []
  const answer = await parties.lease(job.name)
  if (!answer.held) return [heldElsewhere(job, parties, answer.heldBy, answer.until)]
  const { lease } = answer
  const outcomes: Outcome[] = []
  try {
    const journal = await openJournal(job.name, parties)
    await closeGaps(job, parties, lease, journal)
    await finishMove(parties, journal)
    let seen = ''
    const stop = AbortSignal.any([parties.deadline.signal, lease.signal])
    // A bundle that arrived while another was being rotated is taken up at once, under the same lease.
    while (!stop.aborted) {
      const begunAt = parties.clock.now()
      const found = await collectUpload(parties, job.name, stop).catch(unlessOutOfTime)
      if (found instanceof OutOfTime) {
        outcomes.push(outcomeOf({ job, parties, begunAt }, { status: 'unfinished', sentence: found.message }))
        break
      }
      const upload = await asDelivered(job, found)
      const sources = JSON.stringify([upload.sources, upload.unfinished])
      if (isEmpty(upload)) {
        await forgetWaiting(journal)
        if (outcomes.length === 0) outcomes.push(...bundleGone({ job, parties, begunAt, journal }))
      }
      // The same objects again: the store took their deletion and did not carry it out.
      if (isEmpty(upload) || sources === seen) break
      seen = sources
      const clientCa = await clientCaFacts(job, parties, journal.state.deployed)
      const attempt = { job, parties, lease, journal, upload, clientCa, begunAt }
      const outcome = await rotateUpload(attempt, outcomes)
      outcomes.push(outcome)
      if (outcome.status === 'waiting' || outcome.status === 'unfinished') break
      if (outcome.status === 'failed' && journal.state.retry) break
      if (turn && --turn.bundles <= 0) {
        turn.more = true
        break
      }
    }
  } finally {
    await lease.release()
  }
  const denied = lease.denied?.()
  return denied ? [...outcomes, claimsLeft(job, parties, denied)] : outcomes
}

function unlessOutOfTime(thrown: unknown): OutOfTime {
  if (thrown instanceof OutOfTime) return thrown
  throw thrown
}

/** One bundle; what it replaces is told to `outcomes`. */
async function rotateUpload(found: Attempt, outcomes: Outcome[], roomMade = false): Promise<Outcome> {
  const { job, parties, lease, journal } = found
  const decision = await decide(found)
  if (decision.kind === 'wait') return await waitForRest(found, decision)
  const parted = decision.kind === 'torn' ? await partOldHalf(found) : undefined
  if (parted) return parted
  if (decision.kind === 'not yet') await waitUntilValid(journal, decision.bundle)
  else await forgetWaiting(journal)
  const halves = 'halves' in decision ? decision.halves : undefined
  const attempt = { ...found, upload: withoutHalves(found.upload, halves) }
  if (decision.kind === 'refuse' || decision.kind === 'torn')
    return await refuse(attempt, decision.checks, decision.bundle)
  if (decision.kind === 'not yet') return notYet(attempt, decision.bundle)
  if (decision.kind === 'too early') return stillWaiting(attempt, decision.bundle, decision.wait)

  const { bundle } = decision
  const { leaf } = bundle
  const until = leaf.notAfter.toISOString().slice(0, 10)
  const sentence = `${leaf.commonName || leaf.names[0]}, ${leaf.algorithm}, valid until ${until}`
  parties.progress({ kind: 'bundle', certificate: job.name, sentence })
  try {
    const views = await lookAtGateways(job, parties)
    await probeBefore(views, parties)
    const verdict = await judgeInPlace(job, parties, bundle, views)
    if (verdict.decision === 'refuse') return await refuse(attempt, verdict.checks, bundle)
    requireKnownNames(bundle, views)
    requireClientCa(
      job,
      bundle,
      views.flatMap((view) => view.domains),
    )
    const made = await makePlan(job, parties, journal, factsOf(bundle), views)
    const { plan } = made
    await requireUpdatable(job, parties, plan, views, bundle, journal.state)
    await requireRoom(job, parties, lease, journal, plan, views)

    const before = journal.state.current
    const first = before?.bundle.digest !== bundle.digest || before.status === 'running'
    outcomes.push(...supersede(attempt, bundle))
    const difference = await differenceFor(bundle, views, plan, journal.state)
    const run = await beginRun(attempt, bundle, views, made, difference)
    const end = await runPlan(run, plan)
    const status = runStatus(run, end, first, plan.steps.length > 0)
    const outcome = outcomeOf(attempt, {
      ...about(bundle),
      status,
      sentence: runSentence(run, status),
      checks: verdict.checks,
      domains: domainOutcomes(run, attempt.begunAt),
      gateways: findingsOf(journal.state, run.views.keys(), bundle),
      difference: status === 'already deployed' ? undefined : differenceAfter(run),
      handshakes: run.handshakes,
      pushed: pushOutcomes(run),
      failures: failuresOf(run),
    })
    await settle(attempt, run, outcome)
    return outcome
  } catch (thrown) {
    const full = thrown instanceof Failure && thrown.code === 'gateway.quota'
    if (full && !roomMade && (await retire(job, parties, lease, journal, { urgent: true })).length > 0)
      return await rotateUpload(found, outcomes, true)
    return await interrupted(attempt, bundle, thrown)
  }
}
