import { spawnSync } from 'node:child_process'
import { createPrivateKey, generateKeyPairSync, X509Certificate } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Authority, createAuthority, type KeyKind, x509 } from '../../emulator/authority.ts'

let root: Authority
let intermediate: Authority
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'authority-'))
  root = await createAuthority({ commonName: 'Test Root' })
  intermediate = await createAuthority({ commonName: 'Test Intermediate', issuer: root, pathLength: 0 })
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

function opensslVerify(certificatePem: string, chainPem: string, host?: string): string {
  const path = (name: string, text: string) => {
    writeFileSync(join(folder, name), text)
    return join(folder, name)
  }
  const args = [
    'verify',
    '-x509_strict',
    '-purpose',
    'sslserver',
    '-CAfile',
    path('root.pem', root.certificatePem),
  ]
  if (chainPem !== '') args.push('-untrusted', path('chain.pem', chainPem))
  if (host !== undefined) args.push('-verify_hostname', host)
  const run = spawnSync('openssl', [...args, path('leaf.pem', certificatePem)], { encoding: 'utf8' })
  return `${run.stdout}${run.stderr}`
}

describe('the authority', () => {
  it.each<KeyKind>(['P-256', 'P-384', 'Ed25519', 'RSA-2048', 'RSA-3072'])(
    'issues a %s leaf that openssl accepts under -x509_strict',
    async (key) => {
      const issued = await intermediate.issue({
        names: ['api.example.com', '*.example.org', '10.0.0.7'],
        key,
      })
      expect(opensslVerify(issued.certificatePem, issued.chainPem, 'api.example.com')).toMatch(/: OK/)
      const leaf = new X509Certificate(issued.certificatePem)
      expect(leaf.checkPrivateKey(createPrivateKey(issued.privateKeyPem))).toBe(true)
      expect(leaf.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(issued.fingerprint)
      expect(leaf.checkIP('10.0.0.7')).toBe('10.0.0.7')
      expect(issued.privateKeyPem).toMatch(/^-----BEGIN PRIVATE KEY-----/)
    },
  )

  it('gives the chain with the issuer of the leaf first and without the root', async () => {
    const second = await createAuthority({
      commonName: 'Second',
      issuer: await createAuthority({ commonName: 'First', issuer: root }),
    })
    const issued = await second.issue({ names: ['deep.example.com'] })
    const subjects = issued.chainPem
      .match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----/g)!
      .map((one) => new X509Certificate(one).subject)
    expect(subjects).toEqual(['CN=Second', 'CN=First'])
    expect(issued.fullchainPem).toBe(issued.certificatePem + issued.chainPem)
    expect(opensslVerify(issued.certificatePem, issued.chainPem)).toMatch(/: OK/)
  })

  it('keeps the dates, the serial number and the key that it is given', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const privateKeyPem = privateKey.export({ type: 'sec1', format: 'pem' }).toString()
    const notBefore = new Date('2026-01-01T00:00:00Z')
    const notAfter = new Date('2026-02-17T00:00:00Z')
    const issued = await root.issue({
      names: ['a.example'],
      notBefore,
      notAfter,
      serial: '1a2b',
      privateKeyPem,
    })
    const leaf = new X509Certificate(issued.certificatePem)
    expect([new Date(leaf.validFrom), new Date(leaf.validTo)]).toEqual([notBefore, notAfter])
    expect(leaf.serialNumber).toBe('1A2B')
    expect(issued.serial).toBe('1a2b')
    expect(leaf.checkPrivateKey(privateKey)).toBe(true)
    expect(issued.chainPem).toBe('')
  })

  it('can make certificates that are wrong on purpose', async () => {
    const bare = await root.issue({ names: [], commonName: 'only.common.name' })
    expect(new X509Certificate(bare.certificatePem).subjectAltName).toBeUndefined()
    const client = await root.issue({
      names: ['a.example'],
      extensions: [new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth])],
      omitExtensions: ['2.5.29.35'],
    })
    const text = new x509.X509Certificate(client.certificatePem)
    expect(text.getExtension(x509.ExtendedKeyUsageExtension)!.usages).toEqual([
      x509.ExtendedKeyUsage.clientAuth,
    ])
    expect(text.getExtension(x509.AuthorityKeyIdentifierExtension)).toBeNull()
    expect(opensslVerify(client.certificatePem, '')).toMatch(/error/)
    const weak = await root.issue({ names: ['a.example'], hash: 'SHA-1' })
    expect(new x509.X509Certificate(weak.certificatePem).signatureAlgorithm.hash.name).toBe('SHA-1')
  })
})
