import { Failure, type FailureReport } from '../base/failure.ts'
import { addressed } from '../notify/addressed.ts'
import { deliver } from '../notify/deliver.ts'
import { lastFailure, type Outbox, queue, type Remembered, readOutbox, untold } from '../notify/outbox.ts'
import type { HeldLease, Parties } from '../rotation/parties.ts'
import { emptyState, openJournal } from '../rotation/record/journal.ts'
import { type AlertMemory, type RunMemory, readRunMemory, watchKeys } from '../watch/alert-memory.ts'
import type { Gathered } from '../watch/facts.ts'
import { readLastTick } from '../watch/last-tick.ts'
import type { Notice } from '../watch/notice.ts'
import { digestsOf, watch, watchOne, watchTimer } from '../watch/watch.ts'
import type { Wiring } from '../wire/cloud.ts'
import { limited } from './time-budget.ts'

/** Run memory and outbox are shared by all certificates and both doors; this name guards them. */
const TELLING_LEASE = 'cert-rotation.telling'

interface Judged {
  notices: Notice[]
  memories: Map<string, AlertMemory>
  runMemory: RunMemory
}

export interface Told {
  /** For the page. */
  outbox: Outbox
  /** Somebody should know something and could not be told by any channel. */
  untold?: Failure
  /** What stands, by key; left out where another run was telling. */
  standing?: RunMemory['conditions']
}

/** After a tick: everything that was seen is judged, and people are told what is new. */
export function tellAll(wiring: Wiring, parties: Parties, gathered: Gathered): Promise<Told> {
  return tell(wiring, parties, gathered, watch)
}

/** After an upload: what is new about these certificates, and whether the timer still runs. */
export function tellAbout(
  wiring: Wiring,
  parties: Parties,
  gathered: Gathered,
  names: readonly string[],
): Promise<Told> {
  return tell(wiring, parties, gathered, (seen, runMemory) => {
    const judged: Judged = { notices: [], memories: new Map(), runMemory }
    for (const name of names.filter((one) => Object.hasOwn(seen.config.certificates, one))) {
      const { notices, memory } = watchOne(seen, name)
      judged.notices.push(...notices)
      judged.memories.set(name, memory)
    }
    const timer = watchTimer(seen, runMemory)
    return { ...judged, notices: [...judged.notices, ...timer.notices], runMemory: timer.runMemory }
  })
}

export async function lastTickOf(parties: Pick<Parties, 'store'>) {
  return readLastTick(await textOf(parties, watchKeys.lastTick))
}

/**
 * Judge, write down, send. What is to be said and the memory that it was said are in the store by one write, and what
 * is under way by another before anything is sent: a crash in between repeats a message (with the same id) and never
 * loses one, nor the end of what may have been told. Where somebody is working on a certificate, people are told all
 * the same (the work may hang, and again in every tick); what was told is then remembered beside its state file, until
 * that is free.
 */
async function tell(
  wiring: Wiring,
  parties: Parties,
  gathered: Gathered,
  judge: (gathered: Gathered, runMemory: RunMemory) => Judged,
): Promise<Told> {
  const answer = await parties.lease(TELLING_LEASE)
  if (!answer.held) return { outbox: await storedOutbox(parties) }
  const held: HeldLease[] = [answer.lease]
  try {
    const { remember, ...before } = await storedOutbox(parties)
    const runMemory = remembered(remember) ?? readRunMemory(await textOf(parties, watchKeys.memory))
    // Nothing is concluded about what could not be read.
    const seen = withKept(without(gathered, gathered.notLookedAt?.certificates ?? new Set()), runMemory)
    const judged = judge(seen, runMemory)
    const changed = changedMemories(judged, gathered)
    const kept: Record<string, AlertMemory> = {}
    for (const [name, memory] of Object.entries(runMemory.kept ?? {}))
      if (!judged.memories.has(name) && Object.hasOwn(wiring.config.certificates, name)) kept[name] = memory
    for (const [name, memory] of changed) {
      const own = await parties.lease(name, 0)
      if (own.held) held.push(own.lease)
      else {
        changed.delete(name)
        kept[name] = memory
      }
    }
    const after = { ...judged.runMemory, kept }

    const channels = await wiring.channels()
    const digests = digestsOf(judged.notices, gathered.now, wiring.config.alerts)
    const names = new Set(channels.all.map(({ name }) => name))
    const outbox = queue(before, addressed(digests, channels), names, gathered.now)
    const stored: Outbox =
      remember || digests.length > 0
        ? { ...outbox, remember: { run: after, certificates: Object.fromEntries(changed) } }
        : outbox
    await storeJson(parties, watchKeys.outbox, stored, remember ? { ...before, remember } : before)
    for (const [name, memory] of changed) {
      const journal = await openJournal(name, parties)
      journal.state.alerts = memory as unknown as Record<string, unknown>
      await journal.save()
    }
    const known = remember ? undefined : { ...runMemory, kept: runMemory.kept ?? {} }
    await storeJson(parties, watchKeys.memory, after, known)
    for (const notice of judged.notices)
      parties.log.info(`to tell: ${notice.kind}: ${notice.where.join(', ')}`, {
        step: 'tell',
        notice: notice.key,
      })

    const { clock, log, deadline } = parties
    // Half of what is left: the page and what was not sent are still written.
    const sending = limited(deadline, clock, deadline.remainingMs() / 2)
    try {
      let saved = stored
      const save = async (next: Outbox) => {
        await storeJson(parties, watchKeys.outbox, next, saved)
        saved = next
      }
      const { signal } = sending
      const sent = await deliver({
        channels: channels.all,
        outbox,
        from: wiring.installation,
        save,
        clock,
        log,
        signal,
      })
      await save(sent)
      const told = { outbox: sent, standing: after.conditions }
      const [first] = untold(sent, channels.of)
      if (!first) return told
      return { ...told, untold: notTold(lastFailure(sent, first.channel), first.channel) }
    } finally {
      sending.cancel()
    }
  } finally {
    for (const lease of held) await lease.release()
  }
}

/** What a tell that died before it had written everything down would have left. */
function remembered(remember: Remembered | undefined): RunMemory | undefined {
  return remember && { ...remember.run, kept: { ...remember.run.kept, ...remember.certificates } }
}

export async function storedOutbox(parties: Pick<Parties, 'store'>): Promise<Outbox> {
  return readOutbox(await textOf(parties, watchKeys.outbox))
}

/** Whoever waits for a message must not take silence for "all is well": the platform's own alarm is what is left. */
export function notTold(why: Failure | FailureReport | undefined, channel?: string): Failure {
  return new Failure({
    code: 'watch.not-told',
    kind: 'later',
    message: `People could not be told what is wrong${why ? `: ${why.message}` : channel ? `: nothing could be sent to channel ${channel} yet` : ''}`,
    next: `${why?.next ?? 'See the log for what stood in the way.'} The status page has everything.`,
    facts: {
      ...why?.facts,
      ...(channel === undefined ? {} : { channel }),
      ...(why ? { because: why.code } : {}),
    },
    cause: why,
  })
}

/**
 * Channels that do not take what waits for them, though others may have: with the first failure it `mayPass`, and with
 * the second tick in a row nobody is listening there.
 */
export function deafChannels(
  { outbox, untold }: Told,
  tickBegan: Date,
): { failure: Failure; mayPass: boolean }[] {
  return Object.entries(outbox.channels).flatMap(([name, { lastFailure: last }]) => {
    const why = lastFailure(outbox, name)
    const waits = outbox.pending.some(({ channel }) => channel === name)
    if (!last || !why || !waits || untold?.facts.channel === name) return []
    const mayPass = (last.attempts ?? 1) === 1 && Date.parse(last.at) >= tickBegan.getTime()
    const message = `The alert channel ${name} takes no messages: ${why.message}`
    return [{ failure: new Failure({ ...why, message }), mayPass }]
  })
}

function changedMemories(judged: Judged, gathered: Gathered): Map<string, AlertMemory> {
  const changed = [...judged.memories].filter(
    ([name, memory]) => JSON.stringify(gathered.states.get(name)?.alerts) !== JSON.stringify(memory),
  )
  return new Map(changed)
}

/** What was told while the state file was somebody else's counts as if it stood there. */
function withKept(gathered: Gathered, { kept = {} }: RunMemory): Gathered {
  const states = new Map(gathered.states)
  for (const [name, memory] of Object.entries(kept)) {
    const state = states.get(name) ?? emptyState(name)
    states.set(name, { ...state, alerts: memory as unknown as Record<string, unknown> })
  }
  return { ...gathered, states }
}

function without(gathered: Gathered, names: ReadonlySet<string>): Gathered {
  const certificates = Object.entries(gathered.config.certificates).filter(([name]) => !names.has(name))
  return { ...gathered, config: { ...gathered.config, certificates: Object.fromEntries(certificates) } }
}

async function textOf(parties: Pick<Parties, 'store'>, key: string): Promise<string | undefined> {
  const stored = await parties.store.get(key, { maxBytes: 4 * 1024 * 1024 })
  return stored && new TextDecoder().decode(stored.bytes)
}

async function storeJson(parties: Parties, key: string, value: unknown, before: unknown): Promise<void> {
  if (JSON.stringify(value) === JSON.stringify(before)) return
  await parties.store.put(key, `${JSON.stringify(value)}\n`, { contentType: 'application/json' })
}
