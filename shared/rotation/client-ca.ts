import { Failure } from '../base/failure.ts'
import type { Bundle } from '../certificate/bundle.ts'
import { previousBundle } from './deployed-bundle.ts'
import type { GatewayView } from './look.ts'
import type { Job, Parties } from './parties.ts'
import type { Deployed } from './state.ts'

/**
 * The trusted root CA that a domain had before is what it has after. The gateway never gives a CA back, so it
 * comes with the bundle or from the predecessor in `deployed/`; where neither has it, nothing is touched.
 */
export async function withClientCa(
  job: Job,
  parties: Pick<Parties, 'store' | 'clock' | 'reader'>,
  deployed: Deployed | undefined,
  bundle: Bundle,
  views: GatewayView[],
): Promise<Bundle> {
  const needed = views.flatMap((view) =>
    view.domains.filter(({ binding }) => binding.hasTrustedRootCa || binding.clientVerification),
  )
  if (bundle.trustedRootCa.length > 0) {
    requirePlaceForCa(job)
    return bundle
  }
  if (needed.length === 0) return bundle
  const before = await previousBundle(job, parties, deployed)
  if (before && before.trustedRootCa.length > 0) {
    requirePlaceForCa(job)
    return { ...bundle, trustedRootCa: before.trustedRootCa }
  }
  const hosts = needed.map((domain) => domain.host)
  throw new Failure({
    code: 'bundle.client-ca-missing',
    kind: 'later',
    message: `${hosts.join(', ')} verify client certificates, and the bundle has no CA for them`,
    next: `Put the CA of the client certificates as trusted-root-ca.pem into incoming/${job.name}/; the gateway does not give the present one back.`,
    facts: { domains: hosts },
  })
}

/** Known before anything is touched: where the certificate would have to go without its CA. */
function requirePlaceForCa(job: Job): void {
  for (const { flavour, instanceId, scope, strategy } of job.config.gateways) {
    const global = scope === 'global' && strategy !== 'update'
    // "Add certificate to a domain" of APIG has three fields, none of them for a CA.
    const addOnly = strategy === 'add' && flavour === 'apig'
    if (!global && !addOnly) continue
    const setting = global ? 'scope global' : 'strategy add'
    throw new Failure({
      code: 'bundle.client-ca-not-possible',
      kind: 'later',
      message: `The certificate comes with a trusted root CA, but ${flavour} ${instanceId} is configured with ${setting}, which takes none`,
      next: 'Use scope instance with strategy rebind or update for this gateway, or take the CA file out of the bundle.',
    })
  }
}
