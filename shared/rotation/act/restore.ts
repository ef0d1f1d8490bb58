import { second } from '../../base/clock.ts'
import { asFailure, Failure } from '../../base/failure.ts'
import type { BoundCertificate } from '../../gateway/port.ts'
import { HiddenBindings, oursAt } from '../plan/hidden.ts'
import { nameAt } from '../plan/plan.ts'
import {
  noteBare,
  noteCovered,
  noteNoUndo,
  noteRestored,
  noteWayBack,
  type RecordedDomain,
} from '../record/domain.ts'
import { remoteAt } from '../record/remote-name.ts'
import { untilSeen } from './attach-seen.ts'
import { detachLeftover, domainNow, type Place } from './detach.ts'
import { attachTo, handsAt } from './hands.ts'
import { knownRefusal } from './rehearse.ts'
import { gatewayOf, LeaseLost, patience, type Run, recordOf, say, trouble } from './run-context.ts'
import { restoreUpdated } from './update.ts'

/** A domain without a certificate is an outage: the undo is tried for longer than anything else. */
const RESTORE_BUDGET_MS = 15 * second

/**
 * Puts the predecessor back on one domain, with its client-verification flag. Looks first, so that it also ends
 * an undo that a crash cut short. Where it fails, the domain's record says that it is still to be done, or why it
 * cannot be done.
 */
export async function restoreDomain(run: Run, gatewayKey: string, target: string): Promise<void> {
  const record = recordOf(run, target)
  const predecessor = record.predecessor
  const view = run.views.get(gatewayKey)
  const place = { gateway: gatewayKey, domain: target }
  try {
    const gateway = gatewayOf(run, gatewayKey)
    const shown = await gateway.domain(record)
    if (!shown || !predecessor) return
    const ours = oursAt(run.journal.state.created, gatewayKey, record.host)
    const now = await new HiddenBindings(gateway).complete(shown, [predecessor, ...ours])
    if (view?.config.strategy === 'update' && (await restoreUpdated(run, gatewayKey, target))) return
    const others = await oursAmong(
      run,
      place,
      now.certificates.filter((one) => one.id !== predecessor.id),
    )
    const strangers = now.certificates.filter((one) => !others.includes(one) && isInPlaceOf(one, predecessor))
    const inPlace = now.certificates.some((one) => one.id === predecessor.id)
    if (!inPlace && strangers.length > 0 && others.length === 0)
      return leaveToOthers(run, target, strangers[0]!)
    const theirs = inPlace ? undefined : await bringBack(run, place, predecessor, others)
    if (theirs) return leaveToOthers(run, target, theirs)
    for (const other of others) await detachLeftover(run, place, other)
    const acted = !inPlace || others.length > 0
    const flag = acted ? (await domainNow(run, place)).clientVerification : now.clientVerification
    if (flag !== record.clientVerification) await attach(run, place, predecessor)
    restored(run, record)
    if (acted || flag !== record.clientVerification)
      say(run, 'restore', target, `${record.host}: put ${predecessor.name || predecessor.id} back`)
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (failure instanceof LeaseLost) throw failure
    const forGood = cannotComeBack(failure)
    const told =
      forGood && predecessor && failure.code !== 'rotation.no-way-back'
        ? noWayBack(record, target, predecessor, failure.message)
        : failure
    run.troubles.set(target, told)
    trouble(run, 'restore', target, told)
    // A bare domain is never left at that: the next run's first act is to try again.
    const served = await insteadOfNothing(run, gatewayKey, record)
    if (served && record.givenUp && forGood) noteNoUndo(record, told.toJSON())
    run.journal.touch()
  }
}

/** Refused for good. Where somebody's certificate stands in the way, the next look finds it and leaves it. */
function cannotComeBack(failure: Failure): boolean {
  return failure.kind === 'never' && failure.code !== 'gateway.occupied'
}

/** Says nothing about the new certificate, whatever code the service gave it. */
function noWayBack(
  { host }: RecordedDomain,
  domain: string,
  { id, name }: BoundCertificate,
  why: string,
): Failure {
  return new Failure({
    code: 'rotation.no-way-back',
    kind: 'never',
    message: `${host}: ${name || id} cannot be put back: ${why}`,
    next: 'The domain keeps what is bound to it. Look at what it serves, and drop a working bundle into incoming/.',
    facts: { domain, certificateId: id },
  })
}

/**
 * The old one is attached first: where it takes the place, or stands beside, nothing is ever without a certificate,
 * and where it is refused, what is bound stays. Only a gateway that takes one at a time gets the new one detached.
 * Returns the certificate that somebody has put in its place, where one turns up under the new one.
 */
async function bringBack(
  run: Run,
  place: Place,
  predecessor: BoundCertificate,
  others: BoundCertificate[],
): Promise<BoundCertificate | undefined> {
  const record = recordOf(run, place.domain)
  const cannot = (why: string) => noWayBack(record, place.domain, predecessor, why)
  if (!(await gatewayOf(run, place.gateway).certificate(predecessor.id)))
    throw cannot('somebody has deleted it')
  try {
    await attach(run, place, predecessor)
    return undefined
  } catch (thrown) {
    if (asFailure(thrown).code !== 'gateway.occupied' || others.length === 0) throw thrown
  }
  // The gateway looks at who is there before it looks at what is to come.
  const refused = knownRefusal(run, place.gateway, predecessor.id)
  if (refused !== undefined) throw cannot(refused)
  for (const other of others) await detachLeftover(run, place, other)
  noteBare(record, run.parties.clock.now())
  try {
    await attach(run, place, predecessor)
    return undefined
  } catch (thrown) {
    if (asFailure(thrown).code !== 'gateway.occupied') throw thrown
    const now = await domainNow(run, place)
    const known = await oursAmong(run, place, now.certificates)
    const theirs = now.certificates.find((one) => !known.includes(one) && isInPlaceOf(one, predecessor))
    if (!theirs) throw thrown
    return theirs
  }
}

/** One of the other algorithm stands beside it, and may have stood there before. */
function isInPlaceOf(one: BoundCertificate, { id, algorithm }: BoundCertificate): boolean {
  if (one.id === id) return false
  return one.algorithm === undefined || algorithm === undefined || one.algorithm === algorithm
}

/** Somebody has chosen a certificate for this domain meanwhile: it is served, and not ours to replace. */
function leaveToOthers(run: Run, target: string, theirs: BoundCertificate): void {
  const record = recordOf(run, target)
  noteWayBack(record, theirs)
  restored(run, record)
  const { name, id } = theirs
  say(run, 'restore', target, `${record.host}: left with ${name || id}, which somebody put there`)
}

/** With the domain's own flag, until the gateway shows it. */
async function attach(run: Run, place: Place, certificate: BoundCertificate): Promise<void> {
  const about = {
    host: recordOf(run, place.domain).host,
    domain: place.domain,
    certificate: certificate.name || certificate.id,
  }
  const attachIt = () => attachOnce(run, place, certificate)
  await attachIt()
  await untilSeen(patience(run), about, () => isOn(run, place, certificate), attachIt)
}

async function isOn(run: Run, place: Place, certificate: BoundCertificate): Promise<boolean> {
  const gateway = gatewayOf(run, place.gateway)
  const shown = await gateway.domain(recordOf(run, place.domain))
  // Removed from its group: nobody is served there any more.
  if (!shown) return true
  const { certificates } = await new HiddenBindings(gateway).complete(shown, [certificate])
  return certificates.some(({ id }) => id === certificate.id)
}

async function attachOnce(run: Run, place: Place, certificate: BoundCertificate): Promise<void> {
  const hands = handsAt(run, place.gateway, { tries: 8, budgetMs: RESTORE_BUDGET_MS })
  await attachTo(hands, recordOf(run, place.domain), certificate.id)
}

function restored(run: Run, record: RecordedDomain): void {
  noteRestored(record, run.parties.clock.now())
  run.journal.touch()
}

/**
 * The predecessor does not come back: where the domain is bare, a certificate that was given up is better than none.
 * Returns whether it has one.
 */
async function insteadOfNothing(run: Run, gatewayKey: string, record: RecordedDomain): Promise<boolean> {
  const gateway = gatewayOf(run, gatewayKey)
  const added = run.views.get(gatewayKey)
  const name =
    added && nameAt(added, record.host, { certificateName: run.job.name, bundle: run.current.bundle })
  const made = run.journal.state.created.find((one) => one.where === gatewayKey && one.name === name)?.id
  // Updated in place and taken off by hand: it is the predecessor that holds the new content.
  const updated = added?.config.strategy === 'update' ? record.predecessor?.id : undefined
  try {
    const id = run.current.certificates[gatewayKey] ?? made ?? updated
    const now = await gateway.domain(record)
    if (now?.certificates.length !== 0) return now !== undefined
    if (!id) return false
    await attachTo(handsAt(run, gatewayKey, { tries: 1 }), record, id)
    if ((await gateway.domain(record))?.certificates.length === 0) return false
    noteCovered(record)
    return true
  } catch (thrown) {
    run.parties.log.error(`${record.host} is without a certificate: ${asFailure(thrown).message}`, {
      failure: asFailure(thrown),
    })
    return false
  }
}

/** What the new certificate, or an overtaken one of ours, is on a domain: theirs is what remains. */
async function oursAmong(
  run: Run,
  place: Place,
  certificates: BoundCertificate[],
): Promise<BoundCertificate[]> {
  const asked = certificates.map(async (one) => ((await isOurs(run, place, one)) ? [one] : []))
  return (await Promise.all(asked)).flat()
}

/** By the name that the gateway shows or, where only our own notes call it ours, says when it is asked. */
async function isOurs(run: Run, place: Place, { id, name }: BoundCertificate): Promise<boolean> {
  const { job, current, journal } = run
  const { state } = journal
  const view = run.views.get(place.gateway)
  const facts = { certificateName: job.name, bundle: current.bundle }
  if (view && name !== '' && name === nameAt(view, recordOf(run, place.domain).host, facts)) return true
  const noted = state.created.find((one) => one.where === place.gateway && one.id === id)
  if (!noted && id !== current.certificates[place.gateway]) return false
  const digest = noted?.digest ?? current.bundle.digest
  const remote = await remoteAt(gatewayOf(run, place.gateway), { job, state }, { id, digest })
  return !remote.there || remote.ours
}
