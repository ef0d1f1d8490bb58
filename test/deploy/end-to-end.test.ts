import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { BasicCredentials } from '@huaweicloud/huaweicloud-sdk-core'
import * as official from '@huaweicloud/huaweicloud-sdk-functiongraph/v2/public-api.js'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { demoClient, prepareBucket, servedFingerprint, uploadBundle } from '../../deploy/demo.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { credentials, osls, root } from './support.ts'

// osls bundles anew at every deploy.
vi.setConfig({ testTimeout: 120_000 })

const [MAJOR = 0, MINOR = 0] = process.versions.node.split('.').map(Number)
// osls 4 refuses to start below; the functions themselves are tested on 20.15.1 all the same.
const oslsRuns = MAJOR > 20 || (MAJOR === 20 && MINOR >= 19)
if (!oslsRuns)
  console.warn(`osls needs Node 20.19, this is ${process.version}: deploying with it is left out.`)

let emulator: Emulator
let env: Record<string, string>
const client = () => demoClient(emulator.ready)

beforeAll(async () => {
  const seed = JSON.parse(await readFile(join(root, 'emulator/seeds/small.json'), 'utf8')) as SeedInput
  emulator = await startEmulator({ seed })
  env = { EMULATOR_URL: emulator.url, ...credentials(emulator) }
  const s3 = client()
  await prepareBucket(s3, emulator.ready)
  s3.destroy()
})
afterAll(() => emulator.close())

it.runIf(oslsRuns)(
  'osls deploys the packages, an upload by the AWS SDK starts the zip, and the TLS edge serves the new certificate',
  async () => {
    const deployed = await osls(['deploy', '--stage', 'demo'], env)
    expect(deployed.output).toContain('Deployed 2 of 2 functions')
    expect(deployed.status).toBe(0)
    expect(deployed.output).not.toContain(env.HW_SECRET_KEY)

    const s3 = client()
    const wanted = await uploadBundle(s3, emulator.ready)
    await emulator.functions().settled()
    s3.destroy()
    const runs = emulator.functions().invocations()
    expect(runs.map(({ by, status }) => ({ by, status }))).toEqual([
      { by: 'OBS', status: 200 },
      { by: 'OBS', status: 200 },
    ])
    expect(runs.map(({ result }) => result).join('')).toContain('"status":"done"')
    expect(await servedFingerprint(emulator.ready)).toBe(wanted)
    // One pair in two uploads starts two runs, and only one rotation.
    const effects = emulator.calls().filter(({ service, effect }) => service === 'apig' && effect)
    expect(effects.map(({ route }) => route)).toEqual([
      'apig.createCertificate',
      'apig.detachCertificate',
      'apig.attachCertificate',
    ])
    for (const { log } of runs) expect(log).not.toMatch(/PRIVATE KEY|HSTA/)
  },
)

it.runIf(oslsRuns)(
  'a second deploy says that nothing changed; invoke, logs and info work; a wrong key ends with status 1 and a sentence',
  async () => {
    const again = await osls(['deploy', '--stage', 'demo'], env)
    expect(again.output).toContain('Nothing to do')
    const invoked = await osls(['invoke', '--stage', 'demo', '-f', 'on-timer'], env)
    expect(invoked).toMatchObject({ status: 0 })
    expect(invoked.output).toContain('"status": "done"')
    const logs = await osls(['logs', '--stage', 'demo', '-f', 'on-upload'], env)
    expect(logs.output).toContain('"certificate":"shop"')
    const info = await osls(['info', '--stage', 'demo'], env)
    expect(info.output).toContain('trigger   OBS ACTIVE certificates')
    const refused = await osls(['info', '--stage', 'demo'], { ...env, HW_SECRET_KEY: 'wrong-secret-key' })
    expect(refused.status).toBe(1)
    expect(refused.output).toMatch(/verify aksk signature fail/)
    expect(refused.output).not.toContain('wrong-secret-key')
  },
)

it.runIf(oslsRuns)('the official SDK reads and invokes what was deployed', async () => {
  const [key] = emulator.ready.seed.accessKeys
  const sdk = official.FunctionGraphClient.newBuilder()
    .withCredential(
      new BasicCredentials()
        .withAk(key!.id)
        .withSk(key!.secret)
        .withProjectId(emulator.ready.seed.project.id),
    )
    .withEndpoint(emulator.url)
    .build() as official.FunctionGraphClient
  const list = await sdk.listFunctions(new official.ListFunctionsRequest())
  const functions = list.functions as unknown as { func_name: string; func_urn: string; runtime: string }[]
  expect(functions.map(({ func_name }) => func_name).toSorted()).toEqual([
    'cert-rotation-demo-on-timer',
    'cert-rotation-demo-on-upload',
  ])
  const urn = functions
    .find(({ func_name }) => func_name.endsWith('on-timer'))!
    .func_urn.replace(/:latest$/, '')
  const config = await sdk.showFunctionConfig(new official.ShowFunctionConfigRequest(urn))
  expect(config).toMatchObject({ runtime: 'Node.js20.15', handler: 'index.handler', timeout: 840 })
  const triggers = await sdk.listFunctionTriggers(new official.ListFunctionTriggersRequest(urn))
  expect(JSON.stringify(triggers)).toContain('TIMER')
  const versions = await sdk.listFunctionVersions(new official.ListFunctionVersionsRequest(urn))
  expect(JSON.stringify(versions)).toContain('"count":2')
  const timer = { version: 'v1.0', trigger_type: 'TIMER', trigger_name: 'sdk' }
  const answer = await sdk.invokeFunction(
    new official.InvokeFunctionRequest(urn).withXCFFRequestVersion('v1' as never).withBody(timer as never),
  )
  expect(JSON.stringify(answer)).toMatch(/status.*done/)
})

it.runIf(oslsRuns)('remove takes the functions away and leaves the bucket alone', async () => {
  const removed = await osls(['remove', '--stage', 'demo'], env)
  expect(removed.output).toContain('Removed 2 of 2 functions')
  expect(removed.status).toBe(0)
  const info = await osls(['info', '--stage', 'demo'], env)
  expect(info.output).toContain('not deployed')
})
