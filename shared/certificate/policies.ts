import { ANY_POLICY } from './extensions.ts'
import type { X509 } from './x509.ts'

/**
 * Certificate policies by RFC 5280, 6.1.2–6.1.5, for a client that asks for no policy itself: only a chain that demands
 * one of itself (policy constraints) can fail. The RFC's tree is kept as its lowest level alone, since
 * nothing else decides; that also keeps a hostile set of policies from growing without bound.
 *
 * `certificates` is the path, leaf first, anchor last. Returns what is wrong as a part of a sentence about the leaf.
 */
export function policyProblem(certificates: readonly X509[]): string | undefined {
  const path = certificates.slice(0, -1).toReversed()
  const most = path.length + 1
  let explicitPolicy = most
  let inhibitAnyPolicy = most
  let policyMapping = most
  /** Valid policy → the policies that the next certificate may name for it. */
  let level = new Map<string, Set<string>>([[ANY_POLICY, new Set([ANY_POLICY])]])
  for (const [i, certificate] of path.entries()) {
    const {
      certificatePolicies,
      policyMappings,
      policyConstraints,
      inhibitAnyPolicy: inhibit,
    } = certificate.extensions
    const isLeaf = i === path.length - 1
    const anyCounts = inhibitAnyPolicy > 0 || (!isLeaf && certificate.selfIssued)
    level = nextLevel(level, certificatePolicies, anyCounts)
    if (explicitPolicy === 0 && level.size === 0)
      return 'follows no policy that its issuers allow, and they demand one'
    if (isLeaf) {
      if (explicitPolicy > 0) explicitPolicy -= 1
      if (policyConstraints?.requireExplicitPolicy === 0) explicitPolicy = 0
      break
    }
    if (policyMappings !== undefined) {
      if (policyMappings.some((mapping) => mapping.issuer === ANY_POLICY || mapping.subject === ANY_POLICY))
        return 'has an issuer that maps the policy "any", which RFC 5280 (4.2.1.5) forbids'
      applyMappings(level, policyMappings, policyMapping > 0)
    }
    if (!certificate.selfIssued) {
      explicitPolicy = Math.max(0, explicitPolicy - 1)
      policyMapping = Math.max(0, policyMapping - 1)
      inhibitAnyPolicy = Math.max(0, inhibitAnyPolicy - 1)
    }
    explicitPolicy = Math.min(explicitPolicy, policyConstraints?.requireExplicitPolicy ?? most)
    policyMapping = Math.min(policyMapping, policyConstraints?.inhibitPolicyMapping ?? most)
    inhibitAnyPolicy = Math.min(inhibitAnyPolicy, inhibit ?? most)
  }
  return explicitPolicy === 0 && level.size === 0
    ? 'follows no policy that its issuers allow, and they demand one'
    : undefined
}

/** RFC 5280, 6.1.3 (d) and (e). */
function nextLevel(
  level: Map<string, Set<string>>,
  policies: string[] | undefined,
  anyCounts: boolean,
): Map<string, Set<string>> {
  const next = new Map<string, Set<string>>()
  if (policies === undefined) return next
  const expected = new Set([...level.values()].flatMap((set) => [...set]))
  for (const policy of policies)
    if (policy !== ANY_POLICY && (expected.has(policy) || level.has(ANY_POLICY)))
      next.set(policy, new Set([policy]))
  if (anyCounts && policies.includes(ANY_POLICY))
    for (const policy of expected) if (!next.has(policy)) next.set(policy, new Set([policy]))
  return next
}

/** RFC 5280, 6.1.4 (b). */
function applyMappings(
  level: Map<string, Set<string>>,
  mappings: { issuer: string; subject: string }[],
  allowed: boolean,
): void {
  const mapped = new Map<string, Set<string>>()
  for (const { issuer, subject } of mappings) {
    const subjects = mapped.get(issuer)
    if (subjects === undefined) mapped.set(issuer, new Set([subject]))
    else subjects.add(subject)
  }
  const any = level.has(ANY_POLICY)
  for (const [issuer, subjects] of mapped) {
    if (!allowed) level.delete(issuer)
    else if (any || level.has(issuer)) level.set(issuer, subjects)
  }
}
