import { execFileSync, spawnSync } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, createServer, type SecureContext, type Server } from 'node:tls'
import { type Browser, chromium } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createAuthority, type IssueRequest, x509 } from '../../emulator/authority.ts'
import { inspectReport } from '../../shared/certificate/inspect-report.ts'
import { rootsFromPem } from '../../shared/certificate/trust.ts'
import { object } from './tools.ts'

/** The last judge of a server certificate is a browser: every case is served to Chromium over real TLS. */

const executable = (
  process.env.CHROMIUM
    ? [process.env.CHROMIUM]
    : ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome']
).find(existsSync)
const absent =
  executable === undefined
    ? "no Chromium at /usr/bin: install Debian's package chromium"
    : spawnSync('certutil', ['-H']).error
      ? "no certutil: install Debian's package libnss3-tools"
      : undefined
if (absent !== undefined) {
  if (process.env.REQUIRE_CHROMIUM === '1') throw new Error(`REQUIRE_CHROMIUM=1, but there is ${absent}`)
  console.warn(`Verdicts are not compared with Chromium: there is ${absent}.`)
}

interface Case {
  name: string
  host: string
  leaf?: Partial<IssueRequest>
  /** Issued by this CA instead of the common intermediate. */
  issuer?: Parameters<typeof createAuthority>[0]
  /** The intermediates are left out. */
  alone?: true
  expected: 'ACCEPT' | 'REJECT'
  /** Why our verdict differs from what Chromium does. */
  difference?: string
}

const day = 86_400_000
const now = Date.now()
const at = new Date(now)
const names = ['shop.example', '*.shop.example']
const rsa1024 = () =>
  generateKeyPairSync('rsa', { modulusLength: 1024 })
    .privateKey.export({ format: 'pem', type: 'pkcs8' })
    .toString()
/** Name constraints: permitted dNSName shop.example. */
const permitted = new x509.Extension(
  '2.5.29.30',
  true,
  Buffer.from('3012a010300e820c73686f702e6578616d706c65', 'hex'),
)

const cases: Case[] = [
  { name: 'ECDSA on P-256', host: 'shop.example', expected: 'ACCEPT' },
  { name: 'RSA with 2048 bits', host: 'shop.example', leaf: { key: 'RSA-2048' }, expected: 'ACCEPT' },
  { name: 'ECDSA on P-384', host: 'shop.example', leaf: { key: 'P-384' }, expected: 'ACCEPT' },
  { name: 'one label under a wildcard', host: 'www.shop.example', expected: 'ACCEPT' },
  { name: 'two labels under a wildcard', host: 'a.b.shop.example', expected: 'REJECT' },
  { name: 'another host', host: 'other.example', expected: 'REJECT' },
  {
    name: 'partial wildcard',
    host: 'www.shop.example',
    leaf: { names: ['w*.shop.example'] },
    expected: 'REJECT',
  },
  {
    name: 'common name without alternative names',
    host: 'shop.example',
    leaf: { names: [], commonName: 'shop.example' },
    expected: 'REJECT',
  },
  {
    name: 'internationalized name',
    host: 'xn--bcher-kva.example',
    leaf: { names: ['xn--bcher-kva.example'] },
    expected: 'ACCEPT',
  },
  {
    name: 'wildcard below co.uk',
    host: 'shop.co.uk',
    leaf: { names: ['*.co.uk'] },
    expected: 'REJECT',
  },
  {
    name: 'wildcard below gov.cn',
    host: 'shop.gov.cn',
    leaf: { names: ['*.gov.cn'] },
    expected: 'REJECT',
  },
  {
    name: 'wildcard below web.de, which is a company',
    host: 'www.web.de',
    leaf: { names: ['*.web.de'] },
    expected: 'ACCEPT',
  },
  {
    name: "wildcard below github.io, which is in the list's private part",
    host: 'shop.github.io',
    leaf: { names: ['*.github.io'] },
    expected: 'ACCEPT',
  },
  {
    name: 'wildcard below a top-level name that nobody knows',
    host: 'shop.example',
    leaf: { names: ['*.example'] },
    expected: 'REJECT',
  },
  {
    name: 'for clients only',
    host: 'shop.example',
    leaf: { extensions: [new x509.ExtendedKeyUsageExtension(['1.3.6.1.5.5.7.3.2'])] },
    expected: 'REJECT',
  },
  {
    name: 'expired',
    host: 'shop.example',
    leaf: { notBefore: new Date(now - 90 * day), notAfter: new Date(now - day) },
    expected: 'REJECT',
  },
  {
    name: 'not yet valid',
    host: 'shop.example',
    leaf: { notBefore: new Date(now + 2 * day), notAfter: new Date(now + 90 * day) },
    expected: 'REJECT',
  },
  {
    name: 'longer than public CAs may give, under a private root',
    host: 'shop.example',
    leaf: { notBefore: new Date(now - day), notAfter: new Date(now + 900 * day) },
    expected: 'ACCEPT',
  },
  { name: 'intermediate missing', host: 'shop.example', alone: true, expected: 'REJECT' },
  { name: 'SHA-1', host: 'shop.example', leaf: { hash: 'SHA-1' }, expected: 'REJECT' },
  {
    name: 'RSA with 1024 bits',
    host: 'shop.example',
    leaf: { privateKeyPem: rsa1024() },
    expected: 'REJECT',
    difference:
      'Chromium takes it from a private root; public CAs (CA/B 6.1.5), OpenSSL and the gateways want 2048 bits',
  },
  {
    name: 'a name that the issuer may not certify',
    host: 'pay.example',
    leaf: { names: ['pay.example'] },
    issuer: { commonName: 'Constrained', extensions: [permitted] },
    expected: 'REJECT',
  },
  {
    name: 'a name that the issuer may certify',
    host: 'shop.example',
    issuer: { commonName: 'Constrained', extensions: [permitted] },
    expected: 'ACCEPT',
  },
  {
    name: 'an issuer that is no CA',
    host: 'shop.example',
    issuer: { commonName: 'No CA', extensions: [new x509.BasicConstraintsExtension(false)] },
    expected: 'REJECT',
  },
]

describe.skipIf(absent)('the verdict is what Chromium does', () => {
  const folder = mkdtempSync(join(tmpdir(), 'chromium-verdict-'))
  const contexts = new Map<string, SecureContext>()
  const table: string[] = []
  let browser: Browser
  let server: Server
  let root: Awaited<ReturnType<typeof createAuthority>>
  let intermediate: typeof root

  beforeAll(async () => {
    root = await createAuthority({ commonName: 'Chromium test root' })
    intermediate = await createAuthority({ commonName: 'Chromium test issuer', issuer: root, pathLength: 0 })
    const database = join(folder, '.pki/nssdb')
    mkdirSync(database, { recursive: true })
    writeFileSync(join(folder, 'root.pem'), root.certificatePem)
    execFileSync('certutil', ['-d', `sql:${database}`, '-N', '--empty-password'])
    execFileSync('certutil', [
      '-d',
      `sql:${database}`,
      '-A',
      '-t',
      'C,,',
      '-n',
      'root',
      '-i',
      join(folder, 'root.pem'),
    ])
    server = createServer(
      { SNICallback: (name, done) => done(null, contexts.get(name)), ALPNProtocols: ['http/1.1'] },
      (socket) => {
        socket.on('error', () => {})
        socket.once('data', () =>
          socket.end('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok'),
        )
      },
    )
    server.on('tlsClientError', () => {})
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    browser = await chromium.launch({
      executablePath: executable ?? '',
      args: [
        '--no-sandbox',
        '--host-resolver-rules=MAP * 127.0.0.1',
        '--disable-background-networking',
        '--no-first-run',
      ],
      env: { ...process.env, HOME: folder },
    })
  }, 30_000)

  afterAll(async () => {
    await browser?.close()
    server?.close()
    rmSync(folder, { recursive: true, force: true })
    if (table.length > 0) console.log(['case | verdict | Chromium', '--- | --- | ---', ...table].join('\n'))
  })

  it.each(cases.map((one) => [one.name, one] as const))(
    '%s',
    async (_, one) => {
      const issuer = one.issuer ? await createAuthority({ issuer: root, ...one.issuer }) : intermediate
      const issued = await issuer.issue({ names, ...one.leaf })
      const served = one.alone ? issued.certificatePem : issued.fullchainPem
      const report = inspectReport([object('all.pem', served + issued.privateKeyPem)], {
        at,
        domains: [one.host],
        trust: { kind: 'private', roots: rootsFromPem(root.certificatePem) },
      })
      const ours = report.verdict.decision === 'accept' ? 'ACCEPT' : 'REJECT'
      contexts.clear()
      // Below OpenSSL's level 1 a server may show what no client should take.
      const context = { cert: served, key: issued.privateKeyPem, ciphers: 'DEFAULT:@SECLEVEL=0' }
      contexts.set(one.host, createSecureContext(context))
      const theirs = await visit(one.host)
      table.push(
        `${one.name} | ${ours}${ours === 'REJECT' ? ` (${report.verdict.refusedBy.join(', ')})` : ''} | ${theirs}${one.difference ? `: ${one.difference}` : ''}`,
      )
      expect(ours).toBe(one.expected)
      if (one.difference === undefined) expect(theirs.split(' ')[0], theirs).toBe(ours)
      else expect(theirs.split(' ')[0], 'the difference is gone').not.toBe(ours)
    },
    20_000,
  )

  /** In a page and a context of its own, so that nothing of an earlier connection or error page is left. */
  async function visit(host: string): Promise<string> {
    const context = await browser.newContext()
    const page = await context.newPage()
    const { port } = server.address() as AddressInfo
    try {
      await page.goto(`https://${host}:${port}/`, { timeout: 15_000 })
      return 'ACCEPT'
    } catch (thrown) {
      const error = /net::(ERR_[A-Z0-9_]+)/.exec(String(thrown))?.[1]
      if (error === undefined) throw thrown
      return `REJECT (${error})`
    } finally {
      await context.close()
    }
  }
})
