/**
 * Object storage as the rotation needs it, small enough that OBS, S3 and a folder can keep every promise:
 *
 * - strong consistency: after `put` or `delete` has resolved, every `get` and `list` sees it;
 * - `put` is atomic: a reader sees the old bytes or the new ones, never a mixture, never half of them;
 * - concurrent writers of one key: the last one wins. There is no conditional write (OBS documents none), so
 *   whoever needs mutual exclusion takes the lease (`lease.ts`);
 * - after a failure with effect `unknown` the object may be old or new: read it again before deciding;
 * - keys are `/`-separated, without empty, `.` or `..` segments; anything else is refused (`store.bad-key`)
 *   before it reaches the outside.
 *
 * Failures: `store.unreachable`, `store.throttled` (again) · `store.denied`, `store.missing-bucket`,
 * `store.too-large`, `store.bad-key` (never).
 */
export interface Store {
  /** For messages: `bucket my-certificates` or `directory ./bucket`. */
  readonly description: string
  /**
   * Milliseconds for which an object must have been seen unchanged before it counts as whole. Absent or 0 where
   * nobody can write but by an atomic `put`; a folder is written in place by scp, editors and network file systems.
   */
  readonly settleMs?: number
  /** The object, or undefined where there is none. Refuses objects over `maxBytes` (default 1 MiB) unread. */
  get(key: string, options?: { maxBytes?: number; signal?: AbortSignal }): Promise<StoredObject | undefined>
  put(key: string, bytes: Uint8Array | string, options?: PutOptions): Promise<void>
  /** Every object below the prefix, in key order, all pages. */
  list(prefix: string, options?: { signal?: AbortSignal }): Promise<ObjectSummary[]>
  /**
   * What lies directly below a prefix that ends with a slash, for a cost that does not grow with what the folders
   * hold. Of a bucket also folders that hold nothing but their own marker, as consoles make them.
   */
  children(prefix: string, options: { most: number; signal?: AbortSignal }): Promise<Children>
  /** Deleting what is not there succeeds. */
  delete(key: string, options?: { signal?: AbortSignal }): Promise<void>
  /** Whether what is deleted or replaced is kept as an older version; absent where nothing like that exists. */
  versioned?(options?: { signal?: AbortSignal }): Promise<boolean>
}

export interface StoredObject {
  key: string
  bytes: Uint8Array
  modifiedAt: Date
  /** As in `ObjectSummary`. */
  version?: string
}

export interface ObjectSummary {
  key: string
  /** Bytes. */
  size: number
  modifiedAt: Date
  /** Differs between two contents of one key: an ETag, or a file's times. The same in `list` and `get`. */
  version?: string
}

export interface Children {
  /** In key order. */
  objects: ObjectSummary[]
  /** Names without slashes, in key order. */
  folders: string[]
  /** There is more than `most` objects and folders: these are the first in key order. */
  more: boolean
}

export interface PutOptions {
  contentType?: string
  /** Readable by everybody (ACL `public-read`); a directory has no such thing. Default: private. */
  public?: boolean
  signal?: AbortSignal
}
