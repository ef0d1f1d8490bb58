import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { makeCorpus } from '../certificate/corpus.ts'
import { runCli } from '../support/terminal.ts'

/** `cert-rotation inspect`: the verdict of `rotate`, offline, on any files. */

const { root, intermediate, ec } = await makeCorpus()
let folder: string
const file = (name: string) => join(folder, name)

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'inspect-'))
  await mkdir(file('live'))
  const files = {
    'fullchain.pem': ec.fullchainPem,
    'privkey.pem': ec.privateKeyPem,
    'leaf.pem': ec.certificatePem,
    'root.pem': root.certificatePem,
    'note.txt': 'nothing',
    'disk.img': '',
  }
  for (const [name, content] of Object.entries(files)) await writeFile(file(name), content)
  await truncate(file('disk.img'), 3_000_000_000)
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const json = async (...args: string[]) => {
  const printed = await runCli('inspect', '--json', ...args)
  return { ...printed, report: JSON.parse(printed.stdout) }
}

describe('the exit status of inspect is', () => {
  it.each([
    ['0 for a bundle that would be put into service', ['fullchain.pem', 'privkey.pem'], 0],
    ['0 without a key, which is then not judged', ['fullchain.pem'], 0],
    ['1 for a chain that ends at no trusted root', ['leaf.pem'], 1],
    ['1 for what is no certificate', ['note.txt'], 1],
  ])('%s', async (_, names, exitStatus) => {
    const trust = `private:${file('root.pem')}`
    const printed = await runCli('inspect', '--trust', trust, '--host', 'shop.example', ...names.map(file))
    expect(printed).toMatchObject({ exitStatus, stderr: '' })
  })

  it.each([
    ['no file', [], /one or more files/],
    ['a file that is not there', ['no-such.pem'], /no-such\.pem does not exist/],
    ['a directory', ['live'], /live is a directory\nName the files in it/],
    ['an instant that is none', ['leaf.pem', '--at', 'tomorrow'], /--at takes an instant/],
    ['an unknown trust', ['leaf.pem', '--trust', 'me'], /--trust takes public, any or private:FILE/],
    ['roots that are none', ['leaf.pem', '--trust', 'private:NOTE'], /holds no certificate/],
    ['an unknown option', ['leaf.pem', '--hots', 'x'], /--hots/],
  ])('2 for %s', async (_, args, says) => {
    const words = args.map((arg) =>
      arg.includes('.pem') || arg === 'live' ? file(arg) : arg.replace('NOTE', file('note.txt')),
    )
    const printed = await runCli('inspect', ...words)
    expect(printed.exitStatus).toBe(2)
    expect(printed.stdout).toBe('')
    expect(printed.stderr).toMatch(says)
  })
})

describe('inspect', () => {
  it('shows what was found, the chain as a tree, each check and the verdict', async () => {
    const { stdout } = await runCli(
      ...['inspect', file('fullchain.pem'), file('privkey.pem'), '--host', 'www.shop.example'],
      ...['--trust', `private:${file('root.pem')}`],
    )
    expect(stdout).toMatch(
      /^Found\n {2}fullchain\.pem {2}pem · 2 certificates\n {2}privkey\.pem {2}pem · private key ECC 256\n/,
    )
    expect(stdout).toMatch(/\nChain\n {2}Test Root \(added by the client\)\n/)
    expect(stdout).toMatch(/\n {2}└─ Test Intermediate\n/)
    expect(stdout).toMatch(/\n {5}└─ shop\.example\n/)
    expect(stdout).toMatch(/✓ names-covered +The certificate covers www\.shop\.example\./)
    expect(stdout).toMatch(/\nAccepted \(at .*, trust private\)\n$/)
    expect(stdout).not.toContain('PRIVATE KEY')
    expect(stdout).not.toMatch(/\u001b/)
  })

  it('judges at another instant and for other hosts', async () => {
    const at = new Date(ec.notAfter.getTime() + 1000).toISOString()
    const { exitStatus, report } = await json(file('fullchain.pem'), '--at', at, '--host', 'a.b.shop.example')
    expect(exitStatus).toBe(1)
    expect(report).toMatchObject({ schema: 1, at, hosts: ['a.b.shop.example'], reading: 'complete' })
    expect(report.verdict).toMatchObject({ decision: 'refuse', refusedBy: ['dates', 'names-covered'] })
  })

  it('refuses a huge file by its size without reading it', async () => {
    const { exitStatus, report } = await json(file('disk.img'))
    expect(exitStatus).toBe(1)
    expect(report.files).toMatchObject([{ name: 'disk.img', bytes: 3_000_000_000 }])
    expect(report.checks).toMatchObject([
      { code: 'too-large', message: expect.stringContaining('3000000000') },
    ])
  })

  it('reads standard input', () => {
    const bin = join(import.meta.dirname, '../../bin/cert-rotation.js')
    const { status, stdout } = spawnSync(process.execPath, [bin, 'inspect', '-', '--json'], {
      input: ec.fullchainPem,
      encoding: 'utf8',
    })
    expect(JSON.parse(stdout)).toMatchObject({
      files: [{ name: 'standard input' }],
      bundle: { chain: [{ commonName: intermediate.commonName }] },
    })
    expect(status).toBe(0)
  })
})
