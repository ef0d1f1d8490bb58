import { gzipSync, strToU8, type Zippable, zipSync } from 'fflate'
import { describe, expect, it } from 'vitest'
import type { UploadedObject } from '../../shared/certificate/bundle.ts'
import { cutShort } from '../../shared/certificate/cut-short.ts'
import { examine } from '../../shared/certificate/found.ts'
import { readObjects } from '../../shared/certificate/read-objects.ts'
import { makeCorpus } from './corpus.ts'
import { object } from './tools.ts'

/** What people have instead of PEM files: ZIP archives are opened, the rest is told with the command that helps. */

const { ec } = await makeCorpus()
const pair = [object('fullchain.pem', ec.fullchainPem), object('privkey.pem', ec.privateKeyPem)]
const digestOf = (objects: UploadedObject[]) => {
  const reading = readObjects(objects)
  return reading.kind === 'complete' ? reading.bundle.digest : JSON.stringify(reading)
}

const bytes = (hex: string, length = 600) => Buffer.concat([Buffer.from(hex, 'hex'), Buffer.alloc(length, 1)])
const base64 = (text: string) => Buffer.from(text).toString('base64')
const tar = () => {
  const block = Buffer.alloc(1024)
  block.write('fullchain.pem')
  block.write('ustar', 257)
  return block
}
const secretYaml = `apiVersion: v1\nkind: Secret\ndata:\n  tls.crt: ${base64(ec.fullchainPem)}\n  tls.key: ${base64(ec.privateKeyPem)}\n`
const traefik = {
  le: { Certificates: [{ domain: { main: 'shop.example' }, certificate: base64(ec.fullchainPem) }] },
}
const vault = {
  data: { certificate: ec.certificatePem, ca_chain: [ec.chainPem], private_key: ec.privateKeyPem },
}

const foreign: [string, string, string | Uint8Array, string, RegExp][] = [
  [
    'a Java keystore',
    'shop.jks',
    bytes('feedfeed00000002'),
    'keystore',
    /keytool .*-srckeystore shop\.jks -dest.* PKCS12/,
  ],
  ['a JCEKS', 'shop.jceks', bytes('cececece00000002'), 'keystore', /-srcstoretype JCEKS/],
  ['a BKS', 'shop.bks', bytes('0000000200000014'), 'keystore', /-srcstoretype BKS/],
  ['a store of Windows', 'shop.sst', bytes('0000000043455254'), 'keystore', /Export-PfxCertificate/],
  ['a TAR', 'shop.tar', tar(), 'archive', /tar -xf shop\.tar/],
  ['a packed TAR', 'shop.tgz', gzipSync(tar()), 'archive', /tar -xzf shop\.tgz/],
  ['gzip', 'fullchain.pem.gz', gzipSync(strToU8(ec.fullchainPem)), 'archive', /gunzip fullchain\.pem\.gz/],
  [
    'a Secret in YAML',
    'secret.yaml',
    secretYaml,
    'document',
    /yq -r '\.data\["tls\.crt"\]' secret\.yaml \| base64 -d/,
  ],
  [
    "Traefik's JSON",
    'acme.json',
    JSON.stringify(traefik),
    'document',
    /jq .*\.Certificates\[\].* acme\.json/,
  ],
  [
    "Vault's JSON",
    'vault.json',
    JSON.stringify(vault),
    'document',
    /jq .*\.ca_chain\[\]' vault\.json > fullchain\.pem/,
  ],
  ['JSON under a name of PEM', 'bundle.pem', JSON.stringify({ cert: ec.fullchainPem }), 'document', /jq -r/],
]

describe.each(foreign)('%s', (_what, name, content, code, command) => {
  it('alone, or beside half a pair, is refused with the command that helps', () => {
    for (const beside of [[], pair.slice(0, 1), pair.slice(1)]) {
      const reading = readObjects([object(name, content), ...beside])
      expect(reading).toMatchObject({ kind: 'unreadable', problems: [{ code }] })
      expect(reading.kind === 'unreadable' && reading.problems[0]?.message).toMatch(command)
    }
  })

  it('beside a complete pair is left alone and named', () => {
    const reading = readObjects([object(name, content), ...pair])
    expect(digestOf([object(name, content), ...pair])).toBe(digestOf(pair))
    const message = expect.stringMatching(command)
    expect(reading).toMatchObject({ bundle: { repairs: [{ code: 'ignored-object', message }] } })
  })
})

it('a pair whose issuer is elsewhere is complete beside a keystore', () => {
  const bare = [object('a.crt', ec.certificatePem), object('a.key', ec.privateKeyPem)]
  expect(readObjects([object('shop.jks', bytes('feedfeed')), ...bare])).toMatchObject({ kind: 'complete' })
})

it.each([
  [
    'JSON that lego writes',
    'shop.example.json',
    '{"domain":"shop.example","certUrl":"https://ca.example/1"}',
  ],
  ['our own result', 'result.json', JSON.stringify({ fingerprint: 'ab'.repeat(32), sentence: 'rotated' })],
  ['YAML without a certificate', 'values.yaml', 'host: shop.example\n'],
])('%s is no reason to refuse what waits beside it, and is named', (_what, name, content) => {
  expect(readObjects([object(name, content), pair[0]!])).toMatchObject({
    kind: 'waiting',
    found: ['fullchain.pem'],
    ignored: [expect.stringContaining(name)],
  })
})

it('a command is never made of a name that a shell would read otherwise', () => {
  const reading = readObjects([object('$(reboot).jks', bytes('feedfeed'))])
  expect(reading.kind === 'unreadable' && reading.problems[0]?.message).toMatch(/-srckeystore FILE /)
})

describe('a ZIP archive', () => {
  const files = {
    'certificate.crt': strToU8(ec.certificatePem),
    'ca_bundle.crt': strToU8(ec.chainPem),
    'private.key': strToU8(ec.privateKeyPem),
  }
  const zip = (content: Zippable, name = 'shop.zip') => object(name, zipSync(content))

  it('is the same bundle as its files', () => {
    expect(digestOf([zip(files)])).toBe(digestOf(pair))
    expect(digestOf([zip({ 'a/': new Uint8Array(), a: files })])).toBe(digestOf(pair))
    // Stored, as some authorities' tools do.
    expect(digestOf([object('shop.zip', zipSync(files, { level: 0 }))])).toBe(digestOf(pair))
  })

  it('may have its key beside it', () => {
    const { 'private.key': _key, ...rest } = files
    expect(readObjects([zip(rest)])).toMatchObject({
      kind: 'waiting',
      missing: 'private key',
      found: ['shop.zip'],
    })
    expect(digestOf([zip(rest), pair[1]!])).toBe(digestOf(pair))
  })

  it('names what was left alone in it', () => {
    const reading = readObjects([
      zip({ ...files, 'Tomcat/server.jks': bytes('feedfeed'), 'howto.html': strToU8('<p>') }),
    ])
    expect(reading).toMatchObject({ kind: 'complete' })
    const said =
      reading.kind === 'complete' ? reading.bundle.repairs.map(({ message }) => message).join() : ''
    expect(said).toMatch(/shop\.zip: left alone in it: howto\.html/)
    expect(said).toMatch(/shop\.zip\/Tomcat\/server\.jks is a Java keystore/)
  })

  it('with nothing usable is left alone, and is no half of a pair', () => {
    expect(readObjects([zip({ 'a.html': strToU8('<p>') })])).toMatchObject({
      kind: 'waiting',
      found: [],
      ignored: [expect.stringMatching(/^shop\.zip \(is a ZIP archive without .* a\.html/)],
    })
  })

  const many = Object.fromEntries(Array.from({ length: 70 }, (_, i) => [`${i}.txt`, strToU8('x')]))
  const folders = Object.fromEntries(Array.from({ length: 300 }, (_, i) => [`${i}/`, new Uint8Array()]))
  /** Another size in its directory, at the offset of that field. */
  const lying = (field: 20 | 24, size: number) => {
    const whole = Buffer.from(zipSync(files))
    whole.writeUInt32LE(size, whole.indexOf(Buffer.from('504b0102', 'hex')) + field)
    return whole
  }
  it.each<[string, Uint8Array, RegExp]>([
    ['too many files', zipSync(many), /more than 64 files/],
    ['too many folders', zipSync(folders), /more than 256 entries/],
    ['too large a file', zipSync({ 'a.txt': new Uint8Array(300_000) }), /a file in it to more than 262144/],
    ['one that grows a thousand times', zipSync({ 'a.pem': new Uint8Array(200_000) }), /100 times its size/],
    ['a size that is a lie', lying(24, 2 ** 31), /unpacks to more than/],
    ['more than it has', lying(20, 2 ** 31), /claims more than it has|a file in it/],
    ['an archive in it', zipSync({ 'inner.zip': zipSync(files) }), /inner\.zip is an archive in an archive/],
    ['no end', zipSync(files).subarray(0, 900), /cannot be read/],
    ['a password', Buffer.from(zipSync(files)).fill(0x5a, 50, 400), /unpacked here .*may have a password/],
  ])('with %s is refused before it costs anything, and ignored beside a pair', (_what, content, says) => {
    const uploaded = object('bomb.zip', content)
    const reading = readObjects([uploaded])
    expect(reading).toMatchObject({ kind: 'unreadable', problems: [{ code: 'archive' }] })
    expect(reading.kind === 'unreadable' && reading.problems[0]?.message).toMatch(says)
    expect(digestOf([uploaded, ...pair])).toBe(digestOf(pair))
  })

  it('that inflates to more than it claims is paid for as if it did, and gives no more than it claims', () => {
    // 250 KB of zeros behind a claim of 200 bytes.
    const whole = Buffer.from(zipSync({ 'a.pem': new Uint8Array(250_000) }))
    whole.writeUInt32LE(200, whole.indexOf(Buffer.from('504b0102', 'hex')) + 24)
    const { work, objects } = examine([object('a.zip', whole)])
    expect(work.spent).toBeGreaterThan(250_000 / 80)
    expect(objects[0]?.certificates).toEqual([])
  })

  it('is waited for while it is being written', () => {
    const whole = zipSync(files)
    expect(cutShort(whole)).toBeUndefined()
    expect(cutShort(whole.subarray(0, whole.length - 22))).toBe('cut short')
  })
})

describe('PEM that went through something', () => {
  const read = (name: string, content: string | Uint8Array) =>
    digestOf([object(name, content), object('privkey.pem', ec.privateKeyPem)])

  it.each([
    ['line breaks as two characters', ec.fullchainPem.replaceAll('\n', '\\n')],
    ['spaces instead of line breaks', ec.fullchainPem.replaceAll('\n', ' ')],
    ['spaces before every line', ec.fullchainPem.replace(/^/gm, '    ')],
    ['UTF-16 with its mark', Buffer.from(`\ufeff${ec.fullchainPem}`, 'utf16le')],
  ])('is read: %s', (_what, content) => {
    expect(read('fullchain.pem', content)).toBe(digestOf(pair))
  })

  it.each([
    ['Base64 once more', base64(ec.fullchainPem), /base64 -d fullchain\.pem > decoded\.pem/],
    [
      'Base64 without a BEGIN line',
      ec.certificatePem.split('\n').slice(1, -2).join('\n'),
      /without a BEGIN line/,
    ],
    ['UTF-16 without its mark', Buffer.from(ec.fullchainPem, 'utf16le'), /iconv -f UTF-16LE/],
    ['zeros at its end', `${ec.fullchainPem}\0\0\0`, /copied while it was being written/],
  ])('is told with what helps: %s', (_what, content, says) => {
    expect(read('fullchain.pem', content)).toMatch(says)
  })
})
