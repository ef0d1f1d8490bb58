import { type Authority, createAuthority, type Issued } from '../../emulator/authority.ts'
import type { UploadedObject } from '../../shared/certificate/bundle.ts'
import { type Bench, object } from './tools.ts'

/** One hierarchy and two leafs (RSA, ECDSA) for the same names, from which every layout is made. */
export interface Corpus {
  root: Authority
  intermediate: Authority
  clientCa: Authority
  rsa: Issued
  ec: Issued
}

export const NAMES = ['shop.example', '*.shop.example']

export async function makeCorpus(): Promise<Corpus> {
  const root = await createAuthority({ commonName: 'Test Root' })
  const intermediate = await createAuthority({ commonName: 'Test Intermediate', issuer: root, pathLength: 0 })
  const clientCa = await createAuthority({ commonName: 'Client CA' })
  return {
    root,
    intermediate,
    clientCa,
    rsa: await intermediate.issue({ names: NAMES, key: 'RSA-2048' }),
    ec: await intermediate.issue({ names: NAMES }),
  }
}

/** One way in which a bundle can arrive, and what has to come out. */
export interface Layout {
  tool: string
  objects: UploadedObject[]
  passwords?: string[]
  key: 'RSA' | 'ECC'
  intermediates: number
  clientCa?: boolean
  repairs?: string[]
}

/** Layouts by the names their tools give, without any conversion. */
export function plainLayouts({ root, intermediate, clientCa, rsa, ec }: Corpus): Layout[] {
  const crlf = (text: string) => text.replaceAll('\n', '\r\n')
  const utf16 = (text: string) => Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(text, 'utf16le')])
  const one = { key: 'ECC', intermediates: 1 } as const
  return [
    { ...one, tool: 'combined PEM', objects: [object('all.pem', ec.fullchainPem + ec.privateKeyPem)] },
    {
      ...one,
      tool: 'combined PEM, key first',
      objects: [object('all.pem', ec.privateKeyPem + ec.fullchainPem)],
    },
    {
      ...one,
      tool: 'certbot: fullchain.pem, privkey.pem',
      objects: [object('fullchain.pem', ec.fullchainPem), object('privkey.pem', ec.privateKeyPem)],
    },
    {
      ...one,
      tool: 'certbot: all four',
      objects: [
        object('cert.pem', ec.certificatePem),
        object('chain.pem', ec.chainPem),
        object('fullchain.pem', ec.fullchainPem),
        object('privkey.pem', ec.privateKeyPem),
        object('README', 'This directory contains your keys and certificates.'),
      ],
      repairs: ['dropped-duplicate', 'ignored-object'],
    },
    {
      ...one,
      tool: 'acme.sh: <domain>.cer, ca.cer, fullchain.cer, <domain>.key',
      objects: [
        object('shop.example.cer', ec.certificatePem),
        object('ca.cer', ec.chainPem),
        object('fullchain.cer', ec.fullchainPem),
        object('shop.example.key', ec.privateKeyPem),
        object('shop.example.conf', "Le_Domain='shop.example'"),
      ],
      repairs: ['dropped-duplicate', 'ignored-object'],
    },
    {
      ...one,
      tool: 'lego: .crt, .issuer.crt, .key, .json',
      objects: [
        object('shop.example.crt', ec.fullchainPem),
        object('shop.example.issuer.crt', ec.chainPem),
        object('shop.example.json', '{"domain":"shop.example"}'),
        object('shop.example.key', ec.privateKeyPem),
      ],
      repairs: ['dropped-duplicate', 'ignored-object'],
    },
    {
      ...one,
      tool: 'Kubernetes: tls.crt, tls.key',
      objects: [object('tls.crt', ec.fullchainPem), object('tls.key', ec.privateKeyPem)],
    },
    {
      ...one,
      tool: 'Kubernetes with its own issuer as ca.crt',
      objects: [
        object('tls.crt', ec.fullchainPem),
        object('tls.key', ec.privateKeyPem),
        object('ca.crt', root.certificatePem),
      ],
      repairs: ['dropped-root', 'ca-crt-is-issuer'],
    },
    {
      ...one,
      tool: 'Kubernetes: the intermediate only in ca.crt',
      objects: [
        object('tls.crt', ec.certificatePem),
        object('tls.key', ec.privateKeyPem),
        object('ca.crt', intermediate.certificatePem),
      ],
      repairs: ['ca-crt-is-issuer'],
    },
    {
      ...one,
      tool: 'a CA for client certificates as ca.crt',
      objects: [
        object('tls.crt', ec.fullchainPem),
        object('tls.key', ec.privateKeyPem),
        object('ca.crt', clientCa.certificatePem),
      ],
      clientCa: true,
    },
    {
      ...one,
      tool: 'a CA for client certificates as trusted-root-ca.pem',
      objects: [
        object('fullchain.pem', ec.fullchainPem),
        object('privkey.pem', ec.privateKeyPem),
        object('trusted-root-ca.pem', clientCa.certificatePem),
      ],
      clientCa: true,
    },
    { ...one, tool: 'CRLF', objects: [object('all.pem', crlf(ec.fullchainPem + ec.privateKeyPem))] },
    { ...one, tool: 'BOM', objects: [object('all.pem', `\ufeff${ec.fullchainPem}${ec.privateKeyPem}`)] },
    {
      ...one,
      tool: 'UTF-16 of PowerShell',
      objects: [object('all.pem', utf16(ec.fullchainPem + ec.privateKeyPem))],
    },
    {
      ...one,
      tool: 'no line break at the end, blank lines, indented',
      objects: [
        object('all.pem', `\n\n${(ec.fullchainPem + ec.privateKeyPem).trim().replaceAll('\n', '\n  ')}`),
      ],
    },
    {
      ...one,
      tool: 'chain upside down, root and duplicates included',
      objects: [
        object(
          'all.pem',
          root.certificatePem +
            intermediate.certificatePem +
            ec.certificatePem +
            ec.certificatePem +
            ec.privateKeyPem,
        ),
      ],
      repairs: ['dropped-duplicate', 'dropped-root', 'reordered-chain'],
    },
    {
      ...one,
      tool: 'an unrelated CA in the chain',
      objects: [object('all.pem', ec.fullchainPem + clientCa.certificatePem + ec.privateKeyPem)],
      repairs: ['dropped-unrelated'],
    },
    {
      ...one,
      tool: 'temporary names beside it',
      objects: [
        object('all.pem', ec.fullchainPem + ec.privateKeyPem),
        object('fullchain.pem.part', rsa.fullchainPem.slice(0, 300)),
        object('all.pem~', 'x'),
        object('upload.tmp', 'x'),
        object('.all.pem.swp', 'x'),
      ],
      repairs: ['ignored-object', 'ignored-object', 'ignored-object', 'ignored-object'],
    },
    {
      tool: 'RSA, PKCS#8',
      key: 'RSA',
      intermediates: 1,
      objects: [object('all.pem', rsa.fullchainPem + rsa.privateKeyPem)],
    },
  ]
}

/** The same through openssl's conversions. */
export function opensslLayouts(corpus: Corpus, bench: Bench): Layout[] {
  const { rsa, ec, root, intermediate } = corpus
  for (const [name, leaf] of [
    ['rsa', rsa],
    ['ec', ec],
  ] as const) {
    bench.write(`${name}.pem`, leaf.certificatePem)
    bench.write(`${name}.key`, leaf.privateKeyPem)
    bench.write(`${name}-full.pem`, leaf.fullchainPem)
  }
  bench.write('chain.pem', ec.chainPem)
  bench.write('root.pem', root.certificatePem)
  bench.write('ca.pem', intermediate.certificatePem)
  const layouts: Layout[] = []
  const add = (tool: string, key: Layout['key'], objects: UploadedObject[], more: Partial<Layout> = {}) =>
    layouts.push({ tool, key, intermediates: 1, objects, ...more })
  const full = (name: 'rsa' | 'ec') => object('fullchain.pem', corpus[name].fullchainPem)
  const kind = { rsa: 'RSA', ec: 'ECC' } as const
  const password = { passwords: ['wrong first', 'open sesame'] }
  const pass = ['-passout', 'pass:open sesame']

  for (const name of ['rsa', 'ec'] as const) {
    const convert = (...args: string[]) => bench.run(...args)
    const key = `${name}.key`
    const old = name === 'rsa' ? 'rsa' : 'ec'
    add(`${old === 'rsa' ? 'PKCS#1' : 'SEC1'} key`, kind[name], [
      full(name),
      object('a.key', convert(old, '-in', key, ...(old === 'rsa' ? ['-traditional'] : []))),
    ])
    add(`${name}: key in DER, PKCS#8`, kind[name], [
      full(name),
      object('a.key', convert('pkcs8', '-topk8', '-nocrypt', '-in', key, '-outform', 'DER')),
    ])
    add(`${name}: key in DER, old form`, kind[name], [
      full(name),
      object(
        'a.key',
        convert(old, '-in', key, '-outform', 'DER', ...(old === 'rsa' ? ['-traditional'] : [])),
      ),
    ])
    for (const cipher of ['aes-256-cbc', 'aes-128-cbc', 'des-ede3-cbc'])
      add(
        `${name}: encrypted PKCS#8, PBES2 ${cipher}`,
        kind[name],
        [full(name), object('a.key', convert('pkcs8', '-topk8', '-v2', cipher, '-in', key, ...pass))],
        password,
      )
    add(
      `${name}: encrypted PKCS#8, scrypt`,
      kind[name],
      [full(name), object('a.key', convert('pkcs8', '-topk8', '-scrypt', '-in', key, ...pass))],
      password,
    )
    add(
      `${name}: encrypted PKCS#8, PBE-SHA1-3DES`,
      kind[name],
      [full(name), object('a.key', convert('pkcs8', '-topk8', '-v1', 'PBE-SHA1-3DES', '-in', key, ...pass))],
      password,
    )
    add(
      `${name}: encrypted PKCS#8 in DER`,
      kind[name],
      [full(name), object('a.key', convert('pkcs8', '-topk8', '-outform', 'DER', '-in', key, ...pass))],
      password,
    )
    for (const cipher of ['-aes256', '-des3'])
      add(
        `${name}: old OpenSSL encryption ${cipher}`,
        kind[name],
        [
          full(name),
          object(
            'a.key',
            convert(old, '-in', key, cipher, ...pass, ...(old === 'rsa' ? ['-traditional'] : [])),
          ),
        ],
        password,
      )
    const export12 = (...more: string[]) =>
      convert('pkcs12', '-export', '-in', `${name}.pem`, '-inkey', key, '-certfile', 'chain.pem', ...more)
    add(`${name}: PKCS#12 by OpenSSL 3`, kind[name], [object('bundle.p12', export12(...pass))], password)
    add(
      `${name}: PKCS#12 legacy (RC2, 3DES)`,
      kind[name],
      [object('bundle.pfx', export12('-legacy', ...pass))],
      password,
    )
    add(
      `${name}: PKCS#12 with 3DES for both`,
      kind[name],
      [object('bundle.pfx', export12('-legacy', '-certpbe', 'PBE-SHA1-3DES', ...pass))],
      password,
    )
    add(
      `${name}: PKCS#12 with 100,000 iterations`,
      kind[name],
      [object('bundle.p12', export12('-iter', '100000', ...pass))],
      { passwords: ['open sesame'] },
    )
    add(`${name}: PKCS#12 without a password`, kind[name], [
      object('bundle.p12', export12('-passout', 'pass:')),
    ])
    add(
      `${name}: PKCS#12 without integrity code`,
      kind[name],
      [object('bundle.p12', export12('-nomac', ...pass))],
      password,
    )
    add(
      `${name}: PKCS#12, certificates in the clear, root included`,
      kind[name],
      [
        object(
          'bundle.p12',
          convert(
            'pkcs12',
            '-export',
            '-in',
            `${name}-full.pem`,
            '-inkey',
            key,
            '-certfile',
            'root.pem',
            '-certpbe',
            'NONE',
            ...pass,
          ),
        ),
      ],
      { ...password, repairs: ['dropped-root'] },
    )
    bench.write('bundle.p12', export12(...pass))
    add(`${name}: PEM with bag attributes`, kind[name], [
      object('all.pem', convert('pkcs12', '-in', 'bundle.p12', '-nodes', '-passin', 'pass:open sesame')),
    ])
    add(
      `${name}: leaf in DER, chain in PKCS#7 PEM`,
      kind[name],
      [
        object('leaf.cer', convert('x509', '-in', `${name}.pem`, '-outform', 'DER')),
        object(
          'chain.p7b',
          convert('crl2pkcs7', '-nocrl', '-certfile', 'chain.pem', '-certfile', 'root.pem'),
        ),
        object('a.key', corpus[name].privateKeyPem),
      ],
      { repairs: ['dropped-root'] },
    )
    add(`${name}: PKCS#7 DER with everything`, kind[name], [
      object('chain.p7b', convert('crl2pkcs7', '-nocrl', '-certfile', `${name}-full.pem`, '-outform', 'DER')),
      object('a.key', corpus[name].privateKeyPem),
    ])
    add(`${name}: openssl x509 -text around the blocks`, kind[name], [
      object(
        'all.pem',
        Buffer.concat([
          convert('x509', '-in', `${name}.pem`, '-text'),
          convert('x509', '-in', 'ca.pem', '-text'),
          bench.read(key),
        ]),
      ),
    ])
    add(`${name}: TRUSTED CERTIFICATE`, kind[name], [
      object(
        'all.pem',
        Buffer.concat([
          convert('x509', '-in', `${name}.pem`, '-trustout', '-setalias', 'x'),
          bench.read('chain.pem'),
          bench.read(key),
        ]),
      ),
    ])
  }
  const parameters = bench.run('ecparam', '-name', 'prime256v1')
  add('EC PARAMETERS before the key', 'ECC', [
    object(
      'all.pem',
      Buffer.concat([Buffer.from(ec.fullchainPem), parameters, bench.run('ec', '-in', 'ec.key')]),
    ),
  ])
  return layouts
}
