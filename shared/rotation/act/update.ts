import { countText } from '../../base/count-text.ts'
import { asFailure, Failure } from '../../base/failure.ts'
import type { Bundle } from '../../certificate/bundle.ts'
import { hostMatches } from '../../certificate/host-name.ts'
import type { CertificateMaterial } from '../../gateway/port.ts'
import { previousBundle } from '../intake/deployed-bundle.ts'
import { materialOf } from '../intake/material.ts'
import { OutOfTime } from '../out-of-time.ts'
import type { Job, Parties } from '../parties.ts'
import type { GatewayView } from '../plan/look.ts'
import type { Plan, Step } from '../plan/plan.ts'
import { giveUp, giveUpToo, noteBound, noteRestored, type RecordedDomain } from '../record/domain.ts'
import { judgeOf } from '../record/judged.ts'
import type { RotationState } from '../record/state.ts'
import { detachLeftover } from './detach.ts'
import { attachTo, handsAt } from './hands.ts'
import { perform } from './perform.ts'
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

type UpdateStep = Extract<Step, { kind: 'update' }>

/** Strategy `update`: the certificate keeps its id and its bindings, every bound domain gets the new content at once. */
export async function updateCertificate(run: Run, step: UpdateStep): Promise<void> {
  requireTime(run, `${step.gateway}: update of ${step.certificate.id}`)
  const gateway = gatewayOf(run, step.gateway)
  const { id, name } = step.certificate
  const begun = run.parties.clock.monotonic()
  try {
    await perform(
      patience(run),
      async () => ((await gateway.certificate(id))?.serial === run.current.bundle.serial ? true : undefined),
      async () => {
        await gateway.update(id, name, run.material)
        return true
      },
    )
    run.updated.add(id)
    run.journal.note(step.key, 'update', `${step.gateway}/${id}`, id)
    for (const target of step.domains) {
      await bringFlagBack(run, step, target)
      const place = { gateway: step.gateway, domain: target }
      for (const old of step.besides[target] ?? []) await detachLeftover(run, place, old)
    }
    const sentence = `replaced the content of ${name || id} in place, for ${countText(step.domains.length, 'domain')}`
    say(run, 'update', step.gateway, sentence, run.parties.clock.monotonic() - begun)
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (failure instanceof OutOfTime || failure instanceof LeaseLost) throw failure
    for (const target of step.domains) {
      run.troubles.set(target, failure)
      if (judgeOf(failure)) giveUp(recordOf(run, target), failure.toJSON())
    }
    trouble(run, 'update', step.gateway, failure)
    // Usually nothing has changed, and this only notes it; a reply that was lost may hide a change.
    if (judgeOf(failure)) for (const target of step.domains) await restoreDomain(run, step.gateway, target)
  }
}

function sharers(run: Run, gatewayKey: string, id: string): RecordedDomain[] {
  return Object.values(run.current.domains).filter(
    (one) => one.gateway === gatewayKey && one.predecessor?.id === id,
  )
}

async function bringFlagBack(run: Run, step: UpdateStep, target: string): Promise<void> {
  const record = recordOf(run, target)
  run.boundHere.add(target)
  noteBound(record, run.parties.clock.now())
  await keepFlag(run, step.gateway, record, step.certificate.id)
}

/** The service switches client verification off when an update brings a CA (APIG user manual, "SSL certificates"). */
async function keepFlag(
  run: Run,
  gatewayKey: string,
  record: RecordedDomain,
  certificateId: string,
): Promise<void> {
  const gateway = gatewayOf(run, gatewayKey)
  const asBefore = async () => {
    const now = await gateway.domain(record)
    return !now || now.clientVerification === record.clientVerification ? true : undefined
  }
  if (await asBefore()) return
  await attachTo(handsAt(run, gatewayKey), record, certificateId)
}

/**
 * What must be known before an update touches anything: whether there is a way back, and whether the
 * certificate also serves domains that the new one would not cover.
 */
export async function requireUpdatable(
  job: Job,
  parties: Pick<Parties, 'store' | 'clock' | 'reader'>,
  plan: Plan,
  views: GatewayView[],
  bundle: Bundle,
  { deployed, current }: Pick<RotationState, 'deployed' | 'current'>,
): Promise<void> {
  const updates = plan.steps.filter((step): step is UpdateStep => step.kind === 'update')
  for (const step of updates) {
    const view = views.find((one) => one.key === step.gateway)!
    const attached = await view.gateway.attachedDomains(step.certificate.id)
    const uncovered = attached.filter((one) => !bundle.leaf.names.some((name) => hostMatches(one.host, name)))
    if (uncovered.length > 0)
      throw new Failure({
        code: 'rotation.update-not-covering',
        kind: 'never',
        message: `An update in place of ${step.certificate.name || step.certificate.id} at ${step.gateway} would also change ${uncovered.map((one) => one.host).join(', ')}, which the new certificate does not cover`,
        next: 'Use strategy rebind, or a certificate that covers every domain bound to this one.',
        facts: {
          gateway: step.gateway,
          certificateId: step.certificate.id,
          domains: uncovered.map((one) => one.host),
        },
      })
    const listed = new Set(view.domains.map(({ host }) => host))
    const verifying = attached.filter((one) => one.clientVerification && !listed.has(one.host))
    if (verifying.length > 0)
      throw new Failure({
        code: 'rotation.update-beside-client-verification',
        kind: 'later',
        message: `An update in place of ${step.certificate.name || step.certificate.id} at ${step.gateway} would also change ${verifying.map((one) => one.host).join(', ')}, which verify client certificates and are not listed`,
        next: 'List these domains for this gateway, so that their verification is kept, or use strategy rebind.',
        facts: {
          gateway: step.gateway,
          certificateId: step.certificate.id,
          domains: verifying.map((one) => one.host),
        },
      })
    if (view.config.updateWithoutWayBack) continue
    const served = await view.gateway.certificate(step.certificate.id)
    const before = await previousBundle(job, parties, deployed)
    // What an unfinished rotation has put there is no way back, but the one before it is.
    const known = [before?.leaf.serial, current?.status === 'running' ? current.bundle.serial : undefined]
    if (!before || !known.includes(served?.serial))
      throw new Failure({
        code: 'rotation.no-way-back',
        kind: 'later',
        message: `An update in place of ${step.certificate.name || step.certificate.id} at ${step.gateway} could not be undone: its present content is not in deployed/`,
        next: 'Use strategy rebind for this rotation, or set updateWithoutWayBack: true for this gateway to go ahead.',
        facts: { gateway: step.gateway, certificateId: step.certificate.id },
      })
  }
}

/** Undoes an in-place update. False where this domain's certificate was not updated but bound. */
export async function restoreUpdated(run: Run, gatewayKey: string, target: string): Promise<boolean> {
  const record = recordOf(run, target)
  const predecessor = record.predecessor
  const gateway = gatewayOf(run, gatewayKey)
  if (!predecessor || predecessor.id === run.current.certificates[gatewayKey]) return false
  const now = await gateway.certificate(predecessor.id)
  if (now?.serial !== run.current.bundle.serial) return false
  const before = await previousBundle(run.job, run.parties, run.journal.state.deployed)
  if (!before)
    throw new Failure({
      code: 'rotation.no-way-back',
      kind: 'never',
      message: `${record.host}: the predecessor of ${predecessor.name || predecessor.id} is not in deployed/ and cannot be put back`,
      next: 'Drop a working bundle into incoming/: the domain keeps the new certificate until then.',
      facts: { domain: target },
    })
  const material: CertificateMaterial = materialOf(before)
  await perform(
    patience(run, { tries: 8 }),
    async () =>
      (await gateway.certificate(predecessor.id))?.serial === before.leaf.serial ? true : undefined,
    async () => {
      await gateway.update(predecessor.id, predecessor.name, material)
      return true
    },
  )
  run.updated.delete(predecessor.id)
  for (const one of sharers(run, gatewayKey, predecessor.id)) {
    await keepFlag(run, gatewayKey, one, predecessor.id)
    // One certificate, one fate: whoever shares it has its old content again, verified or not.
    if (record.givenUp) giveUpToo(one, record.givenUp)
    noteRestored(one, run.parties.clock.now())
  }
  run.journal.touch()
  say(
    run,
    'restore',
    target,
    `${record.host}: put the previous content of ${predecessor.name || predecessor.id} back`,
  )
  return true
}
