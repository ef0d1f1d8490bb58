import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { createDirectoryStore } from '../../shared/store/directory.ts'
import type { Store } from '../../shared/store/port.ts'
import { failureOf, storeContract } from '../contract/store.contract.ts'

const folders: string[] = []
async function folder(): Promise<string> {
  const made = await mkdtemp(join(tmpdir(), 'store-'))
  folders.push(made)
  return made
}
afterAll(() => Promise.all(folders.map((path) => rm(path, { recursive: true, force: true }))))

storeContract('A directory', async () => createDirectoryStore(await folder()))

let path: string
let store: Store
beforeEach(async () => {
  path = await folder()
  store = createDirectoryStore(path)
})
const text = async (key: string) => Buffer.from((await store.get(key))?.bytes ?? []).toString()
const keysOf = async (prefix: string) => (await store.list(prefix)).map(({ key }) => key)

test('Objects are files that only their owner can read', async () => {
  await store.put('incoming/shop/privkey.pem', 'key')
  expect((await stat(join(path, 'incoming/shop/privkey.pem'))).mode & 0o777).toBe(0o600)
})

test('The time of an object is the time of its file', async () => {
  await store.put('a/b', 'x')
  const at = new Date('2026-01-02T03:04:05Z')
  await utimes(join(path, 'a/b'), at, at)
  expect((await store.get('a/b'))?.modifiedAt).toEqual(at)
  expect((await store.list('a/'))[0]?.modifiedAt).toEqual(at)
})

test('Deleting the last object of a folder removes the folder, up to the first that is in use', async () => {
  await store.put('a/b/c/d', 'x')
  await store.put('a/other', 'x')
  await store.delete('a/b/c/d')
  expect(await readdir(join(path, 'a'))).toEqual(['other'])
  await store.delete('a/other')
  expect(await readdir(path)).toEqual([])
})

test('A folder that is to stay stays when its last object is deleted, and so do those above it', async () => {
  const keeping = createDirectoryStore(path, { keeps: (one) => /^incoming\/[^/]+$/.test(one) })
  await keeping.put('incoming/shop/live/privkey.pem', 'x')
  await keeping.put('incoming/shop/cert.pem', 'x')
  await keeping.delete('incoming/shop/live/privkey.pem')
  await keeping.delete('incoming/shop/cert.pem')
  expect(await readdir(join(path, 'incoming/shop'))).toEqual([])
  // As a hook does it, which knows no store.
  await writeFile(join(path, 'incoming/shop/cert.pem'), 'again')
  expect(await text('incoming/shop/cert.pem')).toBe('again')
})

test('The version of an object is the same in list and get, and another after every write, whatever its times say', async () => {
  const at = new Date('2026-01-02T03:04:05Z')
  const versions: (string | undefined)[] = []
  for (const content of ['one', 'two']) {
    await mkdir(join(path, 'a'), { recursive: true })
    await writeFile(join(path, 'a/b'), content)
    await utimes(join(path, 'a/b'), at, at)
    const [listed] = await store.list('a/')
    expect((await store.get('a/b'))?.version).toBe(listed?.version)
    versions.push(listed?.version)
  }
  expect(versions[0]).toBeDefined()
  expect(versions[1]).not.toBe(versions[0])
})

test('An empty folder in the place of an object gives way, a folder with objects does not', async () => {
  await mkdir(join(path, 'a/b'), { recursive: true })
  await store.put('a/b', 'x')
  expect(await text('a/b')).toBe('x')
  await store.put('c/d', 'x')
  expect((await failureOf(store.put('c', 'x'))).code).toBe('store.bad-key')
  expect((await failureOf(store.put('c/d/e', 'x'))).code).toBe('store.bad-key')
  expect(await keysOf('')).toEqual(['a/b', 'c/d'])
})

test('A folder that does not exist is an error in every method, and is not made', async () => {
  const missing = createDirectoryStore(join(path, 'typo'))
  const works = [missing.get('a'), missing.put('a', 'x'), missing.list(''), missing.delete('a')]
  for (const failure of await Promise.all(works.map(failureOf))) {
    expect(failure).toMatchObject({ code: 'store.missing-bucket', kind: 'never' })
  }
  expect(await readdir(path)).toEqual([])
})

test('A name that the file system can not hold is refused, not a crash', async () => {
  const name = 'x'.repeat(256)
  expect((await failureOf(store.put(name, 'x'))).code).toBe('store.bad-key')
  expect((await failureOf(store.put(`${name}/y`, 'x'))).code).toBe('store.bad-key')
  await store.put('x'.repeat(255), 'x')
})

describe('A symbolic link', () => {
  let outside: string
  beforeEach(async () => {
    outside = await folder()
    await writeFile(join(outside, 'secret'), 'outside')
  })

  test('that leads out of the folder is never followed, neither for reading nor for writing nor for deleting', async () => {
    await symlink(outside, join(path, 'link'))
    await symlink(join(outside, 'secret'), join(path, 'file'))
    const works = [
      store.get('link/secret'),
      store.get('file'),
      store.put('link/new', 'x'),
      store.put('link/deep/new', 'x'),
      store.list('link/'),
      store.delete('link/secret'),
    ]
    for (const failure of await Promise.all(works.map(failureOf))) {
      expect(failure).toMatchObject({ code: 'store.bad-key', kind: 'never' })
    }
    expect(await readdir(outside)).toEqual(['secret'])
  })

  test('that leads out is listed by its name, so that its reader is told, and is replaced and deleted itself', async () => {
    await mkdir(join(path, 'incoming/shop'), { recursive: true })
    const link = join(path, 'incoming/shop/privkey.pem')
    await symlink(join(outside, 'secret'), link)
    expect(await keysOf('')).toEqual(['incoming/shop/privkey.pem'])
    await store.put('incoming/shop/privkey.pem', 'inside')
    expect(await text('incoming/shop/privkey.pem')).toBe('inside')
    await rm(link)
    await symlink(join(outside, 'secret'), link)
    await store.delete('incoming/shop/privkey.pem')
    expect(await readdir(path)).toEqual([])
    expect(await readFile(join(outside, 'secret'), 'utf8')).toBe('outside')
  })

  test('that stays inside is followed, one to nothing is listed and said, and a circle ends', async () => {
    await store.put('archive/one.pem', 'one')
    await mkdir(join(path, 'live'))
    await symlink('../archive/one.pem', join(path, 'live/cert.pem'))
    await symlink('../archive', join(path, 'live/all'))
    await symlink('..', join(path, 'live/up'))
    await symlink('nowhere', join(path, 'live/dangling'))
    await symlink('loop', join(path, 'live/loop'))
    expect(await text('live/cert.pem')).toBe('one')
    expect(await keysOf('live/')).toEqual(expect.arrayContaining(['live/dangling', 'live/loop']))
    for (const key of ['live/dangling', 'live/loop'])
      expect(await failureOf(store.get(key))).toMatchObject({
        code: 'store.link-to-nothing',
        next: expect.stringContaining('cp -L'),
      })
    expect(await store.get('live/absent')).toBeUndefined()
    expect(await keysOf('live/')).toContain('live/all/one.pem')
  })

  test('may be the folder itself', async () => {
    await symlink(path, join(outside, 'bucket'))
    const linked = createDirectoryStore(join(outside, 'bucket'))
    await linked.put('a/b', 'x')
    expect((await linked.list('')).map(({ key }) => key)).toEqual(['a/b'])
  })
})

test('A named pipe in the folder makes nobody wait', async () => {
  execFileSync('mkfifo', [join(path, 'pipe')])
  expect((await failureOf(store.get('pipe'))).code).toBe('store.bad-key')
  expect(await keysOf('')).toEqual([])
})

test('A name that is not UTF-8 does not stop a listing', async () => {
  await writeFile(Buffer.concat([Buffer.from(`${path}/`), Buffer.from([0xff, 0xfe])]), 'x')
  await store.put('ok', 'x')
  expect(await keysOf('')).toEqual(['ok'])
})

test('Half-written objects are neither listed nor reachable, and old ones are cleared away', async () => {
  const name = `.tmp-${'a'.repeat(24)}`
  await store.put('a/b', 'x')
  await writeFile(join(path, 'a', name), 'half')
  expect(await keysOf('')).toEqual(['a/b'])
  const works = [store.get(`a/${name}`), store.put(`a/${name}`, 'x'), store.delete(`a/${name}`)]
  for (const failure of await Promise.all(works.map(failureOf))) {
    expect(failure.code).toBe('store.bad-key')
  }
  expect(await readdir(join(path, 'a'))).toEqual([name, 'b'])
  await utimes(join(path, 'a', name), new Date(0), new Date(0))
  await store.list('a/')
  expect(await readdir(join(path, 'a'))).toEqual(['b'])
})

test('A process killed while it writes leaves the old object or a new one, whole', async () => {
  const module = new URL('../../shared/store/directory.ts', import.meta.url).href
  const code = `
    const { createDirectoryStore } = await import(${JSON.stringify(module)})
    const store = createDirectoryStore(process.argv[1])
    for (let i = 0; ; i++) {
      await store.put('state/shop.json', String(i % 10).repeat(500_000))
      if (i === 0) console.log('writing')
    }
  `
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code, path], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(child.stdout, 'data')
  for (let i = 0; i < 20; i++) await store.get('state/shop.json')
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect(await text('state/shop.json')).toMatch(/^(\d)\1{499999}$/)
  expect(await keysOf('')).toEqual(['state/shop.json'])
})

test('A folder without permission is denied', async () => {
  await mkdir(join(path, 'locked'), { mode: 0 })
  await chmod(path, 0o777)
  // Root may do everything: it looks with somebody else's eyes for a moment.
  const root = process.geteuid?.() === 0
  if (root) process.seteuid?.(65534)
  try {
    expect((await failureOf(store.put('locked/a', 'x'))).code).toBe('store.denied')
    await store.put('open', 'x')
  } finally {
    if (root) process.seteuid?.(0)
  }
})
