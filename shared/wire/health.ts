import { storedAccount } from '../acme/account.ts'
import { type AuthorityConfig, authorityConfigs, challengeOf } from '../acme/authorities.ts'
import type { AcmeServer } from '../acme/port.ts'
import { connectAcme } from '../acme/server.ts'
import { createHuaweiDns } from '../dns/huaweicloud.ts'
import type { DnsLookup, DnsService } from '../dns/port.ts'
import { createDnsLookup } from '../dns/propagation.ts'
import type { Parties } from '../rotation/parties.ts'
import type { Store } from '../store/port.ts'
import type { Wiring } from './cloud.ts'
import { readCa } from './renewal.ts'

/** Whom a renewal would talk to, for somebody who only looks. */
export interface RenewalParties {
  /** Each CA of the config once. */
  authorities(): AuthorityConfig[]
  /** Its file is read; nothing is sent yet. */
  server(config: AuthorityConfig): Promise<AcmeServer>
  account(config: AuthorityConfig): Promise<'opens' | 'none'>
  dns(): DnsService
  lookup: DnsLookup
  /** The bucket of an HTTP-01 challenge. */
  bucket(name: string): Store
}

export function renewalParties(wiring: Wiring, parties: Parties): RenewalParties {
  const { clock, deadline } = parties
  const connect = connectAcme({ clock, remainingMs: () => deadline.remainingMs() })
  return {
    authorities() {
      const all = Object.values(wiring.config.certificates).flatMap(({ renew }) =>
        renew ? authorityConfigs(renew) : [],
      )
      const identity = ({ directory, email, profile, externalAccount, ca }: AuthorityConfig) =>
        JSON.stringify([directory, email, profile, externalAccount?.keyId, ca])
      return [...new Map(all.map((one) => [identity(one), one])).values()]
    },
    async server(config) {
      challengeOf(config)
      const { directory, email, profile } = config
      const caPem = config.ca && (await readCa(config.ca, wiring.folder))
      return connect({ directory, email, profile, caPem })
    },
    account: ({ directory, email, externalAccount }) =>
      storedAccount(
        { store: wiring.store, secret: wiring.config.accountKeySecret },
        { directory, email, externalAccount },
        deadline.signal,
      ),
    dns: () => createHuaweiDns(wiring.http('dns')),
    lookup: createDnsLookup({ servers: wiring.config.dnsServers }),
    bucket: (name) => wiring.openBucket(name),
  }
}
