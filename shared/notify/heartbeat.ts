import { Failure } from '../base/failure.ts'
import type { Secret } from '../base/secret.ts'
import type { Resolve } from './address.ts'
import { agentFor, exchange, type Outgoing, scrubbed, targetOf } from './outgoing.ts'
import { plain } from './text.ts'

export interface HeartbeatOptions {
  /** Whoever has it can keep the monitor calm: it is never printed. */
  url: Secret
  /** Also allows plain http. */
  allowPrivateAddress: boolean
  /** For connecting, for the headers and for the body, in milliseconds. */
  timeoutMs: number
  /** For tests: how names are resolved. */
  resolve?: Resolve
}

/**
 * One GET, which every monitor of heartbeats takes (healthchecks.io, Better Stack, Cronitor, Uptime Kuma). Resolves when
 * the answer is a 2xx; fails with `notify.*` else. Nothing is repeated: the next tick beats again.
 */
export async function sendHeartbeat(options: HeartbeatOptions, signal: AbortSignal): Promise<void> {
  const outgoing: Outgoing = {
    ...options,
    what: 'the heartbeat',
    who: 'heartbeat',
    facts: {},
    secrets: [],
  }
  const url = targetOf(outgoing)
  const agent = agentFor(outgoing)
  try {
    const { status, text } = await exchange(outgoing, agent, url, signal, { method: 'GET' })
    if (status < 200 || status >= 300) throw refused(outgoing, url.host, status, text)
  } finally {
    await agent.destroy()
  }
}

function refused(outgoing: Outgoing, host: string, status: number, text: string): Failure {
  const said = scrubbed(outgoing, plain(text, 100))
  const redirects = status >= 300 && status < 400
  return new Failure({
    code: status === 429 || status >= 500 ? 'notify.unavailable' : 'notify.refused',
    kind: status === 429 || status >= 500 ? 'later' : 'never',
    message: `${host} did not take the heartbeat: ${status}${said === '' ? '' : ` ${said}`}`,
    next: redirects
      ? 'Its URL redirects, which is not followed: configure the final URL.'
      : 'Check heartbeat: url: in rotation.yaml and what the monitor says about it.',
    facts: { host, status },
  })
}
