import { X509Certificate } from 'node:crypto'
import forge from 'node-forge'
import { afterAll, describe, expect, it } from 'vitest'
import { createAuthority } from '../../emulator/authority.ts'
import { readObjects } from '../../shared/certificate/read-objects.ts'
import { type Layout, makeCorpus, opensslLayouts, plainLayouts } from './corpus.ts'
import { object, openBench, opensslMissing, secret } from './tools.ts'

const corpus = await makeCorpus()
const bench = openBench()
afterAll(() => bench.remove())
const missing = opensslMissing()
if (missing !== undefined) console.log(`Bundles converted by openssl are left out: ${missing}`)
const fromOpenssl = missing === undefined ? opensslLayouts(corpus, bench) : []

function read(layout: Layout) {
  const reading = readObjects(layout.objects, { passwords: layout.passwords?.map(secret) ?? [] })
  if (reading.kind !== 'complete') throw new Error(JSON.stringify(reading))
  return reading.bundle
}

describe('a bundle is read from', () => {
  it.each([...plainLayouts(corpus), ...fromOpenssl].map((layout) => [layout.tool, layout] as const))(
    '%s',
    (_, layout) => {
      const bundle = read(layout)
      const issued = layout.key === 'RSA' ? corpus.rsa : corpus.ec
      expect(bundle.leaf).toMatchObject({
        fingerprint: issued.fingerprint,
        serial: issued.serial,
        algorithm: layout.key,
        names: ['shop.example', '*.shop.example'],
      })
      expect(bundle.chain.map((certificate) => certificate.commonName)).toEqual(['Test Intermediate'])
      expect(bundle.privateKey?.reveal()).toBe(issued.privateKeyPem)
      expect(bundle.trustedRootCa.map((certificate) => certificate.commonName)).toEqual(
        layout.clientCa ? ['Client CA'] : [],
      )
      expect(bundle.repairs.map((repair) => repair.code)).toEqual(layout.repairs ?? [])
    },
  )

  it('node-forge: PKCS#12 with 3DES, and its PEM', () => {
    const chain = [corpus.rsa.certificatePem]
    const key = forge.pki.privateKeyFromPem(corpus.rsa.privateKeyPem)
    const asn1 = forge.pkcs12.toPkcs12Asn1(
      key,
      chain.map((pem) => forge.pki.certificateFromPem(pem)),
      'pass',
      { algorithm: '3des' },
    )
    const p12 = Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'binary')
    const pem = forge.pki.encryptRsaPrivateKey(key, 'pass', { algorithm: 'aes256' })
    for (const objects of [
      [object('a.p12', p12), object('ca.cer', corpus.rsa.chainPem)],
      [object('a.pem', corpus.rsa.fullchainPem), object('a.key', pem)],
    ])
      expect(
        read({
          tool: 'node-forge',
          objects,
          passwords: ['pass'],
          key: 'RSA',
          intermediates: 1,
        }).privateKey?.reveal(),
      ).toBe(corpus.rsa.privateKeyPem)
  })

  it('one digest for the same content, however it is packed', () => {
    const layouts = [...plainLayouts(corpus), ...fromOpenssl].filter((layout) => !layout.clientCa)
    for (const key of ['RSA', 'ECC'] as const)
      expect(
        new Set(layouts.filter((layout) => layout.key === key).map((layout) => read(layout).digest)).size,
      ).toBe(1)
  })

  it('what it says about a certificate agrees with node:crypto', () => {
    const { leaf } = read(plainLayouts(corpus)[0]!)
    const witness = new X509Certificate(leaf.pem)
    expect(leaf.pem).toBe(witness.toString())
    expect(leaf.notAfter).toEqual(new Date(witness.validTo))
    expect(leaf.notBefore).toEqual(new Date(witness.validFrom))
    expect(leaf.subject).toBe(witness.subject)
    expect(leaf.fingerprint).toBe(witness.fingerprint256.replaceAll(':', '').toLowerCase())
  })
})

describe('half a pair waits', () => {
  const { ec } = corpus
  it.each([
    ['certificate without key', [object('fullchain.pem', ec.fullchainPem)], 'private key'],
    ['key without certificate', [object('privkey.pem', ec.privateKeyPem)], 'certificate'],
    [
      'intermediates and key',
      [object('ca.cer', ec.chainPem), object('a.key', ec.privateKeyPem)],
      'certificate',
    ],
    ['nothing but a temporary name', [object('fullchain.pem.part', ec.fullchainPem)], 'certificate'],
    ['nothing at all', [], 'certificate'],
  ])('%s', (_, objects, part) => {
    expect(readObjects(objects)).toMatchObject({ kind: 'waiting', missing: part })
  })
})

describe('what cannot be read is refused with its reason', () => {
  const { ec, rsa } = corpus
  const damaged = ec.certificatePem.replace(/\n(.)/, '\n!')
  const key = object('a.key', ec.privateKeyPem)
  it.each([
    ['not a PEM', [object('cert.pem', 'hello'), key], 'not-recognised'],
    ['an empty object', [object('cert.pem', ''), key], 'empty-object'],
    ['a damaged block', [object('cert.pem', damaged), key], 'unreadable'],
    ['a block cut short', [object('cert.pem', ec.certificatePem.slice(0, 200)), key], 'unreadable'],
    [
      'a certificate with bytes behind its end',
      [object('cert.pem', Buffer.concat([der(ec.certificatePem), Buffer.of(0)])), key],
      'unreadable',
    ],
    [
      'an object that is too large',
      [object('cert.pem', ec.certificatePem + ' '.repeat(300_000)), key],
      'too-large',
    ],
    [
      'an RSA and an ECDSA certificate at once',
      [
        object('a.pem', ec.fullchainPem + rsa.privateKeyPem + ec.privateKeyPem),
        object('b.pem', rsa.fullchainPem),
      ],
      'several-leafs',
    ],
  ])('%s', (_, objects, code) => {
    const reading = readObjects(objects as ReturnType<typeof object>[])
    expect(reading).toMatchObject({ kind: 'unreadable' })
    expect(reading.kind === 'unreadable' && reading.problems.map((problem) => problem.code)).toContain(code)
  })

  it.skipIf(missing)('an encrypted key without a password, and with a wrong one', () => {
    const encrypted = bench.run('pkcs8', '-topk8', '-in', 'ec.key', '-passout', 'pass:x')
    const p12 = bench.run('pkcs12', '-export', '-in', 'ec.pem', '-inkey', 'ec.key', '-passout', 'pass:x')
    for (const objects of [
      [object('a.pem', ec.fullchainPem), object('a.key', encrypted)],
      [object('a.p12', p12)],
    ]) {
      expect(readObjects(objects)).toMatchObject({
        kind: 'unreadable',
        problems: [{ code: 'password-missing' }],
      })
      expect(readObjects(objects, { passwords: [secret('y')] })).toMatchObject({
        kind: 'unreadable',
        problems: [{ code: 'password-wrong' }],
      })
    }
  })
})

describe('of several server certificates', () => {
  it('the newest wins if it covers the names of the others and has its key', async () => {
    const older = await corpus.intermediate.issue({
      names: ['shop.example'],
      notBefore: new Date('2026-01-01'),
    })
    const objects = [
      object('old.pem', older.fullchainPem + older.privateKeyPem),
      object('new.pem', corpus.ec.fullchainPem + corpus.ec.privateKeyPem),
    ]
    const reading = readObjects(objects)
    expect(reading).toMatchObject({
      kind: 'complete',
      bundle: { leaf: { fingerprint: corpus.ec.fingerprint } },
    })
    expect(reading.kind === 'complete' && reading.bundle.repairs.map((repair) => repair.code)).toContain(
      'took-newest',
    )
  })

  it('the one whose key is there wins over a newer one without a key', async () => {
    const newer = await corpus.intermediate.issue({ names: ['shop.example'], notBefore: new Date() })
    const reading = readObjects([
      object('new.pem', newer.certificatePem),
      object('a.pem', corpus.ec.fullchainPem + corpus.ec.privateKeyPem),
    ])
    expect(reading).toMatchObject({
      kind: 'complete',
      bundle: { leaf: { fingerprint: corpus.ec.fingerprint } },
    })
  })
})

it('a namesake of the issuer that did not sign the leaf is left out', async () => {
  const other = await createAuthority({ commonName: 'Test Root' })
  const decoy = await createAuthority({
    commonName: 'Test Intermediate',
    issuer: other,
    notAfter: new Date('2037-01-01'),
  })
  const { ec } = corpus
  const text = ec.certificatePem + decoy.certificatePem + ec.chainPem + ec.privateKeyPem
  const { chain, repairs } = read({
    tool: '',
    objects: [object('all.pem', text)],
    key: 'ECC',
    intermediates: 1,
  })
  expect(chain.map((certificate) => certificate.pem).join('')).toBe(ec.chainPem)
  expect(repairs.map((repair) => repair.code)).toEqual(['dropped-unrelated'])
})

function der(pem: string): Buffer {
  return Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
}
