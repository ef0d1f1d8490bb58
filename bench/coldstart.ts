import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3'
import { bundleFunction } from '../deploy/bundle.ts'
import { startEmulator } from '../emulator/emulator.ts'

/**
 * `npm run coldstart [-- --node PATH] [--rounds N]`: how long a new instance takes, as whole processes: from the
 * start of the process until the handler is loaded ("ready") and until it has answered its first event, beside an
 * empty handler on the same Node. The variants take turns, so that a busy machine strikes all of them alike.
 */
const root = fileURLToPath(new URL('..', import.meta.url))
const { values } = parseArgs({
  options: {
    node: { type: 'string', default: process.execPath },
    rounds: { type: 'string', default: '15' },
    json: { type: 'boolean', default: false },
  },
})

/** What the platform does: load the file, make a context, call. The marks go out unbuffered. */
const BOOTSTRAP = `
const fs = require('node:fs')
const [file, event, userData] = process.argv.slice(2)
const { handler } = require(file)
fs.writeSync(1, 'READY\\n')
const data = JSON.parse(userData)
const context = {
  getRequestID: () => 'coldstart',
  getRemainingTimeInMilliSeconds: () => 60000,
  getUserData: (name) => data[name],
  getSecurityAccessKey: () => data.ACCESS_KEY,
  getSecuritySecretKey: () => data.SECRET_KEY,
  getSecurityToken: () => '',
}
Promise.resolve(handler(JSON.parse(event), context)).then(
  (result) => { fs.writeSync(1, 'ANSWERED\\n'); process.exit(result.status === 'failed' ? 1 : 0) },
  (error) => { fs.writeSync(2, String(error)); process.exit(1) },
)
`

interface Sample {
  ready: number
  answered: number
}

const folder = await mkdtemp(join(tmpdir(), 'cert-rotation-coldstart-'))
// Bucket and gateway next door, so that what is measured is the start and not the way.
const emulator = await startEmulator({
  seed: { rules: { visibilityDelayMs: 0 }, instances: [{ flavour: 'apig' }] },
})
const { seed } = emulator.ready
const key = seed.accessKeys[0]!
try {
  const config = JSON.stringify({
    store: { bucket: 'certificates', region: 'eu-de', pathStyle: true, endpoint: emulator.url },
    cloud: {
      region: 'eu-de',
      projectId: seed.project.id,
      endpoints: { iam: emulator.url, apig: emulator.url, scm: emulator.url },
    },
    certificates: {},
  })
  const bucket = new S3Client({
    endpoint: emulator.url,
    region: 'eu-de',
    forcePathStyle: true,
    credentials: { accessKeyId: key.id, secretAccessKey: key.secret },
  })
  await bucket.send(new CreateBucketCommand({ Bucket: 'certificates' }))
  bucket.destroy()
  await writeFile(join(folder, 'bootstrap.js'), BOOTSTRAP)
  await writeFile(join(folder, 'empty.js'), 'exports.handler = async () => ({ status: "done" })\n')
  const upload = await unpack('on-upload')
  const timer = await unpack('on-timer')
  const event = JSON.stringify({
    Records: [
      {
        eventName: 'ObjectCreated:Put',
        s3: { bucket: { name: 'certificates' }, object: { key: 'state/shop.json' } },
      },
    ],
  })
  const tick = JSON.stringify({ version: 'v1.0', trigger_type: 'TIMER', trigger_name: 'tick' })
  const variants = {
    'empty handler': { file: join(folder, 'empty.js'), event },
    'on-upload': { file: upload.file, event },
    'on-timer': { file: timer.file, event: tick },
  }
  const samples = Object.fromEntries(Object.keys(variants).map((name) => [name, [] as Sample[]]))
  const userData = JSON.stringify({ ROTATION_CONFIG: config, ACCESS_KEY: key.id, SECRET_KEY: key.secret })
  for (let round = 0; round <= Number(values.rounds); round++)
    for (const [name, { file, event: sent }] of Object.entries(variants)) {
      const sample = await run(file, sent, userData)
      // The first round only fills the file system's cache.
      if (round > 0) samples[name]!.push(sample)
    }
  const results = Object.entries(samples).map(([name, list]) => ({
    name,
    readyMs: median(list.map(({ ready }) => ready)),
    answeredMs: median(list.map(({ answered }) => answered)),
  }))
  const [empty] = results
  const rows = results.map((row) => ({
    ...row,
    readyOverEmptyMs: row.readyMs - empty!.readyMs,
    answeredOverEmptyMs: row.answeredMs - empty!.answeredMs,
    zipBytes: { 'on-upload': upload.size, 'on-timer': timer.size }[row.name],
  }))
  if (values.json) process.stdout.write(`${JSON.stringify({ node: values.node, rows })}\n`)
  else {
    process.stdout.write(`Medians of ${values.rounds} cold starts each, whole processes, ${values.node}\n\n`)
    const line = (cells: string[]) =>
      process.stdout.write(`${cells.map((cell, i) => (i ? cell.padStart(18) : cell.padEnd(14))).join('')}\n`)
    line(['', 'zip', 'ready', 'over empty', 'first answer', 'over empty'])
    for (const row of rows)
      line([
        row.name,
        row.zipBytes === undefined ? '' : `${Math.round(row.zipBytes / 1024)} KB`,
        ms(row.readyMs),
        ms(row.readyOverEmptyMs),
        ms(row.answeredMs),
        ms(row.answeredOverEmptyMs),
      ])
  }
} finally {
  await emulator.close()
  await rm(folder, { recursive: true, force: true })
}

async function unpack(name: string): Promise<{ file: string; size: number }> {
  const { files, zip } = await bundleFunction(root, `functions/${name}.ts`)
  for (const { name: path, bytes } of files) {
    const target = join(folder, name, path)
    await mkdir(dirname(target), { recursive: true })
    await writeFile(target, bytes)
  }
  return { file: join(folder, name, 'index.js'), size: zip.length }
}

function run(file: string, event: string, userData: string): Promise<Sample> {
  return new Promise((resolve, reject) => {
    const begun = performance.now()
    // NODE_EXTRA_CA_CERTS alone makes Node 20 start 60 ms later.
    const child = spawn(values.node, [join(folder, 'bootstrap.js'), file, event, userData], { env: {} })
    const sample: Sample = { ready: Number.NaN, answered: Number.NaN }
    let output = ''
    child.stdout.on('data', (chunk: Buffer) => {
      output += chunk
      const now = performance.now() - begun
      if (Number.isNaN(sample.ready) && output.includes('READY')) sample.ready = now
      if (Number.isNaN(sample.answered) && output.includes('ANSWERED')) sample.answered = now
    })
    child.stderr.on('data', (chunk: Buffer) => {
      output += chunk
    })
    child.on('close', (code) => {
      if (code === 0 && !Number.isNaN(sample.answered)) resolve(sample)
      else reject(new Error(`The handler did not answer (exit ${code}): ${output.slice(0, 2_000)}`))
    })
  })
}

function median(list: number[]): number {
  return [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN
}

function ms(value: number): string {
  return `${Math.round(value)} ms`
}
