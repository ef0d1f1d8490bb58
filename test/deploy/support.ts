import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import type { Artifact } from '../../deploy/deployment.ts'
import type { ServiceInput } from '../../deploy/desired.ts'
import { zipOf } from '../../deploy/zip.ts'
import type { Emulator } from '../../emulator/emulator.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))

// The tests' own clients would announce at every start that they will leave Node 20 behind.
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true'

/** The deployer's environment for an emulator. */
export function credentials(emulator: Emulator): Record<string, string> {
  const [key] = emulator.ready.seed.accessKeys
  return { HW_ACCESS_KEY: key!.id, HW_SECRET_KEY: key!.secret }
}

/** A user's plain S3 client on the emulator's object storage. */
export function s3Client(emulator: Emulator, key = emulator.ready.seed.accessKeys[0]!): S3Client {
  return new S3Client({
    endpoint: emulator.url,
    region: emulator.ready.seed.region,
    forcePathStyle: true,
    requestChecksumCalculation: 'WHEN_REQUIRED',
    credentials: { accessKeyId: key.id, secretAccessKey: key.secret },
  })
}

export async function makeBucket(client: S3Client, bucket: string, objects: Record<string, string>) {
  await client.send(new CreateBucketCommand({ Bucket: bucket }))
  for (const [Key, Body] of Object.entries(objects))
    await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body }))
}

/** A function that answers at once; what it says can be told apart by `text`. */
export function smallArtifact(text = 'hello', fails = false): Artifact {
  const code = `
exports.initializer = (context, callback) => { console.log('initialized'); callback(null, '') }
exports.handler = async (event, context) => {
  console.log('handled ' + context.getRequestID())
  if (${fails} || event.fail) throw new Error('asked to fail')
  return { text: ${JSON.stringify(text)}, event, secret: (context.getUserData('TOKEN') || '').length, agency: context.getSecurityAccessKey().slice(0, 4) }
}`
  const zip = zipOf([{ name: 'index.js', bytes: Buffer.from(code) }])
  return { zip, hash: createHash('sha256').update(zip).digest('hex').slice(0, 16) }
}

/** What osls would hand over for a small service. */
export function serviceInput(
  emulator: Emulator,
  fn: Record<string, unknown> = {},
  provider: Record<string, unknown> = {},
): ServiceInput {
  return {
    service: 'small',
    stage: 'test',
    provider: {
      name: 'huawei',
      region: 'eu-de',
      projectId: emulator.ready.seed.project.id,
      agency: 'small',
      endpoints: { iam: emulator.url, functiongraph: emulator.url, lts: emulator.url },
      secrets: { TOKEN: 'correct horse battery staple' },
      ...provider,
    },
    functions: {
      one: {
        handler: 'functions/on-upload.handler',
        initializer: { timeout: 10 },
        asyncRetries: 2,
        events: [
          { triggerTypeCode: 'TIMER', eventData: { name: 'tick', scheduleType: 'Rate', schedule: '30m' } },
        ],
        ...fn,
      },
    },
  }
}

/** osls as a user runs it, in the repository. */
export function osls(
  args: string[],
  env: Record<string, string>,
): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const { PATH = '', HOME = '' } = process.env
    execFile(
      process.execPath,
      ['node_modules/osls/bin/serverless.js', ...args],
      { cwd: root, env: { PATH, HOME, ...env }, maxBuffer: 16 * 1024 * 1024 },
      (error, stdout, stderr) =>
        resolve({ status: error ? Number(error.code ?? 1) : 0, output: `${stdout}${stderr}` }),
    )
  })
}
