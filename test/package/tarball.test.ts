import { execFile } from 'node:child_process'
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { root } from '../deploy/support.ts'
import { platformNode } from '../support/platform-node.ts'

vi.setConfig({ testTimeout: 180_000, hookTimeout: 300_000 })
const run = promisify(execFile)

/** An empty folder into which the tarball of `npm pack` was installed, as a user does. */
let folder: string
let files: string[]
const node = platformNode()

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cert-rotation-tarball-'))
  const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root })
  // What `prepack` prints stands before the document.
  const [tarball] = JSON.parse(packed.stdout.slice(packed.stdout.indexOf('['))) as [
    { filename: string; files: { path: string }[] },
  ]
  files = tarball.files.map(({ path }) => path)
  await writeFile(join(folder, 'package.json'), '{ "private": true }')
  const install = [
    'install',
    '--omit=dev',
    '--no-audit',
    '--no-fund',
    '--prefer-offline',
    `./${tarball.filename}`,
  ]
  await run('npm', install, { cwd: folder })
})
afterAll(() => rm(folder, { recursive: true, force: true }))

async function cli(...words: string[]) {
  const bin = join(folder, 'node_modules/cert-rotation/bin/cert-rotation.js')
  const { PATH, HW_ACCESS_KEY, HW_SECRET_KEY } = process.env
  const env = { PATH, HOME: folder, TMPDIR: folder, NO_COLOR: '1', HW_ACCESS_KEY, HW_SECRET_KEY }
  return await run(node, [bin, ...words], { cwd: folder, env }).then(
    ({ stdout, stderr }) => ({ exitStatus: 0, stdout, stderr }),
    (failed: { code: number; stdout: string; stderr: string }) => ({ ...failed, exitStatus: failed.code }),
  )
}

/** Made by `init` of the tarball against an embedded cloud, and set up there: no bundler, no loader, no clone. */
async function setUp(emulator: Emulator) {
  const [key] = emulator.ready.seed.accessKeys
  await writeFile(join(folder, '.env'), `HW_ACCESS_KEY=${key!.id}\nHW_SECRET_KEY=${key!.secret}\n`)
  const { url, tls } = emulator
  const connect = `${tls.host}:${tls.port}`
  process.env.HW_ACCESS_KEY = key!.id
  process.env.HW_SECRET_KEY = key!.secret
  const options = ['--endpoint', url, '--bucket', 'my-certificates', '--connect', connect]
  const made = await cli('init', '--region', 'eu-de', ...options)
  return [made, await cli('setup', '--yes', '--env-file', '.env')]
}

describe('the tarball of npm pack', () => {
  it('holds compiled JavaScript, and neither sources nor tests', () => {
    expect(files).toContain('dist/functions/cli.js')
    expect(files).toContain('LICENSE')
    expect(
      files.filter((path) => path.endsWith('.ts') || /(^|\/)(test|bench|node_modules)\//.test(path)),
    ).toEqual([])
  })

  it('brings no loader and no build tool along', async () => {
    const installed = await readdir(join(folder, 'node_modules'))
    expect(installed).toContain('undici')
    expect(
      installed.filter((name) => ['tsx', 'esbuild', 'typescript', 'vitest', 'osls'].includes(name)),
    ).toEqual([])
  })

  it.each([
    [['--version'], 0, /^\d+\.\d+\.\d+\n$/],
    [['help'], 0, /cert-rotation COMMAND --help/],
    [['demo'], 0, /What a TLS client was served/],
    [['plan'], 2, /no readable config/],
    [['inspect', 'package.json'], 1, /package\.json/],
    [['setup', '--yes'], 2, /no readable config/],
  ] as const)('runs %j in an empty folder', async (words, exitStatus, says) => {
    const printed = await cli(...words)
    expect(printed.stdout + printed.stderr).toMatch(says)
    expect(printed.exitStatus).toBe(exitStatus)
  })

  it('sets an account up with its ready-made packages, on the oldest Node', async () => {
    const emulator = await startEmulator({
      seed: {
        certificates: [{ ref: 'old', generate: {} }],
        instances: [
          { flavour: 'apig', groups: [{ domains: [{ host: 'api.shop.example', certificate: 'old' }] }] },
        ],
      },
    })
    try {
      for (const { exitStatus, stdout, stderr } of await setUp(emulator))
        expect({ exitStatus, stderr }, stdout).toEqual({ exitStatus: 0, stderr: '' })
      const { functions } = emulator.state()
      expect(functions.map(({ triggers }) => triggers)).toEqual([['OBS'], ['TIMER']])
    } finally {
      delete process.env.HW_ACCESS_KEY
      delete process.env.HW_SECRET_KEY
      await emulator.close()
    }
  })
})
