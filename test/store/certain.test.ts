import { beforeEach, describe, expect, it } from 'vitest'
import { digestOf } from '../../shared/base/names.ts'
import { copyObjects, copyUnread, removeSources } from '../../shared/rotation/intake/move.ts'
import { getCertain, getListed, putCertain } from '../../shared/store/certain.ts'
import type { ObjectSummary, Store, StoredObject } from '../../shared/store/port.ts'
import { failureOf } from '../contract/store.contract.ts'
import { childrenFrom } from '../support/children.ts'

const modifiedAt = new Date('2026-11-22T12:00:00Z')
const bytes = (text: string) => new TextEncoder().encode(text)
const sourceOf = (key: string, text: string) => ({ key, digest: digestOf(bytes(text)), version: undefined })

/** A store whose answers can be made false: the next ones, or for ever. */
class LyingStore implements Store {
  readonly description = 'a lying store'
  readonly objects = new Map<string, string>()
  /** Names of calls, `operation key`. */
  readonly calls: string[] = []
  /** How often each kind of lie is told yet. */
  lies: Partial<Record<'lost put' | 'lost delete' | 'empty list' | 'no object' | 'short' | 'older', number>> =
    {}
  /** What a listing sees where somebody writes between it and the read. */
  writtenAfterList: [key: string, text: string] | undefined

  #lies(kind: keyof LyingStore['lies']): boolean {
    const left = this.lies[kind] ?? 0
    this.lies[kind] = left - 1
    return left > 0
  }

  async get(key: string): Promise<StoredObject | undefined> {
    this.calls.push(`get ${key}`)
    const text = this.objects.get(key)
    if (text === undefined || this.#lies('no object')) return undefined
    if (this.#lies('short')) return { key, bytes: bytes(text.slice(1)), modifiedAt, version: text }
    if (this.#lies('older'))
      return { key, bytes: bytes('x'.repeat(text.length)), modifiedAt, version: 'older' }
    return { key, bytes: bytes(text), modifiedAt, version: text }
  }

  async put(key: string, content: Uint8Array | string): Promise<void> {
    this.calls.push(`put ${key}`)
    if (!this.#lies('lost put'))
      this.objects.set(key, typeof content === 'string' ? content : new TextDecoder().decode(content))
  }

  async list(prefix: string): Promise<ObjectSummary[]> {
    this.calls.push(`list ${prefix}`)
    const found = this.#lies('empty list') ? [] : [...this.objects].filter(([key]) => key.startsWith(prefix))
    if (this.writtenAfterList) this.objects.set(...this.writtenAfterList)
    return found.map(([key, text]) => ({ key, size: text.length, modifiedAt, version: text }))
  }

  children = childrenFrom((prefix) => this.list(prefix))

  async delete(key: string): Promise<void> {
    this.calls.push(`delete ${key}`)
    if (!this.#lies('lost delete')) this.objects.delete(key)
  }
}

let store: LyingStore
beforeEach(() => {
  store = new LyingStore()
})
const ALWAYS = Number.POSITIVE_INFINITY
const textOf = (found: StoredObject | undefined) => found && new TextDecoder().decode(found.bytes)

describe('an object that a listing has shown', () => {
  const listed = (text: string): ObjectSummary => ({ key: 'a', size: text.length, modifiedAt, version: text })

  it('is what is read', async () => {
    store.objects.set('a', 'one')
    expect(textOf(await getListed(store, listed('one')))).toBe('one')
  })

  it('is not there where it was written again, deleted, or is cut short since', async () => {
    store.objects.set('a', 'two')
    expect(await getListed(store, listed('one'))).toBeUndefined()
    expect(await getListed(store, { ...listed('two'), size: 4 })).toBeUndefined()
    store.lies = { short: 1 }
    expect(await getListed(store, listed('two'))).toBeUndefined()
    store.objects.delete('a')
    expect(await getListed(store, listed('two'))).toBeUndefined()
  })

  it('is judged by its size where the store has no versions', async () => {
    store.objects.set('a', 'two')
    const { version: _, ...unversioned } = listed('one')
    expect(textOf(await getListed(store, unversioned))).toBe('two')
  })
})

describe('what is read for certain', () => {
  it('is what listing and object agree on, also that there is nothing', async () => {
    expect(await getCertain(store, 'a')).toBeUndefined()
    store.objects.set('a', 'one').set('ab', 'another')
    expect(textOf(await getCertain(store, 'a'))).toBe('one')
  })

  for (const lie of ['empty list', 'no object', 'short', 'older'] as const)
    it(`is asked for again after one false answer (${lie}), and told where they do not end`, async () => {
      store.objects.set('a', 'one')
      store.lies = { [lie]: 1 }
      expect(textOf(await getCertain(store, 'a'))).toBe('one')
      store.lies = { [lie]: ALWAYS }
      expect(await failureOf(getCertain(store, 'a'))).toMatchObject({
        code: 'store.contradiction',
        kind: 'later',
        effect: 'unknown',
      })
    })
})

describe('what is written for certain', () => {
  it('is written again where the store did not keep it, and told where it never does', async () => {
    store.lies = { 'lost put': 1 }
    await putCertain(store, 'a', 'one')
    expect(store.objects.get('a')).toBe('one')
    expect(store.calls).toEqual(['put a', 'get a', 'put a', 'get a'])
    store.lies = { 'lost put': ALWAYS }
    const failure = await failureOf(putCertain(store, 'a', 'two'))
    expect(failure).toMatchObject({ code: 'store.contradiction', facts: { key: 'a' } })
  })

  it('is not taken for kept where something else is read back', async () => {
    store.objects.set('a', 'old')
    store.lies = { older: ALWAYS }
    expect(await failureOf(putCertain(store, 'a', 'new'))).toMatchObject({ code: 'store.contradiction' })
  })
})

describe('moving what was judged', () => {
  const sources = [sourceOf('incoming/shop/a.pem', 'one'), sourceOf('incoming/shop/b.pem', 'two')]
  beforeEach(() => {
    store.objects.set('incoming/shop/a.pem', 'one').set('incoming/shop/b.pem', 'two')
  })
  const remove = () => removeSources(store, 'incoming/shop/', sources)

  it('ends in a copy that was read back, or in no copy that anybody relies on', async () => {
    const objects = [{ name: 'a.pem', bytes: bytes('one') }]
    store.lies = { 'lost put': 1 }
    await copyObjects(store, objects, 'deployed/')
    expect(store.objects.get('deployed/a.pem')).toBe('one')
    store.objects.delete('deployed/a.pem')
    store.lies = { 'lost put': ALWAYS }
    expect(await failureOf(copyObjects(store, objects, 'deployed/'))).toMatchObject({
      code: 'store.contradiction',
    })
  })

  it('copies what was not read together only as it was judged', async () => {
    const unread = [sourceOf('incoming/shop/a.pem', 'one'), sourceOf('incoming/shop/b.pem', 'before')]
    await copyUnread(store, { unread } as never, 'incoming/shop/', 'rejected/')
    expect([...store.objects.keys()].filter((key) => key.startsWith('rejected/'))).toEqual(['rejected/a.pem'])
  })

  it('deletes it again where the deletion was confirmed and not carried out, and tells where it never is', async () => {
    store.lies = { 'lost delete': 3 }
    await remove()
    expect([...store.objects.keys()]).toEqual([])
    store.objects.set('incoming/shop/a.pem', 'one')
    store.lies = { 'lost delete': ALWAYS }
    expect(await failureOf(remove())).toMatchObject({ code: 'store.contradiction' })
  })

  it('leaves what somebody has written under the same key, also between the listing and the read', async () => {
    store.objects.set('incoming/shop/a.pem', 'new')
    store.writtenAfterList = ['incoming/shop/b.pem', 'newer']
    await remove()
    expect(Object.fromEntries(store.objects)).toEqual({
      'incoming/shop/a.pem': 'new',
      'incoming/shop/b.pem': 'newer',
    })
    expect(store.calls.filter((call) => call.startsWith('delete'))).toEqual([])
  })

  it('looks again where an object of the listing was not found: one false 404 is no proof of absence', async () => {
    store.lies = { 'no object': 1 }
    // Alone: with another one there would be a second look anyway.
    await removeSources(store, 'incoming/shop/', sources.slice(0, 1))
    expect([...store.objects.keys()]).toEqual(['incoming/shop/b.pem'])
  })
})
