import { execFile, spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
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
  folder = await realpath(await mkdtemp(join(tmpdir(), 'cert-rotation-tarball-')))
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
  return [made, await cli('setup', '--yes', '--env', '.env')]
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

  it("walks the README's own lines, and the transcript in docs/ is what they print", async () => {
    const { starts, next } = await readmeLines()
    const here = join(folder, 'certs')
    await mkdir(here)
    const env = {
      PATH: [dirname(node), process.env.PATH].join(delimiter),
      HOME: folder,
      TMPDIR: folder,
      NO_COLOR: '1',
      COLUMNS: '80',
      // npm's own remark that it wants a newer Node.
      npm_config_loglevel: 'error',
    }
    const cloud = spawn('sh', ['-c', `exec ${starts}`], { cwd: here, env, detached: true })
    const ended = new Promise((done) => cloud.once('close', done))
    try {
      const printed: string[] = []
      await new Promise<void>((ready, failed) => {
        cloud.once('close', () => failed(new Error(printed.join('\n'))))
        createInterface({ input: cloud.stderr }).on('line', (line) => printed.push(line))
        createInterface({ input: cloud.stdout }).on('line', (line) => {
          printed.push(line)
          if (line.trim() === next.at(-1) && printed.some((one) => one.includes('rotate'))) ready()
        })
      })
      // What init tells to type next and what the README says are the same.
      expect(printed.filter((line) => /^ {2}(npx|mkdir|cp) /.test(line)).map((line) => line.trim())).toEqual(
        next,
      )

      const transcript = [{ command: starts, output: `${printed.join('\n')}\n` }]
      for (const command of next) {
        const { status, output } = await shell(command, here, env)
        expect(`${command}: ${status}`, output).toBe(`${command}: 0`)
        transcript.push({ command, output })
      }
      const said = (command: string) =>
        transcript.filter((one) => one.command.endsWith(command)).map(({ output }) => output)
      expect(said('doctor')[0]).not.toContain('✗')
      expect(said('plan')[0]).toMatch(/shop {2}rotate: /)
      expect(said('rotate')[0]).toContain('5 of 5 domains serve the new certificate')
      const [before, after] = said('status')
      expect(before).toMatch(/in 8 days|8 d/)
      expect(after).not.toMatch(/in 8 days|8 d/)
      await expectTranscript(transcript)
    } finally {
      // npx hands a signal to its child, a terminal gives it to the whole group.
      if (cloud.exitCode === null) process.kill(-cloud.pid!, 'SIGTERM')
      await ended
    }
  })
})

/** What the README tells a newcomer to type: what starts the embedded cloud, and then in another terminal. */
async function readmeLines(): Promise<{ starts: string; next: string[] }> {
  const readme = await readFile(join(root, 'README.md'), 'utf8')
  const found = /```sh\n(npx cert-rotation init --emulator)\n```[\s\S]*?```sh\n([\s\S]*?)```/.exec(readme)
  const next = found![2]!.split('\n').map((line) => line.replace(/\s+#.*$/, '').trim())
  return { starts: found![1]!, next: next.filter((line) => line !== '') }
}

function shell(
  command: string,
  cwd: string,
  env: NodeJS.ProcessEnv,
): Promise<{ status: number; output: string }> {
  return new Promise((done) => {
    execFile('sh', ['-c', command], { cwd, env }, (error, stdout, stderr) =>
      done({ status: error ? Number(error.code ?? 1) : 0, output: `${stdout}${stderr}` }),
    )
  })
}

const TRANSCRIPT = join(root, 'docs/first-hour.md')

/** `UPDATE_DOCS=1` writes it anew. Ids, times, folders and line breaks differ with each run, and so does the order of domains. */
async function expectTranscript(commands: readonly { command: string; output: string }[]): Promise<void> {
  const blocks = commands.map(({ command, output }) => `$ ${command}\n${output}`.trimEnd())
  const text = `${TITLE}\n\`\`\`text\n${blocks.join('\n\n').replaceAll(folder, '/home/me')}\n\`\`\`\n`
  if (process.env.UPDATE_DOCS === '1') await writeFile(TRANSCRIPT, text)
  const words = (document: string) =>
    document.split('$ npx ').map((block) =>
      block
        .split(/\s+/)
        .filter((word) => !/[\d/█▏▎▍▌▋▊▉·]/.test(word))
        .sort(),
    )
  expect(words(await readFile(TRANSCRIPT, 'utf8'))).toEqual(words(text))
}

const TITLE = `# The first hour

What the README's "Use it" prints, from the tarball in an empty folder on Node 20.15, 80 columns, through a pipe (lines
of progress are not broken). Ctrl-C in the first terminal ends the embedded cloud. Written by
\`UPDATE_DOCS=1 npx vitest run test/package/tarball.test.ts\`, and compared with what is printed by every \`npm test\`.
`
