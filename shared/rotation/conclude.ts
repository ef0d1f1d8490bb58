import { instantForKey, keys } from '../base/names.ts'
import type { Bundle } from '../certificate/bundle.ts'
import { copyUnread, removeSources, type Upload } from './incoming.ts'
import type { Journal } from './journal.ts'
import type { Job, Parties } from './parties.ts'
import type { ResultFile } from './rebuild.ts'
import { isRejectionReadme, rejectionReadme } from './rejection-readme.ts'
import type { CreatedCertificate, Deployed, Outcome, RotationState } from './state.ts'

/** The state file keeps this many outcomes, each with at most this many domains. */
const KEEP_OUTCOMES = 10
const KEEP_DOMAINS = 20

export interface Conclusion {
  outcome: Outcome
  upload: Upload
  to: 'deployed' | 'rejected'
  bundle?: Bundle | undefined
  deployed?: Omit<Deployed, 'folder'> | undefined
  /** What the rotation and the bundle are from now on; noted together with the outcome, not before. */
  status?: 'done' | 'failed'
  refused?: RotationState['refused']
}

/**
 * Writes the outcome and moves the bundle out of `incoming/`: first where it goes, then the copies with
 * `result.json` beside them, then the outcome, and only then the originals are removed. Whichever of these a
 * crash cuts off, the next run finds its way without a half bundle and without a second folder.
 */
export async function conclude(
  job: Job,
  parties: Parties,
  journal: Journal,
  conclusion: Conclusion,
): Promise<void> {
  const { state } = journal
  const { outcome, upload } = conclusion
  const digest = conclusion.bundle?.digest ?? 'unreadable'
  const base = conclusion.to === 'deployed' ? keys.deployed(job.name) : keys.rejected(job.name)
  const before = state.moving
  const same = before && before.digest === digest && before.to.startsWith(base) && !before.copied
  if (before && !same && !before.copied) await removeFolder(parties, before.to)
  const folder = same
    ? before.to.slice(base.length, -1)
    : `${instantForKey(parties.clock.now())}-${digest.slice(0, 8)}`
  state.moving = { to: `${base}${folder}/`, digest, sources: upload.sources, copied: false }
  await journal.save()

  const deployed = conclusion.deployed ? { ...conclusion.deployed, folder } : undefined
  await copyBundle(job, parties, conclusion, state.moving.to)
  const created = state.created.filter((certificate) => certificate.digest === digest)
  await parties.store.put(`${state.moving.to}result.json`, resultFile(outcome, created, deployed), {
    contentType: 'application/json',
  })
  if (conclusion.to === 'rejected')
    await parties.store.put(`${state.moving.to}README.txt`, rejectionReadme(job.name, outcome), {
      contentType: 'text/plain; charset=utf-8',
    })

  if (deployed) state.deployed = deployed
  if (conclusion.refused) state.refused = conclusion.refused
  if (conclusion.status && state.current?.bundle.digest === digest) state.current.status = conclusion.status
  rememberOutcome(journal, outcome)
  delete state.waitingSince
  state.moving.copied = true
  await journal.save()
  await finishMove(parties, journal)
}

/** Removes the originals of a bundle whose copies are in place. */
export async function finishMove(parties: Pick<Parties, 'store'>, journal: Journal): Promise<void> {
  const { moving } = journal.state
  if (!moving?.copied) return
  await removeSources(parties.store, moving.sources)
  delete journal.state.moving
  await journal.save()
}

export function rememberOutcome(journal: Journal, outcome: Outcome): void {
  const { state } = journal
  state.outcomes.unshift(trimmed(outcome))
  state.outcomes.length = Math.min(state.outcomes.length, KEEP_OUTCOMES)
  journal.touch()
}

/** The state file stays small with 500 domains: those with which all is well are counted, the others listed. */
function trimmed(outcome: Outcome): Outcome {
  if (outcome.domains.length <= KEEP_DOMAINS) return outcome
  const well = new Set(['served', 'already served'])
  const domains = [...outcome.domains].sort((a, b) => Number(well.has(a.status)) - Number(well.has(b.status)))
  return {
    ...outcome,
    domains: domains.slice(0, KEEP_DOMAINS),
    domainsOmitted: domains.length - KEEP_DOMAINS,
  }
}

async function copyBundle(job: Job, parties: Parties, conclusion: Conclusion, to: string): Promise<void> {
  const { bundle, upload } = conclusion
  if (conclusion.to === 'deployed' && job.config.deletePrivateKey && bundle) {
    const chain = [bundle.leaf, ...bundle.chain].map((certificate) => certificate.pem).join('')
    await parties.store.put(`${to}fullchain.pem`, chain, { contentType: 'application/x-pem-file' })
    if (bundle.trustedRootCa.length > 0)
      await parties.store.put(`${to}trusted-root-ca.pem`, bundle.trustedRootCa.map((one) => one.pem).join(''))
    return
  }
  for (const { name, bytes } of upload.objects)
    if (!isOwnNote(name, bytes)) await parties.store.put(`${to}${name}`, bytes)
  await copyUnread(parties.store, upload, keys.incoming(job.name), to)
  // The next rotation finds the CA here: where this bundle had none, it was taken over from its predecessor.
  const brought = upload.objects.some(({ name }) => /(^|\/)(trusted-root-ca\.pem|ca\.crt)$/i.test(name))
  if (conclusion.to === 'deployed' && bundle && bundle.trustedRootCa.length > 0 && !brought)
    await parties.store.put(`${to}trusted-root-ca.pem`, bundle.trustedRootCa.map((one) => one.pem).join(''))
}

/** Came back with a bundle that was copied out of `rejected/`; beside the new result it would tell an old story. */
function isOwnNote(name: string, bytes: Uint8Array): boolean {
  return name === 'result.json' || (name === 'README.txt' && isRejectionReadme(bytes))
}

async function removeFolder(parties: Pick<Parties, 'store'>, prefix: string): Promise<void> {
  for (const { key } of await parties.store.list(prefix)) await parties.store.delete(key)
}

function resultFile(outcome: Outcome, created: CreatedCertificate[], deployed: Deployed | undefined): string {
  const result: ResultFile = { ...outcome, created, ...(deployed ? { deployed } : {}) }
  return `${JSON.stringify(result, null, 2)}\n`
}
