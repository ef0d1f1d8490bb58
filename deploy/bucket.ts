import { systemClock } from '../shared/base/clock.ts'
import { Failure } from '../shared/base/failure.ts'
import type { AccessKey } from '../shared/http/sign.ts'
import { createBucketStore, withoutVersionWarning } from '../shared/store/bucket.ts'
import { bucketFailure } from '../shared/store/bucket-failures.ts'
import type { ObjectSummary } from '../shared/store/port.ts'

export interface BucketPlace {
  bucket: string
  region: string
  /** OBS of the region. */
  endpoint: string
  pathStyle: boolean
}

const TIMEOUT_MS = 30_000

/** A bucket as its owner sees it: whether it is there, to make and to delete it, and what lies in it. */
export function openBucket({ bucket, region, endpoint, pathStyle }: BucketPlace, key: AccessKey) {
  const store = createBucketStore({
    ...{ bucket, region, endpoint, pathStyle },
    credentials: () => key,
    requestTimeoutMs: TIMEOUT_MS,
  })
  const description = `bucket ${bucket}`

  /** Says which action is missing: object storage answers 403 without a word about why. */
  async function allowed<T>(action: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (thrown) {
      if (!(thrown instanceof Failure) || thrown.code !== 'store.denied' || thrown.facts.status !== 403)
        throw thrown
      const { code, kind, message, facts } = thrown
      const next = `Allow the action obs:${action} to HW_ACCESS_KEY (${key.id}), and see that the bucket is yours: names are shared by all accounts.`
      throw new Failure({ code, kind, message, next, facts, cause: thrown })
    }
  }

  async function send<T>(
    operation: string,
    action: string,
    command: (sdk: typeof import('@aws-sdk/client-s3')) => object,
    read: (error: unknown) => { answer: T } | undefined,
    done: T,
  ): Promise<T> {
    const sdk = await import('@aws-sdk/client-s3')
    const client = withoutVersionWarning(
      () =>
        new sdk.S3Client({
          ...{ region, endpoint, forcePathStyle: pathStyle, maxAttempts: 3 },
          requestChecksumCalculation: 'WHEN_REQUIRED',
          credentials: {
            accessKeyId: key.id,
            secretAccessKey: key.secret.reveal(),
            ...(key.securityToken ? { sessionToken: key.securityToken.reveal() } : {}),
          },
        }),
    )
    try {
      await client.send(command(sdk) as never, { abortSignal: AbortSignal.timeout(TIMEOUT_MS) })
      return done
    } catch (error) {
      const known = read(error)
      if (known) return known.answer
      const now = systemClock.now()
      const failure = bucketFailure(error, { operation, description, writes: true, now })
      return await allowed(action, () => Promise.reject(failure))
    } finally {
      client.destroy()
    }
  }
  const statusOf = (error: unknown) =>
    (error as { $metadata?: { httpStatusCode?: number } }).$metadata?.httpStatusCode
  const nameOf = (error: unknown) => (error as { name?: string }).name

  return {
    description,

    exists: () =>
      send<boolean>(
        'look-up',
        'bucket:HeadBucket',
        (sdk) => new sdk.HeadBucketCommand({ Bucket: bucket }),
        (error) => (statusOf(error) === 404 ? { answer: false } : undefined),
        true,
      ),

    /** Private, in the region. Fails with `setup.bucket-taken` where another account has the name. */
    create: () =>
      send<void>(
        'creation',
        'bucket:CreateBucket',
        (sdk) =>
          new sdk.CreateBucketCommand({
            Bucket: bucket,
            CreateBucketConfiguration: { LocationConstraint: region as never },
          }),
        (error) => {
          // A reply that was lost: it is there.
          if (nameOf(error) === 'BucketAlreadyOwnedByYou') return { answer: undefined }
          if (nameOf(error) === 'BucketAlreadyExists') throw taken(bucket)
          return undefined
        },
        undefined,
      ),

    remove: () =>
      send<void>(
        'deletion',
        'bucket:DeleteBucket',
        (sdk) => new sdk.DeleteBucketCommand({ Bucket: bucket }),
        (error) => {
          if (nameOf(error) === 'BucketNotEmpty') throw notEmpty(bucket)
          return undefined
        },
        undefined,
      ),

    list: (prefix: string): Promise<ObjectSummary[]> =>
      allowed('bucket:ListBucket', () => store.list(prefix)),

    get: (object: string): Promise<string | undefined> =>
      allowed('object:GetObject', async () => {
        const found = await store.get(object)
        return found && new TextDecoder().decode(found.bytes)
      }),

    put: (object: string, text: string): Promise<void> =>
      allowed('object:PutObject', () => store.put(object, text)),

    delete: (object: string): Promise<void> => allowed('object:DeleteObject', () => store.delete(object)),
  }
}

export type Bucket = ReturnType<typeof openBucket>

function taken(bucket: string): Failure {
  return new Failure({
    code: 'setup.bucket-taken',
    kind: 'never',
    message: `The bucket name ${bucket} belongs to another account: names are shared by all accounts of the cloud`,
    next: 'Choose another name: store.bucket in the config, or --bucket.',
  })
}

function notEmpty(bucket: string): Failure {
  return new Failure({
    code: 'setup.bucket-not-empty',
    kind: 'never',
    message: `The bucket ${bucket} is not empty after everything that is listed was deleted`,
    next: 'It keeps older versions, or something was uploaded just now: delete it in the console.',
  })
}
