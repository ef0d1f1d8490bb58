import type { Repair } from './bundle.ts'
import type { Work } from './limits.ts'
import { findPath, isSame, MOST_INTERMEDIATES, nameOf } from './path.ts'
import { printableList } from './printable.ts'
import type { Trust } from './trust.ts'
import { isSignedBy, type X509, x509Of } from './x509.ts'

export interface OrderedChain {
  /** Leaf's issuer first, without the root. */
  chain: X509[]
  repairs: Repair[]
}

export interface OrderOptions {
  /** Those of the object that held the leaf: only their order can be wrong. All by default. */
  together?: readonly X509[] | undefined
  judgedBy?: { trust: Trust; at: Date } | undefined
  work: Work
}

/**
 * Finds the leaf's issuers among what was uploaded and puts them in the order a server sends them. The root is
 * left out (clients have it or do not trust it); so is what the leaf does not need. Where one name and key have
 * several certificates (cross-signing), a root among them ends the chain, otherwise the one that lasts longest is taken.
 * If that does not lead to a trusted root and another way through the upload does, the other way is taken.
 */
export function orderChain(leaf: X509, uploaded: readonly X509[], options: OrderOptions): OrderedChain {
  const repairs: Repair[] = []
  const rest = unique(uploaded.filter((certificate) => !isSame(certificate, leaf)))
  if (rest.length < uploaded.length - 1)
    repairs.push({
      code: 'dropped-duplicate',
      message: 'A certificate that was there more than once is used once.',
    })
  const likely = likelyChain(leaf, rest, options.work)
  const chain = trustedChain(leaf, likely.chain, rest, options) ?? likely.chain
  const root = likely.root
  if (root !== undefined)
    repairs.push({
      code: 'dropped-root',
      message: `The root ${nameOf(root)} is not sent: clients use their own copy.`,
    })
  const unrelated = rest.filter((certificate) => certificate !== root && !chain.includes(certificate))
  if (unrelated.length > 0)
    repairs.push({
      code: 'dropped-unrelated',
      message: `Not needed by the leaf and left out: ${printableList(unrelated.map(nameOf))}.`,
    })
  const sent = [leaf, ...chain]
  const positions = unique(options.together ?? uploaded)
    .map((certificate) => sent.findIndex((other) => isSame(other, certificate)))
    .filter((at) => at >= 0)
  if (positions.some((at, i) => i > 0 && at < positions[i - 1]!))
    repairs.push({
      code: 'reordered-chain',
      message: 'The certificates were put in the order in which each one is followed by its issuer.',
    })
  return { chain, repairs }
}

function likelyChain(
  leaf: X509,
  rest: readonly X509[],
  work: Work,
): { chain: X509[]; root: X509 | undefined } {
  const chain: X509[] = []
  let root: X509 | undefined
  for (let current = leaf; chain.length < MOST_INTERMEDIATES && !isSelfSigned(current, work); ) {
    const issuers = issuersOf(current, rest, work).filter((issuer) => !chain.includes(issuer))
    root = issuers.find((issuer) => isSelfSigned(issuer, work))
    const next = issuers.find((issuer) => issuer !== root)
    if (root !== undefined || next === undefined) break
    chain.push(next)
    current = next
  }
  return { chain, root }
}

/** Another way through the upload that validates, if `likely` does not. */
function trustedChain(
  leaf: X509,
  likely: readonly X509[],
  rest: readonly X509[],
  { judgedBy: by, work }: OrderOptions,
): X509[] | undefined {
  if (by === undefined || by.trust.kind === 'any' || rest.length === likely.length) return undefined
  const anchors = by.trust.roots.map(x509Of)
  const validates = (pool: readonly X509[]) => {
    const { path } = findPath(leaf, { at: by.at, anchors, pool, work })
    return path?.problems.length === 0 ? path.certificates : undefined
  }
  if (validates(likely) !== undefined) return undefined
  return validates(rest)
    ?.slice(1)
    .filter(
      (certificate) => rest.some((other) => isSame(other, certificate)) && !isSelfSigned(certificate, work),
    )
}

export function unique(certificates: readonly X509[]): X509[] {
  return [
    ...new Map(
      certificates.map((certificate) => [certificate.certificate.fingerprint, certificate]),
    ).values(),
  ]
}

/** Signed with its own key, under its own name: a root, or a certificate somebody made for themselves. */
export function isSelfSigned(certificate: X509, work: Work): boolean {
  return certificate.selfIssued && isSignedBy(certificate, certificate, work)
}

/** Certificates of the issuer's name whose key made the signature, those that last longest first. */
export function issuersOf(certificate: X509, among: readonly X509[], work: Work): X509[] {
  const wanted = certificate.extensions.authorityKeyIdentifier?.keyIdentifier
  const fits = ({ extensions: { subjectKeyIdentifier: offered } }: X509) =>
    wanted !== undefined && offered !== undefined && Buffer.from(wanted).equals(offered) ? 1 : 0
  return among
    .filter(
      (issuer) => issuer.subject.canonical === certificate.issuer.canonical && !isSame(issuer, certificate),
    )
    .sort((a, b) => fits(b) - fits(a) || b.certificate.notAfter.getTime() - a.certificate.notAfter.getTime())
    .slice(0, MOST_NAMESAKES)
    .filter((issuer) => isSignedBy(certificate, issuer, work))
}

/** A real issuer has two or three certificates; each one more costs a signature. */
const MOST_NAMESAKES = 8
