import { second } from '../../base/clock.ts'
import { countText } from '../../base/count-text.ts'
import { asFailure, Failure } from '../../base/failure.ts'
import type { ProbeResult, ServedCertificate } from '../../probe/port.ts'
import { OutOfTime } from '../out-of-time.ts'
import { giveUp, isDone, noteBare, noteServed, noteUndoSeen, noteUnverifiable } from '../record/domain.ts'
import { judgeOf } from '../record/judged.ts'
import { domainNow } from './detach.ts'
import { changedByOthers, noteChange } from './look-again.ts'
import { restoreDomain } from './restore.ts'
import { type Run, recordOf, say, stopSignal, trouble } from './run-context.ts'

/** Handshakes that must fail to connect before a domain counts as not reachable from here. */
const UNREACHABLE_AFTER = 3
/** One look is no verdict, however long ago the certificate was bound. */
const LOOKS_BEFORE_UNDO = 3
const LONGEST_PAUSE_MS = 5 * second

/**
 * Served, not just bound: waits with backoff until a handshake at the domain shows the new leaf and the whole
 * chain (new bindings need 5 to 10 s, APIG user manual, "Notes and constraints"). A domain that does not serve it within its budget gets
 * its predecessor back. Where no handshake is possible from here the domain stays *bound, not verified*.
 */
export async function verifyDomain(run: Run, gatewayKey: string, target: string): Promise<void> {
  const record = recordOf(run, target)
  const shown = run.views.get(gatewayKey)?.domains.some((domain) => domain.target === target)
  if (!shown) return
  const handshake = handshakeAt(run, gatewayKey, target)
  if (handshake && record.restoredAt && !record.boundAt) return verifyRestored(run, target, handshake)
  if (record.givenUp || isDone(record) || !record.boundAt) return
  if (!handshake) {
    noteUnverifiable(record, 'verification is switched off for this domain')
    run.journal.touch()
    return
  }
  const failure = await waitUntilServed(run, target, handshake, Date.parse(record.boundAt))
  if (!failure) return
  const changed = await changedByOthers(run, gatewayKey, target).catch(asFailure)
  if (changed) return noteChange(run, target, changed)
  giveUp(record, failure.toJSON())
  run.troubles.set(target, failure)
  trouble(run, 'verify', target, failure)
  // Decided and written down before it is done: a crash in the middle of the undo must not turn it round.
  await run.journal.save()
  await restoreDomain(run, gatewayKey, target)
  if (record.restoredAt) await verifyRestored(run, target, handshake)
}

/**
 * A domain that an earlier run gave up for what a handshake showed then, and did not live to put back. Where it
 * serves the new certificate by now, there is nothing to undo any more.
 */
export async function servesByNow(run: Run, gatewayKey: string, target: string): Promise<boolean> {
  const record = recordOf(run, target)
  const handshake = handshakeAt(run, gatewayKey, target)
  if (!record.boundAt || !handshake || !record.givenUp || judgeOf(record.givenUp) !== 'handshake')
    return false
  if (whatIsWrong(await handshake(), run.current.bundle)) return false
  noteServed(record, run.parties.clock.now())
  run.journal.touch()
  say(run, 'verify', target, `${record.host}: serves the new certificate by now, and keeps it`)
  return true
}

/** Undefined where no handshake is wanted at this domain. */
function handshakeAt(run: Run, gatewayKey: string, target: string): (() => Promise<ProbeResult>) | undefined {
  const probe = run.views.get(gatewayKey)?.domains.find((domain) => domain.target === target)?.probe
  if (!probe) return undefined
  return async () => {
    const stop = stopSignal(run)
    try {
      const result = await run.parties.probe.handshake(probe, stop)
      run.handshakes.made += 1
      if (result.reached && !result.served) run.handshakes.refused += 1
      return result
    } catch (thrown) {
      throw stop.aborted ? new OutOfTime(`${recordOf(run, target).host}: verification`) : thrown
    }
  }
}

async function waitUntilServed(
  run: Run,
  target: string,
  handshake: () => Promise<ProbeResult>,
  boundAt: number,
): Promise<Failure | undefined> {
  const { clock } = run.parties
  const record = recordOf(run, target)
  const begun = clock.monotonic()
  // The wall clock counts only what lies before this run: it may be set while we wait.
  const sinceBound = run.boundHere.has(target) ? 0 : Math.max(0, clock.now().getTime() - boundAt)
  let unreachable = 0
  for (let attempt = 0; ; attempt++) {
    const result = await handshake()
    const wrong = whatIsWrong(result, run.current.bundle)
    const waited = sinceBound + clock.monotonic() - begun
    if (!wrong) {
      noteServed(record, clock.now())
      run.journal.touch()
      say(run, 'verify', target, `${record.host}: serves the new certificate`, waited)
      return undefined
    }
    unreachable = result.reached ? 0 : unreachable + 1
    // Before the change a handshake was possible: then silence is our doing until proven otherwise.
    if (unreachable >= UNREACHABLE_AFTER && !record.servedBefore) {
      noteUnverifiable(record, wrong)
      run.journal.touch()
      say(run, 'verify', target, `${record.host}: bound, not verified: ${wrong}`)
      return undefined
    }
    // A run that comes late looks more than once before it turns anything round.
    if (waited > run.job.servedWithinMs && attempt + 1 >= LOOKS_BEFORE_UNDO)
      return notServed(run, target, wrong)
    await pause(run, attempt, `${record.host}: verification`)
  }
}

/** The undo is verified too, where the predecessor's fingerprint is known. */
async function verifyRestored(
  run: Run,
  target: string,
  handshake: () => Promise<ProbeResult>,
): Promise<void> {
  const { clock } = run.parties
  const record = recordOf(run, target)
  if (!record.servedBefore || record.undo) return
  const until = clock.monotonic() + run.job.servedWithinMs
  for (let attempt = 0; clock.monotonic() < until; attempt++) {
    const result = await handshake()
    if (result.reached && result.served?.fingerprint === record.servedBefore) {
      noteUndoSeen(record, 'served')
      run.journal.touch()
      say(run, 'verify', target, `${record.host}: serves its predecessor again`)
      return
    }
    await pause(run, attempt, `${record.host}: verification of the undo`)
  }
  // Nothing bound is nothing to judge by: it is put back again, by the next run if not by this one.
  const now = await domainNow(run, { gateway: record.gateway, domain: target }).catch(() => undefined)
  if (now?.certificates.length === 0) {
    noteBare(record, clock.now())
    return restoreDomain(run, record.gateway, target)
  }
  noteUndoSeen(record, 'not served')
  run.journal.touch()
  const failure = new Failure({
    code: 'served.not-restored',
    kind: 'never',
    message: `${record.host}: the predecessor is bound again, but a handshake does not show it`,
    next: 'Look at this domain now: at the gateway console, and with openssl s_client -servername.',
    facts: { domain: target },
  })
  run.troubles.set(target, failure)
  trouble(run, 'verify', target, failure)
}

async function pause(run: Run, attempt: number, what: string): Promise<void> {
  const ms = Math.min(LONGEST_PAUSE_MS, 250 * 2 ** attempt)
  await run.parties.clock.sleep(ms, stopSignal(run)).catch(() => {
    throw new OutOfTime(what)
  })
}

function notServed(run: Run, target: string, wrong: string): Failure {
  const record = recordOf(run, target)
  return new Failure({
    code: 'served.not-new',
    kind: 'never',
    message: `${record.host} does not serve the new certificate ${Math.round(run.job.servedWithinMs / second)} s after it was bound: ${wrong}`,
    next: 'The predecessor is put back. See whether another gateway or a proxy answers for this name, or set verify.connect; then drop the bundle again.',
    facts: { domain: target },
  })
}

/** Undefined where the handshake shows exactly what was bound: the new leaf and every intermediate. */
export function whatIsWrong(
  result: ProbeResult,
  bundle: { fingerprint: string; chain: string[] },
): string | undefined {
  if (!result.reached) return `no handshake possible: ${result.reason}`
  if (!result.served) return `the handshake was refused: ${result.reason}`
  const { served } = result
  if (served.fingerprint !== bundle.fingerprint) return `it serves ${nameOf(served)}`
  const missing = bundle.chain.filter((fingerprint) => !served.chain.includes(fingerprint)).length
  return missing > 0 ? `${countText(missing, 'intermediate certificate')} of the chain missing` : undefined
}

function nameOf(served: ServedCertificate): string {
  return `another certificate (${served.commonName || served.names[0] || 'without a name'}, until ${served.notAfter.toISOString().slice(0, 10)})`
}
