import { randomBytes } from 'node:crypto'
import { type BigIntStats, constants, type Dirent } from 'node:fs'
import { lstat, mkdir, open, readdir, realpath, rename, rmdir, stat, unlink } from 'node:fs/promises'
import { dirname, join, sep } from 'node:path'
import { type Clock, hour, systemClock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import { printable } from '../base/printable.ts'
import { aborted, tooLarge } from './failures.ts'
import { badKey, compareKeys, isKey, requireFolder, requireKey, requirePrefix } from './keys.ts'
import type { Children, ObjectSummary, Store, StoredObject } from './port.ts'

const DEFAULT_MAX_BYTES = 1024 * 1024
/** Half-written objects lie beside their target (a rename must not cross file systems) under these names. */
const TEMPORARY = /^\.tmp-[0-9a-f]{24}$/
/** No write takes this long: an older one belongs to a process that died. */
const TEMPORARY_IS_STALE = hour

/**
 * A folder as a store. Objects are files readable by their owner only, because private keys lie among them.
 * A write is a rename of a file that has reached the disk. Symbolic links are followed inside the folder and
 * refused where they lead out of it. The folder itself must exist: a mistyped path is an error, not a new store.
 */
export function createDirectoryStore(path: string, options: DirectoryStoreOptions = {}): Store {
  return new DirectoryStore(path, options)
}

export interface DirectoryStoreOptions {
  clock?: Clock | undefined
  /** `Store.settleMs`; default 0, for whoever writes through this store only. */
  settleMs?: number | undefined
  /** Folders that stay when they are empty, by their keys without a final slash. */
  keeps?: ((folder: string) => boolean) | undefined
}

class DirectoryStore implements Store {
  readonly description: string
  readonly settleMs: number
  readonly #path: string
  readonly #clock: Clock
  readonly #keeps: (folder: string) => boolean
  /** When the folders that this store writes to were last looked at for half-written objects. */
  readonly #swept = new Map<string, number>()

  constructor(path: string, options: DirectoryStoreOptions) {
    this.#path = path
    this.#clock = options.clock ?? systemClock
    this.#keeps = options.keeps ?? (() => false)
    this.settleMs = options.settleMs ?? 0
    this.description = `directory ${path}`
  }

  async get(
    key: string,
    options: { maxBytes?: number; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    return this.#guard(key, options.signal, async (root) => {
      const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
      const file = await this.#resolve(root, key)
      if (file === undefined) return undefined
      // Non-blocking, because opening a named pipe would wait for its writer for ever.
      const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOFOLLOW)
      try {
        const stats = await handle.stat({ bigint: true })
        if (stats.isDirectory()) return undefined
        if (!stats.isFile()) throw this.#bad(key, 'is not a regular file')
        const size = Number(stats.size)
        if (size > maxBytes) throw tooLarge(key, size, maxBytes, this.description)
        const bytes = Buffer.alloc(size)
        let length = 0
        while (length < bytes.length) {
          const { bytesRead } = await handle.read(bytes, length, bytes.length - length, length)
          if (bytesRead === 0) break
          length += bytesRead
        }
        const { mtime: modifiedAt } = stats
        return {
          key,
          bytes: new Uint8Array(bytes.subarray(0, length)),
          modifiedAt,
          version: versionOf(stats),
        }
      } finally {
        await handle.close()
      }
    })
  }

  async put(key: string, bytes: Uint8Array | string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#guard(key, options.signal, async (root) => {
      const target = join(root, ...key.split('/'))
      const temporary = await this.#writeTemporary(root, key, bytes)
      try {
        if (options.signal?.aborted) throw aborted(options.signal)
        await rename(temporary, target).catch(async (error: unknown) => {
          if (codeOf(error) !== 'EISDIR') throw error
          // An empty folder is only what a crashed delete left; S3 knows no folders at all.
          await rmdir(target)
          await rename(temporary, target)
        })
      } catch (error) {
        await unlink(temporary).catch(() => undefined)
        throw error
      }
      await syncFolder(dirname(target))
      await this.#sweepBeside(dirname(target))
    })
  }

  async list(prefix: string, options: { signal?: AbortSignal } = {}): Promise<ObjectSummary[]> {
    return this.#guard(undefined, options.signal, async (root) => {
      requirePrefix(prefix, this.description)
      const segments = prefix.split('/').slice(0, -1)
      const start = segments.length === 0 ? root : await this.#resolve(root, segments.join('/'))
      if (start === undefined) return []
      const found: ObjectSummary[] = []
      for await (const object of this.#walk({ root, prefix, signal: options.signal }, start, segments))
        found.push(object)
      return found.sort((a, b) => compareKeys(a.key, b.key))
    })
  }

  async children(prefix: string, options: { most: number; signal?: AbortSignal }): Promise<Children> {
    return this.#guard(undefined, options.signal, async (root) => {
      requireFolder(prefix, this.description)
      const found: Children = { objects: [], folders: [], more: false }
      const segments = prefix.split('/').slice(0, -1)
      const start = await this.#resolve(root, segments.join('/'))
      if (start === undefined) return found
      const walk = { root, prefix, signal: options.signal }
      for (const entry of inKeyOrder(await entriesOf(start))) {
        // Its first object tells what it is, and that it is not empty.
        for await (const object of this.#entry(walk, start, segments, entry, new Set([start]))) {
          const full = found.objects.length + found.folders.length >= options.most
          if (full) return { ...found, more: true }
          if (object.key.slice(prefix.length).includes('/')) found.folders.push(entry.name)
          else found.objects.push(object)
          break
        }
      }
      return found
    })
  }

  async delete(key: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    await this.#guard(key, options.signal, async (root) => {
      const segments = key.split('/')
      const parent = await this.#resolve(root, segments.slice(0, -1).join('/'))
      if (parent === undefined) return
      // The link itself, not what it leads to.
      await unlink(join(parent, segments.at(-1)!)).catch(async (error: unknown) => {
        if (isAbsent(error)) return
        const stats = await lstat(join(parent, segments.at(-1)!)).catch(() => undefined)
        if (stats && !stats.isDirectory()) throw error
      })
      // Upwards until one is in use. Whoever puts into it at this moment makes the folder again.
      for (let depth = segments.length - 1; depth > 0; depth--) {
        if (this.#keeps(segments.slice(0, depth).join('/'))) return
        const emptied = await rmdir(join(root, ...segments.slice(0, depth))).then(
          () => true,
          () => false,
        )
        if (!emptied) return
      }
    })
  }

  /** Writes and syncs the bytes beside the target, making folders that a racing delete takes away again. */
  async #writeTemporary(root: string, key: string, bytes: Uint8Array | string): Promise<string> {
    const parents = key.split('/').slice(0, -1)
    for (let attempt = 1; ; attempt++) {
      try {
        // Before it is made, so that no folder is made outside; the deepest part that exists decides.
        await this.#refuseOutside(root, key, parents)
        const parent = join(root, ...parents)
        // One by one: the store's own folder is never made again.
        for (let depth = 1; depth <= parents.length; depth++)
          await makeFolder(join(root, ...parents.slice(0, depth)))
        const temporary = join(parent, `.tmp-${randomBytes(12).toString('hex')}`)
        const handle = await open(temporary, 'wx', 0o600)
        try {
          await handle.writeFile(bytes)
          await handle.sync()
        } catch (error) {
          await unlink(temporary).catch(() => undefined)
          throw error
        } finally {
          await handle.close()
        }
        return temporary
      } catch (error) {
        if (codeOf(error) !== 'ENOENT' || attempt >= 20) throw error
        await this.#root()
      }
    }
  }

  async #refuseOutside(root: string, key: string, parents: readonly string[]): Promise<void> {
    for (let depth = 1; depth <= parents.length; depth++) {
      const real = await realpath(join(root, ...parents.slice(0, depth))).catch((error: unknown) => {
        if (codeOf(error) === 'ENOENT') return undefined
        throw error
      })
      if (real === undefined) return
      if (!isInside(root, real)) throw this.#outside(key)
    }
  }

  /** Every object below a folder. A link to a folder above it would never end. */
  async *#walk(
    walk: Walk,
    folder: string,
    segments: readonly string[],
    above: ReadonlySet<string> = new Set(),
  ): AsyncGenerator<ObjectSummary> {
    if (walk.signal?.aborted) throw aborted(walk.signal)
    if (above.has(folder)) return
    const path = new Set([...above, folder])
    for (const entry of await entriesOf(folder)) yield* this.#entry(walk, folder, segments, entry, path)
  }

  async *#entry(
    walk: Walk,
    folder: string,
    segments: readonly string[],
    entry: Dirent,
    above: ReadonlySet<string>,
  ): AsyncGenerator<ObjectSummary> {
    const { root, prefix } = walk
    const below = [...segments, entry.name]
    const key = below.join('/')
    const file = join(folder, entry.name)
    if (TEMPORARY.test(entry.name)) return await this.#sweep(file)
    if (!key.startsWith(prefix) && !prefix.startsWith(`${key}/`)) return
    if (entry.isDirectory()) return yield* this.#walk(walk, file, below, above)
    if (!isKey(key)) return
    let stats: BigIntStats
    try {
      stats = await lstat(file, { bigint: true })
      if (stats.isSymbolicLink()) {
        // One that leads out or to nothing is listed by its name, so that whoever reads it is told; it is never followed.
        const real = await realpath(file).catch((error: unknown) => {
          if (leadsNowhere(error)) return undefined
          throw error
        })
        if (real !== undefined && isInside(root, real)) {
          stats = await stat(real, { bigint: true })
          if (stats.isDirectory()) return yield* this.#walk(walk, real, below, above)
        }
      }
    } catch (error) {
      // Gone since the folder was read, or a name that is not UTF-8.
      if (isAbsent(error)) return
      throw error
    }
    if (!stats.isFile() && !stats.isSymbolicLink()) return
    if (!key.startsWith(prefix)) return
    yield { key, size: Number(stats.size), modifiedAt: stats.mtime, version: versionOf(stats) }
  }

  async #sweep(file: string): Promise<void> {
    const stats = await lstat(file).catch(() => undefined)
    if (stats && this.#clock.now().getTime() - stats.mtimeMs > TEMPORARY_IS_STALE) {
      await unlink(file).catch(() => undefined)
    }
  }

  /**
   * Folders that are written to and never listed keep what a killed writer left as long as nobody looks: whoever
   * writes there next does, once in a while.
   */
  async #sweepBeside(folder: string): Promise<void> {
    const now = this.#clock.now().getTime()
    if (Math.abs(now - (this.#swept.get(folder) ?? Number.NEGATIVE_INFINITY)) < TEMPORARY_IS_STALE) return
    this.#swept.set(folder, now)
    const names = await readdir(folder).catch(() => [])
    for (const name of names) if (TEMPORARY.test(name)) await this.#sweep(join(folder, name))
  }

  /** The real path of what the key names, which lies inside the folder; undefined where there is nothing. */
  async #resolve(root: string, key: string): Promise<string | undefined> {
    if (key === '') return root
    let real: string
    try {
      real = await realpath(join(root, ...key.split('/')))
    } catch (error) {
      if (!leadsNowhere(error)) throw error
      const stats = await lstat(join(root, ...key.split('/'))).catch(() => undefined)
      if (!stats?.isSymbolicLink()) return undefined
      throw new Failure({
        code: 'store.link-to-nothing',
        kind: 'never',
        message: `The object "${printable(key)}" is a symbolic link to nothing or to itself (${this.description})`,
        next: 'Copy the file itself into the folder (cp -L).',
        facts: { key: printable(key), store: this.description },
        cause: error,
      })
    }
    if (!isInside(root, real)) throw this.#outside(key)
    return real
  }

  async #root(): Promise<string> {
    try {
      const root = await realpath(this.#path)
      if ((await stat(root)).isDirectory()) return root
    } catch (error) {
      if (!isAbsent(error)) throw error
    }
    throw new Failure({
      code: 'store.missing-bucket',
      kind: 'never',
      message: `There is no folder ${this.#path}`,
      next: 'Create it, or correct store.directory in the config.',
      facts: { store: this.description },
    })
  }

  async #guard<T>(
    key: string | undefined,
    signal: AbortSignal | undefined,
    work: (root: string) => Promise<T>,
  ): Promise<T> {
    if (signal?.aborted) throw aborted(signal)
    try {
      if (key !== undefined) {
        requireKey(key, this.description)
        if (key.split('/').some((segment) => TEMPORARY.test(segment))) {
          throw this.#bad(key, 'is reserved for half-written objects')
        }
      }
      return await work(await this.#root())
    } catch (error) {
      throw this.#failure(error, key)
    }
  }

  #failure(error: unknown, key: string | undefined): Failure {
    if (error instanceof Failure) return error
    const code = codeOf(error)
    const what = key === undefined ? 'its objects' : JSON.stringify(key)
    switch (code) {
      case 'ENAMETOOLONG':
        return this.#bad(key ?? '', 'is too long for this file system', error)
      case 'ENOTDIR':
      case 'EEXIST':
      case 'EISDIR':
      case 'ENOTEMPTY':
        return this.#bad(
          key ?? '',
          'is both an object and a folder of objects, which a directory cannot hold',
          error,
        )
      case 'ELOOP':
        return this.#bad(key ?? '', 'is a symbolic link that never ends or was swapped', error)
      case 'EACCES':
      case 'EPERM':
      case 'EROFS':
        return new Failure({
          code: 'store.denied',
          kind: 'never',
          message: `The operating system denies access to ${what} in ${this.description} (${code})`,
          next: 'Give the user that runs cert-rotation read and write permission on the folder.',
          facts: { store: this.description, serviceCode: code },
          cause: error,
        })
      default:
        return new Failure({
          code: 'store.unreachable',
          kind: 'again',
          message: `Reading or writing ${what} in ${this.description} failed (${code ?? 'unknown error'})`,
          next:
            code === 'ENOSPC' || code === 'EDQUOT'
              ? 'Free some space on the disk.'
              : 'Check the disk or the mount of the folder.',
          facts: { store: this.description, serviceCode: code },
          effect: 'unknown',
          cause: error,
        })
    }
  }

  #outside(key: string): Failure {
    return badKey(
      key,
      this.description,
      'is or lies below a symbolic link that leads out of the folder',
      'Copy the file into the folder instead of linking to it.',
    )
  }

  #bad(key: string, wrong: string, cause?: unknown): Failure {
    return badKey(key, this.description, wrong, 'Rename or remove it.', cause)
  }
}

interface Walk {
  root: string
  prefix: string
  signal: AbortSignal | undefined
}

function entriesOf(folder: string): Promise<Dirent[]> {
  return readdir(folder, { withFileTypes: true }).catch((error: unknown) => {
    if (isAbsent(error)) return []
    throw error
  })
}

/** As object storage has it, where the slash of a folder counts. */
function inKeyOrder(entries: Dirent[]): Dirent[] {
  const place = (entry: Dirent) => (entry.isDirectory() ? `${entry.name}/` : entry.name)
  return entries.sort((a, b) => compareKeys(place(a), place(b)))
}

/** The change time moves with every write, also where a copy brings its old modification time along. */
function versionOf({ ino, size, mtimeNs, ctimeNs }: BigIntStats): string {
  return [ino, size, mtimeNs, ctimeNs].join('-')
}

async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST' || !(await stat(folder)).isDirectory()) throw error
  }
}

function isInside(root: string, real: string): boolean {
  return real === root || real.startsWith(root.endsWith(sep) ? root : root + sep)
}

function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}

/** A link to nothing, or to itself. */
function leadsNowhere(error: unknown): boolean {
  return isAbsent(error) || codeOf(error) === 'ELOOP'
}

function isAbsent(error: unknown): boolean {
  const code = codeOf(error)
  return code === 'ENOENT' || code === 'ENOTDIR'
}

/** Makes the rename itself survive a power cut; not every file system lets a folder be synced. */
async function syncFolder(folder: string): Promise<void> {
  try {
    const handle = await open(folder, constants.O_RDONLY)
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  } catch {
    // The object is in place; only its durability over a power cut is less certain.
  }
}
