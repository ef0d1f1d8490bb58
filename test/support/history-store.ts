import type { Clock } from '../../shared/base/clock.ts'
import { aborted, tooLarge } from '../../shared/store/failures.ts'
import { compareKeys, requireKey, requirePrefix } from '../../shared/store/keys.ts'
import type { ObjectSummary, PutOptions, Store, StoredObject } from '../../shared/store/port.ts'
import { childrenFrom } from './children.ts'

/**
 * A store in memory, dated by the clock it is given: ten thousand histories would wear out a disk, and files
 * know no virtual time. It keeps the promises of `Store`, which the contract suite checks.
 */
export class HistoryStore implements Store {
  readonly description = 'the store of a history'
  readonly objects = new Map<string, StoredObject>()
  readonly #clock: Clock

  constructor(clock: Clock) {
    this.#clock = clock
  }

  async get(key: string, options: { maxBytes?: number; signal?: AbortSignal } = {}) {
    requireKey(key, this.description)
    await turn(options.signal)
    const found = this.objects.get(key)
    const { maxBytes = 1024 * 1024 } = options
    if (found && found.bytes.length > maxBytes)
      throw tooLarge(key, found.bytes.length, maxBytes, this.description)
    return found && { ...found, bytes: Uint8Array.from(found.bytes) }
  }

  async put(key: string, bytes: Uint8Array | string, options: PutOptions = {}): Promise<void> {
    requireKey(key, this.description)
    await turn(options.signal)
    const copy = typeof bytes === 'string' ? new TextEncoder().encode(bytes) : Uint8Array.from(bytes)
    this.objects.set(key, { key, bytes: copy, modifiedAt: this.#clock.now() })
  }

  async list(prefix: string, options: { signal?: AbortSignal } = {}): Promise<ObjectSummary[]> {
    requirePrefix(prefix, this.description)
    await turn(options.signal)
    return [...this.objects.values()]
      .filter(({ key }) => key.startsWith(prefix))
      .map(({ key, bytes, modifiedAt }) => ({ key, size: bytes.length, modifiedAt }))
      .sort((a, b) => compareKeys(a.key, b.key))
  }

  children = childrenFrom((prefix, options) => this.list(prefix, options))

  async delete(key: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    requireKey(key, this.description)
    await turn(options.signal)
    this.objects.delete(key)
  }

  text(key: string): string | undefined {
    const found = this.objects.get(key)
    return found && Buffer.from(found.bytes).toString('utf8')
  }

  keys(prefix = ''): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort()
  }
}

/** Others get a turn, as they would while a real store answers. */
async function turn(signal: AbortSignal | undefined): Promise<void> {
  if (signal?.aborted) throw aborted(signal)
  await Promise.resolve()
}
