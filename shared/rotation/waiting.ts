import { minute } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import { keys } from '../base/names.ts'
import { printable } from '../base/printable.ts'
import type { Reading } from '../certificate/bundle.ts'
import { examine, type ReadOptions } from '../certificate/found.ts'
import { readObjects } from '../certificate/read-objects.ts'
import type { Verdict } from '../certificate/verdict.ts'
import { readOptions, removeSources, type Upload } from './incoming.ts'
import type { Journal } from './journal.ts'
import type { OutcomeInit } from './outcome.ts'
import type { Job, Parties } from './parties.ts'
import type { Outcome } from './state.ts'

/** What lies in `incoming/`, read as far as its limits allow; what was left alone is told of. */
export function readUpload(upload: Upload, options: ReadOptions): Reading {
  if (upload.refusal) return { kind: 'unreadable', problems: [upload.refusal] }
  const reading = readObjects(upload.objects, options)
  if (reading.kind === 'waiting') return { ...reading, found: [...reading.found, ...upload.leftAlone] }
  if (reading.kind === 'complete')
    for (const one of upload.leftAlone)
      reading.bundle.repairs.push({ code: 'ignored-object', message: `${one} was left where it is.` })
  return reading
}

/** Nothing waits any more: the next half begins its own time. */
export async function forgetWaiting(journal: Journal): Promise<void> {
  if (journal.state.waitingSince === undefined) return
  delete journal.state.waitingSince
  await journal.save()
}

/** Half a bundle is not an error, until it has been one for too long. */
export async function waitForRest(
  job: Job,
  parties: Parties,
  journal: Journal,
  upload: Upload,
  reading: { missing: string; found: string[] },
  outcome: (init: Omit<OutcomeInit, 'certificate' | 'begunAt' | 'endedAt'>) => Outcome,
): Promise<Outcome> {
  const { state } = journal
  const since = state.waitingSince
  const now = parties.clock.now()
  if (!since) {
    state.waitingSince = now.toISOString()
    await journal.save()
  }
  const sentence = `waiting for the ${reading.missing}: so far there is ${reading.found.join(', ') || 'nothing usable'}`
  const waited = since ? now.getTime() - Date.parse(since) : 0
  if (waited > job.config.waitForPair && (await tidyLatecomers(job, parties, journal, upload)))
    return outcome({
      status: 'already deployed',
      sentence: `${reading.found.join(', ')} belongs to the bundle that is in service and was moved beside it`,
    })
  const failures =
    waited <= job.config.waitForPair
      ? []
      : [
          new Failure({
            code: 'bundle.waiting-too-long',
            kind: 'later',
            message: `${job.name} has waited for the ${reading.missing} since ${since}`,
            next: `Put the ${reading.missing} into incoming/${job.name}/, or remove what lies there.`,
          }),
        ]
  return outcome({ status: 'waiting', sentence, failures })
}

/** acme.sh writes leaf and key before the chain: a bundle this young that lacks nothing else is not judged yet. */
const CHAIN_MAY_FOLLOW_MS = 2 * minute

export function chainMayFollow(
  job: Pick<Job, 'asked'>,
  verdict: Verdict,
  upload: Upload,
  parties: Pick<Parties, 'clock'>,
): boolean {
  // A person who asks has put there what there is.
  if (job.asked || parties.clock.now().getTime() - upload.newestAt.getTime() >= CHAIN_MAY_FOLLOW_MS)
    return false
  const refusals = verdict.checks.filter((check) => check.result === 'refused')
  if (refusals.length > 0) return refusals.every((check) => check.facts?.reason === 'issuer-missing')
  // With trust `any` nobody can tell whether a leaf without intermediates is whole; one that says where to fetch
  // its issuer hardly is.
  return verdict.checks.some((check) => check.result === 'warning' && check.facts?.issuerPublished === true)
}

/**
 * While one bundle lies here unfinished, a newer pair arrives under the same names one object at a time: for a
 * moment there is a new certificate beside the old key. To refuse that would tear the newer bundle apart.
 */
export function restMayFollow(
  verdict: Verdict,
  upload: Upload,
  parties: Pick<Parties, 'clock'>,
  journal: Journal,
): boolean {
  const { current, retry } = journal.state
  const half = verdict.checks.some((check) => check.result === 'refused' && check.code === 'key-matches')
  const age = parties.clock.now().getTime() - upload.newestAt.getTime()
  return half && (current?.status === 'running' || retry !== undefined) && age < CHAIN_MAY_FOLLOW_MS
}

export function namesOf(upload: Upload): string[] {
  return upload.objects.map((object) => printable(object.name))
}

/**
 * A part that arrived when its bundle was already in service (the second copy of a chain) will never find its
 * other half. Moved only when its time is over: an hour before, it could have been the first part of a renewal.
 */
async function tidyLatecomers(
  job: Job,
  parties: Parties,
  journal: Journal,
  upload: Upload,
): Promise<boolean> {
  const { deployed } = journal.state
  if (!deployed || upload.leftAlone.length > 0) return false
  const found = examine(upload.objects, readOptions(job, parties))
  const certificates = found.objects.flatMap((object) => object.certificates)
  const known = certificates.every(
    (one) => one.selfIssued || deployed.chain.includes(one.certificate.fingerprint),
  )
  const keyless = found.keyProblems.length === 0 && found.objects.every((object) => object.keys.length === 0)
  if (certificates.length === 0 || !known || !keyless) return false
  // In a folder of their own: under the same name they could take the place of an object that holds the key.
  for (const { name, bytes } of upload.objects)
    await parties.store.put(`${keys.deployed(job.name)}${deployed.folder}/late/${name}`, bytes)
  await removeSources(parties.store, upload.sources)
  await forgetWaiting(journal)
  return true
}
