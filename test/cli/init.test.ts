import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { runCli } from '../support/terminal.ts'

vi.setConfig({ testTimeout: 120_000 })

let folder: string
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cert-rotation-init-'))
})
afterEach(() => rm(folder, { recursive: true, force: true }))

describe('init --emulator', () => {
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
