import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { Issued } from '../../emulator/authority.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { APIG, apigw, call, domainPath, seed, shakeHands } from './support.ts'

let emulator: Emulator
let next: Issued
const HOST = 'api.example.com'

beforeAll(async () => {
  emulator = await startEmulator({ seed: seed() })
  next = await emulator.intermediate.issue({ names: [HOST] })
})
afterAll(() => emulator.close())
beforeEach(() => emulator.reset(seed()))

const old = () => emulator.ready.seed.certificates.old![0]!
const form = (issued: Issued, more = {}) => ({
  name: 'cert_new',
  cert_content: issued.fullchainPem,
  private_key: issued.privateKeyPem,
  ...more,
})
const create = async (issued: Issued, more = {}) =>
  String((await call(emulator, 'POST', `${apigw}/certificates`, form(issued, more))).body.id)
const attach = (id: string) =>
  call(emulator, 'POST', `${domainPath}/certificates/attach`, { certificate_ids: [id] })
const detach = (id: string) =>
  call(emulator, 'POST', `${domainPath}/certificates/detach`, { certificate_ids: [id] })
const served = async (host = HOST) => (await shakeHands(emulator, host)).fingerprint

describe('the TLS edge', () => {
  it('shows the bound certificate with its chain over TLS 1.2, and the new one after the delay', async () => {
    const before = await shakeHands(emulator, HOST)
    expect(before).toMatchObject({ fingerprint: old().fingerprint, protocol: 'TLSv1.2' })
    expect(before.certificate.issuerCertificate.subject.CN).toBe('Emulator Intermediate CA')
    const id = await create(next)
    await detach(old().id)
    await attach(id)
    expect(await served()).toBe(old().fingerprint)
    emulator.clock.advance(4_000)
    expect(await served()).toBe(old().fingerprint)
    emulator.clock.advance(1_000)
    expect(await served()).not.toBe(old().fingerprint)
  })

  it('shows exactly the certificate that was attached', async () => {
    const fresh = await emulator.intermediate.issue({ names: [HOST] })
    const id = await create(fresh)
    await detach(old().id)
    await attach(id)
    emulator.clock.advance(5_000)
    expect(await served()).toBe(fresh.fingerprint)
    expect(emulator.state().bindings[0]!.served.fingerprints).toEqual([fresh.fingerprint])
  })

  it('refuses the handshake with unrecognized_name where nothing is bound, once the detach is visible', async () => {
    await detach(old().id)
    expect(await served()).toBe(old().fingerprint)
    emulator.clock.advance(5_000)
    await expect(served()).rejects.toThrow(/unrecognized name/i)
    await expect(served('nobody.example.net')).rejects.toThrow(/unrecognized name/i)
  })

  it('feels a detach at once where the rule says so', async () => {
    emulator.setRules({ detachVisibility: 'immediate' })
    await detach(old().id)
    await expect(served()).rejects.toThrow(/unrecognized name/i)
    await attach(old().id)
    await expect(served()).rejects.toThrow(/unrecognized name/i)
    emulator.clock.advance(5_000)
    expect(await served()).toBe(old().fingerprint)
  })

  it('shows an update in place later, without a gap', async () => {
    const fresh = await emulator.intermediate.issue({ names: [HOST] })
    const before = old().fingerprint
    await call(emulator, 'PUT', `${apigw}/certificates/${old().id}`, form(fresh))
    expect(await served()).toBe(before)
    emulator.clock.advance(5_000)
    expect(await served()).toBe(fresh.fingerprint)
  })

  it('prefers the exact name to the wildcard, whose reach is one label', async () => {
    await emulator.reset({
      certificates: [
        { ref: 'wild', generate: { names: ['*.example.com'] } },
        { ref: 'exact', generate: { names: [HOST] } },
      ],
      instances: [
        {
          flavour: 'apig',
          groups: [
            {
              domains: [
                { host: '*.example.com', certificate: 'wild' },
                { host: HOST, certificate: 'exact' },
                { host: 'bare.example.com' },
              ],
            },
          ],
        },
      ],
    })
    const { certificates } = emulator.ready.seed
    expect(await served()).toBe(certificates.exact![0]!.fingerprint)
    expect(await served('other.example.com')).toBe(certificates.wild![0]!.fingerprint)
    await expect(served('a.b.example.com')).rejects.toThrow(/unrecognized name/i)
    await expect(served('bare.example.com')).rejects.toThrow(/unrecognized name/i)
  })

  it('serves the one of an RSA and an ECC certificate that the client can use, ECC first', async () => {
    const rsa = await emulator.intermediate.issue({ names: [HOST], key: 'RSA-2048' })
    await attach(await create(rsa))
    emulator.clock.advance(5_000)
    expect(await served()).toBe(old().fingerprint)
    const shaken = await shakeHands(emulator, HOST, {
      ciphers: 'ECDHE-RSA-AES128-GCM-SHA256',
      maxVersion: 'TLSv1.2',
    })
    expect(shaken.fingerprint).toBe(rsa.fingerprint)
  })

  it('speaks TLS 1.1 where the domain allows it, and not where it does not', async () => {
    const options = { maxVersion: 'TLSv1.1', ciphers: 'ALL:@SECLEVEL=0' } as const
    expect((await shakeHands(emulator, HOST, options)).protocol).toBe('TLSv1.1')
    await call(emulator, 'PUT', domainPath, { min_ssl_version: 'TLSv1.2' })
    emulator.clock.advance(5_000)
    await expect(shakeHands(emulator, HOST, options)).rejects.toThrow()
  })

  it('asks for a client certificate of the trusted CA while client verification is on', async () => {
    const ca = emulator.root.certificatePem
    await detach(old().id)
    const fresh = await emulator.intermediate.issue({ names: [HOST] })
    await attach(await create(fresh, { type: 'instance', instance_id: APIG, trusted_root_ca: ca }))
    emulator.clock.advance(5_000)
    await expect(served()).rejects.toThrow(/handshake failure|ECONNRESET|disconnected/i)
    const client = await emulator.root.issue({
      names: ['client.example'],
      extensions: [],
      omitExtensions: ['2.5.29.37'],
    })
    const shaken = await shakeHands(emulator, HOST, {
      key: client.privateKeyPem,
      cert: client.certificatePem,
    })
    expect(shaken.fingerprint).toBe(fresh.fingerprint)
  })

  it('is understood by openssl and answers curl with a page', async () => {
    const { host, port } = emulator.tls
    const caFile = join(mkdtempSync(join(tmpdir(), 'edge-')), 'ca.pem')
    writeFileSync(caFile, emulator.root.certificatePem)
    const run = promisify(execFile)
    const connectTo = ['--connect-to', `::${host}:${port}`]
    const curl = await run('curl', ['-sS', '--cacert', caFile, ...connectTo, `https://${HOST}/`])
    expect(curl.stdout).toContain(`${HOST} is served`)
    const client = `openssl s_client -connect ${host}:${port} -servername ${HOST} -CAfile ${caFile} </dev/null 2>&1`
    const openssl = await run('sh', ['-c', client])
    expect(openssl.stdout).toMatch(/Verify return code: 0 \(ok\)/)
    rmSync(dirname(caFile), { recursive: true })
  })

  it('survives what is not TLS, and clients that go away', async () => {
    const { host, port } = emulator.tls
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00']) {
      await new Promise<void>((resolve) => {
        const socket = connectTcp(port, host, () => socket.end(Buffer.from(bytes, 'latin1')))
        socket.on('error', () => {})
        socket.on('close', () => resolve())
        socket.resume()
      })
    }
    expect(await served()).toBe(old().fingerprint)
  })
})
