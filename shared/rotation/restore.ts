import { second } from '../base/clock.ts'
import { asFailure } from '../base/failure.ts'
import { HiddenBindings } from './hidden.ts'
import { perform } from './perform.ts'
import { nameAt } from './plan.ts'
import { gatewayOf, LeaseLost, patience, type Run, recordOf, say, trouble } from './run-context.ts'
import type { RecordedDomain } from './state.ts'
import { restoreUpdated } from './update.ts'

/** A domain without a certificate is an outage: the undo is tried for longer than anything else. */
const RESTORE_BUDGET_MS = 15 * second

/**
 * Puts the predecessor back on one domain, with its client-verification flag. Looks first, so that it also ends
 * an undo that a crash cut short. Where it fails, the domain's record says that it is still to be done.
 */
export async function restoreDomain(run: Run, gatewayKey: string, target: string): Promise<void> {
  const record = recordOf(run, target)
  const predecessor = record.predecessor
  const view = run.views.get(gatewayKey)
  try {
    const gateway = gatewayOf(run, gatewayKey)
    const shown = await gateway.domain(record)
    if (!shown || !predecessor) return
    const ours = run.journal.state.created.filter((one) => one.where === gatewayKey)
    const current = ours.filter((one) => one.digest === run.current.bundle.digest)
    const now = await new HiddenBindings(gateway).complete(shown, [predecessor, ...current])
    if (view?.config.strategy === 'update' && (await restoreUpdated(run, gatewayKey, target))) return
    const others = now.certificates.filter(
      (one) => one.id !== predecessor.id && isOurs(run, gatewayKey, record.host, one),
    )
    const strangers = now.certificates.filter((one) => one.id !== predecessor.id && !others.includes(one))
    const inPlace = now.certificates.some((one) => one.id === predecessor.id)
    if (!inPlace && strangers.length > 0 && others.length === 0) {
      // Somebody has chosen a certificate for this domain meanwhile: it is served, and not ours to replace.
      record.predecessor = strangers[0]!
      restored(run, record)
      const { name, id } = strangers[0]!
      return say(run, 'restore', target, `${record.host}: left with ${name || id}, which somebody put there`)
    }
    const attach = () =>
      perform(
        patience(run, { tries: 8, budgetMs: RESTORE_BUDGET_MS }),
        async () => {
          const there = await gateway.domain(record)
          const bound = there?.certificates.some((one) => one.id === predecessor.id)
          return bound && there?.clientVerification === record.clientVerification ? true : undefined
        },
        async () => {
          await gateway.attach(record, predecessor.id, record.clientVerification)
          return true
        },
      )
    const besides = others.every(
      (one) => one.algorithm && predecessor.algorithm && one.algorithm !== predecessor.algorithm,
    )
    const needed = !inPlace || now.clientVerification !== record.clientVerification
    if (needed && besides) await attach()
    for (const { id } of others) {
      await perform(
        patience(run),
        async () =>
          (await gateway.domain(record))?.certificates.some((one) => one.id === id) ? undefined : true,
        async () => {
          await gateway.detach(record, id)
          return true
        },
      )
    }
    if (needed && !besides) {
      if (others.length > 0) record.bareSince = run.parties.clock.now().toISOString()
      await attach().catch(async (thrown) => {
        await insteadOfNothing(run, gatewayKey, record, others[0]?.id)
        throw thrown
      })
    }
    restored(run, record)
    if (needed || others.length > 0)
      say(run, 'restore', target, `${record.host}: put ${predecessor.name || predecessor.id} back`)
  } catch (thrown) {
    const failure = asFailure(thrown)
    if (failure instanceof LeaseLost) throw failure
    run.troubles.set(target, failure)
    trouble(run, 'restore', target, failure)
  }
}

function restored(run: Run, record: RecordedDomain): void {
  delete record.boundAt
  delete record.bareSince
  record.restoredAt = run.parties.clock.now().toISOString()
  run.journal.touch()
}

/** The predecessor cannot come back: a certificate that was given up is still better than none. */
async function insteadOfNothing(
  run: Run,
  gatewayKey: string,
  record: RecordedDomain,
  id: string | undefined,
): Promise<void> {
  if (!id) return
  try {
    await gatewayOf(run, gatewayKey).attach(record, id, record.clientVerification)
    delete record.bareSince
  } catch (thrown) {
    run.parties.log.error(`${record.host} is without a certificate: ${asFailure(thrown).message}`, {
      failure: asFailure(thrown),
    })
  }
}

function isOurs(
  run: Run,
  gatewayKey: string,
  host: string,
  certificate: { id: string; name: string },
): boolean {
  if (certificate.id === run.current.certificates[gatewayKey]) return true
  const view = run.views.get(gatewayKey)
  const facts = { certificateName: run.job.name, bundle: run.current.bundle }
  if (view && certificate.name !== '' && certificate.name === nameAt(view, host, facts)) return true
  return run.journal.state.created.some((one) => one.where === gatewayKey && one.id === certificate.id)
}
