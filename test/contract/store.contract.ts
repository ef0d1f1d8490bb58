import { beforeAll, describe, expect, test } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import type { Store } from '../../shared/store/port.ts'

const text = (bytes: Uint8Array | undefined) => (bytes ? Buffer.from(bytes).toString('utf8') : undefined)
const byBytes = (a: string, b: string) => Buffer.compare(Buffer.from(`${a}/`), Buffer.from(`${b}/`))
const keysOf = async (store: Store, prefix: string) => (await store.list(prefix)).map(({ key }) => key)

export async function failureOf(work: Promise<unknown>): Promise<Failure> {
  const outcome = await work.then(
    () => 'it succeeded',
    (error: unknown) => error,
  )
  expect(outcome).toBeInstanceOf(Failure)
  return outcome as Failure
}

/** What the rotation relies on, whichever store it is given. `make` returns a store that is empty. */
export function storeContract(name: string, make: () => Promise<Store>, { objects = 1_050 } = {}): void {
  describe(`${name} keeps the store's promises:`, () => {
    let store: Store
    beforeAll(async () => {
      store = await make()
    })

    test('an object that was put is read back byte for byte, by its key, with the time it was written', async () => {
      const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => (i * 7) % 256)
      await store.put('incoming/bytes/bundle.p12', bytes)
      const found = await store.get('incoming/bytes/bundle.p12')
      expect(found?.key).toBe('incoming/bytes/bundle.p12')
      expect(Buffer.compare(found!.bytes, bytes)).toBe(0)
      expect(Math.abs(found!.modifiedAt.getTime() - Date.now())).toBeLessThan(60_000)
    })

    test('text is written as UTF-8, and an empty object is an object', async () => {
      await store.put('a/text', 'Grüße 🔑')
      await store.put('a/empty', '')
      expect(text((await store.get('a/text'))?.bytes)).toBe('Grüße 🔑')
      expect((await store.get('a/empty'))?.bytes.length).toBe(0)
      expect((await store.list('a/')).map(({ key, size }) => [key, size])).toEqual([
        ['a/empty', 0],
        ['a/text', 12],
      ])
    })

    test('an object that is not there is undefined, and so is the folder of an object', async () => {
      await store.put('folder/deep/object', 'x')
      expect(await store.get('nothing')).toBeUndefined()
      expect(await store.get('nothing/at/all')).toBeUndefined()
      expect(await store.get('folder/deep')).toBeUndefined()
      expect(await store.get('folder/deep/object/below')).toBeUndefined()
    })

    test('a second put replaces the first, shorter or longer', async () => {
      for (const value of ['one', 'a much longer second value', '3']) {
        await store.put('b/object', value)
        expect(text((await store.get('b/object'))?.bytes)).toBe(value)
      }
      expect(await keysOf(store, 'b/')).toEqual(['b/object'])
    })

    test('a deleted object is gone at once, and deleting it again succeeds', async () => {
      await store.put('c/x/object', 'x')
      await store.delete('c/x/object')
      expect(await store.get('c/x/object')).toBeUndefined()
      expect(await store.list('c/')).toEqual([])
      await store.delete('c/x/object')
      await store.delete('c/never/was')
    })

    test('deleting a folder of objects by its name deletes none of them', async () => {
      await store.put('d/e/object', 'x')
      await store.delete('d/e')
      await store.delete('d')
      expect(await keysOf(store, 'd/')).toEqual(['d/e/object'])
    })

    test('a listing has every object below the prefix, in the order of the UTF-8 bytes of the keys', async () => {
      const keys = ['z', 'a-b', 'a/b', 'a.b', 'Z', 'ä', '\uFB01', '🔑', 'a/c', '10', '9'].map(
        (key) => `order/${key}`,
      )
      for (const key of keys) await store.put(key, key)
      const sorted = [...keys].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
      expect(await keysOf(store, 'order/')).toEqual(sorted)
    })

    test('a prefix may end inside a name, and an unknown one lists nothing', async () => {
      for (const key of ['p/shop/1', 'p/shop-2/1', 'p/sho', 'p/other']) await store.put(key, 'x')
      expect(await keysOf(store, 'p/sho')).toEqual(['p/sho', 'p/shop-2/1', 'p/shop/1'])
      expect(await keysOf(store, 'p/shop/')).toEqual(['p/shop/1'])
      expect(await keysOf(store, 'p/none/')).toEqual([])
      expect((await keysOf(store, '')).length).toBeGreaterThanOrEqual(4)
    })

    test('keys that differ in case, spaces, pluses, percent signs and other letters are different objects', async () => {
      const names = [
        'shop',
        'Shop.pem',
        'a b',
        'a+b',
        'a%20b',
        'a%2Bb',
        '*.shop.example.cer',
        'ключ',
        "it's",
        '#?&=;:@$,',
        '...',
        '.hidden',
        '~',
      ]
      for (const name of names) await store.put(`names/${name}/x`, name)
      for (const name of names) expect(text((await store.get(`names/${name}/x`))?.bytes)).toBe(name)
      expect(new Set(await keysOf(store, 'names/'))).toEqual(new Set(names.map((name) => `names/${name}/x`)))
    })

    test('more objects than a page holds are listed, all pages', async () => {
      const keys = Array.from({ length: objects }, (_, i) => `many/${String(i).padStart(5, '0')}`)
      for (let i = 0; i < keys.length; i += 30)
        await Promise.all(keys.slice(i, i + 30).map((key) => store.put(key, '')))
      expect(await keysOf(store, 'many/')).toEqual(keys)
    })

    test('the children of a prefix are its own objects, and each of its folders once', async () => {
      const keys = ['a.pem', 'a', 'b/1', 'b/2', 'b/deep/3', 'b-c/1', 'ä+ %20/1', 'z']
      for (const key of keys) await store.put(`in/${key}`, key)
      await store.put('inside/other', 'x')
      const found = await store.children('in/', { most: 100 })
      expect(found.objects.map(({ key, size }) => [key, size])).toEqual([
        ['in/a', 1],
        ['in/a.pem', 5],
        ['in/z', 1],
      ])
      expect(found).toMatchObject({ folders: ['b-c', 'b', 'ä+ %20'].sort(byBytes), more: false })
      expect(await store.children('in/none/', { most: 1 })).toEqual({ objects: [], folders: [], more: false })
      expect((await failureOf(store.children('in', { most: 1 }))).code).toBe('store.bad-key')
    })

    test('of more children than were asked for the first in key order are told, and that there are more', async () => {
      const keys = Array.from(
        { length: 30 },
        (_, i) => `level/${String(i).padStart(2, '0')}${i % 3 ? '/x/y' : ''}`,
      )
      for (const key of keys) await store.put(key, '')
      for (const key of keys.slice(20)) if (key.endsWith('y')) await store.put(`${key}y`, '')
      const first = await store.children('level/', { most: 14 })
      expect([first.objects.length, first.folders.length, first.more]).toEqual([5, 9, true])
      expect(first.folders.at(-1)).toBe('13')
      const all = await store.children('level/', { most: 30 })
      expect([all.objects.length, all.folders.length, all.more]).toEqual([10, 20, false])
      // Also where each answer holds less than that.
      expect((await store.children('level/', { most: 29 })).more).toBe(true)
      expect(await store.children('level/01/', { most: 1 })).toMatchObject({ folders: ['x'], more: false })
    })

    test('an object over the limit is refused, one at the limit is read', async () => {
      await store.put('limit/object', 'x'.repeat(1_000))
      const failure = await failureOf(store.get('limit/object', { maxBytes: 999 }))
      expect([failure.code, failure.kind]).toEqual(['store.too-large', 'never'])
      expect((await store.get('limit/object', { maxBytes: 1_000 }))?.bytes.length).toBe(1_000)
      await store.put('limit/mebibyte', new Uint8Array(1024 * 1024 + 1))
      expect((await failureOf(store.get('limit/mebibyte'))).code).toBe('store.too-large')
    })

    test.each([
      '',
      '/',
      '/etc/passwd',
      '../outside',
      'a/../../outside',
      'a/..',
      'a/./b',
      '.',
      '..',
      'a//b',
      'a/',
      '..\\outside',
      'a\\b',
      'a\0b',
      'a\nb',
      'a\u007fb',
      '\ud800',
      'x'.repeat(1_001),
      'ä'.repeat(501),
    ])('the key %j is refused by every method before it goes anywhere', async (key) => {
      const works = [store.get(key), store.put(key, 'x'), store.delete(key)]
      for (const failure of await Promise.all(works.map(failureOf))) {
        expect([failure.code, failure.kind]).toEqual(['store.bad-key', 'never'])
        expect(failure.message).not.toMatch(/[\0-\x1f\x7f]/)
      }
    })

    test.each(['../', '/', 'a//', 'a/../b', 'a\\'])('the prefix %j is refused', async (prefix) => {
      expect((await failureOf(store.list(prefix))).code).toBe('store.bad-key')
    })

    test('a reader beside a writer sees the old bytes or the new ones, whole', async () => {
      const values = ['a', 'b'].map((letter) => letter.repeat(200_000))
      await store.put('atomic/object', values[0]!)
      let writing = true
      const writer = (async () => {
        for (let i = 0; i < 20; i++) await store.put('atomic/object', values[i % 2]!)
        writing = false
      })()
      const seen = new Set<string>()
      while (writing) {
        const found = text((await store.get('atomic/object'))?.bytes)
        seen.add(`${found?.[0]}${found?.length}${new Set(found).size}`)
        expect(await keysOf(store, 'atomic/')).toEqual(['atomic/object'])
      }
      await writer
      expect([...seen].every((s) => s === 'a2000001' || s === 'b2000001')).toBe(true)
    })

    test('of writers to one key at the same time one wins, whole', async () => {
      const values = Array.from({ length: 12 }, (_, i) => String.fromCharCode(97 + i).repeat(50_000 + i))
      await Promise.all(values.map((value) => store.put('race/object', value)))
      expect(values).toContain(text((await store.get('race/object'))?.bytes))
    })

    test('puts and deletes in one folder at the same time do not disturb one another', async () => {
      await Promise.all(
        Array.from({ length: 16 }, async (_, i) => {
          for (let round = 0; round < 5; round++) {
            await store.put(`busy/folder/${i}`, String(round))
            expect(text((await store.get(`busy/folder/${i}`))?.bytes)).toBe(String(round))
            await store.delete(`busy/folder/${i}`)
            expect(await store.get(`busy/folder/${i}`)).toBeUndefined()
          }
        }),
      )
      expect(await store.list('busy/')).toEqual([])
    })

    test('an abort signal ends the work with its reason or a failure of its own', async () => {
      const reason = new Failure({ code: 'test.deadline', kind: 'later', message: 'm', next: 'n' })
      const signal = AbortSignal.abort(reason)
      const works = [
        store.get('x', { signal }),
        store.put('x', 'x', { signal }),
        store.list('x', { signal }),
        store.children('x/', { most: 1, signal }),
        store.delete('x', { signal }),
      ]
      for (const failure of await Promise.all(works.map(failureOf))) expect(failure).toBe(reason)
      expect((await failureOf(store.get('x', { signal: AbortSignal.abort() }))).code).toBe('store.aborted')
      expect(await store.get('x')).toBeUndefined()
    })
  })
}
