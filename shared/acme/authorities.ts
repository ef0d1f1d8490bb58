import { Failure } from '../base/failure.ts'
import type { AcmeConfig } from '../config/schema.ts'
import type { Authority, ChallengeSolver } from './port.ts'

/** One entry of `renew.acme`. */
export type AuthorityConfig = Exclude<AcmeConfig['acme'], unknown[]>

/** `renew.acme` as a list, in the order in which the authorities are tried. */
export function authorityConfigs(renew: AcmeConfig): AuthorityConfig[] {
  return Array.isArray(renew.acme) ? renew.acme : [renew.acme]
}

/** Which challenge an authority is configured with. Fails with `config.challenge` (never) unless it is exactly one. */
export function challengeOf(
  config: AuthorityConfig,
): { dns: NonNullable<AuthorityConfig['dns']> } | { http: NonNullable<AuthorityConfig['http']> } {
  if (config.dns !== undefined && config.http === undefined) return { dns: config.dns }
  if (config.http !== undefined && config.dns === undefined) return { http: config.http }
  throw new Failure({
    code: 'config.challenge',
    kind: 'never',
    message: `The ACME authority ${config.directory} needs exactly one of dns and http.`,
    next: 'Set `dns: huaweicloud` (or otc), or `http` with the bucket that serves /.well-known/acme-challenge/.',
    facts: { directory: config.directory },
  })
}

/** An authority as the renewal takes it. `caPem` is the content of the file that `ca` names. */
export function authorityFrom(
  config: AuthorityConfig,
  solver: ChallengeSolver,
  caPem: string | undefined,
): Authority {
  const { directory, email, profile, preferredChain, externalAccount } = config
  return { directory, email, profile, preferredChain, externalAccount, caPem, solver }
}
