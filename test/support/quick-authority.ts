import { type Authority as Ca, createAuthority } from '../../emulator/authority.ts'
import type { AcmeAccount, AcmeServer, Authority, ConnectAcme, RenewalInfo } from '../../shared/acme/port.ts'
import { day } from '../../shared/base/clock.ts'
import type { Secret } from '../../shared/base/secret.ts'

/**
 * A CA in this process that validates nothing and issues at the time it is told: for months of renewals in a
 * second. What real servers do is Pebble's to say.
 */
export class QuickAuthority {
  readonly ca: Ca
  readonly #now: () => Date
  /** Life of what it issues, in days. */
  lifetime = 90
  /** One per signing request that was accepted. */
  issued: { at: Date; names: string[] }[] = []
  /** When it was asked for renewal information. */
  polls: Date[] = []
  renewalInfo: RenewalInfo | undefined
  /** Called before it issues; may throw. */
  onFinalize: (key: Secret) => void = () => {}
  readonly #chains = new Map<string, string>()

  private constructor(ca: Ca, now: () => Date) {
    this.ca = ca
    this.#now = now
  }

  static async create(now: () => Date): Promise<QuickAuthority> {
    const root = await createAuthority({
      commonName: 'Quick Root',
      notBefore: new Date(now().getTime() - 365 * day),
      notAfter: new Date(now().getTime() + 3650 * day),
    })
    const ca = await createAuthority({ commonName: 'Quick CA', issuer: root })
    return new QuickAuthority(ca, now)
  }

  authority(directory = 'https://quick.example/dir'): Authority {
    const solver: Authority['solver'] = {
      type: 'dns-01',
      id: 'dns-01:none',
      prepare: async () => ({}),
      present: async () => {},
      ready: async () => 'ready',
      cleanUp: async () => {},
    }
    return { directory, solver }
  }

  connect: ConnectAcme = () => {
    const server: AcmeServer = {
      features: async () => ({ profiles: [], externalAccountRequired: false, renewalInfo: 'x' }),
      renewalInfo: async () => {
        this.polls.push(this.#now())
        return this.renewalInfo
      },
      account: async () => this.#account(),
      close: async () => {},
    }
    return server
  }

  #account(): AcmeAccount {
    const orders = this.#chains
    const order = (url: string, names: string[] = []) => ({
      url,
      status: orders.get(url) ? ('valid' as const) : ('ready' as const),
      names,
      authorizations: [],
      finalize: `${url}/finalize`,
    })
    return {
      url: 'https://quick.example/account/1',
      orders: async () => undefined,
      placeOrder: async ({ names }) => {
        const url = `https://quick.example/order/${orders.size + 1}`
        orders.set(url, '')
        return order(url, names)
      },
      order: async (url) => order(url),
      authorization: async () => {
        throw new Error('nothing has to be proven here')
      },
      challengeValue: () => '',
      respond: async () => {},
      finalize: async ({ url }, key, names) => {
        this.onFinalize(key)
        const at = this.#now()
        const made = await this.ca.issue({
          names,
          privateKeyPem: key.reveal(),
          notBefore: new Date(at.getTime() - day / 24),
          notAfter: new Date(at.getTime() + this.lifetime * day),
        })
        orders.set(url, made.fullchainPem)
        this.issued.push({ at, names })
        return order(url, names)
      },
      certificate: async ({ url }) => orders.get(url) ?? '',
    }
  }
}
