import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Clock } from '../../shared/base/clock.ts'
import type { Log, LogFacts } from '../../shared/base/log.ts'

export interface Seen {
  method: string
  path: string
  query: URLSearchParams
  headers: IncomingMessage['headers']
  /** Parsed JSON, or undefined. */
  body: unknown
}

export interface Recorded {
  status: number
  headers?: Record<string, string>
  /** Sent as JSON, or as it is where it is text. */
  body?: unknown
  /** Close the socket instead of answering. */
  drop?: boolean
  /** Never answer. */
  hang?: boolean
}

export interface Loopback {
  url: string
  seen: Seen[]
  connections(): number
  close(): Promise<void>
}

/** A server that answers with recorded replies, in turn (the last one repeats) or by request. */
export async function startLoopback(replies: Recorded[] | ((request: Seen) => Recorded)): Promise<Loopback> {
  const seen: Seen[] = []
  let connections = 0
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      const url = new URL(request.url ?? '/', 'http://loopback')
      const text = Buffer.concat(chunks).toString('utf8')
      const one: Seen = {
        method: request.method ?? '',
        path: url.pathname,
        query: url.searchParams,
        headers: request.headers,
        body: text === '' ? undefined : JSON.parse(text),
      }
      seen.push(one)
      const reply = Array.isArray(replies)
        ? (replies[Math.min(seen.length, replies.length) - 1] ?? { status: 500 })
        : replies(one)
      answer(response, reply)
    })
  })
  server.on('connection', () => {
    connections++
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function answer(response: ServerResponse, reply: Recorded): void {
  if (reply.hang) return
  if (reply.drop) {
    response.socket?.destroy()
    return
  }
  const text =
    typeof reply.body === 'string' || reply.body === undefined ? reply.body : JSON.stringify(reply.body)
  response.writeHead(reply.status, {
    ...(typeof reply.body === 'string' || text === undefined ? {} : { 'content-type': 'application/json' }),
    ...reply.headers,
  })
  response.end(text)
}

/** A clock that stands still until it is moved; sleeping moves it and is written down. */
export function steppingClock(
  start = '2026-11-22T06:00:00Z',
): Clock & { slept: number[]; advance(ms: number): void } {
  let now = Date.parse(start)
  const slept: number[] = []
  return {
    slept,
    now: () => new Date(now),
    monotonic: () => now,
    async sleep(ms, signal) {
      if (signal?.aborted) throw signal.reason
      slept.push(ms)
      now += ms
    },
    advance(ms) {
      now += ms
    },
  }
}

export function collectingLog(): Log & { lines: string[] } {
  const lines: string[] = []
  const write = (message: string, facts?: LogFacts) => {
    lines.push(JSON.stringify({ message, ...facts, cause: String(facts?.failure?.cause ?? '') }))
  }
  const log = { lines, debug: write, info: write, warn: write, error: write, with: () => log }
  return log
}
