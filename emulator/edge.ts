import { createServer as createHttpServer, type Server as HttpServer } from 'node:http'
import { createServer as createTcpServer, type Socket, type Server as TcpServer } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer } from 'node:tls'
import { readClientHello } from './client-hello.ts'
import { type Snapshot, visible } from './edge-view.ts'
import type { Domain, World } from './world.ts'

const UNRECOGNIZED_NAME = 112
const INTERNAL_ERROR = 80
const HELLO_LIMIT = 64 * 1024

/**
 * The gateways' TLS side: answers each server name with what is bound to that domain and already visible, and
 * refuses with the alert `unrecognized_name` where nothing is. The server name is read before the handshake
 * starts, because neither that alert nor a request for client certificates can be chosen inside it.
 */
export interface Edge {
  server: TcpServer
  close(): Promise<void>
}

export function createEdge(world: () => World): Edge {
  const http = createHttpServer((request, response) => {
    request.resume()
    response.writeHead(200, { 'content-type': 'text/plain; charset=utf-8', connection: 'close' })
    response.end(`${request.headers.host ?? 'emulator'} is served by the emulator\n`)
  })
  const open = new Set<Socket>()
  const servers = new WeakMap<Snapshot, TlsServer>()
  const server = createTcpServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    // Clients that break off are part of the job: scanners, probes, tests.
    socket.on('error', () => socket.destroy())
    peek(socket, (serverName) => {
      const snapshot = snapshotFor(world(), serverName)
      if (snapshot === undefined) return refuse(socket, UNRECOGNIZED_NAME)
      let target: TlsServer
      try {
        target = serverFor(snapshot, http, servers)
      } catch {
        // A certificate that the gateways' rules let pass and OpenSSL does not.
        return refuse(socket, INTERNAL_ERROR)
      }
      target.emit('connection', socket)
    })
  })
  return {
    server,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      }),
  }
}

/** Exact name before wildcard; of several gateways with the same name the first that has a certificate. */
export function snapshotFor(world: World, serverName: string | undefined): Snapshot | undefined {
  if (serverName === undefined) return undefined
  const wildcard = `*.${serverName.slice(serverName.indexOf('.') + 1)}`
  for (const host of [serverName, wildcard]) {
    const named: Domain[] = [...world.domains()].filter((domain) => domain.looked === host)
    const shown = named
      .map((domain) => visible(world, domain))
      .find((one) => (one?.certificates.length ?? 0) > 0)
    // A domain of its own without a certificate is not rescued by its neighbour's wildcard.
    if (named.length > 0) return shown
  }
  return undefined
}

// One per snapshot: version limits, ciphers and the request for client certificates belong to the connection's
// own context and would not follow a later switch by SNICallback.
function serverFor(snapshot: Snapshot, http: HttpServer, servers: WeakMap<Snapshot, TlsServer>): TlsServer {
  const present = servers.get(snapshot)
  if (present !== undefined) return present
  const { clientVerification, trustedRootCaPem } = snapshot
  const server = createTlsServer(
    {
      cert: snapshot.certificates.map((one) => one.certificatePem),
      key: snapshot.certificates.map((one) => one.privateKeyPem),
      ...(clientVerification && trustedRootCaPem !== undefined
        ? { ca: trustedRootCaPem, requestCert: true, rejectUnauthorized: true }
        : {}),
      minVersion: snapshot.minSslVersion,
      // The gateways do not speak TLS 1.3.
      maxVersion: 'TLSv1.2',
      // ECDSA before RSA; TLS 1.1 signs with SHA-1, which OpenSSL allows at level 0 only.
      ciphers: 'ECDHE+ECDSA:ECDHE+RSA:HIGH:!aNULL:!PSK:@SECLEVEL=0',
      honorCipherOrder: true,
    },
    (socket) => http.emit('connection', socket),
  )
  server.on('tlsClientError', () => {})
  servers.set(snapshot, server)
  return server
}

// Reads until the ClientHello is complete, then puts everything back.
function peek(socket: Socket, ready: (serverName: string | undefined) => void): void {
  const chunks: Buffer[] = []
  const onReadable = () => {
    for (let chunk = socket.read() as Buffer | null; chunk !== null; chunk = socket.read() as Buffer | null) {
      chunks.push(chunk)
    }
    const bytes = Buffer.concat(chunks)
    const hello = readClientHello(bytes)
    if (hello.kind === 'incomplete' && bytes.length < HELLO_LIMIT) return
    socket.off('readable', onReadable)
    if (hello.kind !== 'hello') {
      socket.destroy()
      return
    }
    socket.unshift(bytes)
    ready(hello.serverName)
  }
  socket.on('readable', onReadable)
}

// A fatal alert record in the clear, as servers send it before any key exists (RFC 5246, 7.2).
function refuse(socket: Socket, alert: number): void {
  socket.resume()
  socket.end(Buffer.from([21, 3, 3, 0, 2, 2, alert]))
}
