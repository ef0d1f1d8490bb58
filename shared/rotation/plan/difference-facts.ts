import type { Bundle } from '../../certificate/bundle.ts'
import { type CertificateSummary, summaryOf, summaryOfServed } from '../../certificate/summary.ts'
import type { BoundCertificate, GatewayCertificate } from '../../gateway/port.ts'
import type { BindOrder } from '../record/difference.ts'
import { type ChangedDomain, type Difference, differenceOf, type GatewayFacts } from '../record/difference.ts'
import type { RotationState } from '../record/state.ts'
import { knownGateway } from './attach-habit.ts'
import type { DomainView, GatewayView } from './look.ts'
import type { Plan } from './plan.ts'

/** What carrying out this plan changes. Undefined where no domain gets another certificate. */
export async function differenceFor(
  bundle: Bundle,
  views: readonly GatewayView[],
  plan: Plan,
  state: RotationState,
): Promise<Difference | undefined> {
  const gateways = await Promise.all(views.map((view) => gatewayFacts(bundle, view, plan, state)))
  if (gateways.every(({ domains }) => domains.length === 0)) return undefined
  const before = state.deployed ? state.deployed.clientCa : views.some(hasClientCa) ? undefined : []
  return differenceOf({
    certificate: summaryOf(bundle.leaf, bundle.chain),
    clientCa: {
      ...(before ? { old: before } : {}),
      new: bundle.trustedRootCa.map(({ fingerprint }) => fingerprint),
    },
    gateways,
  })
}

function hasClientCa({ domains }: GatewayView): boolean {
  return domains.some(({ binding }) => binding.hasTrustedRootCa)
}

interface Turn {
  domain: DomainView
  order: ChangedDomain['order']
  replaces: BoundCertificate | undefined
}

async function gatewayFacts(
  bundle: Bundle,
  view: GatewayView,
  plan: Plan,
  state: RotationState,
): Promise<GatewayFacts> {
  const { key, config } = view
  const known = knownGateway(state, key)
  const turns = turnsAt(view, plan).filter(
    ({ domain }) => domain.servedBefore?.fingerprint !== bundle.leaf.fingerprint,
  )
  const listed = await listedAt(view, turns)
  const verifying = view.domains.filter(({ binding }) => binding.clientVerification)
  return {
    gateway: key,
    strategy: config.strategy,
    domains: turns.map((turn) => changedDomain(turn, listed)),
    verifying: verifying.map(({ host }) => host),
    open: view.domains.filter((one) => !verifying.includes(one)).map(({ host }) => host),
    habit: known.attach,
    rehearsed: known.wayBack?.digest === bundle.digest ? known.wayBack : undefined,
    updateWithoutWayBack: config.updateWithoutWayBack,
    measured: longestGap(state, key),
  }
}

function turnsAt({ key, domains }: GatewayView, plan: Plan): Turn[] {
  const byTarget = new Map(domains.map((domain) => [domain.target, domain]))
  const turn = (target: string, order: BindOrder | 'in place', replaces: BoundCertificate | undefined) => {
    const domain = byTarget.get(target)
    return domain ? [{ domain, order, replaces }] : []
  }
  return plan.steps.flatMap((step) => {
    if (!('gateway' in step) || step.gateway !== key) return []
    if (step.kind === 'update')
      return step.domains.flatMap((target) => turn(target, 'in place', step.certificate))
    return step.kind === 'bind' || step.kind === 'add' ? turn(step.domain, step.order, step.replaces) : []
  })
}

/**
 * What the gateway itself says of certificates that no handshake shows. Best effort: what cannot be compared is told
 * as not known, and keeps nobody from rotating.
 */
async function listedAt(view: GatewayView, turns: Turn[]): Promise<Map<string, GatewayCertificate>> {
  const hidden = turns.some(({ domain, replaces }) => replaces && !domain.servedBefore)
  const list = hidden ? await view.gateway.certificates().catch(() => []) : []
  return new Map(list.map((one) => [one.id, one]))
}

function changedDomain(
  { domain, order, replaces }: Turn,
  listed: Map<string, GatewayCertificate>,
): ChangedDomain {
  const { host, servedBefore } = domain
  if (!replaces) return { host, order }
  const { id } = replaces
  if (servedBefore) {
    const shown = servedBefore.der && summaryOfServed(servedBefore.der)
    const basic = { notAfter: servedBefore.notAfter.toISOString() }
    return {
      host,
      order,
      old: { same: servedBefore.fingerprint, id, seen: 'handshake', shown: shown ?? basic },
    }
  }
  const one = listed.get(id)
  if (!one) return { host, order, old: { same: id, id } }
  return { host, order, old: { same: id, id, seen: 'gateway', shown: shownByList(one) } }
}

function shownByList({ notAfter, names }: GatewayCertificate): Partial<CertificateSummary> {
  return { notAfter: notAfter.toISOString(), ...(names.length > 0 ? { names } : {}) }
}

/** The state file keeps of many domains those with the longest gaps. */
function longestGap({ outcomes }: RotationState, gateway: string): GatewayFacts['measured'] {
  for (const { at, domains } of outcomes) {
    const gaps = domains.flatMap((one) =>
      one.gateway === gateway && one.gapMs !== undefined ? one.gapMs : [],
    )
    if (gaps.length > 0) return { ms: Math.max(...gaps), at }
  }
  return undefined
}
