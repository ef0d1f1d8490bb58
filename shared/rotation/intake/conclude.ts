import { bundleFolder, keys } from '../../base/names.ts'
import { printableJson } from '../../base/printable.ts'
import type { Bundle } from '../../certificate/bundle.ts'
import { putCertain } from '../../store/certain.ts'
import type { Job, Parties } from '../parties.ts'
import { shortened } from '../record/difference.ts'
import type { Journal } from '../record/journal.ts'
import type { CreatedCertificate, Deployed, Move, Outcome, RotationState } from '../record/state.ts'
import type { ResultFile } from '../record/state-file.ts'
import { CLIENT_CA } from './delivered.ts'
import type { Upload } from './incoming.ts'
import { copyUnread, isReplaced, removeSources } from './move.ts'
import { isRejectionReadme, rejectionReadme } from './rejection-readme.ts'

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
 * `result.json` beside them, each read back, then the outcome, and only then the originals are removed. Whichever of these a
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
  if (
    before &&
    !same &&
    !before.copied &&
    before.to !== `${keys.deployed(job.name)}${state.deployed?.folder}/`
  )
    await removeCopies(job, parties, before)
  const folder = same ? before.to.slice(base.length, -1) : bundleFolder(parties.clock.now(), digest)
  state.moving = { to: `${base}${folder}/`, digest, sources: upload.sources, copied: false }
  if (conclusion.to === 'rejected') outcome.movedTo = state.moving.to
  await journal.save()

  const clientCa = conclusion.bundle?.trustedRootCa.map(({ fingerprint }) => fingerprint) ?? []
  const deployed = conclusion.deployed ? { ...conclusion.deployed, folder, clientCa } : undefined
  const objects = await copyBundle(job, parties, conclusion, state.moving.to)
  const created = state.created.filter((certificate) => certificate.digest === digest)
  await putCertain(
    parties.store,
    `${state.moving.to}result.json`,
    resultFile(outcome, created, deployed, objects),
    {
      contentType: 'application/json',
    },
  )
  if (conclusion.to === 'rejected')
    await putCertain(parties.store, `${state.moving.to}README.txt`, rejectionReadme(job.name, outcome), {
      contentType: 'text/plain; charset=utf-8',
    })

  if (deployed) state.deployed = deployed
  if (conclusion.refused) state.refused = conclusion.refused
  if (conclusion.status && state.current?.bundle.digest === digest) state.current.status = conclusion.status
  rememberOutcome(journal, outcome)
  delete state.waitingSince
  delete state.validFrom
  state.moving.copied = true
  await journal.save()
  await finishMove(parties, journal)
}

/** Removes the originals of a bundle whose copies are in place. */
export async function finishMove(parties: Pick<Parties, 'store'>, journal: Journal): Promise<void> {
  const { moving } = journal.state
  if (!moving?.copied) return
  const { name } = journal.state
  const folder = keys.incoming(name)
  // The other half of what was refused has come meanwhile, and needs what still lies here.
  const goesOn =
    moving.to.startsWith(keys.rejected(name)) && isReplaced(parties.store, folder, moving.sources)
  if (!(await goesOn)) await removeSources(parties.store, folder, moving.sources)
  delete journal.state.moving
  await journal.save()
}

export function rememberOutcome(journal: Journal, outcome: Outcome): void {
  const { state } = journal
  state.outcomes.unshift(trimmed(outcome))
  state.outcomes.length = Math.min(state.outcomes.length, KEEP_OUTCOMES)
  journal.touch()
}

/**
 * The state file stays small with 500 domains: those with which all is well are counted, the others listed; of those
 * that are well the ones with the longest gaps stay, since the next plan tells what to expect.
 */
function trimmed(outcome: Outcome): Outcome {
  if (outcome.domains.length <= KEEP_DOMAINS) return outcome
  const well = new Set(['served', 'already served'])
  const domains = [...outcome.domains].sort(
    (a, b) => Number(well.has(a.status)) - Number(well.has(b.status)) || (b.gapMs ?? -1) - (a.gapMs ?? -1),
  )
  const { difference } = outcome
  return {
    ...outcome,
    ...(difference ? { difference: shortened(difference, KEEP_DOMAINS) } : {}),
    domains: domains.slice(0, KEEP_DOMAINS),
    domainsOmitted: domains.length - KEEP_DOMAINS,
  }
}

/** Returns the names of what it put there. */
async function copyBundle(job: Job, parties: Parties, conclusion: Conclusion, to: string): Promise<string[]> {
  const { bundle, upload } = conclusion
  const names: string[] = []
  const put = async (name: string, content: Uint8Array | string, contentType?: string) => {
    await putCertain(parties.store, `${to}${name}`, content, contentType === undefined ? {} : { contentType })
    names.push(name)
  }
  const clientCa = bundle?.trustedRootCa.map((one) => one.pem).join('') ?? ''
  if (conclusion.to === 'deployed' && job.config.deletePrivateKey && bundle) {
    const chain = [bundle.leaf, ...bundle.chain].map((certificate) => certificate.pem).join('')
    await put(CHAIN, chain, 'application/x-pem-file')
    if (clientCa) await put(CLIENT_CA, clientCa)
    return names
  }
  for (const { name, bytes } of upload.objects) if (!isOwnNote(name, bytes)) await put(placeFor(name), bytes)
  await copyUnread(parties.store, upload, keys.incoming(job.name), to)
  names.push(...upload.unread.map(({ key }) => key.slice(keys.incoming(job.name).length)))
  // The next rotation finds the CA here, whether or not it is the one that came with the bundle.
  const brought = upload.objects.some(({ name }) => /(^|\/)(trusted-root-ca\.pem|ca\.crt)$/i.test(name))
  if (conclusion.to === 'deployed' && clientCa) await put(brought ? OTHER_CLIENT_CA : CLIENT_CA, clientCa)
  return names
}

/** In a directory a folder of an upload that is called like a file of ours would keep that from being written. */
function placeFor(name: string): string {
  const [first, ...rest] = name.split('/')
  return rest.length > 0 && ['client-ca', CLIENT_CA, ...NOTES].includes(first!) ? `objects/${name}` : name
}

/** What this tool puts beside the copies of an upload, or in their place. */
const CHAIN = 'fullchain.pem'
const OTHER_CLIENT_CA = `client-ca/${CLIENT_CA}`
const NOTES = ['README.txt', 'result.json']

/** Came back with a bundle that was copied out of `rejected/`; beside the new result it would tell an old story. */
function isOwnNote(name: string, bytes: Uint8Array): boolean {
  return name === 'result.json' || (name === 'README.txt' && isRejectionReadme(bytes))
}

/** A move that another bundle has overtaken: nothing goes but what it can have put there itself. */
async function removeCopies(job: Job, parties: Pick<Parties, 'store'>, move: Move): Promise<void> {
  const from = keys.incoming(job.name)
  const names = new Set(move.sources.map(({ key }) => placeFor(key.slice(from.length))))
  // What tells the folder for one of ours goes last.
  for (const name of [...names, CHAIN, CLIENT_CA, OTHER_CLIENT_CA, ...NOTES])
    await parties.store.delete(`${move.to}${name}`)
}

function resultFile(
  outcome: Outcome,
  created: CreatedCertificate[],
  deployed: Deployed | undefined,
  objects: string[],
): string {
  const result: ResultFile = { ...outcome, created, ...(deployed ? { deployed } : {}), objects }
  return `${printableJson(result, 2)}\n`
}
