import { createHash, X509Certificate } from 'node:crypto'
import type { AddressInfo, Socket, Server as TcpServer } from 'node:net'
import { createServer as createTcpServer } from 'node:net'
import type { TlsOptions, Server as TlsServer } from 'node:tls'
import { createServer as createTlsServer } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { Authority, Issued } from '../../emulator/authority.ts'
import { createAuthority } from '../../emulator/authority.ts'
import { Failure } from '../../shared/base/failure.ts'
import { createHandshakeReader } from '../../shared/probe/handshake-reader.ts'
import type { ProbeResult, ServedCertificate } from '../../shared/probe/port.ts'
import { createProbe } from '../../shared/probe/tls.ts'

const probe = createProbe({ timeoutMs: 3_000 })
let root: Authority
let intermediate: Authority
let leaf: Issued

beforeAll(async () => {
  root = await createAuthority({ commonName: 'Test Root' })
  intermediate = await createAuthority({ commonName: 'Test Issuing CA', issuer: root })
  leaf = await intermediate.issue({ names: ['api.shop.example', '*.shop.example', '10.0.0.7'] })
})

const open: { close(): void }[] = []
afterEach(() => {
  for (const one of open.splice(0)) one.close()
})

async function listen(server: TlsServer | TcpServer, host = '127.0.0.1'): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
  })
  server.on('tlsClientError', () => {})
  server.on('secureConnection', (socket: Socket) => socket.on('error', () => {}))
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve))
  open.push({
    close() {
      for (const socket of sockets) socket.destroy()
      server.close()
    },
  })
  return (server.address() as AddressInfo).port
}

const serveTls = (options: TlsOptions, host?: string) =>
  listen(createTlsServer({ cert: leaf.fullchainPem, key: leaf.privateKeyPem, ...options }), host)
const shake = (port: number, serverName = 'api.shop.example', host = '127.0.0.1') =>
  probe.handshake({ serverName, host, port })

function sha256(pem: string): string {
  return createHash('sha256').update(new X509Certificate(pem).raw).digest('hex')
}

function served(result: ProbeResult): ServedCertificate {
  if (result.reached && result.served !== undefined) return result.served
  throw new Error(`nothing was served: ${JSON.stringify(result)}`)
}

function refusal(result: ProbeResult): string {
  if (result.reached && result.served === undefined) return result.reason
  throw new Error(`not refused: ${JSON.stringify(result)}`)
}

describe.each(['TLSv1.2', 'TLSv1.3'] as const)('a handshake with a server of %s', (version) => {
  const only = { minVersion: version, maxVersion: version }

  it('shows the leaf and the chain as sent', async () => {
    const { der, ...result } = served(await shake(await serveTls(only)))
    expect(der?.map((one) => createHash('sha256').update(one).digest('hex'))).toEqual(result.chain)
    expect(result).toEqual({
      fingerprint: leaf.fingerprint,
      chain: [leaf.fingerprint, sha256(intermediate.certificatePem)],
      notBefore: leaf.notBefore,
      notAfter: leaf.notAfter,
      commonName: 'api.shop.example',
      issuer: 'CN=Test Issuing CA',
      names: ['api.shop.example', '*.shop.example', '10.0.0.7'],
    })
  })

  it('does not complete a chain that the server sends incomplete', async () => {
    const result = served(await shake(await serveTls({ ...only, cert: leaf.certificatePem })))
    expect(result.chain).toEqual([leaf.fingerprint])
  })

  it('shows a root that is sent along', async () => {
    const result = served(
      await shake(await serveTls({ ...only, cert: leaf.fullchainPem + root.certificatePem })),
    )
    expect(result.chain).toEqual([
      leaf.fingerprint,
      sha256(intermediate.certificatePem),
      sha256(root.certificatePem),
    ])
  })

  it('shows certificates in the order of the wire, even where it is wrong', async () => {
    const port = await serveTls({
      ...only,
      cert: leaf.certificatePem + root.certificatePem + intermediate.certificatePem,
    })
    expect(served(await shake(port)).chain).toEqual([
      leaf.fingerprint,
      sha256(root.certificatePem),
      sha256(intermediate.certificatePem),
    ])
  })

  it('works although the server demands a client certificate', async () => {
    const port = await serveTls({
      ...only,
      requestCert: true,
      rejectUnauthorized: true,
      ca: root.certificatePem,
    })
    expect(served(await shake(port)).chain).toEqual([leaf.fingerprint, sha256(intermediate.certificatePem)])
  })

  it('says that a server without a certificate for the name refuses', async () => {
    const port = await serveTls({
      ...only,
      cert: undefined,
      key: undefined,
      SNICallback: (name, done) => done(new Error(`nothing for ${name}`)),
    })
    expect(refusal(await shake(port))).toMatch(/refused the TLS handshake|broke off the TLS handshake/)
  })

  it('asks for the server name', async () => {
    const names: string[] = []
    const port = await serveTls({
      ...only,
      SNICallback: (name, done) => {
        names.push(name)
        done(null)
      },
    })
    await shake(port, 'other.shop.example')
    expect(new Set(names)).toEqual(new Set(['other.shop.example']))
  })
})

describe('what a server sends', () => {
  it('is shown when it expired long ago and is signed by nobody known', async () => {
    const old = await root.issue({
      names: ['old.example'],
      notBefore: new Date('2020-01-01T00:00:00Z'),
      notAfter: new Date('2020-02-01T00:00:00Z'),
    })
    const result = served(await shake(await serveTls({ cert: old.fullchainPem, key: old.privateKeyPem })))
    expect(result.notAfter).toEqual(new Date('2020-02-01T00:00:00Z'))
  })

  it('is shown for an RSA key as well', async () => {
    const rsa = await root.issue({ names: ['rsa.example'], key: 'RSA-2048' })
    const result = served(await shake(await serveTls({ cert: rsa.fullchainPem, key: rsa.privateKeyPem })))
    expect(result.fingerprint).toBe(rsa.fingerprint)
  })
})

describe('a server that cannot be shaken hands with', () => {
  it('is unreached when it refuses connections or has no address', async () => {
    const port = await serveTls({})
    for (const one of open.splice(0)) one.close()
    await new Promise((resolve) => setImmediate(resolve))
    expect(await shake(port)).toEqual({ reached: false, reason: `127.0.0.1:${port} refuses connections` })
    const nowhere = await probe.handshake({
      serverName: 'a.example',
      host: 'no-such-host.invalid',
      port: 443,
    })
    expect(nowhere).toMatchObject({ reached: false })
    expect((nowhere as { reason: string }).reason).toContain('no address in DNS')
  })

  it('is reached but refuses when it closes, talks something else, or says nothing', async () => {
    expect(refusal(await shake(await listen(createTcpServer((socket) => socket.destroy()))))).toContain(
      'broke off',
    )
    expect(
      refusal(
        await shake(
          await listen(createTcpServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n'))),
        ),
      ),
    ).toMatch(/broke off|refused/)
    const silent = createProbe({ timeoutMs: 100 })
    const port = await listen(createTcpServer(() => {}))
    expect(refusal(await silent.handshake({ serverName: 'a.example', host: '127.0.0.1', port }))).toContain(
      'no answer',
    )
  })

  it('names the alert it sent', async () => {
    const port = await listen(
      createTcpServer((socket) => {
        socket.once('data', () => socket.end(Buffer.from([21, 3, 3, 0, 2, 2, 112])))
      }),
    )
    expect(refusal(await shake(port))).toContain('alert unrecognized_name')
  })

  it('serves nobody when it shows a certificate whose key it does not have', async () => {
    const target = await serveTls({ maxVersion: 'TLSv1.2' })
    // Turns one bit of the signature in ServerKeyExchange: whoever does that has not the key.
    const { connect } = await import('node:net')
    const port = await listen(
      createTcpServer((client) => {
        const upstream = connect(target, '127.0.0.1')
        upstream.on('error', () => {})
        client.pipe(upstream)
        upstream.on('data', (chunk: Buffer) => {
          const at = chunk.lastIndexOf(Buffer.from([22, 3, 3, 0, 4, 14, 0, 0, 0]))
          if (at > 0) chunk[at - 1] = (chunk[at - 1] ?? 0) ^ 1
          client.write(chunk)
        })
      }),
    )
    expect(refusal(await shake(port))).toMatch(/broke off|refused/)
  })

  it.each([
    ['leaves its key exchange out', (records: Buffer[]) => records.filter((one) => one[5] !== 12)],
    [
      'signs its key exchange with another key',
      (records: Buffer[]) =>
        records.map((one) =>
          one[5] === 12 ? Buffer.concat([one.subarray(0, -1), Buffer.of(one.at(-1)! ^ 1)]) : one,
        ),
    ],
  ])(
    'proves nothing by a public certificate, a request for ours and an alert, when it %s',
    async (_, change) => {
      const target = await serveTls({
        maxVersion: 'TLSv1.2',
        requestCert: true,
        rejectUnauthorized: true,
        ca: root.certificatePem,
      })
      const { connect } = await import('node:net')
      const alert = Buffer.from([21, 3, 3, 0, 2, 2, 40])
      const port = await listen(
        createTcpServer((client) => {
          const upstream = connect(target, '127.0.0.1')
          upstream.on('error', () => {})
          client.on('error', () => {})
          client.once('data', (hello: Buffer) => upstream.write(hello))
          let flight = Buffer.alloc(0)
          upstream.on('data', (chunk: Buffer) => {
            flight = Buffer.concat([flight, chunk])
            if (!flight.subarray(-9).equals(Buffer.from([22, 3, 3, 0, 4, 14, 0, 0, 0]))) return
            client.end(Buffer.concat([...change(recordsOf(flight)), alert]))
          })
        }),
      )
      const result = await shake(port)
      expect(result).toEqual({
        reached: false,
        reason: expect.stringContaining(
          'before it proved to have the key of its own (alert handshake_failure)',
        ),
      })
    },
  )
})

function recordsOf(flight: Buffer): Buffer[] {
  const records: Buffer[] = []
  for (let at = 0; at + 5 <= flight.length; at += 5 + flight.readUInt16BE(at + 3))
    records.push(flight.subarray(at, at + 5 + flight.readUInt16BE(at + 3)))
  return records
}

describe('the way to the server', () => {
  it('is found over IPv6, in brackets or not', async (context) => {
    const port = await serveTls({}, '::1').catch(() => undefined)
    if (port === undefined) return context.skip('this machine has no IPv6 loopback')
    expect(served(await shake(port, 'api.shop.example', '::1')).fingerprint).toBe(leaf.fingerprint)
    expect(served(await shake(port, 'api.shop.example', '[::1]')).fingerprint).toBe(leaf.fingerprint)
  })

  it('sends no server name that is an address', async () => {
    const names: string[] = []
    const port = await serveTls({
      SNICallback: (name, done) => {
        names.push(name)
        done(null)
      },
    })
    expect(served(await shake(port, '127.0.0.1')).fingerprint).toBe(leaf.fingerprint)
    expect(names).toEqual([])
  })

  it('is left when the signal aborts', async () => {
    const port = await listen(createTcpServer(() => stop.abort()))
    const stop = new AbortController()
    const thrown = await probe
      .handshake({ serverName: 'a.example', host: '127.0.0.1', port }, stop.signal)
      .catch((error: unknown) => error)
    expect(thrown).toBeInstanceOf(Failure)
    expect(thrown).toMatchObject({ code: 'probe.aborted', kind: 'later' })
  })
})

describe('the reader of the plain part of a handshake', () => {
  it('survives any bytes in any pieces', async () => {
    const fc = await import('fast-check')
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        fc.boolean(),
        (chunks, asHandshake) => {
          const reader = createHandshakeReader()
          for (const chunk of chunks) {
            reader.receive(
              asHandshake
                ? Buffer.concat([Buffer.from([22, 3, 3, chunk.length >> 8, chunk.length & 255]), chunk])
                : chunk,
            )
          }
          expect(reader.certificates === undefined || Array.isArray(reader.certificates)).toBe(true)
        },
      ),
    )
  })
})
