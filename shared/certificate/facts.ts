import type { Bundle, Certificate } from './bundle.ts'
import { judgingLimits, Work } from './limits.ts'
import { findPath, isSame, type PathProblem, type PathSearch, validatePath } from './path.ts'
import type { Trust } from './trust.ts'
import { isSignedBy, type X509, x509Of } from './x509.ts'

/** A certificate that one of the domains serves at present. */
export interface Served {
  notBefore: Date
  notAfter: Date
  names: string[]
  /** SHA-256 of each certificate as sent, leaf first; where it is not known nothing is lost. */
  chain?: readonly string[]
}

export interface JudgeOptions {
  /** The instant to judge at. */
  at: Date
  /** Every domain that is to serve the bundle. */
  domains: string[]
  trust: Trust
  /** What the domains serve now, where it is known. */
  served?: Served[]
  /** Lets an older or narrower certificate replace a newer or wider one. */
  allowDowngrade?: boolean
  /** `inspect` without a key: everything but the key is judged. */
  keyOptional?: boolean
  /** Certificates allowed between leaf and root; browsers give up at some ten. */
  maxIntermediates?: number
}

/** Everything the checks look at, worked out once. */
export interface Facts {
  bundle: Bundle
  options: JudgeOptions
  leaf: X509
  chain: X509[]
  trustedRootCa: X509[]
  /** Index in [leaf, ...chain] of the first one that the next has not signed; undefined if every link holds. */
  brokenLink: number | undefined
  search: PathSearch
  /** Of the best path, or of the chain alone where no root was reached. */
  problems: PathProblem[]
  /** What judging may still cost. */
  work: Work
}

/** Throws nothing but `TooMuchWork`, whatever a bundle holds. */
export function gatherFacts(bundle: Bundle, options: JudgeOptions): Facts {
  const work = new Work(judgingLimits)
  const leaf = x509Of(bundle.leaf)
  const asked =
    options.domains.length + (options.served ?? []).reduce((sum, one) => sum + one.names.length, 0)
  work.spend((leaf.extensions.subjectAlternativeName?.length ?? 0) * asked * COMPARISON, 'comparing names')
  const chain = bundle.chain.map(x509Of)
  const served = [leaf, ...chain]
  const broken = served.findIndex((certificate, i) => {
    const next = served[i + 1]
    return (
      next !== undefined &&
      !(next.subject.canonical === certificate.issuer.canonical && isSignedBy(certificate, next, work))
    )
  })
  const search = findPath(leaf, {
    at: options.at,
    anchors: anchorsFor(options.trust, chain, leaf),
    pool: chain,
    work,
    ...(options.maxIntermediates === undefined ? {} : { maxIntermediates: options.maxIntermediates }),
  })
  return {
    bundle,
    options,
    leaf,
    chain,
    trustedRootCa: bundle.trustedRootCa.map(x509Of),
    brokenLink: broken < 0 ? undefined : broken,
    search,
    problems: search.path?.problems ?? validatePath(search.dead, options.at, work),
    work,
  }
}

/** Price of holding one name against one host, in rounds. */
const COMPARISON = 1 / 4

/** With `any`, whatever the chain ends with stands in for a root, so that everything below it is still checked. */
function anchorsFor(trust: Trust, chain: readonly X509[], leaf: X509): X509[] {
  if (trust.kind !== 'any') return trust.roots.map((root: Certificate) => x509Of(root))
  return [chain.at(-1) ?? leaf]
}

/** The path's certificates that are not part of the bundle: what the client adds. */
export function addedByClient(facts: Facts): X509[] {
  const served = [facts.leaf, ...facts.chain]
  return (facts.search.path?.certificates ?? []).filter(
    (certificate) => !served.some((other) => isSame(other, certificate)),
  )
}
