import { countText } from '../../base/count-text.ts'
import { idempotencyKey, remoteCertificateName, remoteNameForHost } from '../../base/names.ts'
import type { CertificateConfig } from '../../config/schema.ts'
import type { BoundCertificate, DomainBinding } from '../../gateway/port.ts'
import type { PushTarget } from '../../manager/port.ts'
import type { BindOrder } from '../record/difference.ts'
import { asBound, isDone, type RecordedDomain, triedAnew, withoutWayBack } from '../record/domain.ts'
import { judgeOf } from '../record/judged.ts'
import type { BundleFacts, CurrentRotation, RotationState } from '../record/state.ts'
import { knownGateway, orderOf } from './attach-habit.ts'
import type { DomainView, GatewayView } from './look.ts'

/** One step as plain data; `key` is its idempotency key. */
export type Step =
  | { kind: 'create'; key: string; gateway: string; name: string }
  | ({ kind: 'update'; key: string; gateway: string } & UpdateUnit)
  | BindStep
  | DomainStep<'restore'>
  | DomainStep<'verify'>
  | { kind: 'import'; key: string; name: string }
  | { kind: 'push'; key: string; target: PushTarget }

export interface DomainStep<Kind extends string> {
  kind: Kind
  key: string
  gateway: string
  domain: string
  host: string
}

export interface BindStep extends DomainStep<'bind' | 'add'> {
  order: BindOrder
  replaces?: BoundCertificate
  /** `bind`: the certificate that is bound already and only needs its flag back; default: the created one. */
  certificateId?: string
  /** Certificates of superseded bundles of ours that stand beside; they are detached at the end. */
  besides?: BoundCertificate[]
  /** `add`: the name of the certificate that is created and bound in one call. */
  name?: string
}

/** One certificate that is updated in place, and the domains it is bound to. */
interface UpdateUnit {
  certificate: BoundCertificate
  domains: string[]
  /** By domain: certificates of superseded bundles of ours beside it, of another algorithm; detached at the end. */
  besides: Record<string, BoundCertificate[]>
}

export interface Plan {
  /** Name of the certificate at gateways and in SCM. */
  remoteName: string
  steps: Step[]
  /** How every domain is now: the way back, recorded before the first detach. */
  domains: Record<string, RecordedDomain>
}

/** What a plan is made from. Gathered first; planning itself asks nobody. */
export interface PlanFacts {
  certificateName: string
  config: CertificateConfig
  bundle: BundleFacts
  views: GatewayView[]
  /** The rotation that was begun last, of this bundle or of an older one. */
  current: CurrentRotation | undefined
  /** Certificates of this bundle's name that exist already, by gateway key. */
  existing: Record<string, string>
  /** Strategy `add`: certificates that an earlier run made and nothing may be bound to any more, by name. */
  made: Record<string, string>
  /** Ids of certificates that this tool made of other bundles. */
  superseded: Set<string>
  /** Certificate ids that already hold this bundle (strategy `update`). */
  updated: Set<string>
  /** Ids of predecessors that nobody can put back any more: they were deleted. */
  deleted: Set<string>
  /** What the gateways were seen to do. */
  gateways: RotationState['gateways']
  hasManager: boolean
  now: Date
}

export function planRotation(facts: PlanFacts): Plan {
  const domains: Record<string, RecordedDomain> = {}
  const steps: Step[] = []
  for (const view of facts.views) {
    for (const domain of view.domains) {
      const record = recordDomain(view, domain, facts)
      domains[domain.target] = asBound(
        withoutItself(record, ourIds(view, domain.host, facts)),
        isInPlace(view, domain, facts),
        facts.now,
      )
    }
    if (view.config.strategy === 'update') steps.push(...planUpdate(view, domains, facts))
    else if (view.config.strategy === 'add') steps.push(...planAdd(view, domains, facts))
    else steps.push(...planRebind(view, domains, facts))
  }
  steps.push(...planPushes(facts))
  const remoteName = remoteCertificateName(facts.certificateName, facts.bundle.digest)
  return { remoteName, steps: inOrder(steps), domains }
}

const ORDER: Step['kind'][] = ['restore', 'create', 'update', 'bind', 'add', 'verify', 'import', 'push']

/** Domains that must be put back come first; nothing is created before that. */
function inOrder(steps: Step[]): Step[] {
  return steps.toSorted((a, b) => ORDER.indexOf(a.kind) - ORDER.indexOf(b.kind))
}

/**
 * The way back of a domain. What an unfinished rotation recorded stays the way back until its own certificate
 * was seen in service: a certificate that never proved itself is nothing to return to.
 */
function recordDomain(view: GatewayView, domain: DomainView, facts: PlanFacts): RecordedDomain {
  const { binding } = domain
  const before = facts.current?.domains[domain.target]
  const sameBundle = facts.current?.bundle.digest === facts.bundle.digest
  const ours = ourIds(view, domain.host, facts)
  const foreign = binding.certificates.find((one) => !isOurs(one, ours))
  if (before && sameBundle) {
    const { givenUp } = before
    // Old and new were both deleted and nothing is bound: there is nothing to return to, and nothing to lose.
    if (givenUp && before.predecessor && isBare(view, domain, facts) && isLost(before.predecessor, facts))
      return withoutWayBack(before)
    // A rotation that was concluded as failed is begun anew only because somebody wants it, and a domain that an
    // earlier version gave up for an odd answer was never judged.
    const anew = facts.current?.status === 'failed' || (givenUp !== undefined && !judgeOf(givenUp))
    const known = anew ? triedAnew(before) : before
    const { servedBefore, ...rest } = known
    const served = domain.servedBefore?.fingerprint
    // Somebody has put another certificate there by hand meanwhile: that is the way back now.
    if (foreign && foreign.id !== before.predecessor?.id && !isInPlace(view, domain, facts))
      return {
        ...rest,
        predecessor: foreign,
        clientVerification: binding.clientVerification,
        hasTrustedRootCa: binding.hasTrustedRootCa,
        ...(served ? { servedBefore: served } : {}),
      }
    const successor = successorOf(before, domain, ours, facts)
    if (successor)
      return {
        ...rest,
        predecessor: successor,
        ...(served && served !== facts.bundle.fingerprint ? { servedBefore: served } : {}),
      }
    return known
  }
  const record: RecordedDomain = {
    gateway: view.key,
    groupId: binding.groupId,
    domainId: binding.domainId,
    host: domain.host,
    clientVerification: binding.clientVerification,
    hasTrustedRootCa: binding.hasTrustedRootCa,
    ...(domain.servedBefore ? { servedBefore: domain.servedBefore.fingerprint } : {}),
  }
  const unproven = before !== undefined && !before.servedAt && !before.unverified && !before.restoredAt
  // What rotations before that one have left is ours as well, and nobody's choice.
  const isLeft = (one: BoundCertificate) =>
    isOfCurrent(one, before!, view, domain, facts) || facts.superseded.has(one.id)
  if (unproven && binding.certificates.every(isLeft)) {
    return {
      ...record,
      clientVerification: before.clientVerification,
      hasTrustedRootCa: before.hasTrustedRootCa,
      ...(before.predecessor ? { predecessor: before.predecessor } : {}),
      ...(before.servedBefore ? { servedBefore: before.servedBefore } : {}),
    }
  }
  const bound = standingOn(domain, facts)
  return bound && !isOurs(bound, ours) ? { ...record, predecessor: bound } : record
}

/**
 * Beside the new certificate, before that was seen in service, somebody has put another in the place of the one that is
 * to go: of the predecessor's algorithm, by which the gateway had let the two stand side by side.
 */
function successorOf(
  { predecessor, servedAt, unverified }: RecordedDomain,
  { binding }: DomainView,
  ours: OurIds,
  facts: PlanFacts,
): BoundCertificate | undefined {
  if (servedAt || unverified || predecessor?.algorithm === undefined) return undefined
  if (binding.certificates.some(({ id }) => id === predecessor.id)) return undefined
  if (!binding.certificates.some((one) => isOurs(one, ours))) return undefined
  return binding.certificates.find(
    (one) => one.algorithm === predecessor.algorithm && !isOurs(one, ours) && !facts.superseded.has(one.id),
  )
}

/** Of several without a name for their algorithm, one of ours: of overtaken rotations that nobody remembers. */
function standingOn({ binding }: DomainView, facts: PlanFacts): BoundCertificate | undefined {
  return replacedBy(facts.bundle, binding) ?? binding.certificates.find(({ id }) => facts.superseded.has(id))
}

/**
 * Uploaded again while a newer bundle's rotation was on its way: what that one was to replace is the new certificate.
 * It is no way back from itself, and would be detached as what is replaced.
 */
function withoutItself(record: RecordedDomain, ours: OurIds): RecordedDomain {
  const { predecessor, ...rest } = record
  return predecessor && isOurs(predecessor, ours) ? rest : record
}

/** Neither a certificate nor one of ours that could be put there. */
function isBare(view: GatewayView, domain: DomainView, facts: PlanFacts): boolean {
  const { id } = ourIds(view, domain.host, facts)
  return domain.binding.certificates.length === 0 && !id && !facts.made[nameAt(view, domain.host, facts)]
}

function isLost(predecessor: BoundCertificate, facts: PlanFacts): boolean {
  return facts.deleted.has(predecessor.id)
}

/** The unproven certificate of the rotation before, or the one it was to replace: nobody else has been there. */
function isOfCurrent(
  one: BoundCertificate,
  before: RecordedDomain,
  view: GatewayView,
  domain: DomainView,
  facts: PlanFacts,
): boolean {
  const { current } = facts
  if (!current || one.id === before.predecessor?.id) return true
  const name = nameAt(view, domain.host, { certificateName: facts.certificateName, bundle: current.bundle })
  return isOurs(one, { id: current.certificates[view.key], name })
}

/** Whether the new certificate is on this domain now. */
function isInPlace(view: GatewayView, domain: DomainView, facts: PlanFacts): boolean {
  const ours = ourIds(view, domain.host, facts)
  return domain.binding.certificates.some((one) => isOurs(one, ours) || facts.updated.has(one.id))
}

interface OurIds {
  id: string | undefined
  name: string
}

function ourIds(view: GatewayView, host: string, facts: PlanFacts): OurIds {
  return { id: facts.existing[view.key], name: nameAt(view, host, facts) }
}

/** Strategy `add` makes one certificate per domain, so each needs a name of its own. */
export function nameAt(
  view: Pick<GatewayView, 'config'>,
  host: string,
  facts: Pick<PlanFacts, 'certificateName' | 'bundle'>,
): string {
  return view.config.strategy === 'add'
    ? remoteNameForHost(facts.certificateName, facts.bundle.digest, host)
    : remoteCertificateName(facts.certificateName, facts.bundle.digest)
}

function isOurs(certificate: BoundCertificate, ours: OurIds): boolean {
  return certificate.id === ours.id || (certificate.name !== '' && certificate.name === ours.name)
}

/** Which of the bound certificates the new one takes the place of: the same algorithm's, or else the only one. */
export function replacedBy(
  bundle: Pick<BundleFacts, 'algorithm'>,
  binding: DomainBinding,
): BoundCertificate | undefined {
  const same = binding.certificates.find((one) => one.algorithm === bundle.algorithm)
  if (same) return same
  return binding.certificates.length === 1 ? binding.certificates[0] : undefined
}

function planRebind(view: GatewayView, records: Record<string, RecordedDomain>, facts: PlanFacts): Step[] {
  const steps: Step[] = []
  for (const domain of view.domains) {
    const record = records[domain.target]!
    const ours = ourIds(view, domain.host, facts)
    const isBound = domain.binding.certificates.some((one) => isOurs(one, ours))
    if (record.givenUp) steps.push(...planRestore(view, domain, record, facts))
    else if (!isBound) steps.push(bindStep(view, domain, record, facts, !steps.some(isReplacing)))
    else steps.push(...afterBinding(view, domain, record, facts))
  }
  if (steps.some((step) => step.kind === 'bind') && !facts.existing[view.key])
    steps.push({
      kind: 'create',
      key: stepKey(facts, 'create', view.key),
      gateway: view.key,
      name: nameAt(view, '', facts),
    })
  return steps
}

function domainStep<Kind extends string>(
  kind: Kind,
  view: GatewayView,
  domain: DomainView,
  facts: PlanFacts,
): DomainStep<Kind> {
  const key = stepKey(facts, kind, domain.target)
  return { kind, key, gateway: view.key, domain: domain.target, host: domain.host }
}

function bindStep(
  view: GatewayView,
  domain: DomainView,
  record: RecordedDomain,
  facts: PlanFacts,
  goesFirst: boolean,
): BindStep {
  const replaces = replacedOn(domain, record, facts)
  return {
    ...domainStep('bind', view, domain, facts),
    order: plannedOrder(view, replaces, facts, goesFirst),
    ...(replaces ? { replaces } : {}),
    ...supersededOn(view, domain, facts, replaces),
  }
}

/**
 * Beside what an overtaken rotation has left it is the certificate from before that one that is replaced, and in service
 * still: whatever its algorithm, it must not stay beside the new one.
 */
function replacedOn(
  domain: DomainView,
  record: RecordedDomain,
  facts: PlanFacts,
): BoundCertificate | undefined {
  const found = standingOn(domain, facts)
  if (found && !facts.superseded.has(found.id)) return found
  return domain.binding.certificates.find(({ id }) => id === record.predecessor?.id) ?? found
}

/** As far as it can be said before the first domain has found out what the gateway does today. */
function plannedOrder(
  view: GatewayView,
  replaces: BoundCertificate | undefined,
  facts: PlanFacts,
  goesFirst: boolean,
): BindOrder {
  return orderOf({
    setting: view.config.attachFirst,
    habit: knownGateway(facts, view.key).attach,
    replaces: replaces !== undefined,
    otherAlgorithm: isOtherAlgorithm(replaces, facts.bundle),
    goesFirst,
  })
}

/** Side by side with the new one by the gateway's own rule. False where it does not say. */
export function isOtherAlgorithm(
  old: BoundCertificate | undefined,
  bundle: Pick<BundleFacts, 'algorithm'>,
): boolean {
  return old?.algorithm !== undefined && old.algorithm !== bundle.algorithm
}

export function isReplacing(step: Step): boolean {
  return (step.kind === 'bind' || step.kind === 'add') && step.replaces !== undefined
}

/** What a rotation that was overtaken has left on the domain, where its algorithm keeps it from being replaced. */
function supersededOn(
  view: GatewayView,
  domain: DomainView,
  facts: PlanFacts,
  replaces: BoundCertificate | undefined,
): { besides?: BoundCertificate[] } {
  const ours = ourIds(view, domain.host, facts)
  const besides = domain.binding.certificates.filter(
    (one) => one.id !== replaces?.id && facts.superseded.has(one.id) && !isOurs(one, ours),
  )
  return besides.length > 0 ? { besides } : {}
}

/** The new certificate is bound: is an old one of another algorithm left beside it, is the flag right, is it served? */
function afterBinding(
  view: GatewayView,
  domain: DomainView,
  record: RecordedDomain,
  facts: PlanFacts,
): Step[] {
  const leftover = record.predecessor
    ? domain.binding.certificates.find((one) => one.id === record.predecessor?.id)
    : undefined
  const besides = supersededOn(view, domain, facts, leftover)
  if (leftover || besides.besides || domain.binding.clientVerification !== record.clientVerification) {
    const bound = domain.binding.certificates.find((one) => isOurs(one, ourIds(view, domain.host, facts)))
    return [
      {
        ...domainStep('bind', view, domain, facts),
        order: leftover ? 'attach, detach' : 'attach',
        ...(leftover ? { replaces: leftover } : {}),
        ...besides,
        ...(bound ? { certificateId: bound.id } : {}),
      },
    ]
  }
  return planVerify(view, domain, record, facts)
}

function planVerify(view: GatewayView, domain: DomainView, record: RecordedDomain, facts: PlanFacts): Step[] {
  if (isDone(record)) return []
  return [domainStep('verify', view, domain, facts)]
}

/** A domain that was given up must have its predecessor; an undo that was cut short is brought to its end. */
function planRestore(
  view: GatewayView,
  domain: DomainView,
  record: RecordedDomain,
  facts: PlanFacts,
): Step[] {
  const verified = record.undo !== undefined || !record.servedBefore || !domain.probe
  if (record.noUndo || !record.predecessor || (record.restoredAt && verified)) return []
  return [domainStep('restore', view, domain, facts)]
}

function planAdd(view: GatewayView, records: Record<string, RecordedDomain>, facts: PlanFacts): Step[] {
  const steps: Step[] = []
  for (const domain of view.domains) {
    const record = records[domain.target]!
    const name = nameAt(view, domain.host, facts)
    const isBound = domain.binding.certificates.some((one) => one.name === name)
    if (record.givenUp) steps.push(...planRestore(view, domain, record, facts))
    else if (isBound) steps.push(...afterBinding(view, domain, record, facts))
    else {
      const made = facts.made[name]
      steps.push({
        ...bindStep(view, domain, record, facts, !steps.some(isReplacing)),
        // Made by an earlier run and taken off the domain since: a second one of it would be one too many.
        ...domainStep(made ? 'bind' : 'add', view, domain, facts),
        ...(made ? { certificateId: made } : { name }),
      })
    }
  }
  return steps
}

/**
 * In place: every certificate that is bound to a listed domain gets the new content. A domain with nothing
 * bound, or with a certificate of another algorithm only, cannot be served that way and is bound instead.
 */
function planUpdate(view: GatewayView, records: Record<string, RecordedDomain>, facts: PlanFacts): Step[] {
  const units = new Map<string, UpdateUnit>()
  const rest: DomainView[] = []
  const steps: Step[] = []
  for (const domain of view.domains) {
    const record = records[domain.target]!
    const bound = replacedBy(facts.bundle, domain.binding)
    const updatable = bound && (bound.algorithm === undefined || bound.algorithm === facts.bundle.algorithm)
    // Bound by an earlier run because nothing could be updated: what it was to replace may still be beside it.
    const wasBound = bound && bound.id === facts.existing[view.key] && bound.id !== record.predecessor?.id
    // Left by an overtaken rotation beside the old one, which an update would leave there, and clients are shown.
    const isLeft =
      bound &&
      facts.superseded.has(bound.id) &&
      domain.binding.certificates.some(({ id }) => id !== bound.id && id === record.predecessor?.id)
    if (!updatable || wasBound || isLeft) rest.push(domain)
    else if (facts.updated.has(bound.id) && !record.givenUp)
      steps.push(...afterUpdate(view, domain, record, bound.id, facts))
    else if (record.givenUp && !facts.updated.has(bound.id)) continue
    else {
      const unit = units.get(bound.id) ?? { certificate: bound, domains: [], besides: {} }
      unit.domains.push(domain.target)
      const { besides } = supersededOn(view, domain, facts, bound)
      if (besides) unit.besides[domain.target] = besides
      units.set(bound.id, unit)
    }
  }
  for (const { certificate, domains, besides } of units.values()) {
    const target = `${view.key}/${certificate.id}`
    const givenUp = domains.some((domain) => records[domain]?.givenUp)
    if (givenUp) {
      for (const domain of view.domains)
        if (domains.includes(domain.target)) steps.push(domainStep('restore', view, domain, facts))
    } else
      steps.push({
        kind: 'update',
        key: stepKey(facts, 'update', target),
        gateway: view.key,
        certificate,
        domains,
        besides,
      })
  }
  return [...steps, ...planRebind({ ...view, domains: rest }, records, facts)]
}

function afterUpdate(
  view: GatewayView,
  domain: DomainView,
  record: RecordedDomain,
  boundId: string,
  facts: PlanFacts,
): Step[] {
  const besides = supersededOn(view, domain, facts, { id: boundId, name: '' })
  if (besides.besides || domain.binding.clientVerification !== record.clientVerification)
    return [
      { ...domainStep('bind', view, domain, facts), order: 'attach', certificateId: boundId, ...besides },
    ]
  return planVerify(view, domain, record, facts)
}

function planPushes(facts: PlanFacts): Step[] {
  if (facts.config.push.length === 0 || !facts.hasManager) return []
  const name = remoteCertificateName(facts.certificateName, facts.bundle.digest)
  const done = facts.current?.bundle.digest === facts.bundle.digest ? facts.current.notes : {}
  const steps: Step[] = []
  for (const target of facts.config.push) {
    const key = stepKey(facts, 'push', `${target.service}:${target.project}`)
    if (!done[key]) steps.push({ kind: 'push', key, target })
  }
  const importKey = stepKey(facts, 'import', 'scm')
  if (steps.length > 0 || !done[importKey]) steps.unshift({ kind: 'import', key: importKey, name })
  return steps.length === 1 && done[importKey] ? [] : steps
}

export function stepKey(facts: Pick<PlanFacts, 'bundle'>, step: string, target: string): string {
  return idempotencyKey(facts.bundle.digest, step, target)
}

/** A step as a person reads it in `cert-rotation plan`. */
export function sentenceFor(step: Step): string {
  switch (step.kind) {
    case 'create':
      return `create certificate ${step.name} at ${step.gateway}`
    case 'update':
      return `replace the content of ${step.certificate.name || step.certificate.id} at ${step.gateway} in place, for ${countText(step.domains.length, 'domain')}`
    case 'bind':
    case 'add':
      return `${step.host}: ${orderSentence(step.order, step.replaces)}`
    case 'restore':
      return `${step.host}: put the predecessor back`
    case 'verify':
      return `${step.host}: check by TLS handshake what is served`
    case 'import':
      return `import ${step.name} into SCM`
    case 'push':
      return `push to ${step.target.service} in ${step.target.project}`
  }
}

function orderSentence(order: BindOrder, replaces: BoundCertificate | undefined): string {
  const old = replaces ? replaces.name || replaces.id : ''
  if (order === 'detach, attach') return `detach ${old}, attach the new certificate`
  if (order === 'attach, detach')
    return `attach the new certificate, then detach ${old} (before it, where the gateway refuses both)`
  return 'attach the new certificate'
}
