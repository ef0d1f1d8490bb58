import { second } from '../../base/clock.ts'
import { asFailure, Failure } from '../../base/failure.ts'
import type { BoundCertificate } from '../../gateway/port.ts'
import { OutOfTime } from '../out-of-time.ts'
import { knownGateway, learn, orderOf } from '../plan/attach-habit.ts'
import { HiddenBindings } from '../plan/hidden.ts'
import { type BindStep, isOtherAlgorithm, replacedBy } from '../plan/plan.ts'
import type { BindOrder } from '../record/difference.ts'
import { giveUp, noteBare, noteBound, noteCovered, noteGap, noteWayBack } from '../record/domain.ts'
import { judgeOf } from '../record/judged.ts'
import type { AttachHabit } from '../record/state.ts'
import { attachWithoutEffect, untilSeen } from './attach-seen.ts'
import { rememberCreated } from './create.ts'
import { detachLeftover, domainNow } from './detach.ts'
import { attachTo, detachFrom, handsAt } from './hands.ts'
import { perform } from './perform.ts'
import { isBeforeDetach, noteRefusal, requireAttaching, requireWayBack } from './rehearse.ts'
import { restoreDomain } from './restore.ts'
import {
  gatewayOf,
  LeaseLost,
  patience,
  type Run,
  recordOf,
  requireTime,
  say,
  trouble,
} from './run-context.ts'

/** How long an attach may be tried while the domain stands without a certificate. */
const ATTACH_BUDGET_MS = 6 * second

/** Somebody may change the binding while we do; after this many surprises the domain is left alone. */
const SURPRISES = 3

/**
 * Puts the new certificate on one domain. Detach and attach follow one another with nothing in between. Where
 * the attach is refused, or does not succeed within its budget, the predecessor is attached again at once.
 *
 * Everything it learns goes into the domain's record; it throws only where nothing was begun (`OutOfTime`) or
 * the lease is gone.
 */
export async function bindDomain(run: Run, step: BindStep): Promise<void> {
  requireTime(run, `${step.host}: rebinding`)
  const record = recordOf(run, step.domain)
  const begun = run.parties.clock.monotonic()
  try {
    newCertificateId(run, step)
  } catch (thrown) {
    // Known before anything was touched: there is nothing to undo.
    run.troubles.set(step.domain, asFailure(thrown))
    return trouble(run, step.kind, step.domain, asFailure(thrown))
  }
  try {
    const besides = step.besides ?? []
    // In the way of the new one, and not alone on the domain: what is replaced stays in service meanwhile.
    const inTheWay = besides.filter(
      (old) => step.replaces !== undefined && !isOtherAlgorithm(old, run.current.bundle),
    )
    for (const old of inTheWay) await detachLeftover(run, step, old)
    const order = await bindInOrder(run, step)
    for (const old of besides) if (!inTheWay.includes(old)) await detachLeftover(run, step, old)
    run.boundHere.add(step.domain)
    noteBound(record, run.parties.clock.now())
    run.journal.note(step.key, step.kind, step.domain)
    const gap = record.gapMs === undefined ? '' : ` (${record.gapMs} ms without a certificate)`
    say(run, step.kind, step.domain, `${step.host}: ${order}${gap}`, run.parties.clock.monotonic() - begun)
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (failure instanceof OutOfTime || failure instanceof LeaseLost) throw failure
    // Untouched, and told of by the domain where the attach was refused.
    if (failure.code === 'rotation.detaching-stopped') return
    trouble(run, step.kind, step.domain, failure)
    if (isBeforeDetach(failure)) return void run.troubles.set(step.domain, failure)
    await giveUpBinding(run, step, failure)
  }
}

async function bindInOrder(run: Run, step: BindStep): Promise<string> {
  if (orderNow(run, step) !== 'attach, detach') return detachThenAttach(run, step)
  let id: string
  try {
    id = await putOn(run, step)
  } catch (thrown) {
    if (asFailure(thrown).code !== 'gateway.occupied') throw thrown
    seeHabit(run, step, 'refuses')
    return detachThenAttach(run, step)
  }
  const old = step.replaces!
  if (!(await isBeside(run, step, id, old))) {
    seeHabit(run, step, 'replaces')
    return 'the new certificate took the place of the old one'
  }
  seeHabit(run, step, 'keeps both')
  await detachLeftover(run, step, old)
  await isBeside(run, step, id, old)
  return 'attached the new certificate, then detached the old one'
}

/** Decided at the last moment: the first domain has shown meanwhile what this gateway does. */
function orderNow(run: Run, step: BindStep): BindOrder {
  // Bound by an earlier run, and the old one is still beside it.
  if (step.kind === 'bind' && step.certificateId && step.order === 'attach, detach') return step.order
  return orderOf({
    setting: run.views.get(step.gateway)?.config.attachFirst ?? 'auto',
    habit: knownGateway(run.journal.state, step.gateway).attach,
    replaces: step.replaces !== undefined,
    otherAlgorithm: isOtherAlgorithm(step.replaces, run.current.bundle),
    goesFirst: !run.habitsSeen.has(step.gateway),
  })
}

/** Two of different algorithms stand side by side everywhere, which says nothing about two of the same. */
function seeHabit(run: Run, step: BindStep, attach: AttachHabit): void {
  if (isOtherAlgorithm(step.replaces, run.current.bundle)) return
  run.habitsSeen.add(step.gateway)
  learn(run.journal.state, step.gateway, { attach, attachSeenAt: run.parties.clock.now().toISOString() })
  run.journal.touch()
}

/** Looks before the old one is detached: is it still there, and is the new one really? */
async function isBeside(run: Run, step: BindStep, id: string, old: BoundCertificate): Promise<boolean> {
  const known = [old, { id, name: step.name ?? '' }]
  const hidden = new HiddenBindings(gatewayOf(run, step.gateway))
  const { certificates } = await hidden.complete(await domainNow(run, step), known)
  if (!certificates.some((one) => one.id === id))
    throw attachWithoutEffect({ host: step.host, domain: step.domain, certificate: id })
  return certificates.some((one) => one.id === old.id)
}

/** Whoever puts another certificate on the domain between the detach and the attach finds it replaced, too. */
async function detachThenAttach(run: Run, step: BindStep): Promise<string> {
  const record = recordOf(run, step.domain)
  let old = step.replaces
  for (let surprise = 1; ; surprise++) {
    const outcome = await detachOld(run, step, old)
    if (outcome === 'already bound') return 'the new certificate was bound already'
    const detachedAt = run.parties.clock.monotonic()
    if (outcome === 'detached') noteBare(record, run.parties.clock.now())
    let id: string
    try {
      id = await putOn(run, step)
    } catch (thrown) {
      if (asFailure(thrown).code !== 'gateway.occupied' || surprise >= SURPRISES) throw thrown
      noteCovered(record)
      const now = await domainNow(run, step)
      if (now.certificates.some((one) => isNew(run, step, one)))
        return 'the new certificate was bound already'
      old = replacedBy({ algorithm: run.current.bundle.algorithm }, now)
      if (!old) throw thrown
      noteWayBack(record, old)
      continue
    }
    if (outcome === 'detached') noteGap(record, run.parties.clock.monotonic() - detachedAt)
    await untilSeen(
      patience(run),
      { host: step.host, domain: step.domain, certificate: id },
      () => isAnythingOn(run, step),
      async () => {
        await attach(run, step, id)
        if (outcome === 'detached') noteGap(record, run.parties.clock.monotonic() - detachedAt)
      },
    )
    return outcome === 'detached'
      ? 'detached the old certificate, attached the new one'
      : 'attached the new certificate'
  }
}

/** Whose it is, the handshake tells. Where nobody can look, the answer to the attach is believed until then. */
async function isAnythingOn(run: Run, step: BindStep): Promise<boolean> {
  const now = await gatewayOf(run, step.gateway)
    .domain(recordOf(run, step.domain))
    .catch(() => undefined)
  return now?.certificates.length !== 0
}

/** Detaches what is bound now, even where somebody has changed it since the plan was made. */
async function detachOld(
  run: Run,
  step: BindStep,
  replaces: BoundCertificate | undefined,
): Promise<'detached' | 'was bare' | 'already bound'> {
  const record = recordOf(run, step.domain)
  let old = replaces
  for (let surprise = 0; old && surprise < SURPRISES; surprise++) {
    const id = old.id
    await requireWayBack(run, step, old)
    requireTime(run, `${step.host}: rebinding`)
    try {
      await detachFrom(handsAt(run, step.gateway, { tries: 2 }), record, id, {
        before: () => requireAttaching(run, step),
      })
      return 'detached'
    } catch (thrown) {
      if (asFailure(thrown).code !== 'gateway.not-bound') throw thrown
      const now = await domainNow(run, step)
      if (now.certificates.some((one) => isNew(run, step, one))) return 'already bound'
      old = replacedBy({ algorithm: run.current.bundle.algorithm }, now)
      if (old) noteWayBack(record, old)
    }
  }
  return 'was bare'
}

/** The new certificate comes on: by its id, or created and bound in one call (strategy `add`). Returns its id. */
async function putOn(run: Run, step: BindStep): Promise<string> {
  try {
    return await bindOrAdd(run, step)
  } catch (thrown) {
    // At once, before the undo: others stand before their detach at this moment.
    noteRefusal(run, step.gateway, thrown)
    throw thrown
  }
}

async function bindOrAdd(run: Run, step: BindStep): Promise<string> {
  const gateway = gatewayOf(run, step.gateway)
  const record = recordOf(run, step.domain)
  const bound = async () => {
    const now = await domainNow(run, step)
    return now.certificates.find((one) => isNew(run, step, one))
  }
  if (step.kind === 'bind') {
    const id = newCertificateId(run, step)
    try {
      await attach(run, step, id)
    } catch (thrown) {
      throw await explained(run, step, id, asFailure(thrown))
    }
    return id
  }
  const { id } = await perform<{ id: string }>(
    patience(run, { budgetMs: ATTACH_BUDGET_MS, makesAnew: true }),
    bound,
    () => gateway.add(record, step.name!, run.material),
  )
  rememberCreated(run, step.gateway, id, step.name!)
  const now = await domainNow(run, step)
  if (now.clientVerification !== record.clientVerification) await attach(run, step, id)
  return id
}

/** With the domain's own flag; attaching what is attached changes nothing else, so it may be repeated. */
async function attach(run: Run, step: BindStep, id: string): Promise<void> {
  await attachTo(handsAt(run, step.gateway, { budgetMs: ATTACH_BUDGET_MS }), recordOf(run, step.domain), id)
}

/** Somebody deleted the new certificate: no verdict on the bundle, the next run creates it again. */
async function explained(run: Run, step: BindStep, id: string, failure: Failure): Promise<Failure> {
  if (failure.code !== 'gateway.not-found') return failure
  const there = await gatewayOf(run, step.gateway)
    .certificate(id)
    .catch(() => undefined)
  if (there) return failure
  if (run.current.certificates[step.gateway] === id) delete run.current.certificates[step.gateway]
  return certificateGone(step.gateway, failure)
}

function certificateGone(gateway: string, cause?: Failure): Failure {
  return new Failure({
    code: 'rotation.certificate-gone',
    kind: 'later',
    message: `The new certificate was deleted at ${gateway} while the rotation was under way`,
    next: 'Nothing to do: the next run creates it again. Find out who deletes certificates there.',
    facts: { gateway },
    cause,
  })
}

function newCertificateId(run: Run, step: BindStep): string {
  if (step.kind === 'add') return step.certificateId ?? ''
  const id = step.certificateId ?? run.current.certificates[step.gateway]
  if (!id) throw certificateGone(step.gateway)
  return id
}

function isNew(run: Run, step: BindStep, certificate: { id: string; name: string }): boolean {
  return step.kind === 'add' ? certificate.name === step.name : certificate.id === newCertificateId(run, step)
}

/**
 * The new certificate did not come on. Refused for what it is: the domain is given up and gets its predecessor.
 * Otherwise it gets its predecessor too, and the next run tries again.
 */
async function giveUpBinding(run: Run, step: BindStep, failure: Failure): Promise<void> {
  const record = recordOf(run, step.domain)
  if (judgeOf(failure)) giveUp(record, failure.toJSON())
  run.troubles.set(step.domain, failure)
  if (failure.code === 'gateway.domain-gone') return
  await restoreDomain(run, step.gateway, step.domain)
}
