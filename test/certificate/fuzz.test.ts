import { createPrivateKey, sign } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, describe, expect, it } from 'vitest'
import type { UploadedObject } from '../../shared/certificate/bundle.ts'
import { childrenOf, readDer } from '../../shared/certificate/der.ts'
import { inspectReport } from '../../shared/certificate/inspect-report.ts'
import { pemBlock } from '../../shared/certificate/pem.ts'
import { rootsFromPem } from '../../shared/certificate/trust.ts'
import { makeCorpus } from './corpus.ts'
import { object, openBench, opensslMissing, secret, shareOfLimit } from './tools.ts'

/** Inputs of random bytes; a quarter as many of each kind that is costly. `FUZZ=100000` for a long run. */
const RUNS = Number(process.env.FUZZ ?? 1600)
const COSTLY_RUNS = Math.ceil(RUNS / 4)
/** The same inputs in every normal run, fresh ones in a long run: a find belongs to the one who looks for it. */
const SEED = process.env.FUZZ === undefined ? { seed: 4 } : {}
const MINUTES = 60_000 * Math.max(1, RUNS / 2000)

const { root, intermediate, ec, rsa } = await makeCorpus()
const bench = openBench()
afterAll(() => bench.remove())
const missing = opensslMissing()
if (missing !== undefined) console.log(`What the fuzzer got accepted is not shown to openssl: ${missing}`)

const trust = { kind: 'private' as const, roots: rootsFromPem(root.certificatePem) }
const options = { at: new Date(), domains: ['shop.example'], trust, passwords: [secret('pass')] }

const binary = (pem: string) => Buffer.from(pem.replace(/-----[^-]+-----|\s/g, ''), 'base64')

/** What happens to some bytes: single ones changed, removed, doubled, a stretch copied elsewhere, the end cut off. */
const mutations = fc.array(
  fc.record({
    kind: fc.constantFrom('flip', 'set', 'remove', 'double', 'copy', 'cut'),
    at: fc.nat(),
    to: fc.nat(),
    value: fc.nat(255),
  }),
  { minLength: 1, maxLength: 4 },
)

type Mutation = typeof mutations extends fc.Arbitrary<infer T> ? T : never

function mutated(bytes: Buffer, changes: Mutation): Buffer {
  let result = Buffer.from(bytes)
  for (const { kind, at, to, value } of changes) {
    if (result.length === 0) return result
    const i = at % result.length
    const j = to % result.length
    if (kind === 'flip') result[i]! ^= 1 << (value % 8)
    else if (kind === 'set') result[i] = value
    else if (kind === 'remove')
      result = Buffer.concat([result.subarray(0, i), result.subarray(i + 1 + (value % 4))])
    else if (kind === 'double')
      result = Buffer.concat([
        result.subarray(0, i),
        result.subarray(i, i + 1 + (value % 8)),
        result.subarray(i),
      ])
    else if (kind === 'copy') result.copy(result, i, j, Math.min(result.length, j + 1 + (value % 16)))
    else result = result.subarray(0, Math.max(1, result.length - (value % 32)))
  }
  return result
}

/** Reads and judges; whatever comes in, nothing is thrown. True if it would be put into service. */
function survive(objects: UploadedObject[]): boolean {
  const { bundle, verdict } = inspectReport(objects, options)
  expect(['accept', 'refuse']).toContain(verdict.decision)
  return verdict.decision === 'accept' && bundle?.privateKey === true
}

describe(`${2 * RUNS + 3 * COSTLY_RUNS} inputs crash nothing`, () => {
  it(
    'random bytes',
    () => {
      fc.assert(
        fc.property(
          fc.uint8Array({ maxLength: 400 }),
          fc.constantFrom('a.pem', 'a.p12', 'a', 'ca.crt'),
          (bytes, name) => {
            expect(survive([object(name, bytes)])).toBe(false)
          },
        ),
        { numRuns: RUNS, ...SEED },
      )
    },
    MINUTES,
  )

  it(
    'random bytes that begin as DER',
    () => {
      const heads = [
        '3082',
        '30820100',
        '308002010330',
        '3080',
        '30030201',
        '30820200308201f0a003020102',
        '3081ff020103',
      ].map((hex) => Buffer.from(hex, 'hex'))
      fc.assert(
        fc.property(fc.constantFrom(...heads), fc.uint8Array({ maxLength: 600 }), (head, bytes) => {
          expect(survive([object('a.p12', Buffer.concat([head, bytes]))])).toBe(false)
        }),
        { numRuns: RUNS, ...SEED },
      )
    },
    MINUTES,
  )

  it(
    'mutations of PEM text',
    () => {
      const texts = [ec.fullchainPem + ec.privateKeyPem, rsa.fullchainPem + rsa.privateKeyPem].map((text) =>
        Buffer.from(text),
      )
      fc.assert(
        fc.property(
          fc.constantFrom(...texts),
          mutations,
          (text, changes) => void survive([object('a.pem', mutated(text, changes))]),
        ),
        { numRuns: COSTLY_RUNS, ...SEED },
      )
    },
    MINUTES,
  )

  it.skipIf(missing)(
    'mutations of PKCS#12, PKCS#7 and encrypted keys',
    () => {
      bench.write('leaf.pem', ec.certificatePem)
      bench.write('leaf.key', ec.privateKeyPem)
      const containers = [
        bench.run(
          'pkcs12',
          '-export',
          '-iter',
          '10',
          '-in',
          'leaf.pem',
          '-inkey',
          'leaf.key',
          '-passout',
          'pass:pass',
        ),
        bench.run(
          'pkcs12',
          '-export',
          '-legacy',
          '-nomac',
          '-iter',
          '10',
          '-in',
          'leaf.pem',
          '-inkey',
          'leaf.key',
          '-passout',
          'pass:pass',
        ),
        bench.run('crl2pkcs7', '-nocrl', '-certfile', 'leaf.pem', '-outform', 'DER'),
        bench.run(
          'pkcs8',
          '-topk8',
          '-iter',
          '10',
          '-in',
          'leaf.key',
          '-outform',
          'DER',
          '-passout',
          'pass:pass',
        ),
      ]
      fc.assert(
        fc.property(fc.constantFrom(...containers), mutations, (bytes, changes) => {
          survive([object('a.p12', mutated(bytes, changes)), object('chain.pem', ec.chainPem)])
        }),
        { numRuns: COSTLY_RUNS, ...SEED },
      )
    },
    MINUTES,
  )

  it(
    'no accepted certificate, mutated and signed again by its CA, is one that openssl verify refuses',
    () => {
      const issuerKey = createPrivateKey(intermediate.privateKeyPem)
      const [tbs, algorithm] = childrenOf(readDer(binary(ec.certificatePem)))
      const accepted = new Map<string, string>()
      let slowest = 0
      fc.assert(
        fc.property(mutations, (changes) => {
          const body = mutated(Buffer.from(tbs!.raw), changes)
          const signature = sign('sha256', body, issuerKey)
          const leaf = pemBlock('CERTIFICATE', sequence(body, algorithm!.raw, bitString(signature)))
          slowest = Math.max(
            slowest,
            shareOfLimit(
              () =>
                survive([object('a.pem', leaf + ec.chainPem + ec.privateKeyPem)]) && accepted.set(leaf, leaf),
            ),
          )
        }),
        { numRuns: COSTLY_RUNS, ...SEED },
      )
      expect(slowest).toBeLessThan(2)
      expect(accepted.size).toBeGreaterThan(COSTLY_RUNS / 200)
      console.log(
        `Fuzzing: ${accepted.size} of ${COSTLY_RUNS} mutated certificates accepted${missing === undefined ? '' : ', not shown to openssl'}`,
      )
      if (missing !== undefined) return
      bench.write('root.pem', root.certificatePem)
      bench.write('chain.pem', ec.chainPem)
      const names = [...accepted.values()]
        .slice(0, 5000)
        .map((pem, i) => bench.write(`accepted-${i}.pem`, pem))
      for (let i = 0; i < names.length; i += 500) {
        const { text } = bench.attempt(
          'verify',
          '-purpose',
          'sslserver',
          '-CAfile',
          'root.pem',
          '-untrusted',
          'chain.pem',
          '-attime',
          String(Math.floor(options.at.getTime() / 1000)),
          '-verify_hostname',
          'shop.example',
          ...names.slice(i, i + 500),
        )
        for (const name of names.slice(i, i + 500))
          expect(
            text.includes(`${name}: OK`)
              ? 'OK'
              : `${text.split('\n').filter((line) => /error/.test(line))} ${bench.read(name)}`,
          ).toBe('OK')
      }
    },
    MINUTES,
  )
})

function sequence(...parts: Uint8Array[]): Buffer {
  return wrapped(0x30, Buffer.concat(parts))
}

function bitString(bytes: Uint8Array): Buffer {
  return wrapped(3, Buffer.concat([Buffer.of(0), bytes]))
}

function wrapped(tag: number, content: Buffer): Buffer {
  const { length } = content
  const header =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(header), content])
}
