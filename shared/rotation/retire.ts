import { asFailure, Failure } from '../base/failure.ts'
import { isBundleFolder, keys, remoteCertificateName } from '../base/names.ts'
import type { Gateway } from '../gateway/port.ts'
import { closeGaps } from './act/gap.ts'
import { CallTimes, guarded } from './act/run-context.ts'
import { finishMove } from './intake/conclude.ts'
import type { HeldLease, Job, Parties } from './parties.ts'
import { type GatewayView, gatewayKey } from './plan/look.ts'
import type { Plan } from './plan/plan.ts'
import { type Journal, MAX_STATE_BYTES, openJournal } from './record/journal.ts'
import { type Remote, remoteAt } from './record/remote-name.ts'
import type { CreatedCertificate } from './record/state.ts'
import { parseResult } from './record/state-file.ts'

export interface Retired {
  where: string
  id: string
  name: string
}

/**
 * Deletes what nobody needs any more, at the gateways and in SCM: only what this tool created, only what
 * nothing is bound to, only after the grace period, and never the newest `keep` predecessors. "In use" is a
 * reason to wait. Needs the lease. `urgent`: the quota is used up, and what never served anybody and is of no bundle
 * under way goes at once.
 */
export async function retire(
  job: Job,
  parties: Parties,
  lease: HeldLease,
  journal: Journal,
  { urgent = false } = {},
): Promise<Retired[]> {
  const retired: Retired[] = []
  const places = new Set(journal.state.created.map((one) => one.where))
  for (const where of places) {
    const certificates = journal.state.created.filter((one) => one.where === where)
    if (parties.deadline.signal.aborted || lease.signal.aborted) break
    try {
      const unbound = await markUnbound(job, parties, journal, where, certificates)
      const due = dueForRetirement(job, parties, unbound, urgent)
      for (const certificate of due)
        if (await removeOne(job, parties, lease, journal, certificate)) retired.push(certificate)
    } catch (thrown) {
      const failure = asFailure(thrown)
      parties.log.warn(`Leftovers of ${job.name} at ${where} were not looked at: ${failure.message}`, {
        failure,
      })
    }
  }
  await retireFolders(job, parties, journal)
  await journal.save()
  return retired
}

/** Whatever is not the current certificate and has nothing bound to it, newest first, with the moment we first saw that. */
async function markUnbound(
  job: Job,
  parties: Parties,
  journal: Journal,
  where: string,
  certificates: CreatedCertificate[],
): Promise<CreatedCertificate[]> {
  const { state } = journal
  const inService = new Set([
    state.deployed?.digest,
    state.current?.status === 'running' ? state.current.bundle.digest : undefined,
  ])
  const wayBack = new Set(
    state.current?.status === 'running'
      ? Object.values(state.current.domains).map((record) => record.predecessor?.id)
      : [],
  )
  const unbound: CreatedCertificate[] = []
  for (const certificate of certificates) {
    const { current } = state
    const used = current?.bundle.digest === certificate.digest ? current.certificates[where] : undefined
    const isCurrent = used === undefined ? isNewestOf(certificate, certificates) : certificate.id === used
    const needed = (inService.has(certificate.digest) && isCurrent) || wayBack.has(certificate.id)
    if (needed || (await isBound(job, parties, where, certificate))) {
      delete certificate.unboundSince
      continue
    }
    certificate.unboundSince ??= parties.clock.now().toISOString()
    unbound.push(certificate)
  }
  return unbound.toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1))
}

/** Of two certificates of one bundle only one is used; where the state does not say which, the newest stays. */
function isNewestOf(certificate: CreatedCertificate, all: CreatedCertificate[]): boolean {
  return all.every((other) => other.digest !== certificate.digest || other.createdAt <= certificate.createdAt)
}

async function isBound(
  job: Job,
  parties: Parties,
  where: string,
  certificate: CreatedCertificate,
): Promise<boolean> {
  if (where === 'scm') {
    if (!parties.manager) return true
    return false
  }
  const gateway = gatewayAt(job, parties, where)
  // A gateway that is no longer in the config cannot be asked, so nothing there is touched.
  if (!gateway) return true
  return (await gateway.attachedDomains(certificate.id)).length > 0
}

function dueForRetirement(
  job: Job,
  parties: Parties,
  unbound: CreatedCertificate[],
  urgent: boolean,
): CreatedCertificate[] {
  const { after, keep } = job.config.retire
  const now = parties.clock.now().getTime()
  // What was rolled back is nobody's predecessor and takes no place among those that are kept.
  const kept = new Set(unbound.filter((certificate) => !certificate.neverServed).slice(0, keep))
  return unbound
    .filter((certificate) => !kept.has(certificate))
    .filter(
      (certificate) =>
        (urgent && certificate.neverServed) || now - Date.parse(certificate.unboundSince ?? '') >= after,
    )
}

async function removeOne(
  job: Job,
  parties: Parties,
  lease: HeldLease,
  journal: Journal,
  certificate: CreatedCertificate,
): Promise<boolean> {
  const context = { lease, parties, times: new CallTimes() }
  const forget = () => {
    journal.state.created = journal.state.created.filter((one) => one !== certificate)
  }
  try {
    const remote = await remoteOf(job, parties, journal, certificate)
    if (!remote.there) {
      forget()
      return false
    }
    if (!remote.ours) {
      parties.log.warn(
        `${certificate.id} at ${certificate.where} is called ${JSON.stringify(remote.name)} there, which is no name that this tool gave for ${job.name}: it is not deleted, and no longer counted as one of ours`,
        { certificateId: certificate.id, where: certificate.where },
      )
      if (remote.name !== '') forget()
      return false
    }
    if (certificate.where === 'scm')
      await guarded(parties.manager!, context, ['remove']).remove(certificate.id)
    else await guarded(gatewayAt(job, parties, certificate.where)!, context).remove(certificate.id)
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (failure.code.endsWith('.in-use')) {
      parties.log.info(`${certificate.name} at ${certificate.where} is still in use; it stays`, {
        certificateId: certificate.id,
      })
      delete certificate.unboundSince
    } else
      parties.log.warn(`${certificate.name} at ${certificate.where} was not deleted: ${failure.message}`, {
        failure,
      })
    return false
  }
  forget()
  parties.log.info(`Retired ${certificate.name} at ${certificate.where}`, {
    step: 'retire',
    certificateId: certificate.id,
  })
  return true
}

/** As `remoteAt`, in SCM too, where a certificate is found by its name. */
async function remoteOf(
  job: Job,
  parties: Parties,
  { state }: Journal,
  certificate: CreatedCertificate,
): Promise<Remote> {
  const { where, id, digest } = certificate
  if (where !== 'scm') return remoteAt(gatewayAt(job, parties, where)!, { job, state }, certificate)
  const name = remoteCertificateName(job.name, digest)
  if ((await parties.manager!.find(name)).some((one) => one.id === id))
    return { there: true, ours: true, name }
  const other = (await parties.manager!.list()).find((one) => one.id === id)
  return other ? { there: true, ours: false, name: other.name } : { there: false }
}

function gatewayAt(job: Job, parties: Parties, where: string): Gateway | undefined {
  const config = job.config.gateways.find((one) => gatewayKey(one) === where)
  return config && parties.gatewayFor(config)
}

/** Old bundles hold old private keys: the folders under `deployed/` go with the certificates they belong to. */
async function retireFolders(job: Job, parties: Parties, journal: Journal): Promise<void> {
  const prefix = keys.deployed(job.name)
  const folders = new Map<string, { keys: string[]; modifiedAt: Date }>()
  for (const { key, modifiedAt } of await parties.store.list(prefix)) {
    const folder = key.slice(prefix.length).split('/')[0]!
    // Somebody else's folder: not counted among the predecessors, and not removed.
    if (!isBundleFolder(folder)) continue
    const entry = folders.get(folder) ?? { keys: [], modifiedAt }
    entry.keys.push(key)
    if (modifiedAt > entry.modifiedAt) entry.modifiedAt = modifiedAt
    folders.set(folder, entry)
  }
  const { after, keep } = job.config.retire
  const now = parties.clock.now().getTime()
  const predecessors = [...folders]
    .filter(
      ([folder, entry]) =>
        entry.keys.includes(`${prefix}${folder}/result.json`) &&
        folder !== journal.state.deployed?.folder &&
        !journal.state.moving?.to.endsWith(`/${folder}/`),
    )
    .sort(([a], [b]) => (a < b ? 1 : -1))
  for (const [folder, { keys: old, modifiedAt }] of predecessors.slice(keep)) {
    if (now - modifiedAt.getTime() < after) continue
    const result = `${prefix}${folder}/result.json`
    const moved = await movedTo(job, parties, `${prefix}${folder}/`, folder)
    // result.json last: a folder that is half gone is still recognised as ours.
    for (const key of old) if (key !== result && moved(key)) await parties.store.delete(key)
    await parties.store.delete(result)
  }
}

/** Whether a move has put an object there. Results of 0.1.0 do not list what they moved: then the folder is all of it. */
async function movedTo(
  job: Job,
  parties: Parties,
  to: string,
  folder: string,
): Promise<(key: string) => boolean> {
  const stored = await parties.store.get(`${to}result.json`, { maxBytes: MAX_STATE_BYTES })
  const objects = stored && parseResult(job.name, folder, stored.bytes)?.objects
  if (!objects) return () => true
  const names = new Set(objects)
  return (key) => names.has(key.slice(to.length)) || key.startsWith(`${to}late/`)
}

/**
 * A rotation that would exceed the gateway's quota retires first what may be retired, or says so before it
 * touches anything. The quota is not documented; `maxCertificates` in the config makes it known.
 */
export async function requireRoom(
  job: Job,
  parties: Parties,
  lease: HeldLease,
  journal: Journal,
  plan: Plan,
  views: GatewayView[],
): Promise<void> {
  const quota = job.config.maxCertificates
  if (quota === undefined) return
  for (const view of views) {
    const needed = plan.steps.filter(
      (step) => (step.kind === 'create' || step.kind === 'add') && step.gateway === view.key,
    ).length
    if (needed === 0) continue
    let present = (await view.gateway.certificates()).length
    if (present + needed <= quota) continue
    await retire(job, parties, lease, journal, { urgent: true })
    present = (await view.gateway.certificates()).length
    if (present + needed <= quota) continue
    throw new Failure({
      code: 'gateway.quota',
      kind: 'later',
      message: `${view.gateway.description} holds ${present} certificates and takes ${quota}; this rotation needs ${needed} more, and nothing may be retired yet`,
      next: 'Delete certificates that are not bound at the gateway, shorten retire.after, or raise the quota and maxCertificates.',
      facts: { gateway: view.key, present, quota, needed },
    })
  }
}

/** The timer's part: takes the lease, looks for leftovers, and goes away again where somebody else is at work. */
export async function retireLeftovers(job: Job, parties: Parties): Promise<Retired[]> {
  const stored = await parties.store.get(keys.state(job.name), { maxBytes: MAX_STATE_BYTES })
  if (!stored) return []
  const answer = await parties.lease(job.name)
  if (!answer.held) return []
  try {
    const journal = await openJournal(job.name, parties)
    // Also where the bundle of an unfinished rotation was taken away: nobody else would come by.
    await closeGaps(job, parties, answer.lease, journal)
    await finishMove(parties, journal)
    return await retire(job, parties, answer.lease, journal)
  } finally {
    await answer.lease.release()
  }
}
