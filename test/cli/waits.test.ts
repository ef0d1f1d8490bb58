import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { strToU8, zipSync } from 'fflate'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { TestCloud } from '../support/cloud.ts'
import { runCli } from '../support/terminal.ts'

/** What waits ends with 3, what waits in vain says what helps, and `plan` says what `rotate` would say now. */

// Each command starts its own reader; on a busy machine that takes seconds.
vi.setConfig({ testTimeout: 90_000 })

let cloud: TestCloud
let file: string

beforeEach(async () => {
  cloud = await TestCloud.start({ apig: ['api.shop.example', 'www.shop.example'], roma: [] })
  file = join(cloud.folder, 'rotation.yaml')
  await writeFile(file, JSON.stringify(cloud.config()))
})
afterEach(() => cloud.close())

async function said(...words: string[]) {
  const { exitStatus, stdout, stderr } = await runCli(...words, '--config', file)
  return { exitStatus, all: stdout + stderr }
}

const put = (name: string, content: string | Uint8Array) => cloud.store.put(`incoming/shop/${name}`, content)
const hex = (digits: string) => new Uint8Array([...Buffer.from(digits, 'hex'), ...new Array(600).fill(1)])

const lone: [string, string, () => Promise<string | Uint8Array>, RegExp][] = [
  ['half a pair', 'fullchain.pem', async () => (await cloud.issue()).fullchainPem, /private key/],
  [
    'a ZIP that is still being written',
    'bundle.zip',
    async () => zipSync({ 'a.pem': strToU8('x'.repeat(300)) }).subarray(0, 60),
    /so far there is bundle\.zip \(cut short\)/,
  ],
  [
    'a ZIP with nothing usable in it',
    'bundle.zip',
    async () => zipSync({ 'README.md': strToU8('hello'), 'order.html': strToU8('<html>') }),
    /nothing usable lies there; left alone: bundle\.zip \(is a ZIP archive without a certificate or key: it holds nothing but README\.md is a note, order\.html is nothing that is known here/,
  ],
  ['a note', 'result.json', async () => '{}', /nothing usable.*left alone: result\.json \(is a note/],
  [
    'far too much',
    'all.pem',
    async () => new Uint8Array(300 * 1024),
    /all\.pem .*too large.*upload the certificate/,
  ],
]

it.each(lone)(
  'rotate and plan name %s alone, and that nothing is done',
  async (_what, name, content, says) => {
    await put(name, await content())
    const plan = await said('plan')
    const rotate = await said('rotate')
    expect(rotate.all.replace(/\s+/g, ' ')).toMatch(says)
    expect(plan.all.replace(/\s+/g, ' ')).toMatch(says)
    expect(rotate.exitStatus).toBe(3)
    expect(await cloud.keys()).toContain(`incoming/shop/${name}`)
  },
)

it('a keystore alone is refused at once with the command that helps, and beside a pair it is named', async () => {
  await put('keystore.jks', hex('feedfeed00000002'))
  const alone = await said('rotate')
  expect(alone.all.replace(/\s+/g, ' ')).toMatch(
    /shop refused: keystore\.jks is a Java keystore.*keytool -import/,
  )
  expect(alone.exitStatus).toBe(1)
  await put('keystore.jks', hex('feedfeed00000002'))
  await cloud.drop(await cloud.issue())
  const beside = await said('rotate')
  expect(beside.all.replace(/\s+/g, ' ')).toMatch(
    /shop rotated: .*keystore\.jks is a Java keystore.*complete without it/,
  )
  expect(beside.exitStatus).toBe(0)
})

it('a ZIP as an authority mails it rotates', async () => {
  const { fullchainPem, privateKeyPem } = await cloud.issue()
  const [leaf, ...chain] = fullchainPem.split(/(?<=-----END CERTIFICATE-----\n)/)
  await put(
    'shop.zip',
    zipSync({
      'certificate.crt': strToU8(leaf!),
      'ca_bundle.crt': strToU8(chain.join('')),
      'private.key': strToU8(privateKeyPem),
    }),
  )
  expect(await said('rotate')).toMatchObject({ exitStatus: 0, all: expect.stringMatching(/rotated/) })
})

it('tick ends with 3 for what waits, where all is well besides', async () => {
  await cloud.drop(await cloud.issue())
  expect((await said('tick')).exitStatus).toBe(0)
  await put('fullchain.pem', (await cloud.issue()).fullchainPem)
  expect((await said('tick')).exitStatus).toBe(3)
})

describe('plan says what rotate says', () => {
  it('of a key that belongs to another certificate: it waits for its own until an instant', async () => {
    await put('fullchain.pem', (await cloud.issue()).fullchainPem)
    await put('privkey.pem', (await cloud.issue()).privateKeyPem)
    const [plan, rotate] = [await said('plan'), await said('rotate')]
    for (const { all } of [plan, rotate])
      expect(all).toMatch(/waiting for the other half of the newer bundle until 20/)
    // Who names it has put there what there is.
    expect(await said('plan', 'shop')).toMatchObject({ exitStatus: 1, all: expect.stringMatching(/refuse/) })
    expect(await said('rotate', 'shop')).toMatchObject({
      exitStatus: 1,
      all: expect.stringMatching(/refuse/),
    })
  })

  it('of a certificate that begins later', async () => {
    await cloud.drop(await cloud.issue(undefined, { from: 2 }))
    const [plan, rotate] = [await said('plan'), await said('rotate')]
    for (const { all } of [plan, rotate])
      expect(all).toMatch(/waiting until 20.* when the certificate begins to be valid/)
    expect(rotate.exitStatus).toBe(3)
  })
})

describe('a name that only the config has', () => {
  const configure = (domains: string[]) => writeFile(file, JSON.stringify(cloud.config({}, { domains })))

  it.each([
    ['alone', ['api.shop.exampel']],
    ['beside one that is right', ['www.shop.example', 'api.shop.exampel']],
  ])('%s, is doubted before the bundle is', async (_which, domains) => {
    await configure(domains)
    await cloud.drop(await cloud.issue())
    for (const command of ['plan', 'rotate']) {
      const { exitStatus, all } = await said(command)
      expect(all).toMatch(/No API group on .* has the domain api\.shop\.exampel/)
      expect(all).toMatch(/the gateway has: api\.shop\.example, www\.shop\.example/)
      expect(exitStatus).toBe(1)
    }
    expect(await cloud.keys()).toContain('incoming/shop/privkey.pem')
    expect((await cloud.keys()).filter((key) => key.startsWith('rejected/'))).toEqual([])
    // Corrected, the same bundle is taken up at once.
    await configure(['api.shop.example', 'www.shop.example'])
    expect(await said('rotate')).toMatchObject({ exitStatus: 0, all: expect.stringMatching(/rotated/) })
  })

  it('does not save a bundle that lacks a name which the gateway knows', async () => {
    await configure(['api.shop.example', 'www.shop.exampel'])
    await cloud.drop(await cloud.issue(['www.shop.example']))
    expect(await said('rotate')).toMatchObject({
      exitStatus: 1,
      all: expect.stringMatching(/does not cover api\.shop\.example/),
    })
    expect((await cloud.keys()).filter((key) => key.startsWith('rejected/'))).not.toEqual([])
  })
})
