import type { Domain, GatewayCertificate, World } from './world.ts'

/** What the TLS edge shows of a domain from some moment on. */
export interface Snapshot {
  /** On the emulator's monotonic clock, milliseconds. */
  visibleFrom: number
  certificates: {
    id: string
    fingerprint: string
    algorithm: string
    certificatePem: string
    privateKeyPem: string
  }[]
  clientVerification: boolean
  trustedRootCaPem: string | undefined
  minSslVersion: Domain['minSslVersion']
}

/** In the order of the changes. A later change counts from its own moment on, whatever an earlier one promised. */
export type EdgeView = Snapshot[]

/** Notes the domain's present state, to be seen at the edge after `delayMs`. */
export function publish(world: World, domain: Domain, delayMs: number): void {
  const now = world.clock.monotonic()
  const visible = currentIndex(domain.view, now)
  if (visible > 0) domain.view.splice(0, visible)
  domain.view.push({
    visibleFrom: now + delayMs,
    certificates: oldestOfItsKind(domain.certificates).map(served),
    clientVerification: domain.clientVerification,
    trustedRootCaPem: domain.certificates.find((one) => one.trustedRootCaPem !== undefined)?.trustedRootCaPem,
    minSslVersion: domain.minSslVersion,
  })
}

/** What a client meets now; undefined where nothing was ever visible. */
export function visible(world: World, domain: Domain): Snapshot | undefined {
  return domain.view[currentIndex(domain.view, world.clock.monotonic())]
}

function currentIndex(view: EdgeView, now: number): number {
  return view.findLastIndex((snapshot) => snapshot.visibleFrom <= now)
}

/** Of two of one algorithm the older stays in the clients' sight until it is detached. */
function oldestOfItsKind(certificates: GatewayCertificate[]): GatewayCertificate[] {
  const kinds = certificates.map((one) => one.facts.algorithm)
  return certificates.filter((one, index) => kinds.indexOf(one.facts.algorithm) === index)
}

function served(certificate: GatewayCertificate): Snapshot['certificates'][number] {
  const { id, facts, certificatePem, privateKeyPem } = certificate
  return { id, fingerprint: facts.fingerprint, algorithm: facts.algorithm, certificatePem, privateKeyPem }
}
