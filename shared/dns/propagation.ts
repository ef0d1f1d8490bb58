import { Resolver } from 'node:dns/promises'
import { isIPv6 } from 'node:net'
import type { DnsLookup } from './port.ts'

export interface LookupOptions {
  /**
   * `ip:port` of the servers to ask instead of the system's resolver and the zone's authoritative servers: for
   * tests and for networks that let only one resolver through.
   */
  servers?: string[] | undefined
  /** Milliseconds one server may take. */
  timeoutMs?: number
}

/** CNAME chains are short; a longer one is a loop. */
const mostHops = 8
/** These say "there is no such record", from a server that did answer. */
const empty = new Set(['ENODATA', 'ENOTFOUND'])

/**
 * Looks at the public DNS over UDP. Authoritative servers are found by the zone's NS records and asked directly,
 * each on its own: a recursive resolver would remember that the record was not there.
 */
export function createDnsLookup(options: LookupOptions = {}): DnsLookup {
  const timeout = options.timeoutMs ?? 3_000

  /** Aborting cancels the queries under way. */
  async function asking<T>(
    servers: string[] | undefined,
    signal: AbortSignal | undefined,
    work: (resolver: Resolver) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted()
    const resolver = new Resolver({ timeout, tries: 2 })
    if (servers !== undefined) resolver.setServers(servers)
    const cancel = () => resolver.cancel()
    signal?.addEventListener('abort', cancel, { once: true })
    try {
      return await work(resolver)
    } finally {
      signal?.removeEventListener('abort', cancel)
      signal?.throwIfAborted()
    }
  }

  async function addressesOf(zone: string, signal?: AbortSignal): Promise<string[]> {
    if (options.servers !== undefined) return options.servers
    return asking(undefined, signal, async (dns) => {
      const names = await dns.resolveNs(zone).catch(() => [])
      const lists = await Promise.all(
        names.flatMap((name) => [dns.resolve4(name).catch(() => []), dns.resolve6(name).catch(() => [])]),
      )
      return lists.flat().map((address) => (isIPv6(address) ? `[${address}]:53` : `${address}:53`))
    })
  }

  async function ask(server: string, name: string, value: string, signal?: AbortSignal) {
    return asking([server], signal, async (dns) => {
      try {
        const records = await dns.resolveTxt(name)
        return records.some((strings) => strings.join('') === value) ? 'seen' : 'unseen'
      } catch (thrown) {
        return empty.has((thrown as { code?: string }).code ?? '') ? 'unseen' : 'silent'
      }
    })
  }

  return {
    async followCnames(name, signal) {
      let at = name
      for (let hop = 0; hop < mostHops; hop++) {
        // Without an answer the name itself is the best that is known.
        const [target] = await asking(options.servers, signal, (dns) => dns.resolveCname(at).catch(() => []))
        if (target === undefined) break
        at = target.toLowerCase().replace(/\.$/, '')
      }
      return at
    },

    async authoritativeTxt(zone, name, value, signal) {
      const servers = await addressesOf(zone, signal)
      const results = await Promise.all(servers.map((server) => ask(server, name, value, signal)))
      const [some, others] = [results.includes('seen'), results.includes('unseen')]
      if (some) return others ? 'lagging' : 'seen'
      return others ? 'unseen' : 'silent'
    },
  }
}
