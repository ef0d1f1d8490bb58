import fc from 'fast-check'
import { afterAll, describe, expect, it, vi } from 'vitest'
import { examine } from '../../shared/certificate/found.ts'
import { defaultLimits } from '../../shared/certificate/limits.ts'
import { makeCorpus } from './corpus.ts'
import { bytesOf, integer, oid, type Tree, treeOf } from './der-writer.ts'
import { object, openBench, opensslMissing, processorMs, secret } from './tools.ts'

/** What was really done, counted where it is done, in the same unit as the price: rounds of one hash or HMAC. */
const done = { rounds: 0, calls: 0, kinds: new Set<string>() }

vi.mock('node:crypto', async (original) => {
  const real = await original<typeof import('node:crypto')>()
  const sizes: Record<string, number> = { sha1: 20, sha224: 28, sha256: 32, sha384: 48, sha512: 64 }
  return {
    ...real,
    pbkdf2Sync: (...args: Parameters<typeof real.pbkdf2Sync>) => {
      done.rounds += args[2] * Math.ceil(args[3] / sizes[args[4]]!)
      return real.pbkdf2Sync(...args)
    },
    scryptSync: (...args: Parameters<typeof real.scryptSync>) => {
      const { N = 16384, r = 8, p = 1 } = args[3] ?? {}
      done.rounds += 2 * N * r * p
      return real.scryptSync(...args)
    },
    createPrivateKey: (...args: Parameters<typeof real.createPrivateKey>) => {
      done.calls++
      const key = real.createPrivateKey(...args)
      const { modulusLength = 0, namedCurve } = key.asymmetricKeyDetails ?? {}
      done.kinds.add(`${key.asymmetricKeyType} ${modulusLength > 8192 ? modulusLength : (namedCurve ?? '')}`)
      return key
    },
  }
})

vi.mock('../../shared/certificate/iterated-hash.ts', async (original) => {
  const real = await original<typeof import('../../shared/certificate/iterated-hash.ts')>()
  return {
    ...real,
    hashAgain: (algorithm: string, digest: Uint8Array, times: number) => {
      done.rounds += Math.max(0, times)
      return real.hashAgain(algorithm, digest, times)
    },
  }
})

/** Inputs; `FUZZ=20000` for a long run with fresh ones. */
const RUNS = Number(process.env.FUZZ ?? 400)
const SEED = process.env.FUZZ === undefined ? { seed: 10 } : {}

const { ec, rsa } = await makeCorpus()
const bench = openBench()
afterAll(() => bench.remove())
const missing = opensslMissing()
if (missing !== undefined) console.log(`The structured fuzzer is left out: ${missing}`)

/** Small enough that an input which mutation makes costly is costly by the mutation alone. */
function seeds(): [name: string, bytes: Buffer][] {
  bench.write('leaf.pem', ec.certificatePem)
  bench.write('leaf.key', ec.privateKeyPem)
  bench.write('rsa.key', rsa.privateKeyPem)
  const p12 = (...more: string[]) =>
    bench.run(
      'pkcs12',
      '-export',
      '-iter',
      '10',
      ...more,
      '-in',
      'leaf.pem',
      '-inkey',
      'leaf.key',
      '-passout',
      'pass:secret',
    )
  const pkcs8 = (...more: string[]) =>
    bench.run('pkcs8', '-topk8', '-in', 'leaf.key', '-outform', 'DER', '-passout', 'pass:secret', ...more)
  const pbes2 = p12()
  return [
    ['PKCS#12 with PBES2', pbes2],
    ['PKCS#12 with 3DES and RC2', p12('-legacy')],
    ['PKCS#12 with open bags', p12('-keypbe', 'NONE', '-certpbe', 'NONE')],
    ['PKCS#12 with PBMAC1', withPbmac1(pbes2)],
    ['PKCS#8 with PBKDF2', pkcs8('-iter', '10')],
    ['PKCS#8 with scrypt', pkcs8('-scrypt', '-scrypt_N', '16', '-scrypt_r', '1', '-scrypt_p', '1')],
    ['PKCS#8, EC', bench.run('pkey', '-in', 'leaf.key', '-outform', 'DER')],
    ['PKCS#8, RSA', bench.run('pkcs8', '-topk8', '-nocrypt', '-in', 'rsa.key', '-outform', 'DER')],
    ['PKCS#1', bench.run('rsa', '-traditional', '-in', 'rsa.key', '-outform', 'DER')],
    ['SEC1', bench.run('ec', '-in', 'leaf.key', '-outform', 'DER')],
    ['X.509', bench.run('x509', '-in', 'leaf.pem', '-outform', 'DER')],
  ]
}

/** OpenSSL writes PBMAC1 from 3.4 on only. */
function withPbmac1(p12: Buffer): Buffer {
  const tree = treeOf(p12) as { tag: number; children: Tree[] }
  const of = (tag: number, ...children: Tree[]): Tree => ({ tag, children })
  const leaf = (bytes: Buffer) => treeOf(bytes)!
  const hmac = () => of(0x30, leaf(oid('1.2.840.113549.2.9')))
  const salt = (length: number): Tree => ({ tag: 4, bytes: Buffer.alloc(length, 0xff) })
  const derivation = of(
    0x30,
    leaf(oid('1.2.840.113549.1.5.12')),
    of(0x30, salt(8), leaf(integer(10)), leaf(integer(32)), hmac()),
  )
  const algorithm = of(0x30, leaf(oid('1.2.840.113549.1.5.14')), of(0x30, derivation, hmac()))
  tree.children[2] = of(0x30, of(0x30, algorithm, salt(32)), salt(8), leaf(integer(1)))
  return bytesOf(tree)
}

const NUMBERS = [
  0,
  1,
  2,
  3,
  255,
  65_537,
  600_000,
  4_000_000,
  2 ** 24,
  2 ** 31 - 1,
  2 ** 32,
  2 ** 40,
  2 ** 53 - 1,
]
const OIDS = [
  ...[
    '1.2.840.113549.1.1.1',
    '1.2.840.113549.1.1.10',
    '1.2.840.10045.2.1',
    '1.2.840.10040.4.1',
    '1.2.840.113549.1.3.1',
  ],
  ...[
    '1.3.101.110',
    '1.3.101.112',
    '1.3.132.0.39',
    '1.2.840.10045.3.1.7',
    '1.3.132.0.35',
    '1.2.156.10197.1.301',
  ],
  ...['1.2.840.113549.1.5.12', '1.2.840.113549.1.5.13', '1.2.840.113549.1.5.14', '1.3.6.1.4.1.11591.4.11'],
  ...['1.2.840.113549.1.12.1.3', '1.2.840.113549.1.12.1.5', '1.2.840.113549.1.12.1.6', '1.2.840.113549.2.7'],
  ...[
    '1.2.840.113549.2.9',
    '1.2.840.113549.2.11',
    '1.3.14.3.2.26',
    '2.16.840.1.101.3.4.2.1',
    '2.16.840.1.101.3.4.2.3',
  ],
  ...[
    '1.2.840.113549.1.7.1',
    '1.2.840.113549.1.7.6',
    '1.2.840.113549.1.12.10.1.1',
    '1.2.840.113549.1.12.10.1.6',
  ],
]

const changes = fc.array(
  fc.record({
    at: fc.nat(),
    kind: fc.constantFrom('number', 'bytes', 'name', 'repeat', 'remove', 'exchange'),
    value: fc.nat(),
  }),
  { minLength: 1, maxLength: 4 },
)

/** Numbers, lengths, names and counts change; the frame around them stays well formed. */
function mutated(seed: Buffer, list: { at: number; kind: string; value: number }[]): Buffer {
  const tree = treeOf(seed)!
  for (const { at, kind, value } of list) {
    const nodes: { node: Tree; home: Tree[]; index: number }[] = []
    const visit = (node: Tree, home: Tree[], index: number) => {
      nodes.push({ node, home, index })
      if ('children' in node) for (const [i, child] of node.children.entries()) visit(child, node.children, i)
    }
    visit(tree, [tree], 0)
    const wanted = nodes.filter(({ node }) =>
      kind === 'number'
        ? node.tag === 2
        : kind === 'name'
          ? node.tag === 6
          : kind === 'bytes'
            ? 'bytes' in node
            : true,
    )
    const found = wanted[at % wanted.length]
    if (found === undefined) continue
    const { node, home, index } = found
    if (kind === 'number') home[index] = treeOf(integer(NUMBERS[value % NUMBERS.length]!))!
    else if (kind === 'name') home[index] = treeOf(oid(OIDS[value % OIDS.length]!))!
    else if (kind === 'bytes')
      home[index] = { tag: node.tag, bytes: Buffer.alloc([0, 1, 64, 1025, 30_000][value % 5]!, 0x7f) }
    else if (kind === 'repeat')
      home.splice(index, 0, ...Array<Tree>([1, 3, 30][value % 3]!).fill(structuredClone(node)))
    else if (kind === 'remove') home.splice(index, 1)
    else {
      const other = nodes[value % nodes.length]!.node
      home[index] = structuredClone(other)
    }
  }
  return bytesOf(tree)
}

describe(`${RUNS} inputs whose numbers, lengths, names and counts were changed`, () => {
  it.skipIf(missing)(
    'never cost more than was counted before, nor more than the limit, and show OpenSSL no other key',
    () => {
      const all = seeds()
      const passwords = [secret('wrong'), secret('secret')]
      const opened = all.filter(([, bytes]) => {
        const { objects } = examine([object('a.p12', bytes)], { passwords })
        return objects.some((one) => one.keys.length + one.certificates.length > 0)
      })
      // What is mutated is read as it is, but for the code over PBMAC1, which nobody computed.
      expect(opened).toHaveLength(all.length - 1)
      const most = { ms: 0, what: '', rounds: 0 }
      done.kinds.clear()
      fc.assert(
        fc.property(fc.constantFrom(...all), changes, ([name, bytes], list) => {
          const input = mutated(bytes, list)
          done.rounds = 0
          done.calls = 0
          let spent = 0
          const ms = processorMs(() => {
            spent = examine([object('a.p12', input)], { passwords }).work.spent
          })
          if (ms > most.ms) Object.assign(most, { ms, what: name, rounds: spent })
          expect(done.rounds).toBeLessThanOrEqual(spent)
          expect(spent).toBeLessThanOrEqual(defaultLimits.rounds)
          expect(done.calls).toBeLessThanOrEqual(defaultLimits.keys)
        }),
        { numRuns: RUNS, ...SEED },
      )
      for (const kind of done.kinds)
        expect(kind).toMatch(
          /^((rsa|rsa-pss|ed25519|ed448) |ec (prime256v1|prime192v1|secp\w+|brainpoolP(256|384|512)r1))$/,
        )
      console.log(
        `Structured fuzzing: the costliest of ${RUNS} took ${Math.round(most.ms)} ms of processor time (${most.what}, ${most.rounds} rounds counted)`,
      )
    },
    60_000 * Math.max(1, RUNS / 400),
  )
})
