import { minute } from '../../base/clock.ts'
import { Failure } from '../../base/failure.ts'
import { digestOf, keys } from '../../base/names.ts'
import { printable } from '../../base/printable.ts'
import type { Bundle, CheckResult, Half, Reading, Repair, UploadedObject } from '../../certificate/bundle.ts'
import type { Verdict } from '../../certificate/verdict.ts'
import type { Job, Parties } from '../parties.ts'
import type { Journal } from '../record/journal.ts'
import type { Outcome } from '../record/state.ts'
import { type Attempt, outcomeOf } from './attempt.ts'
import { deployedObjects } from './deployed-bundle.ts'
import { readOptions, type Upload } from './incoming.ts'
import { copyObjects, removeSources } from './move.ts'

/** An upload as it was read. What is `waiting` may still become whole. */
export type UploadReading =
  | Exclude<Reading, { kind: 'waiting' }>
  | { kind: 'waiting'; missing: string; found: string[]; ignored: string[] }

/** What lies in `incoming/`, read as far as its limits allow; what stays where it is is told of. */
export async function readUpload(
  upload: Upload,
  job: Pick<Job, 'config' | 'trust'>,
  parties: Pick<Parties, 'clock' | 'reader'>,
): Promise<UploadReading> {
  if (upload.refusal) return { kind: 'unreadable', problems: [upload.refusal] }
  const { unfinished, leftAlone } = upload
  const reading = await parties.reader.read(upload.objects, readOptions(job, parties))
  if (reading.kind === 'waiting')
    return {
      ...reading,
      found: [...reading.found, ...unfinished],
      ignored: [...reading.ignored, ...leftAlone],
    }
  if (reading.kind === 'unreadable')
    // Nobody can know what it will be together with the rest.
    return unfinished.length === 0
      ? reading
      : {
          kind: 'waiting',
          missing: 'rest of it',
          found: [...namesOf(upload), ...unfinished],
          ignored: leftAlone,
        }
  for (const one of [...unfinished, ...leftAlone])
    reading.bundle.repairs.push({ code: 'ignored-object', message: `${one} was left where it is.` })
  reading.bundle.repairs.push(...reading.halves.map(toldOf))
  return reading
}

function toldOf({ name, holds, is }: Half): Repair {
  const shown = printable(name)
  const sentences = {
    alone: `${shown} (${holds}) was left where it is: it may be half of a newer bundle.`,
    shared:
      holds === 'issuers'
        ? `${shown} stays, because half of a newer bundle does that may need it; a copy goes with this one.`
        : `${shown} also holds ${holds}, maybe half of a newer bundle: it stays, and a copy goes with this one.`,
    inseparable: `${shown} also holds ${holds}, maybe half of a newer bundle: upload that again when its other half is there.`,
  }
  return { code: 'half-of-newer', message: sentences[is] }
}

/** Nothing waits any more: the next half begins its own time. */
export async function forgetWaiting(journal: Journal): Promise<void> {
  const { state } = journal
  if (!state.waitingSince && !state.lying && !state.validFrom) return
  delete state.waitingSince
  delete state.validFrom
  delete state.lying
  await journal.save()
}

/** So that whoever looks at the state sees what lies there, and for what it waits. */
export async function waitUntilValid(journal: Journal, { leaf }: Bundle): Promise<void> {
  const validFrom = leaf.notBefore.toISOString()
  if (journal.state.validFrom === validFrom) return
  await forgetWaiting(journal)
  journal.state.validFrom = validFrom
  await journal.save()
}

/** What is still missing of an upload, as far as it can be said. */
interface Missing {
  missing: string
  found: string[]
  /** Of no use, each with the reason. */
  ignored?: string[] | undefined
  until?: Date | undefined
  because?: string | undefined
}

export function waitingSentence({ missing, found, ignored = [], ...reading }: Missing): string {
  const until = reading.until ? ` until ${reading.until.toISOString()}` : ''
  const because = reading.because ? `. ${reading.because}` : ''
  const alone = ignored.length > 0 ? `; left alone: ${ignored.join(', ')}` : ''
  // What is of no use is no half of anything.
  if (found.length === 0)
    return `waiting for a certificate and its private key: nothing usable lies there${alone}`
  return `waiting for the ${missing}${until}: so far there is ${found.join(', ')}${alone}${because}`
}

/** Half a bundle is not an error, until it has been one for too long. */
export async function waitForRest(attempt: Attempt, reading: Missing): Promise<Outcome> {
  const { job, parties, journal, upload } = attempt
  const { state } = journal
  const since = state.waitingSince
  const now = parties.clock.now()
  const digest = digestOfUpload(upload)
  if (!since || state.lying?.digest !== digest || Date.parse(state.lying.since) > now.getTime()) {
    state.waitingSince ??= now.toISOString()
    state.lying = { digest, since: now.toISOString() }
    await journal.save()
  }
  const sentence = waitingSentence(reading)
  const waited = since ? now.getTime() - Date.parse(since) : 0
  if (waited > job.config.waitForPair && (await tidyLatecomers(attempt)))
    return outcomeOf(attempt, {
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
  return outcomeOf(attempt, { status: 'waiting', sentence, failures, until: reading.until })
}

/** acme.sh writes leaf and key before the chain: a bundle this young that lacks nothing else is not judged yet. */
const CHAIN_MAY_FOLLOW_MS = 2 * minute
/** A pair that is uploaded over another is none between its two halves; a person at a console takes minutes. */
const OTHER_HALF_MAY_FOLLOW_MS = 5 * minute

/** What an upload that could be judged still waits for, until when, and what would be said otherwise. */
export interface MayFollow {
  missing: string
  until: Date
  because?: string
}

type Waiter = Pick<Attempt, 'job' | 'parties' | 'upload'> & { journal: Pick<Journal, 'state'> }

/** Undefined where the bundle is judged as it is. A person who asks has put there what there is. */
export function whatMayFollow(waiter: Waiter, verdict: Verdict): MayFollow | undefined {
  const { job, parties, journal, upload } = waiter
  if (isHalfReplaced(verdict.checks)) return otherHalfMayFollow(waiter, verdict.checks)
  if (job.asked) return undefined
  const now = parties.clock.now().getTime()
  const lying = lyingFor(journal, upload, now)
  const age = Math.max(lying, now - upload.newestAt.getTime())
  if (upload.unfinished.length > 0 && isBare(verdict) && lying < CHAIN_MAY_FOLLOW_MS)
    return { missing: CHAIN, until: new Date(now - lying + CHAIN_MAY_FOLLOW_MS) }
  return age < CHAIN_MAY_FOLLOW_MS && lacksChainOnly(verdict)
    ? { missing: CHAIN, until: new Date(now - age + CHAIN_MAY_FOLLOW_MS) }
    : undefined
}

/** For halves that do not fit; of several keys it is not even a bundle that is judged. */
export function otherHalfMayFollow(
  { job, parties, journal, upload }: Waiter,
  checks: CheckResult[],
): MayFollow | undefined {
  const now = parties.clock.now().getTime()
  const lying = lyingFor(journal, upload, now)
  const mismatch = checks.find(isMismatch)
  if (job.asked || !mismatch || lying >= OTHER_HALF_MAY_FOLLOW_MS) return undefined
  const until = new Date(now - lying + OTHER_HALF_MAY_FOLLOW_MS)
  return { missing: OTHER_HALF, until, because: mismatch.message }
}

/** What waits of two bundles of which one half each lies here. */
export const OTHER_HALF = 'other half of the newer bundle'
const CHAIN = 'intermediate certificates'

/** Whether what is refused are halves that do not fit: the rest of one may be on its way. */
export function isHalfReplaced(checks: CheckResult[]): boolean {
  return checks.some(isMismatch)
}

function isMismatch({ result, code, facts }: CheckResult): boolean {
  return (
    result === 'refused' &&
    (code === 'several-keys' || (code === 'key-matches' && facts?.reason === 'another-certificate'))
  )
}

/** Milliseconds for which exactly this has been seen here, by our clock: a file's own times are its writer's. */
function lyingFor({ state }: Pick<Journal, 'state'>, upload: Upload, now: number): number {
  if (state.lying?.digest !== digestOfUpload(upload)) return 0
  return Math.max(0, now - Date.parse(state.lying.since))
}

function digestOfUpload({ sources, unfinished }: Upload): string {
  return digestOf(...sources.flatMap(({ key, digest }) => [key, digest]), ...unfinished)
}

function lacksChainOnly(verdict: Verdict): boolean {
  const refusals = verdict.checks.filter((check) => check.result === 'refused')
  if (refusals.length > 0) return refusals.every((check) => check.facts?.reason === 'issuer-missing')
  // With trust `any` nobody can tell whether a leaf without intermediates is whole.
  return verdict.checks.some((check) => check.result === 'warning' && check.code === 'chain-complete')
}

/** No intermediates, while something unfinished lies beside that may be them. */
function isBare({ checks }: Verdict): boolean {
  return checks.some(({ code, result, facts }) => {
    if (code !== 'chain-complete') return false
    return result === 'warning' || (result === 'refused' && facts?.reason === 'issuer-missing')
  })
}

export function namesOf(upload: Upload): string[] {
  return upload.objects.map((object) => printable(object.name))
}

/**
 * A part that arrived when its bundle was already in service (the second copy of a chain, a key uploaded twice) will
 * never find its other half. Moved only when its time is over: an hour before, it could have been the first part of a
 * renewal with the same key.
 */
async function tidyLatecomers(attempt: Attempt): Promise<boolean> {
  const { upload, journal } = attempt
  if (upload.leftAlone.length + upload.unfinished.length > 0) return false
  const { old } = await oldHalves(attempt)
  if (old.length === 0 || old.length < upload.objects.length) return false
  await putBesideDeployed(attempt, old)
  await forgetWaiting(journal)
  return true
}

/**
 * A new half has lain for too long beside the old half of the bundle in service: the old one is what is in its way,
 * and is moved to where it belongs. The new one goes on waiting, as half a pair does. Undefined where neither of them
 * is what is in service: then nobody can tell which one is meant.
 */
export async function partOldHalf(attempt: Attempt): Promise<Outcome | undefined> {
  const parting = await oldHalfInTheWay(attempt)
  if (!parting) return undefined
  await putBesideDeployed(attempt, parting.old)
  const sentence = `${parting.names} belongs to the bundle that is in service and was moved beside it`
  const waiting = await waitForRest(attempt, parting.rest)
  return { ...waiting, sentence: `${waiting.sentence}; ${sentence}` }
}

/** Which objects `partOldHalf` moves, and what is then waited for. */
export async function oldHalfInTheWay(
  attempt: Waiter,
): Promise<{ old: UploadedObject[]; names: string; rest: Missing } | undefined> {
  const { upload } = attempt
  const { old, decisive } = await oldHalves(attempt)
  if (decisive.length === 0 || old.length === upload.objects.length) return undefined
  const gone = new Set(decisive.map(({ name }) => name))
  const found = upload.objects.filter(({ name }) => !gone.has(name)).map(({ name }) => printable(name))
  const names = decisive.map(({ name }) => printable(name)).join(', ')
  return { old: decisive, names, rest: { missing: OTHER_HALF, found: [...found, ...upload.unfinished] } }
}

/** Objects that hold nothing but parts of what is in service; `decisive` are those that no renewal can share. */
async function oldHalves({ job, parties, journal, upload }: Waiter) {
  const none = { old: [], decisive: [] } as { old: UploadedObject[]; decisive: UploadedObject[] }
  const { deployed } = journal.state
  if (!deployed) return none
  const options = readOptions(job, parties)
  const inService = await parties.reader.contents(await deployedObjects(job.name, parties, deployed), options)
  const leaf = inService
    .flatMap(({ certificates }) => certificates)
    .find(({ fingerprint }) => fingerprint === deployed.fingerprint)
  const contents = await parties.reader.contents(upload.objects, options)
  for (const object of upload.objects) {
    const here = contents.find(({ name }) => name === object.name)
    if (here === undefined || here.damaged) continue
    const { certificates, privateKeys } = here
    const known = certificates.every((one) => one.selfIssued || deployed.chain.includes(one.fingerprint))
    const ours = privateKeys.every(({ publicKey }) => publicKey === leaf?.publicKey)
    if (certificates.length + privateKeys.length === 0 || !known || !ours) continue
    none.old.push(object)
    const isLeaf = certificates.some(({ fingerprint }) => fingerprint === deployed.fingerprint)
    if (isLeaf || privateKeys.length > 0) none.decisive.push(object)
  }
  return none
}

/** In a folder of their own: under the same name they could take the place of an object that holds the key. */
async function putBesideDeployed(
  { job, parties, journal, upload }: Attempt,
  objects: UploadedObject[],
): Promise<void> {
  const { store } = parties
  const incoming = keys.incoming(job.name)
  await copyObjects(store, objects, `${keys.deployed(job.name)}${journal.state.deployed!.folder}/late/`)
  const moved = new Set(objects.map(({ name }) => `${incoming}${name}`))
  await removeSources(
    store,
    incoming,
    upload.sources.filter(({ key }) => moved.has(key)),
  )
}
