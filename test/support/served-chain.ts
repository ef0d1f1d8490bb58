import { createProbe } from '../../shared/probe/tls.ts'
import type { TestCloud } from './cloud.ts'

/** SHA-256 of every certificate that the embedded cloud's edge sends for this name, leaf first, by a real handshake. */
export async function servedChain(cloud: TestCloud, host: string): Promise<string[]> {
  const { tls } = cloud.emulator
  const result = await createProbe({ timeoutMs: 5000 }).handshake({
    serverName: host,
    host: tls.host,
    port: tls.port,
  })
  if (!result.reached || !result.served) throw new Error(`${host} is not served: ${result.reason}`)
  return result.served.chain
}
