import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { asFailure } from '../../shared/base/failure.ts'
import { statusKeys } from '../../shared/runtime/publish.ts'
import type { Store } from '../../shared/store/port.ts'
import { UsageError } from './usage.ts'

const routes: Record<string, { key: string; type: string }> = {
  '/': { key: statusKeys.page, type: 'text/html; charset=utf-8' },
  '/status.json': { key: statusKeys.json, type: 'application/json' },
  '/metrics': { key: statusKeys.metrics, type: 'text/plain; version=0.0.4; charset=utf-8' },
}

/** `watch` shows the page, the JSON and the metrics of the last tick on loopback, and nothing else of the store. */
export async function serveStatus(
  store: Store,
  port: number,
): Promise<{ url: string; close(): Promise<void> }> {
  const server = createServer((request, response) => {
    const route =
      request.method === 'GET' || request.method === 'HEAD' ? routes[request.url ?? ''] : undefined
    const answer = (status: number, type: string, body: string | Uint8Array) => {
      response.writeHead(status, {
        'content-type': type,
        'cache-control': 'no-store',
        'x-content-type-options': 'nosniff',
      })
      response.end(request.method === 'HEAD' ? undefined : body)
    }
    // Another site's page must not read this one through a name that resolves to loopback.
    if (!/^(127\.0\.0\.1|localhost)(:\d+)?$/.test(request.headers.host ?? ''))
      return answer(403, 'text/plain', 'Forbidden\n')
    if (!route) return answer(404, 'text/plain', 'Not found: / /status.json /metrics\n')
    store.get(route.key, { maxBytes: 32 * 1024 * 1024 }).then(
      (object) =>
        object
          ? answer(200, route.type, object.bytes)
          : answer(503, 'text/plain', 'Not written yet: the first tick is under way.\n'),
      (thrown) => answer(503, 'text/plain', `${asFailure(thrown).message}\n`),
    )
  })
  await listen(server, port)
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', ({ code }: NodeJS.ErrnoException) =>
      reject(
        new UsageError(
          `port ${port} of 127.0.0.1 cannot be used for the page (${code})`,
          'Give another one with --port; without it a free one is taken.',
        ),
      ),
    )
    server.listen(port, '127.0.0.1', resolve)
  })
}
