import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { servedFingerprint } from '../../deploy/demo.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { runCli } from '../support/terminal.ts'
import { s3Client } from './support.ts'

// Each setup of a clone bundles the functions.
vi.setConfig({ testTimeout: 180_000 })

const HOST = 'api.shop.example'
const SECRET = 'correct horse battery staple'
const BUCKET = 'my-certificates'
const instanceId = 'f0fa1789-3b76-433b-a787-9892951c620e'
const seed: SeedInput = {
  project: { id: '0123456789abcdef0123456789abcdef' },
  rules: { visibilityDelayMs: 0 },
  certificates: [{ ref: 'old', generate: { notBefore: '-80d', notAfter: '+10d' } }],
  instances: [
    { flavour: 'apig', id: instanceId, groups: [{ domains: [{ host: HOST, certificate: 'old' }] }] },
  ],
}

let emulator: Emulator
let folder: string
const remembered = { ...process.env }

beforeEach(async () => {
  emulator = await startEmulator({ seed })
  folder = await mkdtemp(join(tmpdir(), 'cert-rotation-setup-'))
  await writeFile(join(folder, 'rotation.yaml'), config())
  await writeFile(
    join(folder, '.env'),
    `${environment()}\nexport PASSWORD="${SECRET}"\nUNUSED=unused-value\n`,
  )
  for (const name of ['HW_ACCESS_KEY', 'HW_SECRET_KEY', 'HW_SECURITY_TOKEN']) delete process.env[name]
})
afterEach(async () => {
  process.env = { ...remembered }
  await emulator.close()
  await rm(folder, { recursive: true, force: true })
})

const environment = (key = emulator.ready.seed.accessKeys[0]!) =>
  `HW_ACCESS_KEY=${key.id}\nHW_SECRET_KEY=${key.secret}`

function config(): string {
  const { url, tls } = emulator
  return `# ours
cloud:
  region: eu-de
  auth: { accessKey: { id: \${HW_ACCESS_KEY}, secret: \${HW_SECRET_KEY} } }
  endpoints: { iam: "${url}", apig: "${url}", smn: "${url}", functiongraph: "${url}" }
store: { bucket: ${BUCKET}, endpoint: "${url}", pathStyle: true }
certificates:
  shop:
    password: \${PASSWORD}
    trust: { private: roots/ca.pem }
    gateways:
      - { flavour: apig, instanceId: ${instanceId}, domains: [${HOST}], verify: { connect: "${tls.host}:${tls.port}" } }
`
}

const cli = async (command: string, ...words: string[]) => {
  const files = ['-c', join(folder, 'rotation.yaml'), '--env', join(folder, '.env')]
  const { exitStatus, stdout, stderr } = await runCli(command, ...files, ...words)
  return { exitStatus, output: `${stdout}${stderr}` }
}

async function object(key: string): Promise<string | undefined> {
  const { GetObjectCommand } = await import('@aws-sdk/client-s3')
  const client = s3Client(emulator)
  try {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: key }))
    return Body?.transformToString()
  } catch {
    return undefined
  } finally {
    client.destroy()
  }
}

async function put(objects: Record<string, string>): Promise<void> {
  const { PutObjectCommand } = await import('@aws-sdk/client-s3')
  const client = s3Client(emulator)
  for (const [Key, Body] of Object.entries(objects))
    await client.send(new PutObjectCommand({ Bucket: BUCKET, Key, Body }))
  client.destroy()
}

const changes = () => emulator.calls().filter(({ mutating }) => mutating)

describe('setup, as a user types it', () => {
  beforeEach(async () => {
    const { mkdir } = await import('node:fs/promises')
    await mkdir(join(folder, 'roots'))
    await writeFile(join(folder, 'roots/ca.pem'), emulator.ready.seed.ca)
  })

  it('makes everything from nothing, a bundle that is dropped is served, and a second run has nothing to do', async () => {
    const first = await cli('setup', '--yes')
    expect(first.output).not.toMatch(/AccessDenied|✗/)
    expect(first.output).toContain(`+ bucket ${BUCKET} in eu-de, private`)
    expect(first.output).toContain('Seen from inside the function cert-rotation-production-on-timer:')
    expect(first.output).toContain('Subscribe an address to the topic cert-rotation-production')
    expect(first.exitStatus).toBe(0)
    const { agencies, policies, buckets, functions, topics } = emulator.state()
    expect(agencies).toEqual([
      {
        name: 'cert-rotation-production',
        policies: ['project', 'iam', 'storage'].map((part) => `cert-rotation-production-${part}`),
      },
    ])
    expect(policies).toHaveLength(3)
    expect(buckets.map(({ name }) => name)).toEqual([BUCKET])
    expect(topics).toEqual([expect.stringMatching(/:cert-rotation-production$/)])
    expect(functions).toMatchObject([
      { name: 'cert-rotation-production-on-upload', triggers: ['OBS'] },
      { name: 'cert-rotation-production-on-timer', triggers: ['TIMER'] },
    ])

    // Nothing of a secret but in the functions, and nothing of the machine's key there either.
    const secret = emulator.ready.seed.accessKeys[0]!.secret
    const uploaded = await object('config/rotation.yaml')
    expect(uploaded).toContain('password: ${PASSWORD}')
    expect(uploaded).not.toContain('HW_SECRET_KEY')
    for (const text of [first.output, uploaded, await readFile(join(folder, 'rotation.yaml'), 'utf8')]) {
      expect(text).not.toContain(SECRET)
      expect(text).not.toContain(secret)
      expect(text).not.toContain('unused-value')
    }

    emulator.clearCalls()
    const second = await cli('setup', '--yes')
    expect(second).toEqual({
      exitStatus: 0,
      output: `Nothing to do: the account has everything that ${join(folder, 'rotation.yaml')} needs.\n`,
    })
    expect(changes()).toEqual([])

    const names = [HOST]
    const issued = await emulator.intermediate.issue({
      names,
      notBefore: new Date(Date.now() - 3_600_000),
      notAfter: new Date(Date.now() + 90 * 86_400_000),
    })
    await put({
      'incoming/shop/fullchain.pem': issued.fullchainPem,
      'incoming/shop/privkey.pem': issued.privateKeyPem,
    })
    await emulator.functions().settled()
    expect(await servedFingerprint(emulator.ready, HOST)).toBe(issued.fingerprint)
    expect(emulator.calls().filter(({ status }) => status === 403)).toEqual([])
  })
  it('shows its plan and changes nothing without a yes, and says what is wrong before it asks the account anything', async () => {
    const asked = await cli('setup')
    expect(asked.exitStatus).toBe(2)
    expect(asked.output).toContain('+ agency cert-rotation-production')
    expect(asked.output).toContain('nothing was changed: setup needs --yes')
    expect(changes()).toEqual([])

    emulator.clearCalls()
    await writeFile(join(folder, '.env'), environment())
    const missing = await cli('setup', '--yes')
    expect(missing).toMatchObject({ exitStatus: 2, output: expect.stringContaining('PASSWORD is not set') })
    const folderStore = config().replace(/^store: .*$/m, 'store: { directory: ./bucket }')
    await writeFile(join(folder, 'rotation.yaml'), folderStore.replace(/ {4}password.*\n/, ''))
    expect(await cli('setup', '--yes')).toMatchObject({
      exitStatus: 2,
      output: expect.stringContaining('--bucket NAME'),
    })
    await rm(join(folder, 'roots'), { recursive: true })
    expect(await cli('setup', '--yes', '--bucket', BUCKET)).toMatchObject({
      exitStatus: 2,
      output: expect.stringContaining('roots/ca.pem, which cannot be read'),
    })
    expect(emulator.calls()).toEqual([])
  })

  it('removes what it made and names what stays; a bucket with keys in it only by its name', async () => {
    await cli('setup', '--yes')
    const before = emulator.state()
    const removed = await cli('remove', '--yes')
    expect(removed.exitStatus).toBe(0)
    expect(removed.output).toContain('- function cert-rotation-production-on-timer')
    expect(removed.output).toMatch(/What stays:\n {2}agency.*\n[\s\S]*every binding/)
    const all = await cli('remove', '--all', '--yes', '--bucket-name', 'another')
    expect(all.output).toMatch(/bucket my-certificates: it holds \d+ objects, private keys among them/)
    expect(emulator.state()).toMatchObject({ agencies: [], policies: [], topics: [], functions: [] })
    expect(emulator.state().buckets).toHaveLength(1)
    await cli('remove', '--all', '--yes', '--bucket-name', BUCKET)
    const { buckets, bindings, certificates } = emulator.state()
    expect({ buckets, bindings, certificates }).toEqual({
      buckets: [],
      bindings: before.bindings,
      certificates: before.certificates,
    })
    expect((await cli('remove', '--all', '--yes')).output).toContain('nothing of it is there')
  })
})
