import { generateKeyPairSync } from 'node:crypto'
import { createRequire } from 'node:module'
import { afterAll, beforeEach, describe, expect, it, vi } from 'vitest'
import type { UploadedObject } from '../../shared/certificate/bundle.ts'
import { examine } from '../../shared/certificate/found.ts'
import { inspectReport } from '../../shared/certificate/inspect-report.ts'
import { defaultLimits, judgingLimits } from '../../shared/certificate/limits.ts'
import { pemBlock } from '../../shared/certificate/pem.ts'
import { makeCorpus } from './corpus.ts'
import { bits, bytesOf, context, integer, nothing, octets, oid, sequence, tlv, treeOf } from './der-writer.ts'
import { object, openBench, opensslMissing, secret } from './tools.ts'

/** What OpenSSL was given, in the order of the calls. */
const calls: { name: string; work: number }[] = []

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof import('node:crypto')>()
  const noted =
    <A extends unknown[], R>(name: string, call: (...args: A) => R, work: (...args: A) => number) =>
    (...args: A): R => {
      calls.push({ name, work: work(...args) })
      return call(...args)
    }
  class X509Certificate extends real.X509Certificate {
    constructor(bytes: ConstructorParameters<typeof real.X509Certificate>[0]) {
      calls.push({ name: 'X509Certificate', work: 0 })
      super(bytes)
    }
  }
  return {
    ...real,
    X509Certificate,
    createPrivateKey: noted('createPrivateKey', real.createPrivateKey, () => 0),
    createPublicKey: noted('createPublicKey', real.createPublicKey, () => 0),
    verify: noted('verify', real.verify as (...args: unknown[]) => boolean, () => 0),
    pbkdf2Sync: noted(
      'pbkdf2Sync',
      real.pbkdf2Sync,
      (_, __, rounds, bytes) => rounds * Math.ceil(bytes / 64),
    ),
    scryptSync: noted('scryptSync', real.scryptSync, () => 0),
  }
})

const { root, ec, rsa } = await makeCorpus()
const bench = openBench()
afterAll(() => bench.remove())
const missing = opensslMissing()
if (missing !== undefined) console.log(`Bombs that need openssl are left out: ${missing}`)
beforeEach(() => void calls.splice(0))

const passwords = [secret('secret')]
const read = (...objects: UploadedObject[]) => examine(objects, { passwords })
const judge = (...objects: UploadedObject[]) =>
  inspectReport(objects, { passwords, at: new Date(), domains: ['shop.example'], trust: { kind: 'any' } })

const SHA256 = '2.16.840.1.101.3.4.2.1'
const DATA = '1.2.840.113549.1.7.1'
const algorithm = (name: string, ...parameters: Uint8Array[]) =>
  sequence(oid(name), ...(parameters.length > 0 ? parameters : [nothing()]))

interface MadePkcs12 {
  digest?: Uint8Array
  iterations?: number
  mac?: Uint8Array
  contents?: Uint8Array[]
}

/** A PKCS#12 as no tool writes it. */
function pkcs12({ digest = Buffer.alloc(32), iterations = 1, mac, contents = [] }: MadePkcs12): Buffer {
  const data = (bytes: Uint8Array) => sequence(oid(DATA), context(0, octets(bytes)))
  const safe = sequence(...contents.map(data))
  return sequence(
    integer(3),
    data(safe),
    mac ??
      sequence(sequence(algorithm(SHA256), octets(digest)), octets(Buffer.alloc(8)), integer(iterations)),
  )
}

const pkcs8 = (name: string, parameters: Uint8Array, key: Uint8Array) =>
  sequence(integer(0), sequence(oid(name), parameters), octets(key))
const RSA = '1.2.840.113549.1.1.1'
const EC = '1.2.840.10045.2.1'
const P256 = '1.2.840.10045.3.1.7'
const number = (bytes: number) => Buffer.alloc(bytes, 0x7f)
const rsaKey = (sizes: number[], version = 0) =>
  sequence(integer(version), ...sizes.map((n) => integer(number(n))))
const rsaOf = (n: number, e: Uint8Array, rest = n / 2) =>
  sequence(
    integer(0),
    integer(number(n)),
    integer(e),
    integer(number(n)),
    ...[1, 2, 3, 4, 5].map(() => integer(number(rest))),
  )
const E65537 = Buffer.from([1, 0, 1])
/** A curve over a number that is no prime, with a base point that has to be found by a square root (CVE-2022-0778). */
const explicitCurve = () =>
  sequence(
    integer(1),
    sequence(oid('1.2.840.10045.1.1'), integer(697n)),
    sequence(octets(Buffer.of(23)), octets(Buffer.of(1))),
    octets(Buffer.from([2, 0])),
    integer(41n),
  )

describe('a key that would keep OpenSSL busy never reaches it', () => {
  const keys: [string, Uint8Array, RegExp][] = [
    [
      'DSA with parameters of 16 KB',
      pkcs8(
        '1.2.840.10040.4.1',
        sequence(...[8000, 32, 7900].map((n) => integer(number(n)))),
        integer(number(7000)),
      ),
      /a DSA key/,
    ],
    [
      'Diffie-Hellman',
      pkcs8('1.2.840.113549.1.3.1', sequence(integer(number(8000)), integer(2)), integer(number(7000))),
      /Diffie-Hellman key/,
    ],
    [
      'X9.42 Diffie-Hellman',
      pkcs8('1.2.840.10046.2.1', sequence(integer(number(8000)), integer(2)), integer(number(7000))),
      /Diffie-Hellman key/,
    ],
    ['RSA of 8200 bits', pkcs8(RSA, nothing(), rsaOf(1026, E65537)), /8207 bits/],
    ['RSA of 8200 bits, PKCS#1', rsaOf(1026, E65537), /8207 bits/],
    ['RSA-PSS of 16,000 bits', pkcs8('1.2.840.113549.1.1.10', nothing(), rsaOf(2000, E65537)), /15999 bits/],
    [
      'RSA with an exponent of 2000 bits',
      pkcs8(RSA, nothing(), rsaOf(256, number(250))),
      /an exponent that nobody takes/,
    ],
    [
      'RSA with an exponent of 34 bits',
      pkcs8(RSA, nothing(), rsaOf(256, Buffer.from([2, 0, 0, 0, 1]))),
      /an exponent that nobody takes/,
    ],
    [
      'RSA with a secret of 100 KB',
      rsaKey([256, 3, 100_000, 128, 128, 128, 128, 128]),
      /longer than its size allows/,
    ],
    [
      'RSA with a prime of 100 KB',
      rsaKey([256, 3, 256, 128, 100_000, 128, 128, 128]),
      /longer than its size allows/,
    ],
    [
      'RSA with a CRT number as long as the modulus',
      rsaKey([256, 3, 256, 128, 128, 256, 128, 128]),
      /longer than its size allows/,
    ],
    ['RSA with more than two primes', rsaKey([256, 3, 256, 90, 90, 90, 90, 90], 1), /the nine numbers/],
    [
      'EC with its curve written out',
      pkcs8(EC, explicitCurve(), sequence(integer(1), octets(number(32)))),
      /writes its curve out/,
    ],
    [
      'EC with another curve written out inside',
      pkcs8(EC, oid(P256), sequence(integer(1), octets(number(32)), context(0, explicitCurve()))),
      /writes its curve out/,
    ],
    [
      'SM2 with a curve written out inside',
      pkcs8(
        EC,
        oid('1.2.156.10197.1.301'),
        sequence(integer(1), octets(number(32)), context(0, explicitCurve())),
      ),
      /writes its curve out/,
    ],
    [
      'SEC1 with its curve written out',
      sequence(integer(1), octets(number(32)), context(0, explicitCurve())),
      /writes its curve out/,
    ],
    ['SEC1 without a curve', sequence(integer(1), octets(number(32))), /which curve/],
    [
      'EC on a binary curve',
      pkcs8(EC, oid('1.3.132.0.39'), sequence(integer(1), octets(number(72)))),
      /a curve that nobody takes/,
    ],
    [
      'EC with a number of 100 KB',
      pkcs8(EC, oid(P256), sequence(integer(1), octets(number(100_000)))),
      /longer than its curve allows/,
    ],
    ['X25519', pkcs8('1.3.101.110', Buffer.alloc(0), octets(number(32))), /X25519 key/],
    ['something unknown', pkcs8('1.2.3.4', Buffer.alloc(0), octets(number(32))), /kind that is not known/],
  ]
  const encrypted = (der: Uint8Array) => {
    bench.write('bomb.der', Buffer.concat([der]))
    // `openssl enc` knows no PBES2, so the layer is written here around what it encrypted.
    const iv = '00'.repeat(16)
    const key = bench
      .run(
        'kdf',
        '-keylen',
        '16',
        '-kdfopt',
        'digest:SHA256',
        '-kdfopt',
        'pass:secret',
        '-kdfopt',
        'hexsalt:00',
        '-kdfopt',
        'iter:1',
        '-binary',
        'PBKDF2',
      )
      .toString('hex')
    const body = bench.run('enc', '-aes-128-cbc', '-K', key, '-iv', iv, '-in', 'bomb.der')
    const derivation = algorithm(
      '1.2.840.113549.1.5.12',
      sequence(octets(Buffer.of(0)), integer(1), algorithm('1.2.840.113549.2.9')),
    )
    const cipher = algorithm('2.16.840.1.101.3.4.1.2', octets(Buffer.alloc(16)))
    return sequence(algorithm('1.2.840.113549.1.5.13', sequence(derivation, cipher)), octets(body))
  }

  it.each(keys)('%s: in DER, in PEM, inside PKCS#12', (name, der, message) => {
    const isPkcs8 = !/SEC1|PKCS#1|RSA with a (secret|prime|CRT)|more than two/.test(name)
    const label = isPkcs8 ? 'PRIVATE KEY' : /SEC1/.test(name) ? 'EC PRIVATE KEY' : 'RSA PRIVATE KEY'
    const bag = sequence(oid('1.2.840.113549.1.12.10.1.1'), context(0, der))
    const found = [
      read(object('bomb.key', der)),
      read(object('bomb.pem', pemBlock(label, der))),
      ...(isPkcs8
        ? [
            read(
              object(
                'bomb.p12',
                sequence(
                  integer(3),
                  sequence(
                    oid(DATA),
                    context(0, octets(sequence(sequence(oid(DATA), context(0, octets(sequence(bag))))))),
                  ),
                ),
              ),
            ),
          ]
        : []),
      ...(isPkcs8 && missing === undefined ? [read(object('bomb.key', encrypted(der)))] : []),
    ]
    for (const { keyProblems, objects } of found) {
      expect(objects[0]!.keys).toEqual([])
      expect(keyProblems.map((problem) => problem.message).join()).toMatch(message)
    }
    expect(calls.filter((call) => call.name !== 'pbkdf2Sync')).toEqual([])
  })

  it('while ordinary keys do', () => {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048, publicExponent: 3 })
    const odd = privateKey.export({ format: 'pem', type: 'pkcs8' }) as string
    for (const pem of [ec.privateKeyPem, rsa.privateKeyPem, odd]) {
      expect(read(object('a.pem', pem)).objects[0]!.keys).toHaveLength(1)
    }
    expect(calls.some((call) => call.name === 'createPrivateKey')).toBe(true)
  })
})

describe('a certificate whose key would keep OpenSSL busy never reaches it', () => {
  const spki = (name: string, parameters: Uint8Array, key: Uint8Array) =>
    sequence(sequence(oid(name), parameters), bits(key))
  const keys: [string, Uint8Array, string][] = [
    [
      'DSA with parameters of 16 KB',
      spki(
        '1.2.840.10040.4.1',
        sequence(...[8000, 32, 7900].map((n) => integer(number(n)))),
        integer(number(7000)),
      ),
      'algorithm-not-supported',
    ],
    [
      'RSA of 16,384 bits',
      spki(RSA, nothing(), sequence(integer(number(2048)), integer(E65537))),
      'key-too-long',
    ],
    [
      'RSA with an exponent of 2000 bits',
      spki(RSA, nothing(), sequence(integer(Buffer.alloc(256, 0xff)), integer(number(250)))),
      'key-weak',
    ],
    ['EC with its curve written out', spki(EC, explicitCurve(), Buffer.from([2, 0])), 'curve-not-named'],
    ['EC on a binary curve', spki(EC, oid('1.3.132.0.39'), Buffer.alloc(145, 4)), 'curve-not-supported'],
  ]
  it.each(keys)('%s', (_, key, reason) => {
    // The subject public key info of a real leaf is replaced; who signed it does not matter here.
    const tree = treeOf(Buffer.from(ec.certificatePem.replace(/-----[^-]+-----|\s/g, ''), 'base64'))!
    if (!('children' in tree) || !('children' in tree.children[0]!)) throw new Error('no certificate')
    const body = tree.children[0].children
    const at = body.findIndex((part) => bytesOf(part).includes(oid(EC)))
    body[at] = treeOf(key)!
    const der = bytesOf(tree)
    const alone = judge(object('leaf.pem', pemBlock('CERTIFICATE', der)))
    expect(alone.checks.map((check) => check.facts?.reason)).toContain(reason)
    expect(calls).toEqual([])
    // Beside a good pair it is not asked about either.
    const objects = (more: string) => object('a.pem', ec.fullchainPem + ec.privateKeyPem + more)
    const withOrWithout = [pemBlock('CERTIFICATE', der), ''].map((more) => {
      calls.splice(0)
      judge(objects(more))
      return calls.filter((call) => /createPublicKey|X509/.test(call.name)).length
    })
    expect(withOrWithout[0]).toBe(withOrWithout[1])
  })
})

describe('work is counted before it is done', () => {
  const tooMuch = (found: ReturnType<typeof read>) => {
    expect([...found.problems, ...found.keyProblems].map((problem) => problem.code)).toContain(
      'too-much-work',
    )
    expect(found.work.spent).toBeLessThanOrEqual(defaultLimits.rounds)
    expect(calls.reduce((sum, call) => sum + call.work, 0)).toBeLessThanOrEqual(defaultLimits.rounds)
  }

  it('PKCS#12: as many bytes of an integrity code as the file claims', () => {
    const found = read(object('a.p12', pkcs12({ digest: Buffer.alloc(3000), iterations: 100_000 })))
    expect(found.problems[0]!.message).toContain('an integrity code of 3000 bytes where sha256 makes 32')
    expect(found.work.spent).toBeLessThan(20_000)
  })

  it('PKCS#12: iterations of the integrity code', () => {
    tooMuch(read(object('a.p12', pkcs12({ iterations: 5_000_000 }))))
    expect(read(object('a.p12', pkcs12({ iterations: 1000 }))).keyProblems[0]!.code).toBe('password-wrong')
  })

  it('PKCS#12: a salt of 200 KB, hashed and counted up', () => {
    const mac = sequence(
      sequence(algorithm(SHA256), octets(Buffer.alloc(32))),
      octets(Buffer.alloc(200_000)),
      integer(1),
    )
    expect(read(object('a.p12', pkcs12({ mac }))).work.spent).toBeGreaterThan((2 + 3 / 16) * 200_000)
  })

  it('PBMAC1: the bytes of key that the file claims', () => {
    const pbmac1 = (bytes: number, iterations: number) => {
      const derivation = algorithm(
        '1.2.840.113549.1.5.12',
        sequence(
          octets(Buffer.alloc(8)),
          integer(iterations),
          integer(bytes),
          algorithm('1.2.840.113549.2.9'),
        ),
      )
      const scheme = algorithm('1.2.840.113549.2.9')
      return sequence(
        sequence(algorithm('1.2.840.113549.1.5.14', sequence(derivation, scheme)), octets(Buffer.alloc(32))),
        octets(Buffer.alloc(8)),
        integer(1),
      )
    }
    const claimed = read(object('a.p12', pkcs12({ mac: pbmac1(1_000_000, 10_000) })))
    expect(claimed.problems[0]!.message).toContain('derives a key of 1000000 bytes')
    expect(calls).toEqual([])
    tooMuch(read(object('a.p12', pkcs12({ mac: pbmac1(64, 1_200_000) }))))
    // Two blocks of SHA-256 cost twice the rounds.
    const before = read(object('a.p12', pkcs12({ mac: pbmac1(32, 100_000) }))).work.spent
    expect(read(object('a.p12', pkcs12({ mac: pbmac1(64, 100_000) }))).work.spent - before).toBeCloseTo(
      200_000,
      -3,
    )
  })

  it('scrypt: cost, block size and parallelism, each and together', () => {
    const key = (...numbers: number[]) =>
      sequence(
        algorithm(
          '1.2.840.113549.1.5.13',
          sequence(
            algorithm('1.3.6.1.4.1.11591.4.11', sequence(octets(Buffer.alloc(8)), ...numbers.map(integer))),
            algorithm('2.16.840.1.101.3.4.1.2', octets(Buffer.alloc(16))),
          ),
        ),
        octets(Buffer.alloc(32)),
      )
    for (const [N, r, p] of [
      [2 ** 22, 8, 1],
      [2, 1, 2 ** 22],
      [2, 2 ** 22, 1],
      [2 ** 10, 64, 64],
      [2 ** 40, 2 ** 40, 2 ** 40],
    ] as const) {
      calls.splice(0)
      tooMuch(read(object('a.key', key(N, r, p))))
      expect(calls).toEqual([])
    }
    expect(read(object('a.key', key(2 ** 14))).keyProblems[0]!.code).toBe('key-unreadable')
    expect(calls).toEqual([])
    expect(read(object('a.key', key(2 ** 14, 8, 1))).keyProblems[0]!.code).toBe('password-wrong')
  })

  it('one budget for a folder, however many objects share it, and every password costs', () => {
    const objects = Array.from({ length: 64 }, (_, i) => object(`${i}.p12`, pkcs12({ iterations: 20_000 })))
    const found = examine(objects, { passwords, limits: { rounds: 450_000 } })
    expect(found.work.spent).toBeLessThanOrEqual(450_000)
    expect(found.keyProblems.filter((problem) => problem.code === 'password-wrong')).toHaveLength(7)
    const all = [...found.problems, ...found.keyProblems]
    expect(all.filter((problem) => problem.code === 'too-much-work')).toHaveLength(57)
  })

  it('the same on every machine: nothing looks at a clock', () => {
    const spent = () => read(object('a.p12', pkcs12({ iterations: 5000 }))).work.spent
    const first = spent()
    vi.spyOn(performance, 'now').mockReturnValue(1e12)
    expect(spent()).toBe(first)
    vi.restoreAllMocks()
  })

  it('a container of nothing but headers', () => {
    const small = Buffer.alloc(240_000, Buffer.from([5, 0]))
    for (const bytes of [
      sequence(integer(3), sequence(small)),
      sequence(oid('1.2.840.113549.1.7.2'), context(0, sequence(small))),
    ])
      expect(judge(object('a.p12', bytes)).verdict.decision).toBe('refuse')
  })

  it('a certificate larger than any', () => {
    const name = (i: number) => tlv(0x82, Buffer.from(`a${i}.shop.example`))
    const names = Array.from({ length: 5000 }, (_, i) => name(i))
    const tree = treeOf(Buffer.from(ec.certificatePem.replace(/-----[^-]+-----|\s/g, ''), 'base64'))!
    const der = bytesOf(tree)
    const san = octets(
      sequence(tlv(0x82, Buffer.from('shop.example')), tlv(0x82, Buffer.from('*.shop.example'))),
    )
    expect(der.includes(san)).toBe(true)
    const large = treeOf(der)!
    const replace = (node: typeof tree): typeof tree =>
      bytesOf(node).equals(san)
        ? treeOf(octets(sequence(...names)))!
        : 'children' in node
          ? { ...node, children: node.children.map(replace) }
          : node
    const found = read(object('a.crt', bytesOf(replace(large))))
    expect(found.problems[0]!.code).toBe('too-much-work')
    expect(found.problems[0]!.message).toMatch(/a certificate of \d+ bytes where at most 65536/)
  })

  it('a crowd of namesakes on slow curves, asked about each pair once', async () => {
    expect(judgingLimits.rounds).toBeLessThanOrEqual(defaultLimits.rounds / 8)
    const objects = [object('a.pem', ec.fullchainPem + root.certificatePem + ec.privateKeyPem)]
    judge(...objects)
    // Leaf by intermediate, intermediate by root, root by itself: while reading, and again while judging.
    expect(calls.filter((call) => call.name === 'verify').length).toBeLessThanOrEqual(7)
  })
})

describe('what people legitimately have is opened', () => {
  const forge = createRequire(import.meta.url)('node-forge') as typeof import('node-forge')

  it.each([
    ['no password at all', null],
    ['the empty password', ''],
  ] as const)('PKCS#12 of node-forge with %s', (_, password) => {
    const asn1 = forge.pkcs12.toPkcs12Asn1(
      forge.pki.privateKeyFromPem(rsa.privateKeyPem),
      [forge.pki.certificateFromPem(rsa.certificatePem)],
      password as string,
      { algorithm: '3des' },
    )
    const bytes = Buffer.from(forge.asn1.toDer(asn1).getBytes(), 'binary')
    const found = read(object('a.pfx', bytes))
    expect(found.keyProblems).toEqual([])
    expect(found.objects[0]!.keys).toHaveLength(1)
    expect(found.objects[0]!.certificates).toHaveLength(1)
  })

  it.skipIf(missing)('PKCS#12 with 600,000 iterations, the right password tried second', () => {
    bench.write('leaf.pem', ec.certificatePem)
    bench.write('leaf.key', ec.privateKeyPem)
    const bytes = bench.run(
      'pkcs12',
      '-export',
      '-iter',
      '600000',
      '-in',
      'leaf.pem',
      '-inkey',
      'leaf.key',
      '-passout',
      'pass:secret',
    )
    const found = examine([object('a.p12', bytes)], { passwords: [secret('other'), secret('secret')] })
    expect(found.objects[0]!.keys).toHaveLength(1)
    expect(found.work.spent).toBeGreaterThan(2_400_000)
    // Both halves may be needed once more: with neither password, the empty one and none the limit still holds.
    expect(found.work.spent + 1_200_000).toBeLessThan(defaultLimits.rounds)
  })

  it.skipIf(missing)('keys in the old encryption of PEM, and not with a wrong password', () => {
    bench.write('leaf.key', rsa.privateKeyPem)
    for (const cipher of ['-aes128', '-aes192', '-aes256', '-des3']) {
      const pem = bench.run('rsa', '-traditional', cipher, '-in', 'leaf.key', '-passout', 'pass:secret')
      expect(pem.toString()).toContain('DEK-Info')
      expect(read(object('a.key', pem)).objects[0]!.keys).toHaveLength(1)
      const wrong = examine([object('a.key', pem)], { passwords: [secret('wrong')] })
      expect(wrong.keyProblems[0]!.code).toBe('password-wrong')
    }
  })
})
