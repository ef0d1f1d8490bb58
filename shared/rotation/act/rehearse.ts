import { emergencyWindow } from '../../base/emergency.ts'
import { asFailure, Failure } from '../../base/failure.ts'
import { hostMatches } from '../../certificate/host-name.ts'
import type { BoundCertificate, GatewayCertificate } from '../../gateway/port.ts'
import type { ServedCertificate } from '../../probe/port.ts'
import { knownGateway, learn } from '../plan/attach-habit.ts'
import { type BindStep, type Plan, replacedBy } from '../plan/plan.ts'
import { noteWayBack } from '../record/domain.ts'
import type { WayBack } from '../record/state.ts'
import { domainNow, type Place } from './detach.ts'
import { attachAsItIs, handsAt } from './hands.ts'
import { gatewayOf, LeaseLost, type Run, recordOf, requireTime, say, trouble } from './run-context.ts'

/** Certificates that the gateway would not attach again; after so many the answer is taken for all. */
const REFUSALS_PER_GATEWAY = 5
/** Somebody may change the binding while it is rehearsed; after so many surprises the next run looks again. */
const SURPRISES = 3

export type Refusal =
  /** The domain is not there: the next one is asked. */
  | 'of this domain'
  /** Says something about the certificate that is to go, and nothing about the new one. */
  | 'of the old certificate'
  /** The new certificate would meet it too. */
  | 'of everybody'

/** The group or the domain of the path is gone, or has moved. */
const OF_THE_DOMAIN = new Set(['APIG.3001', 'APIG.3020', 'APIG.3474'])
/** It is not there, belongs to another instance, or has a key usage or signature that is not taken. */
const OF_THE_CERTIFICATE = new Set([
  'APIG.3021',
  'APIG.3025',
  'APIG.3093',
  'APIG.1115',
  'APIG.3708',
  'APIG.3709',
])

/** What it means that a gateway does not attach again what it has bound (API reference, "Error Codes"). */
export function refusalOf(failure: Failure): Refusal {
  const { status, errorCode } = failure.facts
  if (failure.code === 'gateway.domain-gone') return 'of this domain'
  // Without a code it is not the service that speaks, but something on the way to it.
  if (failure.kind === 'again' || typeof errorCode !== 'string') return 'of everybody'
  if (OF_THE_DOMAIN.has(errorCode)) return 'of this domain'
  if (OF_THE_CERTIFICATE.has(errorCode)) return 'of the old certificate'
  return status === 400 ? 'of the old certificate' : 'of everybody'
}

/**
 * Why a certificate that cannot come back may be detached all the same: nobody loses anything by it, or its end is
 * so near that not replacing it is the greater danger. Undefined where it must stay.
 */
export function excuseFor(
  certificate: Pick<GatewayCertificate, 'notAfter' | 'notBefore'> | undefined,
  served: Pick<ServedCertificate, 'notAfter' | 'notBefore' | 'names'> | undefined,
  now: Date,
  host?: string,
): string | undefined {
  if (!certificate) return 'it is gone'
  if (host !== undefined && served && !served.names.some((name) => hostMatches(host, name)))
    return `what is served is not for ${host}`
  const at = now.getTime()
  const end = certificate.notAfter.getTime()
  if (end <= at) return `it ended ${certificate.notAfter.toISOString()}`
  const isServed = !served || Math.abs(served.notAfter.getTime() - end) < 1000
  if (!isServed) return 'it is not what is served'
  const begin = certificate.notBefore ?? served?.notBefore
  const lifetime = begin ? end - begin.getTime() : Number.POSITIVE_INFINITY
  return at >= end - emergencyWindow(lifetime)
    ? `it ends ${certificate.notAfter.toISOString()}, and nothing is more urgent`
    : undefined
}

/**
 * The way back is proven before anything is created or detached at a gateway: one domain gets again what it has,
 * with its own flag. That changes nothing, and shows that certificate, permission and path are good for an undo.
 * A refusal that the new certificate would meet too ends the run here, untouched. Returns the plan without the
 * domains that the gateway does not know any more.
 */
export async function rehearse(run: Run, plan: Plan): Promise<Plan> {
  const gone = new Set<string>()
  for (const key of run.views.keys()) {
    const steps = plan.steps.filter(isBinding).filter((step) => step.gateway === key)
    for (const target of await rehearseAt(run, key, steps)) gone.add(target)
  }
  if (gone.size === 0) return plan
  return { ...plan, steps: plan.steps.filter((step) => !('domain' in step) || !gone.has(step.domain)) }
}

async function rehearseAt(run: Run, key: string, steps: BindStep[]): Promise<string[]> {
  const candidates = steps.filter((step) => step.replaces)
  // Whoever was served by our hand has shown that attaching works here.
  if (candidates.length === 0 || servedByOurHand(run, key)) return []
  const wayBack = begin(run, key)
  const gone: string[] = []
  let last: Failure | undefined
  for (const step of candidates) {
    if (Object.keys(wayBack.refused).length >= REFUSALS_PER_GATEWAY) break
    if (step.replaces!.id in wayBack.refused) continue
    last = await tryAt(run, step, wayBack)
    if (wayBack.proven) return gone
    if (last && refusalOf(last) === 'of this domain') gone.push(step.domain)
  }
  if (last && gone.length === steps.length) throw untouched(run, candidates[0]!, last)
  return gone
}

/**
 * Before each detach: this very domain gets again what it has, or there is nothing to lose by going without. What
 * another domain has shown says nothing here: permissions are given by domain, and locks are set on one.
 * Throws one of `BEFORE_THE_DETACH` where the certificate must stay for now.
 */
export async function requireWayBack(run: Run, place: Place, old: BoundCertificate): Promise<void> {
  requireAttaching(run, place)
  if (run.attachedAgain.get(place.domain) === old.id) return
  const { host } = recordOf(run, place.domain)
  const wayBack = wayBackAt(run, place.gateway) ?? begin(run, place.gateway)
  if (wayBack.refused[old.id] === undefined) {
    const failure = await tryAt(run, { ...place, host, replaces: old }, wayBack)
    if (failure && refusalOf(failure) === 'of this domain') throw failure
  }
  const words = wayBack.refused[old.id]
  if (words === undefined) return
  const certificate = await gatewayOf(run, place.gateway).certificate(old.id)
  const view = run.views.get(place.gateway)?.domains.find(({ target }) => target === place.domain)
  const excuse = excuseFor(certificate, view?.servedBefore, run.parties.clock.now(), host)
  if (!excuse)
    throw new Failure({
      code: 'rotation.no-proven-way-back',
      kind: 'later',
      message: `${host}: ${old.name || old.id} is served and could not be put back, so it is not detached: ${words}`,
      next: 'Nothing was changed there. Detach it by hand when a short outage is acceptable, or find out why the gateway does not attach it; shortly before it ends it is replaced without a way back.',
      facts: { domain: place.domain, certificateId: old.id },
    })
  say(
    run,
    'rehearse',
    place.domain,
    `${host}: ${old.name || old.id} is replaced without a way back: ${excuse}`,
  )
}

/** Told of a domain that was left as it is: there is nothing to undo. */
const BEFORE_THE_DETACH = new Set([
  'rotation.way-back-refused',
  'rotation.no-proven-way-back',
  'rotation.detaching-stopped',
])

export function isBeforeDetach({ code }: Pick<Failure, 'code'>): boolean {
  return BEFORE_THE_DETACH.has(code)
}

/** Remembers a refusal that every domain of the gateway would meet: nobody else is to lose what it has. */
export function noteRefusal(run: Run, gateway: string, thrown: unknown): void {
  const failure = asFailure(thrown)
  if (failure instanceof LeaseLost || failure.code === 'gateway.occupied') return
  if (refusalOf(failure) === 'of everybody' && !run.attachRefused.has(gateway))
    run.attachRefused.set(gateway, failure)
}

/** Directly before a detach. Throws where the gateway has refused an attach meanwhile, at whichever domain. */
export function requireAttaching(run: Run, place: Place): void {
  const refusal = run.attachRefused.get(place.gateway)
  if (!refusal) return
  throw new Failure({
    code: 'rotation.detaching-stopped',
    kind: 'later',
    message: `${recordOf(run, place.domain).host}: left as it is, because an attach was refused at another domain of this gateway: ${refusal.message}`,
    next: refusal.next,
    facts: { domain: place.domain, refusal: refusal.code },
    cause: refusal,
  })
}

/** Why the gateway does not attach this certificate any more, where the rehearsal has found that out. */
export function knownRefusal(run: Run, gateway: string, certificateId: string): string | undefined {
  return wayBackAt(run, gateway)?.refused[certificateId]
}

function wayBackAt(run: Run, gateway: string): WayBack | undefined {
  const { wayBack } = knownGateway(run.journal.state, gateway)
  return wayBack?.digest === run.current.bundle.digest ? wayBack : undefined
}

function begin(run: Run, gateway: string): WayBack {
  const at = run.parties.clock.now().toISOString()
  const wayBack: WayBack = { digest: run.current.bundle.digest, at, proven: false, refused: {} }
  learn(run.journal.state, gateway, { wayBack })
  return wayBack
}

function servedByOurHand(run: Run, gateway: string): boolean {
  return Object.values(run.current.domains).some((record) => record.gateway === gateway && record.boundAt)
}

type Candidate = Place & Pick<BindStep, 'host' | 'replaces'>

/** One domain. Returns what was refused, where that is no reason to end the run. */
async function tryAt(run: Run, step: Candidate, wayBack: WayBack): Promise<Failure | undefined> {
  requireTime(run, `${step.host}: rehearsal of the way back`, 1)
  const begun = run.parties.clock.monotonic()
  try {
    const attached = await attachAgain(run, step)
    if (!attached) return undefined
    wayBack.proven = true
    run.attachedAgain.set(step.domain, attached.id)
    // Somebody has put another one there since the plan was made: it is what an undo, or the next run, must find.
    if (attached.id !== step.replaces?.id) noteWayBack(recordOf(run, step.domain), attached)
    run.journal.touch()
    const sentence = `${step.host}: the way back works: ${attached.name || attached.id} was attached again as it is`
    say(run, 'rehearse', step.domain, sentence, run.parties.clock.monotonic() - begun)
    return undefined
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (failure instanceof LeaseLost) throw failure
    switch (refusalOf(failure)) {
      case 'of everybody':
        noteRefusal(run, step.gateway, failure)
        throw untouched(run, step, failure)
      case 'of this domain':
        run.troubles.set(step.domain, failure)
        trouble(run, 'rehearse', step.domain, failure)
        break
      case 'of the old certificate':
        wayBack.refused[step.replaces!.id] = failure.message
        run.journal.touch()
        trouble(run, 'rehearse', step.domain, withoutWayBack(step, failure))
    }
    return failure
  }
}

/** Undefined where nothing is bound any more: a bare domain has no way back that could be lost. */
async function attachAgain(run: Run, step: Candidate): Promise<BoundCertificate | undefined> {
  const record = recordOf(run, step.domain)
  for (let surprise = 1; ; surprise++) {
    const before = await domainNow(run, step)
    const old =
      before.certificates.find(({ id }) => id === step.replaces?.id) ??
      replacedBy({ algorithm: run.current.bundle.algorithm }, before)
    if (!old) return undefined
    await attachAsItIs(handsAt(run, step.gateway), record, old.id, before.clientVerification)
    const after = await domainNow(run, step)
    const same = (one: BoundCertificate[]) =>
      one
        .map(({ id }) => id)
        .sort()
        .join()
    if (
      same(before.certificates) === same(after.certificates) &&
      before.clientVerification === after.clientVerification
    )
      return old
    if (surprise >= SURPRISES) throw changedMeanwhile(step)
  }
}

function changedMeanwhile(step: Candidate): Failure {
  return new Failure({
    code: 'rotation.binding-changes',
    kind: 'later',
    message: `${step.host}: what is bound, or its client verification, is another after it was attached again as it was`,
    next: 'Somebody else changes this domain, or the gateway does: look at it there. The next run tries again.',
    facts: { domain: step.domain },
  })
}

function untouched(run: Run, step: Candidate, failure: Failure): Failure {
  const { facts, next, retryAfterMs } = failure
  const { host } = recordOf(run, step.domain)
  return new Failure({
    code: 'rotation.way-back-refused',
    kind: 'later',
    message: `${host}: nothing is created or detached, because what is bound cannot be attached again (the way back): ${failure.message}`,
    next,
    facts: { ...facts, domain: step.domain, refusal: failure.code },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    cause: failure,
  })
}

function withoutWayBack({ host, replaces, domain }: Candidate, failure: Failure): Failure {
  return new Failure({
    code: 'rotation.no-way-back',
    kind: failure.kind,
    message: `${host}: there is no way back: ${replaces?.name || replaces?.id} cannot be attached again: ${failure.message}`,
    next: 'Where it is expired or not served it is replaced all the same; otherwise nothing is detached until shortly before it ends.',
    facts: { ...failure.facts, domain, refusal: failure.code },
    cause: failure,
  })
}

function isBinding(step: Plan['steps'][number]): step is BindStep {
  return step.kind === 'bind' || step.kind === 'add'
}
