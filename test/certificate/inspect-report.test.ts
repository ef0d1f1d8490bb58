import { createPrivateKey } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { inspectReport } from '../../shared/certificate/inspect-report.ts'
import { renderInspect } from '../../shared/certificate/render-inspect.ts'
import { readTrust } from '../../shared/certificate/trust.ts'
import { makeCorpus } from './corpus.ts'
import { object } from './tools.ts'

const { root, ec, clientCa } = await makeCorpus()
const options = {
  at: new Date(),
  domains: ['shop.example'],
  trust: readTrust({ private: root.certificatePem }),
}

describe('the report of inspect', () => {
  it('names every file, the chain, what the client adds, each check and the verdict', () => {
    const report = inspectReport(
      [
        object('fullchain.pem', ec.fullchainPem),
        object('privkey.pem', ec.privateKeyPem),
        object('trusted-root-ca.pem', clientCa.certificatePem),
      ],
      options,
    )
    expect(report).toMatchObject({
      schema: 1,
      at: options.at.toISOString(),
      trust: 'private',
      hosts: ['shop.example'],
      reading: 'complete',
      files: [
        {
          name: 'fullchain.pem',
          format: 'pem',
          certificates: [{ commonName: 'shop.example' }, { commonName: 'Test Intermediate' }],
          privateKeys: [],
        },
        { name: 'privkey.pem', format: 'pem', certificates: [], privateKeys: ['ECC 256'] },
        { name: 'trusted-root-ca.pem' },
      ],
      bundle: {
        leaf: { fingerprint: ec.fingerprint, serial: ec.serial },
        chain: [{ commonName: 'Test Intermediate' }],
        addedByClient: [{ commonName: 'Test Root' }],
        privateKey: true,
        trustedRootCa: [{ commonName: 'Client CA' }],
      },
      verdict: { decision: 'accept', browser: 'accept', refusedBy: [], warnings: [] },
    })
    expect(JSON.parse(JSON.stringify(report))).toEqual(report)
    expect(JSON.stringify(report)).not.toContain('PRIVATE')
  })

  it('judges everything but the key where there is none', () => {
    const report = inspectReport([object('fullchain.pem', ec.fullchainPem)], options)
    expect(report.verdict).toEqual({
      decision: 'accept',
      browser: 'accept',
      refusedBy: [],
      warnings: ['complete'],
    })
    expect(report.checks.map((check) => check.code)).not.toContain('key-matches')
  })

  it('tells what a browser would say apart from what the key is worth', async () => {
    const other = await makeCorpus()
    const report = inspectReport(
      [object('fullchain.pem', ec.fullchainPem), object('a.key', other.ec.privateKeyPem)],
      options,
    )
    expect(report.verdict).toMatchObject({
      decision: 'refuse',
      browser: 'accept',
      refusedBy: ['key-matches'],
    })
    expect(
      inspectReport([object('fullchain.pem', ec.fullchainPem)], { ...options, domains: ['pay.example'] })
        .verdict,
    ).toMatchObject({ browser: 'refuse', refusedBy: ['names-covered'] })
  })

  it('judges the rest where the key cannot be opened, and says that rotate would refuse', () => {
    const encrypted = createPrivateKey(ec.privateKeyPem).export({
      type: 'pkcs8',
      format: 'pem',
      cipher: 'aes-256-cbc',
      passphrase: 'x',
    })
    const report = inspectReport([object('a.pem', ec.fullchainPem), object('a.key', encrypted)], options)
    expect(report.verdict).toMatchObject({
      decision: 'refuse',
      browser: 'accept',
      refusedBy: ['password-missing'],
    })
  })

  it('tells what is missing and what cannot be read', () => {
    expect(inspectReport([object('a.key', ec.privateKeyPem)], options)).toMatchObject({
      reading: 'waiting',
      missing: 'certificate',
      verdict: { decision: 'refuse', browser: 'unknown', refusedBy: ['complete'] },
    })
    expect(inspectReport([object('a.pem', 'x')], options)).toMatchObject({
      reading: 'unreadable',
      verdict: { refusedBy: ['not-recognised'] },
    })
  })
})

describe('on a terminal', () => {
  it('the chain is a tree from the root down, and the last line is the verdict', () => {
    const text = renderInspect(
      inspectReport([object('all.pem', ec.fullchainPem + ec.privateKeyPem)], options),
    )
    const [, tree = ''] = text.split('\nChain\n')
    expect(
      tree
        .split('\n')
        .filter((line) => /Test|shop/.test(line))
        .slice(0, 3),
    ).toEqual(['  Test Root (added by the client)', '  └─ Test Intermediate', '     └─ shop.example'])
    expect(text.trimEnd().split('\n').at(-1)).toBe(`Accepted (at ${options.at.toISOString()}, trust private)`)
    expect(text).not.toContain('\x1b')
  })

  it('colour is used only if it is asked for', () => {
    expect(renderInspect(inspectReport([object('a.pem', 'x')], options), { color: true })).toContain(
      '\x1b[31m',
    )
  })
})
