import { X509Certificate } from 'node:crypto'
import { afterAll, describe, expect, it } from 'vitest'
import { createAuthority, type IssueRequest, x509 } from '../../emulator/authority.ts'
import type { Bundle } from '../../shared/certificate/bundle.ts'
import { readObjects } from '../../shared/certificate/read-objects.ts'
import { publicRoots, readTrust, rootsFromPem } from '../../shared/certificate/trust.ts'
import { type JudgeOptions, judge } from '../../shared/certificate/verdict.ts'
import { makeCorpus, NAMES } from './corpus.ts'
import { object, openBench, opensslMissing, secret } from './tools.ts'

const corpus = await makeCorpus()
const { root, intermediate, clientCa, rsa, ec } = corpus
const bench = openBench()
afterAll(() => bench.remove())
const missing = opensslMissing()
if (missing !== undefined) console.log(`Verdicts on bundles made by openssl are left out: ${missing}`)

const AT = new Date()
const trust = { kind: 'private' as const, roots: rootsFromPem(root.certificatePem) }
const good: JudgeOptions = { at: AT, domains: ['shop.example', 'www.shop.example', '*.shop.example'], trust }

function bundleOf(...texts: (string | Uint8Array)[]): Bundle {
  const reading = readObjects(texts.map((text, i) => object(`${i}.pem`, text)))
  if (reading.kind !== 'complete') throw new Error(JSON.stringify(reading))
  return reading.bundle
}

async function issued(request: Partial<IssueRequest>): Promise<Bundle> {
  const leaf = await intermediate.issue({ names: NAMES, ...request })
  return bundleOf(leaf.fullchainPem + leaf.privateKeyPem)
}

/** The codes that refuse, with the finer reason. */
function refusals(bundle: Bundle, options: Partial<JudgeOptions> = {}): string[] {
  const verdict = judge(bundle, { ...good, ...options })
  const refused = verdict.checks.filter((check) => check.result === 'refused')
  expect(verdict.decision).toBe(refused.length > 0 ? 'refuse' : 'accept')
  return refused.map((check) => `${check.code}: ${check.facts?.reason}`)
}

function warnings(bundle: Bundle, options: Partial<JudgeOptions> = {}): string[] {
  return judge(bundle, { ...good, ...options })
    .checks.filter((check) => check.result === 'warning')
    .map((check) => check.code)
}

describe('a good bundle is accepted', () => {
  it.each([
    ['RSA', rsa],
    ['ECDSA', ec],
  ] as const)('%s, and every check says so in its order', (_, leaf) => {
    const verdict = judge(bundleOf(leaf.fullchainPem + leaf.privateKeyPem), good)
    expect(verdict.decision).toBe('accept')
    expect(verdict.checks.map((check) => `${check.code} ${check.result}`)).toEqual(
      [
        'complete key-algorithm key-matches dates gateway-date-limit lifetime leaf-not-ca key-usage server-auth encoding',
        'signature-hash chain-order chain-complete chain-dates chain-authority chain-keys chain-purpose key-identifiers path-length',
        'name-constraints policies names-covered',
      ]
        .join(' ')
        .split(' ')
        .map((code) => `${code} passed`),
    )
  })

  it('with a key on P-384', async () => {
    expect(refusals(await issued({ key: 'P-384' }))).toEqual([])
  })
})

describe('the key', () => {
  it('of another certificate is refused, and so is a damaged one', () => {
    expect(refusals(bundleOf(ec.fullchainPem, rsa.privateKeyPem))).toEqual([
      'key-matches: another-certificate',
    ])
    const bundle = bundleOf(rsa.fullchainPem + rsa.privateKeyPem)
    const bytes = Buffer.from(rsa.privateKeyPem.replace(/-----[^-]+-----|\s/g, ''), 'base64')
    // Somewhere inside the exponents: the public half stays as it is.
    bytes[bytes.length - 100]! ^= 1
    bytes[400]! ^= 1
    const pem = `-----BEGIN PRIVATE KEY-----\n${bytes.toString('base64')}\n-----END PRIVATE KEY-----\n`
    expect(refusals({ ...bundle, privateKey: secret(pem) })).toEqual(['key-matches: key-damaged'])
  })

  it('of a kind that gateways do not take is refused by name', async () => {
    const ed = await issued({ key: 'Ed25519' })
    const { checks } = judge(ed, good)
    expect(checks.find((check) => check.code === 'key-algorithm')).toMatchObject({
      result: 'refused',
      message: expect.stringContaining('Ed25519'),
    })
  })

  it.skipIf(missing).each([
    [
      'SM2',
      ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:SM2'],
      'key-algorithm: algorithm-not-supported',
    ],
    [
      'P-521',
      ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-521'],
      'key-algorithm: curve-not-offered',
    ],
    [
      'secp256k1',
      ['-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:secp256k1'],
      'key-algorithm: curve-not-supported',
    ],
    ['RSA 1024', ['-algorithm', 'RSA', '-pkeyopt', 'rsa_keygen_bits:1024'], 'key-algorithm: key-too-short'],
    [
      'RSA-PSS',
      ['-algorithm', 'RSA-PSS', '-pkeyopt', 'rsa_keygen_bits:2048'],
      'key-algorithm: algorithm-not-supported',
    ],
  ])('%s is refused', (_, args, refusal) => {
    bench.write('odd.key', bench.run('genpkey', ...args))
    bench.write('san.cnf', 'subjectAltName=DNS:shop.example,DNS:*.shop.example')
    bench.write('ca.pem', intermediate.certificatePem)
    bench.write('ca.key', intermediate.privateKeyPem)
    bench.run('req', '-new', '-key', 'odd.key', '-subj', '/CN=x', '-out', 'odd.csr')
    const leaf = bench.run(
      'x509',
      '-req',
      '-in',
      'odd.csr',
      '-CA',
      'ca.pem',
      '-CAkey',
      'ca.key',
      '-CAcreateserial',
      '-extfile',
      'san.cnf',
      '-days',
      '30',
    )
    expect(
      refusals(bundleOf(Buffer.concat([leaf, bench.read('odd.key')]), intermediate.certificatePem), {
        at: new Date(Date.now() + 5000),
      }),
    ).toContain(refusal)
  })
})

describe('dates', () => {
  const days = (count: number, from = AT) => new Date(from.getTime() + count * 86_400_000)

  it('before the first and after the last second are refused, the seconds themselves are not', async () => {
    const bundle = await issued({ notBefore: days(-10), notAfter: days(10) })
    const { notBefore, notAfter } = bundle.leaf
    expect(refusals(bundle, { at: notBefore })).toEqual([])
    expect(refusals(bundle, { at: notAfter })).toEqual([])
    expect(refusals(bundle, { at: new Date(notBefore.getTime() - 1) })).toEqual(['dates: not-yet-valid'])
    expect(refusals(bundle, { at: new Date(notAfter.getTime() + 1000) })).toEqual(['dates: expired'])
  })

  it('after 2038-01-19T03:14:07Z are refused because the gateways do', async () => {
    const late = await createAuthority({ commonName: 'Late', notAfter: new Date('2040-01-01') })
    for (const [end, expected] of [
      ['2038-01-19T03:14:07Z', []],
      ['2038-01-19T03:14:08Z', ['gateway-date-limit: ends-after-2038-01-19']],
    ] as const) {
      const leaf = await late.issue({ names: NAMES, notAfter: new Date(end) })
      expect(
        refusals(bundleOf(leaf.fullchainPem + leaf.privateKeyPem), {
          trust: { kind: 'private', roots: rootsFromPem(late.certificatePem) },
        }),
      ).toEqual(expected)
    }
  })

  it.each([
    ['2019-01-01', 825],
    ['2020-08-31', 825],
    ['2020-09-01', 398],
    ['2026-03-14', 398],
    ['2026-03-15', 200],
    ['2027-03-15', 100],
    ['2029-03-15', 47],
  ])('issued on %s, more than %i days are a warning', async (day, limit) => {
    const from = new Date(`${day}T00:00:00Z`)
    const long = await createAuthority({
      commonName: 'Long',
      notBefore: new Date('2018-01-01'),
      notAfter: new Date('2037-01-01'),
    })
    const options = {
      at: days(1, from),
      trust: { kind: 'private' as const, roots: rootsFromPem(long.certificatePem) },
    }
    for (const [extra, expected] of [
      [0, []],
      [1, ['lifetime']],
    ] as const) {
      const leaf = await long.issue({
        names: NAMES,
        notBefore: from,
        notAfter: new Date(days(limit, from).getTime() - 1000 + extra * 1000),
      })
      const bundle = bundleOf(leaf.fullchainPem + leaf.privateKeyPem)
      expect(warnings(bundle, options)).toEqual(expected)
      expect(refusals(bundle, options)).toEqual([])
    }
  })

  it('of an intermediate count too', async () => {
    const short = await createAuthority({ commonName: 'Short', issuer: root, notAfter: days(5) })
    const leaf = await short.issue({ names: NAMES, notAfter: days(30) })
    expect(refusals(bundleOf(leaf.fullchainPem + leaf.privateKeyPem), { at: days(6) })).toEqual([
      'chain-dates: issuer-not-valid',
    ])
  })
})

describe('the purpose', () => {
  it('is serverAuth where an extended key usage is present', async () => {
    expect(
      refusals(
        await issued({
          extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
        }),
      ),
    ).toEqual(['server-auth: not-for-servers'])
    expect(refusals(await issued({ omitExtensions: ['2.5.29.37'] }))).toEqual([])
  })

  it('of the intermediate binds as well', async () => {
    const clients = await createAuthority({
      commonName: 'Clients',
      issuer: root,
      extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
    })
    const leaf = await clients.issue({ names: NAMES })
    expect(refusals(bundleOf(leaf.fullchainPem + leaf.privateKeyPem))).toEqual([
      'chain-purpose: not-for-servers',
    ])
  })

  it('needs digital signatures where a key usage is present', async () => {
    const extensions = [new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyEncipherment, true)]
    expect(refusals(await issued({ key: 'RSA-2048', extensions }))).toEqual([
      'key-usage: no-digital-signature',
    ])
  })

  it('is not that of a certificate authority', () => {
    expect(refusals(bundleOf(root.certificatePem + root.privateKeyPem), { domains: [] })).toContain(
      'leaf-not-ca: is-ca',
    )
  })
})

describe('the chain', () => {
  it('without its intermediate is refused under private and public trust', () => {
    const bundle = bundleOf(ec.certificatePem + ec.privateKeyPem)
    expect(refusals(bundle)).toEqual(['chain-complete: issuer-missing'])
    expect(refusals(bundle, { trust: readTrust('public') })).toEqual(['chain-complete: issuer-missing'])
  })

  it('to a private root is refused under public trust and accepted under any', () => {
    const bundle = bundleOf(ec.fullchainPem + ec.privateKeyPem)
    expect(refusals(bundle, { trust: readTrust('public') })).toEqual(['chain-complete: issuer-missing'])
    expect(refusals(bundle, { trust: readTrust('any') })).toEqual([])
  })

  it('to a root of the same name with another key is refused', async () => {
    const namesake = await createAuthority({ commonName: 'Test Root' })
    expect(
      refusals(bundleOf(ec.fullchainPem + ec.privateKeyPem), {
        trust: { kind: 'private', roots: rootsFromPem(namesake.certificatePem) },
      }),
    ).toEqual(['chain-complete: root-differs'])
  })

  it('signed with SHA-1 is refused, the root excepted', async () => {
    expect(refusals(await issued({ hash: 'SHA-1' }))).toEqual(['signature-hash: weak-signature'])
    const old = await createAuthority({ commonName: 'Old Root', hash: 'SHA-1' })
    const leaf = await old.issue({ names: NAMES })
    expect(
      refusals(bundleOf(leaf.fullchainPem + leaf.privateKeyPem), {
        trust: { kind: 'private', roots: rootsFromPem(old.certificatePem) },
      }),
    ).toEqual([])
  })

  it('longer than a path length allows is refused', async () => {
    const second = await createAuthority({ commonName: 'Second', issuer: intermediate })
    const leaf = await second.issue({ names: NAMES })
    expect(refusals(bundleOf(leaf.fullchainPem + leaf.privateKeyPem))).toEqual(['path-length: too-long'])
  })

  it('whose links do not hold is refused even if a caller put it together', () => {
    const bundle = bundleOf(ec.fullchainPem + ec.privateKeyPem)
    const foreign = bundleOf(clientCa.certificatePem + clientCa.privateKeyPem).leaf
    expect(refusals({ ...bundle, chain: [foreign] })).toEqual([
      'chain-order: link-broken',
      'chain-complete: issuer-missing',
    ])
  })

  it('can end at any of the roots that Node carries', () => {
    expect(publicRoots().length).toBeGreaterThan(100)
    for (const certificate of publicRoots()) {
      const witness = new X509Certificate(certificate.pem)
      expect(certificate.fingerprint).toBe(witness.fingerprint256.replaceAll(':', '').toLowerCase())
      expect(certificate.notAfter).toEqual(new Date(witness.validTo))
    }
  })
})

describe('the names', () => {
  it.each([
    [['shop.example', 'WWW.Shop.Example.', '*.shop.example'], []],
    [['a.b.shop.example'], ['names-covered: name-not-covered']],
    [['other.example'], ['names-covered: name-not-covered']],
    [['*.www.shop.example'], ['names-covered: name-not-covered']],
    [['not a host'], ['names-covered: not-a-host-name']],
  ])('%j', async (domains, expected) => {
    expect(refusals(bundleOf(ec.fullchainPem + ec.privateKeyPem), { domains })).toEqual(expected)
  })

  it('do not include the common name', async () => {
    expect(refusals(await issued({ names: [], commonName: 'shop.example' }))).toEqual([
      'names-covered: no-names',
    ])
  })
})

describe('a downgrade', () => {
  const bundle = bundleOf(ec.fullchainPem + ec.privateKeyPem)
  const newer = {
    notBefore: new Date(ec.notBefore.getTime() + 1000),
    notAfter: new Date(ec.notAfter.getTime() + 1000),
    names: ['shop.example'],
  }
  const wider = { notBefore: new Date(0), notAfter: new Date(), names: ['shop.example', 'pay.example'] }
  it.each([
    ['to an older certificate', newer, ['no-downgrade: older']],
    ['to a narrower certificate', wider, ['no-downgrade: narrower']],
    ['to a wildcard for what was listed', { ...wider, names: ['www.shop.example'] }, []],
  ])('%s', (_, served, expected) => {
    expect(refusals(bundle, { served: [served] })).toEqual(expected)
    expect(refusals(bundle, { served: [served], allowDowngrade: true })).toEqual([])
  })

  const now = { notBefore: new Date(0), notAfter: new Date(), names: ['shop.example'] }
  const leafOnly = bundleOf(ec.certificatePem + ec.privateKeyPem)
  it.each([
    [
      'a leaf alone where intermediates are served',
      leafOnly,
      ['leaf', 'one', 'two'],
      ['no-downgrade: chain'],
    ],
    ['a leaf alone where a leaf alone is served', leafOnly, ['leaf'], []],
    ['a leaf alone where nobody knows what is served', leafOnly, undefined, []],
    ['a whole chain where a longer one is served', bundle, ['leaf', 'one', 'two'], []],
    [
      'a leaf with the root that signed it',
      { ...leafOnly, repairs: [{ code: 'dropped-root', message: '' }] },
      ['leaf', 'one'],
      [],
    ],
  ] as const)('%s', (_, what, chain, expected) => {
    const served = [{ ...now, ...(chain ? { chain } : {}) }]
    const any = { served, trust: readTrust('any') }
    expect(refusals(what as Bundle, any)).toEqual(expected)
    expect(refusals(what as Bundle, { ...any, allowDowngrade: true })).toEqual([])
  })
})

describe('the CA for client certificates', () => {
  it('is accepted if it is one, and refused if it is a leaf or has ended', () => {
    const bundle = bundleOf(ec.fullchainPem + ec.privateKeyPem)
    const withCa = (pem: string) => ({ ...bundle, trustedRootCa: rootsFromPem(pem) })
    expect(refusals(withCa(clientCa.certificatePem))).toEqual([])
    expect(refusals(withCa(rsa.certificatePem))).toEqual(['trusted-root-ca: not-usable'])
    const beyond = withCa(clientCa.certificatePem)
    expect(refusals(beyond, { at: new Date('2070-01-01') })).toContain('trusted-root-ca: not-usable')
  })
})

it('a precertificate is refused by name', async () => {
  const bundle = await issued({
    extensions: [new x509.Extension('1.3.6.1.4.1.11129.2.4.3', true, Buffer.of(5, 0))],
  })
  expect(refusals(bundle)).toEqual(['encoding: precertificate'])
})
