import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { startEmulator } from '../emulator/emulator.ts'
import type { SeedInput } from '../emulator/seed.ts'
import { systemClock } from '../shared/base/clock.ts'
import { DEMO_HOST, demoClient, prepareBucket, servedFingerprint, uploadBundle } from './demo.ts'

/**
 * `npm run demo:deploy`: the whole way without an account. Starts the embedded cloud, deploys the packages to it with
 * `osls deploy --stage demo`, puts a bundle into the bucket with the AWS SDK, and waits until the function that this
 * started has brought the new certificate to the TLS edge.
 */
const root = fileURLToPath(new URL('..', import.meta.url))
const seed = JSON.parse(await readFile(`${root}/emulator/seeds/small.json`, 'utf8')) as SeedInput
const emulator = await startEmulator({ seed })
const { ready } = emulator
const client = demoClient(ready)
const say = (line: string) => process.stdout.write(`${line}\n`)
try {
  await prepareBucket(client, ready)
  say(`1. The embedded cloud is ready at ${emulator.url}; the bucket has config/rotation.yaml.`)
  say('2. osls deploy --stage demo')
  const status = await deploy()
  if (status !== 0) throw new Error(`osls deploy ended with status ${status}`)
  const before = await servedFingerprint(ready)
  say(
    `3. ${DEMO_HOST} serves ${before.slice(0, 16)}…; a new bundle is put into incoming/shop/ with @aws-sdk/client-s3.`,
  )
  const begun = systemClock.monotonic()
  const wanted = await uploadBundle(client, ready)
  while ((await servedFingerprint(ready)) !== wanted) {
    if (systemClock.monotonic() - begun > 20_000)
      throw new Error(`The new certificate is not served after 20 s:\n${logOf()}`)
    await systemClock.sleep(100)
  }
  say(
    `4. ${DEMO_HOST} serves ${wanted.slice(0, 16)}… ${Math.round(systemClock.monotonic() - begun)} ms after the upload.`,
  )
} finally {
  client.destroy()
  await emulator.close()
}

/** What the functions answered and logged. */
function logOf(): string {
  const runs = emulator.functions().invocations()
  return runs
    .map(({ functionName, status, result, log }) => `${functionName} ${status} ${result}\n${log}`)
    .join('\n')
}

function deploy(): Promise<number | null> {
  const [key] = ready.seed.accessKeys
  const child = spawn(
    process.execPath,
    ['node_modules/osls/bin/serverless.js', 'deploy', '--stage', 'demo'],
    {
      cwd: root,
      stdio: 'inherit',
      env: { ...process.env, EMULATOR_URL: emulator.url, HW_ACCESS_KEY: key!.id, HW_SECRET_KEY: key!.secret },
    },
  )
  return new Promise((resolve) => child.once('close', resolve))
}
