import { Duplex } from 'node:stream'
import { connect, type PeerCertificate, TLSSocket } from 'node:tls'
import { afterAll, describe, expect, it } from 'vitest'
import { type Authority, createAuthority, type IssueRequest, x509 } from '../../emulator/authority.ts'
import { inspectReport } from '../../shared/certificate/inspect-report.ts'
import { rootsFromPem } from '../../shared/certificate/trust.ts'
import { makeCorpus } from './corpus.ts'
import { object, openBench, opensslMissing } from './tools.ts'

const { root, intermediate } = await makeCorpus()
const bench = openBench()
afterAll(() => bench.remove())
const missing = opensslMissing()
if (missing !== undefined) console.log(`The comparison with openssl verify is left out: ${missing}`)

const day = 86_400_000
const AT = new Date()
const constraint = (hex: string) => new x509.Extension('2.5.29.30', true, Buffer.from(hex, 'hex'))
/** Name constraints: permitted dNSName shop.example; excluded dNSName www.shop.example. */
const PERMITTED = constraint('3012a010300e820c73686f702e6578616d706c65')
const EXCLUDED = constraint('3016a114301282107777772e73686f702e6578616d706c65')

const extension = (oid: string, hex: string) => new x509.Extension(oid, true, Buffer.from(hex, 'hex'))
/** requireExplicitPolicy 0; requireExplicitPolicy 0 with inhibitPolicyMapping 0; inhibitAnyPolicy 0. */
const EXPLICIT = extension('2.5.29.36', '3003800100')
const NO_MAPPING = extension('2.5.29.36', '3006800100810100')
const NO_ANY = extension('2.5.29.54', '020100')
const policies = (...oids: string[]) => new x509.CertificatePolicyExtension(oids)
const ANY = '2.5.29.32.0'
/** 1.2.3 is to be read as 1.2.4. */
const MAPPED = extension('2.5.29.33', '300a300806022a0306022a04')

interface Case {
  name: string
  host?: string
  issuer?: Authority
  leaf?: Partial<IssueRequest>
  /** Leaves the intermediates out. */
  alone?: boolean
  /** Why openssl says otherwise. */
  difference?: string
}

const ca = (commonName: string, more: Partial<Parameters<typeof createAuthority>[0]> = {}) =>
  createAuthority({ commonName, issuer: root, ...more })

const cases: Case[] = [
  { name: 'good' },
  { name: 'wildcard', host: 'www.shop.example' },
  { name: 'two labels under the wildcard', host: 'a.b.shop.example' },
  { name: 'another host', host: 'other.example' },
  {
    name: 'common name only',
    leaf: { names: [], commonName: 'shop.example' },
    difference: 'openssl falls back to the common name; browsers do not',
  },
  {
    name: 'partial wildcard',
    host: 'www.shop.example',
    leaf: { names: ['w*.shop.example'] },
    difference: 'openssl matches partial wildcards unless told otherwise; browsers do not',
  },
  { name: 'wildcard in the second label', host: 'www.shop.example', leaf: { names: ['www.*.example'] } },
  { name: 'RSA', leaf: { key: 'RSA-2048' } },
  { name: 'P-384', leaf: { key: 'P-384' } },
  {
    name: 'expired',
    leaf: { notBefore: new Date(AT.getTime() - 9 * day), notAfter: new Date(AT.getTime() - day) },
  },
  { name: 'not yet valid', leaf: { notBefore: new Date(AT.getTime() + day) } },
  { name: 'no intermediate', alone: true },
  { name: 'client only', leaf: { extensions: [new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2'])] } },
  { name: 'no extended key usage', leaf: { omitExtensions: ['2.5.29.37'] } },
  {
    name: 'no authority key identifier',
    leaf: { omitExtensions: ['2.5.29.35'] },
    difference: 'strict openssl wants it; private CAs leave it out and every client accepts that: a warning',
  },
  {
    name: 'unknown critical extension',
    leaf: { extensions: [new x509.Extension('1.2.3.4', true, Buffer.of(5, 0))] },
  },
  {
    name: 'unknown extension',
    leaf: { extensions: [new x509.Extension('1.2.3.4', false, Buffer.of(5, 0))] },
  },
  {
    name: 'keyCertSign without CA',
    leaf: {
      extensions: [
        new x509.KeyUsagesExtension(
          x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.digitalSignature,
          true,
        ),
      ],
    },
  },
  {
    name: 'SHA-1',
    leaf: { hash: 'SHA-1' },
    difference: 'openssl verify takes SHA-1 at its lowest security level; browsers do not',
  },
  { name: 'path too long', issuer: await createAuthority({ commonName: 'Second', issuer: intermediate }) },
  { name: 'permitted name', issuer: await ca('Permitted', { extensions: [PERMITTED] }) },
  {
    name: 'name not permitted',
    host: 'pay.example',
    issuer: await ca('Not permitted', { extensions: [PERMITTED] }),
    leaf: { names: ['pay.example'] },
  },
  {
    name: 'excluded name',
    issuer: await ca('Excluded', { extensions: [EXCLUDED] }),
    leaf: { names: ['shop.example', 'www.shop.example'] },
  },
  {
    name: 'not excluded',
    issuer: await ca('Not excluded', { extensions: [EXCLUDED] }),
    leaf: { names: ['shop.example'] },
  },
  {
    name: 'a wildcard over an excluded name',
    issuer: await ca('Wild', { extensions: [EXCLUDED] }),
    difference:
      'openssl compares the wildcard as text; it would stand for the excluded name (CVE-2025-61727)',
  },
  {
    name: 'an issuer that is no CA',
    issuer: await ca('No CA', { extensions: [new x509.BasicConstraintsExtension(false)] }),
  },
  {
    name: 'an issuer that may not sign',
    issuer: await ca('No sign', {
      extensions: [new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true)],
    }),
  },
  { name: 'an issuer that has ended', issuer: await ca('Ended', { notAfter: new Date(AT.getTime() - day) }) },
  {
    name: 'an issuer for clients only',
    issuer: await ca('Clients', { extensions: [new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2'])] }),
  },
  {
    name: 'a policy that is demanded and followed',
    issuer: await ca('Policy', { extensions: [EXPLICIT, policies('1.2.3')] }),
    leaf: { extensions: [policies('1.2.3')] },
  },
  {
    name: 'a policy that is demanded and not followed',
    issuer: await ca('Policy', { extensions: [EXPLICIT, policies('1.2.3')] }),
    leaf: { extensions: [policies('1.2.5')] },
  },
  {
    name: 'a policy that is demanded and none named',
    issuer: await ca('Policy', { extensions: [EXPLICIT, policies('1.2.3')] }),
  },
  {
    name: 'any policy above',
    issuer: await ca('Policy', { extensions: [EXPLICIT, policies(ANY)] }),
    leaf: { extensions: [policies('1.2.5')] },
  },
  {
    name: 'any policy below',
    issuer: await ca('Policy', { extensions: [EXPLICIT, policies('1.2.3')] }),
    leaf: { extensions: [policies(ANY)] },
  },
  {
    name: 'any policy below, inhibited',
    issuer: await ca('Policy', { extensions: [EXPLICIT, policies('1.2.3'), NO_ANY] }),
    leaf: { extensions: [policies(ANY)] },
  },
  {
    name: 'a mapped policy',
    issuer: await ca('Policy', { extensions: [EXPLICIT, policies('1.2.3'), MAPPED] }),
    leaf: { extensions: [policies('1.2.4')] },
  },
  {
    name: 'a policy mapped where an issuer forbids it',
    issuer: await createAuthority({
      commonName: 'Below',
      issuer: await ca('Policy', { extensions: [NO_MAPPING, policies('1.2.3')] }),
      extensions: [policies('1.2.3'), MAPPED],
    }),
    leaf: { extensions: [policies('1.2.4')] },
  },
]

async function made({ issuer = intermediate, leaf, alone, host = 'shop.example' }: Case) {
  const issued = await issuer.issue({ names: ['shop.example', '*.shop.example'], ...leaf })
  const served = alone ? issued.certificatePem : issued.fullchainPem
  const report = inspectReport([object('all.pem', served + issued.privateKeyPem)], {
    at: AT,
    domains: [host],
    trust: { kind: 'private', roots: rootsFromPem(root.certificatePem) },
  })
  return { issued, served, host, report }
}

describe.skipIf(missing)(
  'the verdict agrees with openssl verify -x509_strict -verify_hostname, except',
  () => {
    it.each(
      cases.map(
        (one) => [one.difference === undefined ? one.name : `${one.name}: ${one.difference}`, one] as const,
      ),
    )('%s', async (_, one) => {
      const { issued, host, report } = await made(one)
      bench.write('root.pem', root.certificatePem)
      bench.write('leaf.pem', issued.certificatePem)
      bench.write('chain.pem', one.alone ? root.certificatePem : issued.chainPem)
      const { status, text } = bench.attempt(
        'verify',
        '-x509_strict',
        '-policy_check',
        '-policy',
        ANY,
        '-purpose',
        'sslserver',
        '-CAfile',
        'root.pem',
        '-untrusted',
        'chain.pem',
        '-attime',
        String(Math.floor(AT.getTime() / 1000)),
        '-verify_hostname',
        host,
        'leaf.pem',
      )
      const agree = (status === 0) === (report.verdict.decision === 'accept')
      expect(
        agree,
        `${text}\n${JSON.stringify(report.checks.filter((check) => check.result !== 'passed'))}`,
      ).toBe(one.difference === undefined)
    })
  },
)

describe('every bundle that is accepted makes a handshake that a client with the root accepts', () => {
  it.each(cases.map((one) => [one.name, one] as const))('%s', async (_, one) => {
    const { issued, served, host, report } = await made(one)
    if (report.verdict.decision !== 'accept') return
    const peer = await handshake(served, issued.privateKeyPem, host)
    expect(peer.fingerprint256.replaceAll(':', '').toLowerCase()).toBe(issued.fingerprint)
  })
})

/** A TLS handshake over two ends in memory; resolves with what the client saw, rejects if the client does not trust it. */
function handshake(cert: string, key: string, host: string): Promise<PeerCertificate> {
  const [left, right] = duplexPair()
  return new Promise((resolve, reject) => {
    const server = new TLSSocket(left, { isServer: true, cert, key })
    server.on('error', reject)
    const client = connect({ socket: right, servername: host, host, ca: root.certificatePem }, () => {
      resolve(client.getPeerCertificate())
      client.destroy()
      server.destroy()
    })
    client.on('error', reject)
  })
}

/** `stream.duplexPair` came with Node 20.17; this runs on 20.15 too. */
function duplexPair(): [Duplex, Duplex] {
  const end = (other: () => Duplex) =>
    new Duplex({
      read() {},
      write(chunk, _encoding, done) {
        other().push(chunk)
        setImmediate(done)
      },
      final(done) {
        other().push(null)
        done()
      },
    })
  const left: Duplex = end(() => right)
  const right: Duplex = end(() => left)
  return [left, right]
}
