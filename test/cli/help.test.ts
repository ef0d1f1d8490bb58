import { execFileSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CommandSpec, shownOptions, specs } from '../../functions/commands/specs.ts'
import { runCli } from '../support/terminal.ts'

const rows = Object.entries<CommandSpec>(specs)

describe('help', () => {
  it('lists every command, in 80 columns', async () => {
    const { exitStatus, stdout, stderr } = await runCli('help')
    expect({ exitStatus, stderr }).toEqual({ exitStatus: 0, stderr: '' })
    for (const [name, { summary }] of rows) {
      expect(stdout).toContain(`\n  ${name}`)
      expect(stdout.replace(/\s+/g, ' ')).toContain(summary)
    }
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
  })

  it.each(rows)(
    'of %s has its options, two examples and exit statuses, and needs no config',
    async (name, spec) => {
      const { exitStatus, stdout } = await runCli(name, '--config', '/nowhere.yaml', '--help')
      expect(exitStatus).toBe(0)
      for (const option of shownOptions(spec).map(([option]) => option))
        expect(stdout).toContain(`--${option}`)
      expect(spec.examples).toHaveLength(2)
      for (const [command] of spec.examples) expect(stdout).toContain(command)
      for (const [status, meaning] of spec.exits)
        expect(stdout.replace(/\s+/g, ' ')).toContain(`${status} ${meaning}`)
      expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
      expect((await runCli('help', name)).stdout).toBe(stdout)
    },
  )

  it('stands behind no `--`: then it is a name', async () => {
    const { exitStatus, stderr } = await runCli('inspect', '--', '--help')
    expect(exitStatus).toBe(2)
    expect(stderr).toContain('--help does not exist')
  })

  it('is not needed for the version', async () => {
    expect(await runCli('--version')).toMatchObject({ exitStatus: 0, stdout: '0.1.0\n' })
  })
})

describe('a word that is off', () => {
  it.each([
    [['rotat'], 'there is no command "rotat"; did you mean rotate?'],
    [['toString'], 'there is no command "toString"'],
    [['help', 'constructor'], 'there is no command "constructor"'],
    [['status', '--opne'], 'status has no option --opne; did you mean --open?'],
    [['plan', '--verbose-please'], 'plan has no option --verbose-please'],
    [['rotate', '-x'], 'rotate has no option -x'],
    [['tick', 'shop'], 'tick takes no "shop"'],
    [['plan', '--config'], '--config needs a value'],
    [['watch', '--every', '7'], '--every takes a duration such as 7s or 7m, not "7"'],
    [['watch', '--every', '0'], '--every takes a duration such as 500ms, 30s, 10m, 12h or 7d, not "0"'],
    [['watch', '--every', '1e3'], '--every takes a duration'],
    [['watch', '--poll', '400d'], '--poll takes a duration'],
    [['watch', '--port', '70000'], '--port takes a port number'],
    [['invoke', 'x.json', '--timeout', '5'], '--timeout takes a duration'],
    [['completion', 'tcsh'], 'completion takes bash or zsh'],
    [['emulator', '--prot', '1'], '--prot'],
    [['emulator', '--port', '1', '--port', '2'], '--port is given twice'],
    [['status', '--config', 'a', '-c', 'b'], '--config is given twice and takes one value'],
    [['watch', '--every', '1m', '--every', '2m'], '--every is given twice'],
  ])('%j is refused with the way out', async (words, says) => {
    const { exitStatus, stdout, stderr } = await runCli(...words)
    expect({ exitStatus, stdout }).toEqual({ exitStatus: 2, stdout: '' })
    expect(stderr).toContain(says)
    expect(stderr).toMatch(/help|completion|Usage/)
    expect(stderr).not.toContain('defect')
  })
})

describe('completion', () => {
  let folder: string
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'cert-rotation-completion-'))
    await writeFile(join(folder, 'rotation.yaml'), 'certificates: { shop: {}, "$(id)": {}, docs: {} }\n')
    await writeFile(join(folder, 'other.yaml'), 'certificates: { erp: {} }\n')
  })
  afterAll(() => rm(folder, { recursive: true, force: true }))

  /** What bash would offer for the last of the words. */
  async function offered(...words: string[]): Promise<string[]> {
    const script = (await runCli('completion', 'bash')).stdout
    const bin = resolve('bin/cert-rotation.js')
    const quoted = [bin, ...words].map((word) => `'${word}'`).join(' ')
    const ask = `${script}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _cert_rotation; printf '%s\\n' "\${COMPREPLY[@]}"`
    return execFileSync('bash', ['-c', ask], { cwd: folder, encoding: 'utf8' }).split('\n').filter(Boolean)
  }

  it('offers commands, options and the names of the config at hand', async () => {
    expect(await offered('ro')).toEqual(['rotate'])
    expect(await offered('status', '--o')).toEqual(['--open'])
    expect(await offered('rotate', '')).toEqual(['shop', 'docs'])
    expect(await offered('plan', '-c', 'other.yaml', '')).toEqual(['erp'])
    expect(await offered('plan', '-c', 'oth')).toEqual(['other.yaml'])
    expect(await offered('rotate', '-c', 'missing.yaml', '')).toEqual([])
    expect(await offered('completion', 'z')).toEqual(['zsh'])
  })
})
