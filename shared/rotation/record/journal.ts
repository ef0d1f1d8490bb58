import { asFailure } from '../../base/failure.ts'
import { instantForKey, keys } from '../../base/names.ts'
import { printableJson } from '../../base/printable.ts'
import { getCertain, putCertain } from '../../store/certain.ts'
import type { Parties } from '../parties.ts'
import { caughtUp, rebuiltState } from './rebuild.ts'
import type { Note, RotationState } from './state.ts'
import { parseState } from './state-file.ts'

/** A state file that holds more than this is not ours. */
export const MAX_STATE_BYTES = 4 * 1024 * 1024

/** What somebody swapped it for is kept aside up to this size. */
const MAX_GARBAGE_BYTES = 64 * 1024 * 1024

/** Notes are written behind the work at most this often; `save` is the only write that anybody waits for. */
const WRITE_BEHIND_MS = 250

/**
 * The state file of one certificate while somebody holds its lease. Notes may be lost in a crash (whoever comes
 * next looks outside before acting); what must not be lost is written by `save` before the act it guards.
 */
export class Journal {
  readonly state: RotationState
  readonly #parties: Pick<Parties, 'store' | 'clock' | 'log'>
  #writing: Promise<void> | undefined
  #dirty = false
  #lastWrite = Number.NEGATIVE_INFINITY

  constructor(state: RotationState, parties: Pick<Parties, 'store' | 'clock' | 'log'>) {
    this.state = state
    this.#parties = parties
  }

  noted(key: string): Note | undefined {
    return this.state.current?.notes[key]
  }

  note(key: string, step: string, target: string, result?: string): void {
    const current = this.state.current
    if (!current) return
    const at = this.#parties.clock.now().toISOString()
    current.notes[key] = result === undefined ? { step, target, at } : { step, target, at, result }
    this.touch()
  }

  /** The state was changed: write it soon, behind the work. */
  touch(): void {
    this.#dirty = true
    if (this.#writing || this.#parties.clock.monotonic() - this.#lastWrite < WRITE_BEHIND_MS) return
    // A failed write-behind is not lost: the next save writes again and reports.
    this.#write().catch(() => {})
  }

  /** Resolves when everything up to now is in the store, and was read back from there. */
  async save(): Promise<void> {
    this.#dirty = true
    while (this.#writing) await this.#writing.catch(() => {})
    if (this.#dirty) await this.#write(putCertain)
  }

  #write(put: typeof putCertain = (store, ...args) => store.put(...args)): Promise<void> {
    this.#dirty = false
    this.#lastWrite = this.#parties.clock.monotonic()
    const bytes = `${printableJson(this.state, 1)}\n`
    const { store } = this.#parties
    const writing = put(store, keys.state(this.state.name), bytes, { contentType: 'application/json' })
      .catch((thrown) => {
        this.#dirty = true
        throw asFailure(thrown)
      })
      .finally(() => {
        if (this.#writing === writing) this.#writing = undefined
      })
    this.#writing = writing
    return writing
  }
}

export function emptyState(name: string): RotationState {
  return { schema: 1, name, created: [], outcomes: [] }
}

/** Reads the state file. One that does not parse is kept aside, reported, and rebuilt from `deployed/`. */
export async function openJournal(
  name: string,
  parties: Pick<Parties, 'store' | 'clock' | 'log'>,
): Promise<Journal> {
  // Whatever its size: what is not a state file must be kept aside, or nothing would ever go on.
  const stored = await getCertain(parties.store, keys.state(name), { maxBytes: MAX_GARBAGE_BYTES })
  if (!stored) return new Journal(await rebuiltState(emptyState(name), parties), parties)
  const text = stored.bytes.length > MAX_STATE_BYTES ? '' : new TextDecoder().decode(stored.bytes)
  const state = parseState(name, text)
  if (state) return new Journal(await caughtUp(state, parties), parties)
  const aside = keys.brokenState(name, instantForKey(parties.clock.now()))
  await parties.store.put(aside, stored.bytes, { contentType: 'application/octet-stream' })
  parties.log.error(
    `The state file of ${name} is not readable; it is kept as ${aside} and rebuilt from what the clouds show`,
    {
      certificate: name,
      aside,
      bytes: stored.bytes.length,
    },
  )
  const journal = new Journal(await rebuiltState(emptyState(name), parties), parties)
  await journal.save()
  return journal
}

/** For whoever only looks (`plan`, `status`): no lease, nothing repaired; undefined where there is no readable state. */
export async function readState(
  name: string,
  parties: Pick<Parties, 'store'>,
): Promise<RotationState | undefined> {
  const stored = await parties.store.get(keys.state(name), { maxBytes: MAX_STATE_BYTES })
  return stored && parseState(name, new TextDecoder().decode(stored.bytes))
}
