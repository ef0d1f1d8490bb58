import type { Clock } from '../../base/clock.ts'
import { asFailure, type Failure } from '../../base/failure.ts'
import { digestOf } from '../../base/names.ts'
import { contradiction, getListed } from '../../store/certain.ts'
import type { ObjectSummary, Store } from '../../store/port.ts'
import { OutOfTime } from '../out-of-time.ts'
import { inParallel } from '../parallel.ts'
import type { Parties } from '../parties.ts'

/** A store that goes on contradicting itself is looked at this often, this many milliseconds apart. */
const TRIES = 4
const AGAIN_MS = 250
/** Half a minute with the usual two seconds; who writes longer than that is waited for without holding anybody up. */
const MOST_LOOKS = 15

/** One object as it was read. */
export interface Settled {
  listed: ObjectSummary
  digest: string
  /** Undefined where only the digest was asked for. */
  bytes: Uint8Array | undefined
}

/** What a folder holds, read object by object. */
export interface SettledFolder {
  objects: Settled[]
  /** What cannot be read, ever: a link out of the store, a file that its owner keeps to himself. */
  forbidden: Forbidden[]
  /** Still being written: every look found another content. */
  changing: ObjectSummary[]
}

export interface Forbidden {
  listed: ObjectSummary
  why: string
}

export interface Selection {
  /** What of the listing is wanted. */
  choose(listed: ObjectSummary[]): ObjectSummary[]
  /** False: digests only, a few at a time, so that a flood does not fill the memory. */
  keepBytes(chosen: ObjectSummary[]): boolean
  maxBytes: number
}

/**
 * Reads a folder until it can be believed. In every store a content counts when it is what the listing says. In a
 * folder of files, which are written in place, two looks `settleMs` apart must besides find the same size, times and
 * bytes; the time between them is measured by our own monotonic clock, since a file's times are its writer's.
 */
export async function readSettled(
  parties: Pick<Parties, 'store' | 'clock'>,
  folder: string,
  selection: Selection,
  signal: AbortSignal,
): Promise<SettledFolder> {
  const { store, clock } = parties
  const settleMs = store.settleMs ?? 0
  let before = await look(store, folder, selection)
  if (settleMs === 0) {
    for (let tries = 1; before.doubtful.length > 0; tries++) {
      if (tries === TRIES)
        throw contradiction(store, before.doubtful[0]!.key, 'its listing and its object say different things')
      await pause(clock, AGAIN_MS, signal)
      before = await look(store, folder, selection)
    }
    return { ...before, objects: [...before.objects.values()], changing: [] }
  }
  for (let looks = 1; ; looks++) {
    if (before.objects.size + before.doubtful.length === 0)
      return { objects: [], forbidden: before.forbidden, changing: [] }
    await pause(clock, settleMs, signal)
    const now = await look(store, folder, selection)
    const [same, different] = compare(before, now)
    const changing = [...different.map(({ listed }) => listed), ...now.doubtful]
    if (changing.length === 0 || looks === MOST_LOOKS)
      return { objects: same, forbidden: now.forbidden, changing }
    before = now
  }
}

interface Look {
  objects: Map<string, Settled>
  forbidden: Forbidden[]
  /** Not what the listing says. */
  doubtful: ObjectSummary[]
}

const AT_ONCE = 64
const AT_ONCE_OF_A_FLOOD = 4

async function look(store: Store, folder: string, selection: Selection): Promise<Look> {
  const chosen = selection.choose(await store.list(folder))
  const keepBytes = selection.keepBytes(chosen)
  const read = new Map<string, Settled>()
  const result: Look = { objects: new Map(), forbidden: [], doubtful: [] }
  await inParallel(keepBytes ? AT_ONCE : AT_ONCE_OF_A_FLOOD, chosen, async (listed) => {
    try {
      const found = await getListed(store, listed, { maxBytes: selection.maxBytes })
      if (!found) return void result.doubtful.push(listed)
      const bytes = keepBytes ? found.bytes : undefined
      read.set(listed.key, { listed, digest: digestOf(found.bytes), bytes })
    } catch (thrown) {
      const failure = asFailure(thrown)
      const why = whyForbidden(failure)
      if (why) result.forbidden.push({ listed, why })
      // It has grown since it was listed.
      else if (failure.code === 'store.too-large') result.doubtful.push(listed)
      else throw failure
    }
  })
  for (const { key } of chosen) {
    const one = read.get(key)
    if (one) result.objects.set(key, one)
  }
  return result
}

/** A bucket's denial is another matter: it concerns all of it, or is false. */
function whyForbidden({ code, facts }: Failure): string | undefined {
  if (code === 'store.bad-key') return 'leads out of the store and is not followed'
  if (code === 'store.link-to-nothing') return 'links to nothing: copy the file itself, cp -L'
  const byFile = facts.serviceCode === 'EACCES' || facts.serviceCode === 'EPERM'
  return code === 'store.denied' && byFile
    ? 'may not be read by this user: change that with chmod or chown'
    : undefined
}

function compare(before: Look, now: Look): [same: Settled[], different: Settled[]] {
  const same: Settled[] = []
  const different: Settled[] = []
  for (const [key, one] of now.objects) {
    const earlier = before.objects.get(key)
    const unchanged = earlier?.digest === one.digest && earlier.listed.version === one.listed.version
    ;(unchanged ? same : different).push(one)
  }
  return [same, different]
}

async function pause(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  const end = clock.monotonic() + ms
  try {
    // A timer may come a moment too early.
    while (clock.monotonic() < end) await clock.sleep(Math.max(1, end - clock.monotonic()), signal)
  } catch (thrown) {
    if (signal.aborted) throw new OutOfTime('reading what was uploaded')
    throw thrown
  }
}
