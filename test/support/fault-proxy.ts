import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, request, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What happens to one request on its way to the server. */
export type Fault =
  | 'none'
  /** The connection breaks before the server sees anything. */
  | 'lose-request'
  /** The server does the work, and the connection breaks before its answer. */
  | 'lose-reply'
  /** Half of the answer's body arrives, then the connection breaks. */
  | 'truncate'
  /** Half of the answer's body arrives, and its head says that this is all of it. */
  | 'shorten'
  /** The server sees nothing, and the answer says that it is done: 200 with an ETag to a PUT, 204 to a DELETE. */
  | 'pretend'
  /** Nothing ever answers. */
  | 'stall'
  | { status: number; body?: string; headers?: Record<string, string> }

export interface FaultProxy {
  endpoint: string
  /** Requests so far, faults included: `GET /bucket/key?query`. */
  seen: { method: string; url: string; headers: IncomingMessage['headers'] }[]
  /** Asked for every request, with the number of the request counted from 1 since it was set. */
  plan(fault: (count: number, request: IncomingMessage) => Fault): void
  close(): Promise<void>
}

/** A loopback proxy in front of a real server that misbehaves as it is told. Host headers pass unchanged. */
export async function faultProxy(target: string): Promise<FaultProxy> {
  let decide: (count: number, request: IncomingMessage) => Fault = () => 'none'
  let count = 0
  const seen: FaultProxy['seen'] = []
  const { hostname, port } = new URL(target)

  const server = createServer((incoming, outgoing) => {
    seen.push({ method: incoming.method ?? '', url: incoming.url ?? '', headers: incoming.headers })
    const fault = decide(++count, incoming)
    if (fault === 'lose-request') return void incoming.socket.destroy()
    if (fault === 'stall') return
    if (fault === 'pretend') return pretend(incoming, outgoing)
    if (typeof fault === 'object') {
      incoming.resume().on('end', () => {
        outgoing.writeHead(fault.status, fault.headers).end(fault.body)
      })
      return
    }
    forward(incoming, outgoing, fault)
  })

  function pretend(incoming: IncomingMessage, outgoing: ServerResponse): void {
    const digest = createHash('md5')
    incoming
      .on('data', (chunk: Buffer) => digest.update(chunk))
      .on('end', () => {
        if (incoming.method === 'DELETE') outgoing.writeHead(204).end()
        else outgoing.writeHead(200, { etag: `"${digest.digest('hex')}"` }).end()
      })
  }

  function forward(incoming: IncomingMessage, outgoing: ServerResponse, fault: Fault): void {
    const { method, url: path, headers } = incoming
    const onward = request({ hostname, port, method, path, headers, agent: false }, (answer) => {
      const chunks: Buffer[] = []
      answer.on('data', (chunk: Buffer) => chunks.push(chunk))
      answer.on('end', () => {
        const whole = Buffer.concat(chunks)
        const body = fault === 'shorten' ? whole.subarray(0, Math.floor(whole.length / 2)) : whole
        if (fault === 'lose-reply') return void incoming.socket.destroy()
        const head = { ...answer.headers, 'content-length': String(body.length) }
        delete (head as Record<string, unknown>)['transfer-encoding']
        outgoing.writeHead(answer.statusCode ?? 502, head)
        if (fault !== 'truncate') return void outgoing.end(body)
        outgoing.write(body.subarray(0, Math.floor(body.length / 2)), () => incoming.socket.destroy())
      })
    })
    onward.on('error', () => incoming.socket.destroy())
    incoming.pipe(onward)
  }

  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    plan(fault) {
      decide = fault
      count = 0
      seen.length = 0
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
