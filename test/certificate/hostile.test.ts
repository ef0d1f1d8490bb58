import { afterAll, describe, expect, it } from 'vitest'
import { createAuthority, x509 } from '../../emulator/authority.ts'
import type { UploadedObject } from '../../shared/certificate/bundle.ts'
import { inspectReport } from '../../shared/certificate/inspect-report.ts'
import { printable } from '../../shared/certificate/printable.ts'
import { renderInspect } from '../../shared/certificate/render-inspect.ts'
import { rootsFromPem } from '../../shared/certificate/trust.ts'
import { makeCorpus } from './corpus.ts'
import { object, openBench, opensslMissing, secret, shareOfLimit } from './tools.ts'

const { root, intermediate, ec, rsa } = await makeCorpus()
const bench = openBench()
afterAll(() => bench.remove())
const missing = opensslMissing()
if (missing !== undefined) console.log(`Hostile bundles made by openssl are left out: ${missing}`)

const options = {
  at: new Date(),
  domains: ['shop.example'],
  trust: { kind: 'private' as const, roots: rootsFromPem(root.certificatePem) },
  passwords: [secret('one'), secret('two'), secret('three')],
}
const inspect = (objects: UploadedObject[]) => inspectReport(objects, options)

/** One value of definite length around some content. */
function tlv(tag: number, content: Uint8Array): Buffer {
  const length = Buffer.from([
    0x84,
    content.length >>> 24,
    (content.length >> 16) & 255,
    (content.length >> 8) & 255,
    content.length & 255,
  ])
  return Buffer.concat([Buffer.of(tag), length, content])
}

function nested(tag: number, depth: number): Buffer {
  let inner: Buffer = Buffer.of(5, 0)
  for (let i = 0; i < depth; i++) inner = tlv(tag, inner)
  return inner
}

describe('a hostile upload costs no more than the limits allow and is refused', () => {
  const cases: [string, () => UploadedObject[]][] = [
    ['10,000 nested sequences', () => [object('a.p12', nested(0x30, 10_000))]],
    [
      '20,000 nested indefinite lengths',
      () => [
        object(
          'a.p12',
          Buffer.concat([Buffer.from('3080020103', 'hex'), Buffer.alloc(40_000, Buffer.from('3080', 'hex'))]),
        ),
      ],
    ],
    ['ten thousand BEGIN lines', () => [object('a.pem', '-----BEGIN CERTIFICATE-----\n'.repeat(9000))]],
    ['BEGIN without end, dashes only', () => [object('a.pem', '-----BEGIN '.repeat(20_000))]],
    [
      'a line of a quarter megabyte',
      () => [
        object('a.pem', `-----BEGIN CERTIFICATE-----\n${'A'.repeat(250_000)}\n-----END CERTIFICATE-----\n`),
      ],
    ],
    ['65 certificates', () => [object('a.pem', ec.certificatePem.repeat(65))]],
    [
      '64 objects with 17 keys each',
      () => Array.from({ length: 64 }, (_, i) => object(`${i}.pem`, rsa.privateKeyPem.repeat(17))),
    ],
    ['1,000 objects', () => Array.from({ length: 1000 }, (_, i) => object(`${i}.pem`, ec.certificatePem))],
    [
      '64 objects of the full size',
      () =>
        Array.from({ length: 64 }, (_, i) =>
          object(`${i}.pem`, `${ec.certificatePem}${'x'.repeat(250_000)}`),
        ),
    ],
  ]
  it.each(cases)('%s', (_, make) => {
    const objects = make()
    let report: ReturnType<typeof inspect> | undefined
    expect(shareOfLimit(() => (report = inspect(objects)))).toBeLessThan(2)
    expect(report?.verdict.decision).toBe('refuse')
  })

  it('64 namesakes that could all have signed one another', async () => {
    const crowd = await Promise.all(
      Array.from({ length: 62 }, () => createAuthority({ commonName: 'Namesake', subject: 'CN=Namesake' })),
    )
    const leaf = await crowd[0]!.issue({ names: ['shop.example'] })
    const objects = [
      object(
        'a.pem',
        leaf.certificatePem + crowd.map((one) => one.certificatePem).join('') + leaf.privateKeyPem,
      ),
    ]
    expect(shareOfLimit(() => inspect(objects))).toBeLessThan(2)
  })

  it('64 namesakes on a slow curve, none of them a CA', async () => {
    const one = await createAuthority({
      commonName: 'Namesake',
      key: 'P-384',
      extensions: [new x509.BasicConstraintsExtension(false)],
    })
    const crowd = await Promise.all(
      Array.from({ length: 63 }, () =>
        one.issue({ names: ['shop.example'], subject: 'CN=Namesake', key: 'P-384' }),
      ),
    )
    const objects = [object('a.pem', crowd.map((leaf) => leaf.certificatePem).join('') + one.certificatePem)]
    expect(shareOfLimit(() => inspect(objects))).toBeLessThan(2)
  })

  it.skipIf(missing)('key derivation of a billion rounds, in keys and in PKCS#12', () => {
    bench.write('leaf.pem', ec.certificatePem)
    bench.write('leaf.key', ec.privateKeyPem)
    const slow = (bytes: Buffer, rounds: number) => {
      // INTEGER 65,537 (as openssl was told) becomes the wanted number of the same length.
      const at = Buffer.from([2, 3, 1, 0, 1])
      const found = bytes.indexOf(at)
      expect(found).toBeGreaterThan(0)
      const changed = Buffer.from(bytes)
      changed.writeUIntBE(rounds, found + 2, 3)
      return changed
    }
    const key = bench.run(
      'pkcs8',
      '-topk8',
      '-iter',
      '65537',
      '-in',
      'leaf.key',
      '-outform',
      'DER',
      '-passout',
      'pass:x',
    )
    const p12 = bench.run(
      'pkcs12',
      '-export',
      '-iter',
      '65537',
      '-in',
      'leaf.pem',
      '-inkey',
      'leaf.key',
      '-passout',
      'pass:x',
    )
    const mac = bench.run(
      'pkcs12',
      '-export',
      '-nomac',
      '-iter',
      '65537',
      '-in',
      'leaf.pem',
      '-inkey',
      'leaf.key',
      '-passout',
      'pass:x',
    )
    for (const bytes of [slow(key, 0x7fffff), slow(p12, 0x7fffff), slow(mac, 0x7fffff)]) {
      const objects = [object('leaf.pem', ec.certificatePem), object('bundle.p12', bytes)]
      let report: ReturnType<typeof inspect> | undefined
      expect(shareOfLimit(() => (report = inspect(objects)))).toBeLessThan(2)
      expect(report?.verdict.decision).toBe('refuse')
    }
    // Just below the limit, with three wrong passwords: the most that can be had.
    for (const bytes of [key, p12]) {
      const objects = Array.from({ length: 8 }, (_, i) => object(`${i}.p12`, bytes))
      expect(shareOfLimit(() => inspect(objects))).toBeLessThan(2)
    }
  })
})

describe('nothing of a bundle reaches a person unescaped', () => {
  const evil = 'a\nERROR forged\r\x1b[2J\u202egnp.exe\u2028\u0000x'

  it('control, direction and line characters are written out, and long text is cut', () => {
    expect(printable(evil)).toBe('a\\u{a}ERROR forged\\u{d}\\u{1b}[2J\\u{202e}gnp.exe\\u{2028}\\u{0}x')
    expect(printable('x'.repeat(500))).toBe(`${'x'.repeat(120)}…`)
  })

  it('in the report, its JSON and on the terminal', async () => {
    const subject = [{ CN: [evil] }] as unknown as string
    const authority = await createAuthority({ commonName: 'Evil', subject })
    const leaf = await authority.issue({ names: ['shop.example'], subject })
    const objects = [
      object(`${evil}.pem`, leaf.fullchainPem + leaf.privateKeyPem),
      object('ca.crt', authority.certificatePem),
      object(`broken ${evil}.key`, 'nothing'),
      object(`${evil}.tmp`, 'nothing'),
    ]
    for (const some of [objects, objects.filter((one) => !one.name.startsWith('broken'))]) {
      const report = inspectReport(some, {
        ...options,
        domains: [evil],
        trust: { kind: 'public', roots: rootsFromPem(intermediate.certificatePem) },
      })
      const strings = JSON.stringify(report, (_, value) => {
        if (typeof value === 'string') expect(value).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
        return value
      })
      expect(strings).not.toContain('PRIVATE KEY')
      expect(renderInspect(report).replaceAll('\n', '')).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u)
    }
  })
})
