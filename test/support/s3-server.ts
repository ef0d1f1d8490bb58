import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll } from 'vitest'
import { systemClock } from '../../shared/base/clock.ts'
import { Secret } from '../../shared/base/secret.ts'
import { type BucketStoreOptions, createBucketStore } from '../../shared/store/bucket.ts'
import type { Store } from '../../shared/store/port.ts'

const run = promisify(execFile)
const script = fileURLToPath(new URL('../../.ci/start-s3.sh', import.meta.url))

// The tests' own clients would announce at every start that they will leave Node 20 behind.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'

export interface S3Server {
  endpoint: string
  accessKeyId: string
  secretAccessKey: string
  /** Makes a bucket that nobody else uses, and gives its name. */
  freshBucket(): Promise<string>
  /** A store on a bucket of this server; through a proxy where an endpoint is given. */
  store(bucket: string, options?: Partial<BucketStoreOptions>): Store
  /** A plain client, to look behind the store's back. */
  client(): S3Client
}

/**
 * A real S3 server that nobody here wrote: the one named by S3_TEST_ENDPOINT, S3_TEST_ACCESS_KEY and
 * S3_TEST_SECRET_KEY, or else Ceph's RADOS Gateway, started for the calling test file where it is installed
 * (`.ci/install-s3.sh`). Undefined, with the reason printed, where there is neither; a failure with REQUIRE_S3=1.
 * Its monitor has fixed ports, so files that start their own take turns.
 */
export async function s3Server(): Promise<S3Server | undefined> {
  const { S3_TEST_ENDPOINT, S3_TEST_ACCESS_KEY, S3_TEST_SECRET_KEY } = process.env
  if (S3_TEST_ENDPOINT && S3_TEST_ACCESS_KEY && S3_TEST_SECRET_KEY) {
    return server(S3_TEST_ENDPOINT, S3_TEST_ACCESS_KEY, S3_TEST_SECRET_KEY)
  }
  try {
    await run('sh', ['-c', 'command -v radosgw && command -v ceph-mon && command -v ceph-osd'])
  } catch {
    return absent('neither S3_TEST_ENDPOINT is set nor is radosgw installed (.ci/install-s3.sh does that)')
  }
  try {
    return await startOwn()
  } catch (error) {
    return absent(`radosgw did not start: ${(error as { stderr?: string }).stderr ?? String(error)}`)
  }
}

function absent(reason: string): undefined {
  if (process.env.REQUIRE_S3 === '1') throw new Error(`REQUIRE_S3=1, but ${reason}`)
  console.warn(`Tests against a real S3 server are left out: ${reason}.`)
  return undefined
}

async function startOwn(): Promise<S3Server> {
  const lock = join(tmpdir(), 'cert-rotation-s3.lock')
  await takeTurn(lock)
  const folder = join(tmpdir(), `cert-rotation-s3-${process.pid}-${randomBytes(4).toString('hex')}`)
  const stop = async () => {
    await run(script, ['stop', folder])
    await rm(lock, { recursive: true, force: true })
  }
  afterAll(stop)
  try {
    const { stdout } = await run(script, ['start', folder, String(7480 + (process.pid % 400))])
    const { endpoint, accessKeyId, secretAccessKey } = JSON.parse(stdout) as Record<string, string>
    return server(endpoint!, accessKeyId!, secretAccessKey!)
  } catch (error) {
    await stop()
    throw error
  }
}

/** A folder is a lock that only one process can make. One whose process is gone is taken over. */
async function takeTurn(lock: string): Promise<void> {
  for (;;) {
    try {
      await mkdir(lock)
      await writeFile(join(lock, 'pid'), String(process.pid))
      return
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
    const holder = Number(await readFile(join(lock, 'pid'), 'utf8').catch(() => ''))
    if (holder > 0 && !isRunning(holder)) await rm(lock, { recursive: true, force: true })
    else await systemClock.sleep(100)
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function server(endpoint: string, accessKeyId: string, secretAccessKey: string): S3Server {
  const client = () =>
    new S3Client({
      endpoint,
      region: 'us-east-1',
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    })
  return {
    endpoint,
    accessKeyId,
    secretAccessKey,
    client,
    async freshBucket() {
      const bucket = `test-${randomBytes(8).toString('hex')}`
      const own = client()
      await own.send(new CreateBucketCommand({ Bucket: bucket }))
      own.destroy()
      return bucket
    },
    store: (bucket, options = {}) =>
      createBucketStore({
        bucket,
        endpoint,
        region: 'us-east-1',
        pathStyle: true,
        credentials: () => ({ id: accessKeyId, secret: new Secret(secretAccessKey) }),
        ...options,
      }),
  }
}
