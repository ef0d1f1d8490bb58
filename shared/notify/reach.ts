import { lookup as systemLookup } from 'node:dns'
import { connect, type LookupFunction } from 'node:net'
import { Failure } from '../base/failure.ts'
import { plain } from './text.ts'

export interface ReachOptions {
  /** Of the channel, for messages. */
  channel: string
  host: string
  port: number
  timeoutMs: number
  /** How the name is resolved: `guardedLookup`, which refuses private addresses, or the system's. */
  lookup?: LookupFunction | undefined
  signal: AbortSignal
}

/** Opens a connection and closes it: says that name, network and port are right, and sends nothing. */
export async function reach({ channel, host, port, timeoutMs, lookup, signal }: ReachOptions): Promise<void> {
  const socket = connect({
    host: host.replace(/^\[|\]$/g, ''),
    port,
    lookup: lookup ?? systemLookup,
    signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
  })
  try {
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
  } catch (thrown) {
    if (thrown instanceof Failure) throw thrown
    const { code, name } = thrown as { code?: unknown; name?: unknown }
    const cause = plain(String(code ?? name ?? 'unknown error'), 40)
    throw new Failure({
      code: 'notify.unreachable',
      kind: 'later',
      message: `Cannot reach ${host}:${port} (channel ${channel}): ${cause}`,
      next: 'Correct this channel in rotation.yaml, or the network that leads to it from here.',
      facts: { channel, host, cause },
    })
  } finally {
    socket.destroy()
  }
}
