import { spawn } from 'node:child_process'
import { mkdir, symlink, writeFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { APIG, TestCloud } from '../support/cloud.ts'
import { runCli } from '../support/terminal.ts'

/** What lies in incoming/ where no rotation looks is named by whoever looks, and is never "nothing". */

let cloud: TestCloud
let file: string

beforeEach(async () => {
  cloud = await TestCloud.start({ apig: ['api.shop.example', 'www.other.example'], roma: [] })
  file = join(cloud.folder, 'rotation.yaml')
  const { verify } = cloud.config().certificates.shop.gateways[0]!
  const gateway = (domain: string) => ({ flavour: 'apig', instanceId: APIG, domains: [domain], verify })
  const certificates = {
    shop: { gateways: [gateway('api.shop.example')] },
    other: { gateways: [gateway('www.other.example')] },
  }
  await writeFile(file, JSON.stringify({ ...cloud.config(), certificates }))
})
afterEach(() => cloud.close())

async function said(...words: string[]) {
  const { exitStatus, stdout, stderr } = await runCli(...words, '--config', file)
  return { exitStatus, all: stdout + stderr }
}

async function put(key: string, names: string[]) {
  const { fullchainPem, privateKeyPem } = await cloud.issue(names)
  await cloud.store.put(`incoming/${key}fullchain.pem`, fullchainPem)
  await cloud.store.put(`incoming/${key}privkey.pem`, privateKeyPem)
}

const NOTHING = /nothing (to do|lies)/i

it.each(['rotate', 'tick', 'plan'])(
  '%s names a pair in no folder, and a folder of no certificate',
  async (command) => {
    await put('', ['api.shop.example'])
    await put('shpo/', ['api.shop.example'])
    const { exitStatus, all } = await said(command)
    expect(all).toMatch(
      /fullchain\.pem, privkey\.pem lie in incoming\/ itself.*\n.*Move them to incoming\/shop\//,
    )
    expect(all).toMatch(/folder shpo.*\n.*move the bundle to one of: other, shop/)
    expect(all).not.toMatch(NOTHING)
    expect(exitStatus).toBe(1)
  },
)

it.each([
  ['both', ['api.shop.example', 'www.other.example']],
  ['neither', ['nobody.example']],
])('the names are listed where the certificate fits %s of them', async (_which, names) => {
  await put('', names)
  const { exitStatus, all } = await said('plan')
  expect(all).toMatch(/fullchain\.pem, privkey\.pem.*\n.*incoming\/<name>\/.*other, shop/)
  expect(exitStatus).toBe(1)
})

it("what a writer has not finished is nobody's matter", async () => {
  await cloud.store.put('incoming/fullchain.pem.part', 'half')
  expect(await said('plan')).toMatchObject({ exitStatus: 0, all: expect.stringMatching(NOTHING) })
})

it('a pair in no folder is named besides a rotation that goes well, also to whoever asks for that', async () => {
  await put('other/', cloud.hosts)
  await put('', ['api.shop.example'])
  const { exitStatus, all } = await said('rotate', 'other')
  expect(all).toMatch(/other {2}rotated/)
  expect(all).toMatch(/fullchain\.pem, privkey\.pem.*\n.*incoming\/shop\//)
  expect(exitStatus).toBe(1)
}, 60_000)

it('status names both below its table, and they are a warning', async () => {
  await put('other/', cloud.hosts)
  await put('shop/', cloud.hosts)
  expect(await said('rotate')).toMatchObject({ exitStatus: 0 })
  expect(await said('status', '--fail-on', 'warning')).toMatchObject({ exitStatus: 0 })
  await put('', ['api.shop.example'])
  await put('shpo/', ['api.shop.example'])
  const warned = await said('status', '--fail-on', 'warning')
  expect(warned.exitStatus).toBe(1)
  expect(warned.all.replaceAll(/\s+/g, ' ')).toMatch(/fullchain\.pem, privkey\.pem.*incoming\/shop\//)
  expect(warned.all.replaceAll(/\s+/g, ' ')).toMatch(/folder shpo/)
  const { exitStatus, stdout } = await runCli('status', '--json', '--config', file)
  expect(exitStatus).toBe(0)
  expect(JSON.parse(stdout).misplaced).toHaveLength(2)
}, 60_000)

it('watch names it once, and again where there is more of it', async () => {
  await put('', ['api.shop.example'])
  const child = spawn(
    process.execPath,
    [resolve('bin/cert-rotation.js'), 'watch', '--config', file, '--poll', '50ms'],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  let output = ''
  const ended = new Promise((close) => child.once('close', close))
  const says = (text: RegExp) =>
    new Promise<void>((done) => {
      const look = () => text.test(output) && done()
      look()
      child.stdout.on('data', look)
      child.once('close', () => done())
    })
  child.stdout.on('data', (part) => {
    output += part
  })
  await says(/privkey\.pem lie in/)
  // The looks after this one are those that could say it again.
  await cloud.store.put('incoming/zz.pem', 'late')
  await says(/zz\.pem lie in/)
  child.kill('SIGTERM')
  await ended
  expect(output.match(/\S+ lie in incoming/g)).toEqual([
    'privkey.pem lie in incoming',
    'zz.pem lie in incoming',
  ])
  expect(output).not.toMatch(NOTHING)
}, 120_000)

describe('a link to nothing', () => {
  it.each(['rotate', 'plan'])('%s names it and what helps', async (command) => {
    const { privateKeyPem } = await cloud.issue(['api.shop.example'])
    await cloud.store.put('incoming/shop/privkey.pem', privateKeyPem)
    await mkdir(join(cloud.folder, 'bucket/incoming/other'))
    for (const name of ['shop', 'other'])
      await symlink(
        '../../archive/shop/fullchain1.pem',
        join(cloud.folder, `bucket/incoming/${name}/fullchain.pem`),
      )
    const { all } = await said(command)
    expect(all).toMatch(/other.*fullchain\.pem \(links to nothing.*cp -L/)
    expect(all).toMatch(/shop.*fullchain\.pem \(links to nothing.*cp -L/)
    expect(all).not.toMatch(NOTHING)
  })
})
