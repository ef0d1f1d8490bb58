import { createHash } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAuthority } from '../../emulator/authority.ts'
import { day, hour } from '../../shared/base/clock.ts'
import type { UploadedObject } from '../../shared/certificate/bundle.ts'
import type { Outcome } from '../../shared/rotation/record/state.ts'
import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { type Corpus, type Layout, NAMES, opensslLayouts, plainLayouts } from '../certificate/corpus.ts'
import { object, openBench, opensslMissing } from '../certificate/tools.ts'
import { TestCloud } from '../support/cloud.ts'
import { servedChain } from '../support/served-chain.ts'

/** What each tool leaves in the drop folder, through the whole rotation up to a handshake at the edge. */

const HOST = 'shop.example'
const PASSWORD = 'open sesame'
const bench = openBench()
const missing = opensslMissing()
if (missing !== undefined) console.log(`Bundles converted by openssl are left out: ${missing}`)

/** Every kind once; the reader's own test has each of them for RSA and ECDSA. */
const OPENSSL_KINDS =
  /PKCS#1 key|SEC1 key|PKCS#8, PBES2 aes-256|scrypt|PBE-SHA1|old OpenSSL encryption -aes256|PKCS#12 by OpenSSL 3|PKCS#12 legacy|bag attributes|PKCS#7|-text|key in DER, PKCS#8/

const cloud = await TestCloud.start({ apig: [HOST, 'www.shop.example'], roma: [] })
const { root, intermediate } = cloud.emulator
/** Of equal age: none is a step back from the other. */
const dates = { notBefore: new Date(Date.now() - hour), notAfter: new Date(Date.now() + 90 * day) }
/** Two generations, so that each rotation puts another certificate in the place of the one before. */
const generations = await Promise.all(
  [0, 1].map(async (): Promise<Corpus> => {
    const clientCa = await createAuthority({ commonName: 'Client CA' })
    return {
      root,
      intermediate,
      clientCa,
      rsa: await intermediate.issue({ names: NAMES, key: 'RSA-2048', ...dates }),
      ec: await intermediate.issue({ names: NAMES, ...dates }),
    }
  }),
)
const [even, odd] = generations.map((corpus) => [
  ...plainLayouts(corpus).filter((layout) => !layout.clientCa),
  ...(missing === undefined
    ? opensslLayouts(corpus, bench).filter(({ tool }) => OPENSSL_KINDS.test(tool))
    : []),
  {
    tool: 'DER certificates and DER key',
    key: 'ECC' as const,
    intermediates: 1,
    objects: [
      object('leaf.der', der(corpus.ec.certificatePem)),
      object('ca.der', der(corpus.ec.chainPem)),
      object('key.der', der(corpus.ec.privateKeyPem)),
    ],
  },
]) as [Layout[], Layout[]]
const turns = even.map((layout, index) => ({
  layout: index % 2 === 0 ? layout : odd[index]!,
  corpus: generations[index % 2]!,
}))
const table: string[] = []

beforeAll(async () => {
  await writeFile(join(cloud.folder, 'root.pem'), root.certificatePem)
})
afterAll(async () => {
  bench.remove()
  await cloud.close()
  if (table.length > 0)
    console.log(['in `incoming/` | read | put right | ends', '--- | --- | --- | ---', ...table].join('\n'))
})

async function rotate(objects: UploadedObject[], password?: string): Promise<Outcome[]> {
  for (const { name, bytes } of objects) await cloud.store.put(`incoming/shop/${name}`, bytes)
  const settings = { trust: { private: 'root.pem' }, ...(password ? { password } : {}) }
  const wiring = await cloud.wire(cloud.config(settings))
  const report = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
  expect(report.failures).toEqual([])
  return report.outcomes
}

async function clear(): Promise<void> {
  for (const { key } of await cloud.store.list('incoming/')) await cloud.store.delete(key)
}

describe('every domain serves leaf and chain after a rotation of', () => {
  it.each(turns.map((turn) => [turn.layout.tool, turn] as const))('%s', async (tool, { layout, corpus }) => {
    const issued = layout.key === 'RSA' ? corpus.rsa : corpus.ec
    const outcomes = await rotate(layout.objects, layout.passwords && PASSWORD)
    expect(outcomes, JSON.stringify(outcomes)).toMatchObject([{ status: 'rotated', failures: [] }])
    const chain = [issued.certificatePem, issued.chainPem].map((pem) =>
      createHash('sha256').update(der(pem)).digest('hex'),
    )
    for (const host of cloud.hosts) expect(await servedChain(cloud, host)).toEqual(chain)
    const bundle = outcomes[0]?.bundle
    table.push(
      [
        `${tool} (${layout.objects.map(({ name }) => `\`${name}\``).join(' ')})`,
        `${bundle?.algorithm} leaf, ${(bundle?.chain.length ?? 0) - 1} intermediate, key`,
        outcomes[0]?.repairs.map(({ code }) => code).join(', ') || '–',
        `${outcomes[0]?.status}, both served`,
      ].join(' | '),
    )
    await clear()
  })
})

describe('what the gateways do not take is refused by its name', () => {
  it('Ed25519', async () => {
    const issued = await intermediate.issue({ names: NAMES, key: 'Ed25519' })
    const [outcome] = await rotate([object('all.pem', issued.fullchainPem + issued.privateKeyPem)])
    expect(outcome).toMatchObject({ status: 'refused' })
    expect(outcome?.sentence).toBe(
      'The key is Ed25519; the gateways take RSA and ECDSA only. Ask for a certificate with an RSA or ECDSA key.',
    )
  })

  it.skipIf(missing)('SM2', async () => {
    bench.run('genpkey', '-algorithm', 'SM2', '-out', 'sm2.key')
    bench.run(
      ...['req', '-x509', '-new', '-key', 'sm2.key', '-sm3', '-subj', `/CN=${HOST}`, '-days', '30'],
      ...['-addext', `subjectAltName=DNS:${HOST}`, '-out', 'sm2.pem'],
    )
    const [outcome] = await rotate([
      object('a.pem', bench.read('sm2.pem')),
      object('a.key', bench.read('sm2.key')),
    ])
    expect(outcome).toMatchObject({ status: 'refused' })
    expect(outcome?.sentence).toMatch(/^The key is SM2; the gateways take RSA and ECDSA only\./)
  })
})

function der(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
}
