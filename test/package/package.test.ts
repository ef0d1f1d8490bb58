import { execFile, execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cp, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { SourceMap } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { unzipSync } from 'fflate'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { bundleFunction, type Package } from '../../deploy/bundle.ts'
import { root } from '../deploy/support.ts'
import { TestCloud } from '../support/cloud.ts'
import { PLATFORM_NODE, platformNode } from '../support/platform-node.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })
const run = promisify(execFile)

const functions = ['on-upload', 'on-timer'] as const
const packages = {} as Record<(typeof functions)[number], Package>
let folder: string
let node: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cert-rotation-package-'))
  node = platformNode()
  for (const name of functions) {
    packages[name] = await bundleFunction(root, `functions/${name}.ts`)
    for (const [path, bytes] of Object.entries(unzipSync(packages[name].zip))) {
      await mkdir(dirname(join(folder, name, path)), { recursive: true })
      await writeFile(join(folder, name, path), bytes)
    }
  }
})
afterAll(() => rm(folder, { recursive: true, force: true }))

/** Calls the unpacked handler in a process of its own, with nothing of this repository in reach. */
async function call(name: string, event: unknown, userData: Record<string, string>, code = '') {
  const script = `
    const threads = require('node:worker_threads')
    let started = 0
    threads.Worker = class extends threads.Worker { constructor(...args) { super(...args); started++ } }
    const { handler, initializer } = require('./index.js')
    const data = ${JSON.stringify(userData)}
    const context = {
      getRequestID: () => 'test', getRemainingTimeInMilliSeconds: () => 60000, getUserData: (key) => data[key],
      getSecurityAccessKey: () => '', getSecuritySecretKey: () => '', getSecurityToken: () => '',
    }
    ${code}
    initializer(context, () => handler(${JSON.stringify(event)}, context).then(
      (result) => { console.log('RESULT ' + JSON.stringify({ ...result, started })); process.exit(0) },
      (error) => { console.log('ERROR ' + error.message); process.exit(1) }))`
  const { stdout } = await run(node, ['-e', script], { cwd: join(folder, name), env: {} }).catch(
    (error: { stdout: string; stderr: string }) => ({ stdout: `${error.stdout}${error.stderr}` }),
  )
  const line = stdout.split('\n').find((one) => one.startsWith('RESULT '))
  if (!line || stdout.includes('no thread of its own')) throw new Error(stdout)
  return JSON.parse(line.slice(7)) as { status: string; outcomes: { status: string }[]; started: number }
}

describe('the package of a function', () => {
  it('is the same to the byte when it is made twice, in whatever folder the repository lies', async () => {
    const again = await bundleFunction(root, 'functions/on-timer.ts')
    expect(Buffer.compare(again.zip, packages['on-timer'].zip)).toBe(0)
    const copy = join(folder, 'another-place')
    for (const part of ['functions', 'shared', 'package.json', 'tsconfig.json'])
      await cp(join(root, part), join(copy, part), { recursive: true })
    await symlink(join(root, 'node_modules'), join(copy, 'node_modules'))
    const elsewhere = await bundleFunction(copy, 'functions/on-timer.ts')
    expect(Buffer.compare(elsewhere.zip, packages['on-timer'].zip)).toBe(0)
  })

  it('is small, sorted, without times, and holds only code, maps of our own sources and the module type', () => {
    for (const name of functions) {
      const { files, zip } = packages[name]
      expect(zip.length).toBeLessThan(1.25 * 1024 * 1024)
      const names = files.map((file) => file.name)
      expect(names).toEqual(names.toSorted())
      for (const one of names)
        expect(one).toMatch(/^(index\.js(\.map)?|lib\/[\w-]+\.js(\.map)?|package\.json)$/)
      const maps = files.filter((file) => file.name.endsWith('.map'))
      const sources = maps.flatMap(
        (file) => (JSON.parse(Buffer.from(file.bytes).toString()) as { sources: string[] }).sources,
      )
      expect(sources).toContain('shared/runtime/handler.ts')
      for (const source of sources) expect(source).toMatch(/^(shared|functions)\//)
      expect(sources.filter((source) => /commands|cli\.ts|local\.ts/.test(source))).toEqual([])
    }
  })

  it('has maps that lead from a place in the package to the line of this repository', () => {
    const text = (name: string) =>
      Buffer.from(packages['on-upload'].files.find((file) => file.name === name)!.bytes).toString()
    const lines = text('index.js').split('\n')
    const line = lines.findIndex((one) => one.includes('event.bad-record'))
    const map = new SourceMap(JSON.parse(text('index.js.map')) as ConstructorParameters<typeof SourceMap>[0])
    const entry = map.findEntry(line, lines[line]!.indexOf('event.bad-record'))
    const source = readFileSync(join(root, 'functions/on-upload.ts'), 'utf8').split('\n')
    expect('originalSource' in entry && entry.originalSource).toBe('functions/on-upload.ts')
    expect('originalLine' in entry && source[entry.originalLine]).toContain('event.bad-record')
  })

  it('refuses to take in emulator, tests or terminal commands', async () => {
    await expect(bundleFunction(root, 'functions/cli.ts')).rejects.toThrow(/is not part of a function/)
  })
})

describe(`unpacked into an empty folder, on Node ${PLATFORM_NODE}, with nothing else installed`, () => {
  let cloud: TestCloud
  beforeAll(async () => {
    cloud = await TestCloud.start()
  })
  afterAll(() => cloud.close())
  const userData = () => ({ ROTATION_CONFIG: JSON.stringify(cloud.config()), CONFIG_FOLDER: cloud.folder })
  const upload = (key: string) => ({
    Records: [{ eventName: 'ObjectCreated:Put', s3: { bucket: { name: 'bucket' }, object: { key } } }],
  })

  it('runs on that version', () => {
    expect(execFileSync(node, ['-v'], { encoding: 'utf8' }).trim()).toBe(
      node === process.execPath ? process.version : `v${PLATFORM_NODE}`,
    )
  })

  it('the upload handler rotates against the embedded cloud', async () => {
    const bundle = await cloud.issue()
    await cloud.drop(bundle)
    const result = await call('on-upload', upload('incoming/shop/fullchain.pem'), userData())
    expect(result).toMatchObject({ status: 'done', outcomes: [{ status: 'rotated' }], started: 1 })
    expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
  })

  it('the timer handler finds what no event told', async () => {
    const bundle = await cloud.issue()
    await cloud.drop(bundle)
    const timer = { version: 'v1.0', trigger_type: 'TIMER', trigger_name: 'tick' }
    const result = await call('on-timer', timer, userData())
    expect(result).toMatchObject({ status: 'done', started: 1 })
    expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
  })

  it('starts the thread that reads only where something lies to be read', async () => {
    expect(await call('on-upload', upload('incoming/shop/nothing.pem'), userData())).toMatchObject({
      started: 0,
    })
  })

  it('every part that is loaded late can be loaded', async () => {
    for (const name of functions)
      for (const { name: file } of packages[name].files.filter((one) => /\.js$/.test(one.name)))
        await run(node, ['-e', `require('./${file}')`], { cwd: join(folder, name), env: {} })
  })
})
