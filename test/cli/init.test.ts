import { execFile, spawn } from 'node:child_process'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { runCli } from '../support/terminal.ts'

vi.setConfig({ testTimeout: 120_000 })

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cert-rotation-init-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

/** The lines that the README tells a newcomer to type after `init --emulator`, as they stand there. */
async function readmeLines(): Promise<string[]> {
  const readme = await readFile(resolve('README.md'), 'utf8')
  const block =
    /npx cert-rotation init --emulator[^\n]*\n```[\s\S]*?```sh\n([\s\S]*?)```/.exec(readme)?.[1] ?? ''
  return block.split('\n').filter((line) => line.trim() !== '')
}

describe('init --emulator', () => {
  it("starts a cloud that the README's own lines rotate on, from an empty folder", async () => {
    // `npx cert-rotation` of an installed package is this program.
    const npx = join(folder, 'npx')
    await writeFile(
      npx,
      `#!/bin/sh\nshift\nexec '${process.execPath}' '${resolve('bin/cert-rotation.js')}' "$@"\n`,
    )
    await chmod(npx, 0o755)
    const env = { ...process.env, PATH: `${folder}:${process.env.PATH}`, NO_COLOR: '1' }
    const child = spawn(npx, ['cert-rotation', 'init', '--emulator'], {
      cwd: folder,
      env,
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = new Promise((done) => child.once('close', done))
    try {
      const printed: string[] = []
      await new Promise<void>((ready, failed) => {
        child.once('close', () => failed(new Error(printed.join('\n'))))
        createInterface({ input: child.stdout }).on('line', (line) => {
          printed.push(line)
          if (line.startsWith('  npx cert-rotation status') && printed.some((one) => one.includes('rotate')))
            ready()
        })
      })
      const lines = await readmeLines()
      const commands = lines.map((line) => line.replace(/\s+#.*$/, ''))
      // What init prints and what the README says are the same.
      expect(
        printed
          .filter((line) => line.startsWith('  ') && /npx|mkdir|cp /.test(line))
          .map((line) => line.trim()),
      ).toEqual(commands)
      const outputs: string[] = []
      for (const command of commands) {
        const { status, output } = await shell(command, folder, env)
        expect(`${command}: ${status}`, output).toBe(`${command}: 0`)
        outputs.push(output)
      }
      const [doctor, before, , , plan, rotate, after] = outputs
      expect(doctor).toMatch(/exit 0\n$/)
      expect(doctor).not.toContain('✗')
      expect(plan).toMatch(/shop {2}rotate: /)
      expect(rotate).toContain('5 of 5 domains serve the new certificate')
      expect(before).toMatch(/in 8 days|8 d/)
      expect(after).not.toMatch(/in 8 days|8 d/)
    } finally {
      child.kill('SIGTERM')
      expect(await ended).toBe(0)
    }
  })

  it('never writes over a config that is there', async () => {
    const config = join(folder, 'mine.yaml')
    await writeFile(config, 'mine')
    const { exitStatus, stderr } = await runCli('init', '--emulator', '-c', config)
    expect({ exitStatus, text: await readFile(config, 'utf8') }).toEqual({ exitStatus: 2, text: 'mine' })
    expect(stderr).toContain('is there already and is not overwritten')
  })
})

describe('init, without a terminal', () => {
  let emulator: Emulator
  const key = { id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' }
  const rememberedEnv = { ...process.env }
  beforeEach(async () => {
    emulator = await startEmulator({
      seed: {
        accessKeys: [key],
        certificates: [{ ref: 'old', generate: { notBefore: '-80d', notAfter: '+10d' } }],
        instances: [
          {
            flavour: 'apig',
            name: 'gateway',
            groups: [
              { domains: [{ host: 'api.shop.example', certificate: 'old' }, { host: 'bare.shop.example' }] },
            ],
          },
        ],
      },
    })
    process.env.HW_ACCESS_KEY = key.id
    process.env.HW_SECRET_KEY = key.secret
  })
  afterEach(async () => {
    process.env = { ...rememberedEnv }
    await emulator.close()
  })
  const init = (...more: string[]) =>
    runCli(
      'init',
      '-c',
      join(folder, 'rotation.yaml'),
      ...(more.includes('--region') ? [] : ['--region', 'eu-de']),
      '--endpoint',
      emulator.url,
      ...more,
    )

  it('looks the project up, writes what it found, and no secret', async () => {
    const { exitStatus, stdout, stderr } = await init()
    expect({ exitStatus, stderr }).toEqual({ exitStatus: 0, stderr: '' })
    expect(stdout).toMatch(/api\s+9 days left\s+api\.shop\.example/)
    expect(stdout).toMatch(/bare\s+nothing bound\s+bare\.shop\.example/)
    const text = await readFile(join(folder, 'rotation.yaml'), 'utf8')
    expect(text).toContain(emulator.ready.seed.project.id)
    expect(text).toContain('${HW_SECRET_KEY}')
    expect(text + stdout).not.toContain(key.secret)
    expect(await readFile(join(folder, '.env.example'), 'utf8')).toBe(
      'export HW_ACCESS_KEY=\nexport HW_SECRET_KEY=\n',
    )
    expect(emulator.calls().filter((call) => call.effect)).toEqual([])
    expect((await runCli('plan', '-c', join(folder, 'rotation.yaml'))).exitStatus).toBe(0)
  })

  it.each([
    [
      'a domain that is not there',
      ['--domain', 'nope.example'],
      2,
      /no gateway here has the domain nope\.example/,
    ],
    ['two stores', ['--bucket', 'b', '--directory', 'd'], 2, /one or the other/],
    ['an unknown region', ['--region', 'eu-nowhere'], 1, /eu-nowhere/],
  ])('refuses %s and writes nothing', async (_case, more, status, says) => {
    const { exitStatus, stderr } = await init(...more)
    expect(stderr).toMatch(says)
    expect(exitStatus).toBe(status)
    await expect(readFile(join(folder, 'rotation.yaml'))).rejects.toThrow('ENOENT')
  })

  it.each([
    [
      'whose name does not exist',
      'http://iam.does-not-exist.invalid',
      /^Check --region and --endpoint, and/m,
    ],
    [
      'where nobody listens',
      'http://127.0.0.1:1',
      /^Is the embedded cloud running\? .*; else correct --endpoint\.$/m,
    ],
  ])('of an endpoint %s names the option, not a file that is not there', async (_case, endpoint, says) => {
    const config = join(folder, 'rotation.yaml')
    const { exitStatus, stderr } = await runCli(
      'init',
      '-c',
      config,
      '--region',
      'eu-de',
      '--endpoint',
      endpoint,
    )
    expect(stderr).toMatch(says)
    expect(stderr).not.toMatch(/rotation\.yaml|cloud\./)
    expect(exitStatus).toBe(1)
  })

  it('says which option is missing where nobody can be asked, and what a wrong key is', async () => {
    process.env.HW_SECRET_KEY = ''
    expect(await init()).toMatchObject({ exitStatus: 2, stderr: expect.stringContaining('HW_SECRET_KEY') })
    process.env.HW_SECRET_KEY = 'wrong'
    const wrong = await init()
    expect(wrong.exitStatus).toBe(1)
    expect(wrong.stderr).toMatch(/401|signature|access key/i)
    expect(wrong.stderr).not.toContain('defect')
  })
})

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
