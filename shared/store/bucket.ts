import { createHash } from 'node:crypto'
import type { GetObjectCommandOutput, S3Client } from '@aws-sdk/client-s3'
import { type Clock, systemClock } from '../base/clock.ts'
import type { Failure } from '../base/failure.ts'
import type { Secret } from '../base/secret.ts'
import { bucketFailure, foreignAnswer, isMissingObject, truncated } from './bucket-failures.ts'
import { aborted, tooLarge } from './failures.ts'
import { compareKeys, isKey, requireFolder, requireKey, requirePrefix } from './keys.ts'
import type { Children, ObjectSummary, PutOptions, Store, StoredObject } from './port.ts'

const DEFAULT_MAX_BYTES = 1024 * 1024

export interface BucketCredentials {
  id: string
  secret: Secret
  securityToken?: Secret | undefined
}

export interface BucketStoreOptions {
  bucket: string
  /** `https://obs.eu-de.otc.t-systems.com`; the bucket's name is put in front of the host. */
  endpoint: string
  /** Of the signature. */
  region: string
  /** Asked before every request, so that a function signs with the credentials of its current invocation. */
  credentials: () => BucketCredentials | Promise<BucketCredentials>
  /** Put in front of every key, for example `certificates/`. */
  prefix?: string | undefined
  /** OBS refuses it (403 VirtualHostDomainRequired); most other S3 servers need it. */
  pathStyle?: boolean | undefined
  /** Asked for on every write. KMS key id, or `default` for the service's own key. */
  encryption?: 'none' | 'AES256' | { kms: string } | undefined
  /** Milliseconds for one try, its body included. */
  requestTimeoutMs?: number | undefined
  /** Tries of one request, the first included. */
  attempts?: number | undefined
  /** Objects in one answer to LIST; the service's own limit is 1000. */
  pageSize?: number | undefined
  clock?: Clock | undefined
  /** 0 ≤ x < 1, for the backoff. */
  random?: (() => number) | undefined
}

/**
 * A bucket of OBS, or of anything that speaks S3, as a store. Uses PUT, GET, DELETE and version 1 of LIST, which
 * every server has: no conditional writes, no DeleteObjects, no checksum trailers, none of which OBS takes.
 * Throttling, 5xx answers, broken connections and truncated bodies are tried again with full-jitter backoff, and so
 * are answers of 200 that no object storage gives: a login page, a proxy's notice.
 */
export function createBucketStore(options: BucketStoreOptions): Store {
  return new BucketStore(options)
}

class BucketStore implements Store {
  readonly description: string
  readonly #options: BucketStoreOptions
  readonly #prefix: string
  readonly #clock: Clock
  #loading: Promise<Loaded> | undefined

  constructor(options: BucketStoreOptions) {
    this.#options = options
    this.#prefix = options.prefix ?? ''
    this.#clock = options.clock ?? systemClock
    this.description = `bucket ${options.bucket}${this.#prefix ? `/${this.#prefix}` : ''}`
  }

  async get(
    key: string,
    options: { maxBytes?: number; signal?: AbortSignal } = {},
  ): Promise<StoredObject | undefined> {
    requireKey(key, this.description)
    const maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
    return this.#request('GET', key, options.signal, async ({ sdk, client }, signal) => {
      const command = new sdk.GetObjectCommand({ Bucket: this.#options.bucket, Key: this.#prefix + key })
      let output: GetObjectCommandOutput
      try {
        output = await client.send(command, { abortSignal: signal })
      } catch (error) {
        if (isMissingObject(error)) return undefined
        throw error
      }
      const body = output.Body as (AsyncIterable<Uint8Array> & { destroy?: () => void }) | undefined
      const version = unquoted(output.ETag)
      if (version === undefined) {
        body?.destroy?.()
        throw foreignAnswer('an object without an ETag')
      }
      const length = output.ContentLength
      if (length !== undefined && length > maxBytes) {
        body?.destroy?.()
        throw tooLarge(key, length, maxBytes, this.description)
      }
      const bytes = body ? await this.#readBody(body, key, maxBytes) : new Uint8Array()
      if (length !== undefined && bytes.length !== length) throw truncated(length, bytes.length)
      if (!(await this.#isWhole(key, bytes, version, signal))) {
        throw foreignAnswer('a body that is not what its ETag says')
      }
      return { key, bytes, modifiedAt: output.LastModified ?? new Date(0), version }
    })
  }

  async put(key: string, bytes: Uint8Array | string, options: PutOptions = {}): Promise<void> {
    requireKey(key, this.description)
    const encryption = this.#options.encryption ?? 'none'
    const body = typeof bytes === 'string' ? Buffer.from(bytes, 'utf8') : bytes
    await this.#request('PUT', key, options.signal, async ({ sdk, client }, signal) => {
      await client.send(
        new sdk.PutObjectCommand({
          Bucket: this.#options.bucket,
          Key: this.#prefix + key,
          Body: body,
          ContentLength: body.length,
          ContentType: options.contentType ?? 'application/octet-stream',
          ...(options.public ? { ACL: 'public-read' as const } : {}),
          ...(encryption === 'AES256' ? { ServerSideEncryption: 'AES256' as const } : {}),
          ...(typeof encryption === 'object'
            ? {
                ServerSideEncryption: 'aws:kms' as const,
                ...(encryption.kms === 'default' ? {} : { SSEKMSKeyId: encryption.kms }),
              }
            : {}),
        }),
        { abortSignal: signal },
      )
    })
  }

  async list(prefix: string, options: { signal?: AbortSignal } = {}): Promise<ObjectSummary[]> {
    requirePrefix(prefix, this.description)
    const found: ObjectSummary[] = []
    let marker: string | undefined
    for (;;) {
      const page = await this.#page({ prefix, marker }, options.signal)
      for (const { key, ...rest } of page.objects) {
        // Consoles make `folder/` objects, and foreign writers anything: what is no key cannot be read either.
        const own = key.slice(this.#prefix.length)
        if (isKey(own)) found.push({ key: own, ...rest })
      }
      if (!page.more) return found
      marker = page.last
    }
  }

  async children(prefix: string, options: { most: number; signal?: AbortSignal }): Promise<Children> {
    requireFolder(prefix, this.description)
    const objects: ObjectSummary[] = []
    const folders = new Set<string>()
    const room = () => options.most - objects.length - folders.size
    let marker: string | undefined
    for (;;) {
      const page = await this.#page({ prefix, marker, delimiter: '/', atMost: room() + 1 }, options.signal)
      const found = [
        ...page.objects.map(({ key, ...rest }) => ({ key, rest })),
        ...page.folders.map((key) => ({ key, rest: undefined })),
      ].sort((a, b) => compareKeys(a.key, b.key))
      for (const { key, rest } of found) {
        const own = key.slice(this.#prefix.length)
        const name = own.slice(prefix.length).replace(/\/$/, '')
        // A folder may be told again by the page that begins within it.
        if (!isKey(prefix + name) || (!rest && folders.has(name))) continue
        if (room() <= 0) return { objects, folders: [...folders], more: true }
        if (rest) objects.push({ key: own, ...rest })
        else folders.add(name)
      }
      if (!page.more || room() <= 0) return { objects, folders: [...folders], more: page.more }
      marker = page.last
    }
  }

  async delete(key: string, options: { signal?: AbortSignal } = {}): Promise<void> {
    requireKey(key, this.description)
    await this.#request('DELETE', key, options.signal, async ({ sdk, client }, signal) => {
      try {
        const command = new sdk.DeleteObjectCommand({ Bucket: this.#options.bucket, Key: this.#prefix + key })
        const output = await client.send(command, { abortSignal: signal })
        if (output.$metadata.httpStatusCode !== 204) throw foreignAnswer('a deletion that is not a 204')
      } catch (error) {
        if (!isMissingObject(error)) throw error
      }
    })
  }

  async versioned(options: { signal?: AbortSignal } = {}): Promise<boolean> {
    return this.#request('GET of the versioning', '', options.signal, async ({ sdk, client }, signal) => {
      const command = new sdk.GetBucketVersioningCommand({ Bucket: this.#options.bucket })
      const { Status } = await client.send(command, { abortSignal: signal })
      return Status === 'Enabled'
    })
  }

  /**
   * An ETag is the MD5 of the content, or with KMS only looks like one: where they differ, the listing tells which,
   * by its size.
   */
  async #isWhole(key: string, bytes: Uint8Array, version: string, signal: AbortSignal): Promise<boolean> {
    if (!/^[0-9a-f]{32}$/.test(version)) return true
    if (createHash('md5').update(bytes).digest('hex') === version) return true
    const { objects } = await this.#page({ prefix: key }, signal)
    const listed = objects.find((object) => object.key === this.#prefix + key)
    return listed?.version === version && listed.size === bytes.length
  }

  async #page({ prefix, marker, delimiter, atMost }: PageWanted, signal: AbortSignal | undefined) {
    const pageSize = Math.min(this.#options.pageSize ?? 1_000, atMost ?? 1_000)
    return this.#request('LIST', prefix, signal, async ({ sdk, client }, attemptSignal) => {
      const command = new sdk.ListObjectsCommand({
        Bucket: this.#options.bucket,
        Prefix: this.#prefix + prefix,
        EncodingType: 'url',
        ...(pageSize < 1_000 ? { MaxKeys: pageSize } : {}),
        ...(marker === undefined ? {} : { Marker: marker }),
        ...(delimiter === undefined ? {} : { Delimiter: delimiter }),
      })
      const output = await client.send(command, { abortSignal: attemptSignal })
      // Every listing says whether it is whole; a web page that happens to parse, or nothing at all, does not.
      if (output.IsTruncated === undefined) throw foreignAnswer('a page that is no bucket listing')
      const text = (listed: string) => (output.EncodingType === 'url' ? decodeListed(listed) : listed)
      const objects = (output.Contents ?? []).flatMap(({ Key, Size, LastModified, ETag }) =>
        Key === undefined
          ? []
          : [
              {
                key: text(Key),
                size: Size ?? 0,
                modifiedAt: LastModified ?? new Date(0),
                ...(unquoted(ETag) === undefined ? {} : { version: unquoted(ETag)! }),
              },
            ],
      )
      const folders = (output.CommonPrefixes ?? []).flatMap(({ Prefix }) =>
        Prefix === undefined ? [] : [text(Prefix)],
      )
      const last = [objects.at(-1)?.key, folders.at(-1)]
        .filter((key) => key !== undefined)
        .sort(compareKeys)
        .at(-1)
      const more = output.IsTruncated === true
      if (more && (last === undefined || last === marker)) {
        // Going on would ask for this page for ever.
        throw Object.assign(new Error('a page without progress'), { name: 'EndlessListing' })
      }
      return { objects, folders, more, last }
    })
  }

  async #readBody(body: AsyncIterable<Uint8Array> & { destroy?: () => void }, key: string, maxBytes: number) {
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of body) {
      length += chunk.length
      if (length > maxBytes) {
        body.destroy?.()
        throw tooLarge(key, undefined, maxBytes, this.description)
      }
      chunks.push(chunk)
    }
    return new Uint8Array(Buffer.concat(chunks))
  }

  /** One request with its tries. Each of ours is idempotent: a PUT writes the same bytes to the same key. */
  async #request<T>(
    operation: 'GET' | 'PUT' | 'LIST' | 'DELETE' | 'GET of the versioning',
    key: string,
    signal: AbortSignal | undefined,
    attempt: (loaded: Loaded, signal: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const writes = operation === 'PUT' || operation === 'DELETE'
    const attempts = this.#options.attempts ?? 4
    let effect: 'none' | 'unknown' = 'none'
    for (let number = 1; ; number++) {
      if (signal?.aborted) throw aborted(signal, effect)
      let failure: Failure
      try {
        const loaded = await this.#load()
        const timeout = AbortSignal.timeout(this.#options.requestTimeoutMs ?? 10_000)
        return await attempt(loaded, signal ? AbortSignal.any([signal, timeout]) : timeout)
      } catch (error) {
        if (signal?.aborted) throw aborted(signal, writes ? 'unknown' : 'none')
        const now = this.#clock.now()
        failure = bucketFailure(error, { operation, description: this.description, key, writes, now })
      }
      if (failure.effect === 'unknown') effect = 'unknown'
      if (failure.kind !== 'again' || number >= attempts) throw failure
      const backoff = (this.#options.random ?? Math.random)() * Math.min(100 * 2 ** number, 5_000)
      try {
        await this.#clock.sleep(Math.max(backoff, Math.min(failure.retryAfterMs ?? 0, 10_000)), signal)
      } catch {
        throw signal ? aborted(signal, effect) : failure
      }
    }
  }

  /** The SDK takes 110 ms to load: only who uses a bucket waits for it, once. */
  #load(): Promise<Loaded> {
    this.#loading ??= load(this.#options)
    return this.#loading
  }
}

interface PageWanted {
  prefix: string
  marker?: string | undefined
  /** What lies below the next one of these is told as one folder. */
  delimiter?: '/'
  atMost?: number
}

interface Loaded {
  sdk: typeof import('./s3-sdk.ts')
  client: S3Client
}

async function load(options: BucketStoreOptions): Promise<Loaded> {
  const sdk = await import('./s3-sdk.ts')
  const timeoutMs = options.requestTimeoutMs ?? 10_000
  const client = withoutVersionWarning(
    () =>
      new sdk.S3Client({
        endpoint: options.endpoint,
        region: options.region,
        forcePathStyle: options.pathStyle ?? false,
        // OBS answers checksum trailers with XAmzContentSHA256Mismatch.
        requestChecksumCalculation: 'WHEN_REQUIRED',
        responseChecksumValidation: 'WHEN_REQUIRED',
        // Tries are counted in one place, ours, which also sees bodies that break off.
        maxAttempts: 1,
        requestHandler: {
          connectionTimeout: Math.min(timeoutMs, 5_000),
          requestTimeout: timeoutMs,
          throwOnRequestTimeout: true,
        },
        credentials: async () => {
          const { id, secret, securityToken } = await options.credentials()
          return {
            accessKeyId: id,
            secretAccessKey: secret.reveal(),
            ...(securityToken ? { sessionToken: securityToken.reveal() } : {}),
            // Expired on arrival: the client must not keep what belongs to one invocation.
            expiration: new Date(0),
          }
        },
      }),
  )
  return { sdk, client }
}

/**
 * On Node 20 the SDK announces at every start that versions after January 2027 will need Node 22. Ours is pinned
 * below that, FunctionGraph's newest runtime is 20, and only this one warning is held back, while the client is made.
 */
export function withoutVersionWarning<T>(make: () => T): T {
  const emit = process.emitWarning
  process.emitWarning = ((warning: string | Error, ...rest: unknown[]) => {
    if (String(warning).includes('NodeVersionSupportWarning')) return
    Reflect.apply(emit, process, [warning, ...rest])
  }) as typeof process.emitWarning
  try {
    return make()
  } finally {
    process.emitWarning = emit
  }
}

function unquoted(etag: string | undefined): string | undefined {
  return etag?.replaceAll('"', '') || undefined
}

/** Listings are URL-encoded as form data: a space is a plus. */
function decodeListed(key: string): string {
  try {
    return decodeURIComponent(key.replaceAll('+', ' '))
  } catch {
    return key
  }
}
