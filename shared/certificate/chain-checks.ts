import { passed, refused, warning } from './check-result.ts'
import type { Check } from './checks.ts'
import { addedByClient, type Facts } from './facts.ts'
import { sentences } from './leaf-checks.ts'
import { isSelfSigned } from './order-chain.ts'
import { isSame, isValidAt, nameOf, type PathRule, weakKey } from './path.ts'
import { printable } from './printable.ts'

/** Each certificate of the bundle is signed by the one behind it, as a server has to send them. */
const chainOrder: Check = ({ leaf, chain, brokenLink }) => {
  if (brokenLink === undefined) {
    return passed(
      'chain-order',
      chain.length === 0
        ? 'There is no chain to put in order.'
        : `Each of the ${chain.length + 1} certificates is signed by the next.`,
    )
  }
  const [lower, upper] = [leaf, ...chain].slice(brokenLink)
  return refused(
    'chain-order',
    'link-broken',
    `${nameOf(lower!)} is not signed by ${nameOf(upper!)}, which stands behind it.`,
  )
}

/** The bundle leads to a root of the trust setting with nothing that the client would have to find elsewhere. */
const chainComplete: Check = (facts) => {
  const { options, search, leaf, chain, work } = facts
  const { trust } = options
  const top = chain.at(-1) ?? leaf
  if (trust.kind === 'any') return completeForAnybody(facts)
  if (search.path !== undefined) {
    const root = search.path.certificates.at(-1)!
    const added = addedByClient(facts)
    return passed(
      'chain-complete',
      `The chain is complete up to the ${trust.kind === 'public' ? 'public' : 'private'} root ${nameOf(root)}.`,
      {
        root: root.certificate.fingerprint,
        trust: trust.kind,
        addedByClient: added.map((certificate) => certificate.certificate.fingerprint),
      },
    )
  }
  const about = { issuer: printable(top.issuer.text), trust: trust.kind }
  if (search.exhausted)
    return refused(
      'chain-complete',
      'too-many-paths',
      'There are too many ways through these certificates to try them all.',
      about,
    )
  if (isSelfSigned(leaf, work))
    return refused(
      'chain-complete',
      'self-signed',
      `${nameOf(leaf)} is signed by itself and not one of the ${trust.kind} roots.`,
      about,
    )
  const known = trust.roots.some((root) => root.subject === top.certificate.issuer)
  if (known)
    return refused(
      'chain-complete',
      'root-differs',
      `A root named ${printable(top.issuer.text)} is trusted, but its key did not sign ${nameOf(top)}.`,
      about,
    )
  return refused(
    'chain-complete',
    'issuer-missing',
    `The issuer of ${nameOf(top)}, ${printable(top.issuer.text)}, is neither in the bundle nor one of the ${trust.kind} roots: add the intermediate certificates${trust.kind === 'public' ? ', or set trust for a private CA' : ''}.`,
    about,
  )
}

const completeForAnybody = ({ leaf, chain, bundle, work }: Facts) => {
  const top = chain.at(-1) ?? leaf
  const facts = { issuer: printable(top.issuer.text), trust: 'any' }
  if (isSelfSigned(top, work))
    return passed('chain-complete', 'The certificate is signed by itself; trust is set to any.', facts)
  if (chain.length > 0)
    return passed(
      'chain-complete',
      `The chain ends below ${facts.issuer}; trust is set to any, so whether that is a root is not asked.`,
      facts,
    )
  if (bundle.repairs.some(({ code }) => code === 'dropped-root'))
    return passed('chain-complete', `${facts.issuer}, which came along, is a root and has signed it.`, facts)
  return warning(
    'chain-complete',
    `There are no intermediates; with trust set to any nobody can tell whether ${facts.issuer} is a root that clients have.`,
    facts,
  )
}

/** Every certificate of the path and of the bundle is valid now. */
const chainDates: Check = ({ problems, search, chain, options }) => {
  const wrong = messagesOf(problems, 'chain-dates')
  if (wrong.length > 0) return refused('chain-dates', 'issuer-not-valid', sentences(wrong))
  const unused = chain.filter(
    (certificate) =>
      !isValidAt(certificate, options.at) &&
      !search.path?.certificates.some((other) => isSame(other, certificate)),
  )
  if (unused.length > 0)
    return warning(
      'chain-dates',
      `Not valid, but not needed by current clients either: ${unused.map(nameOf).join(', ')}.`,
    )
  return passed('chain-dates', 'Every issuer is valid now.')
}

function messagesOf(problems: Facts['problems'], rule: PathRule): string[] {
  return problems.filter((problem) => problem.rule === rule).map((problem) => problem.message)
}

/** A check that only passes on what path validation found. */
function pathCheck(rule: PathRule, reason: string, fine: string): Check {
  return ({ problems }) => {
    const wrong = messagesOf(problems, rule)
    return wrong.length > 0
      ? refused(rule, reason, sentences(wrong), { problems: wrong.slice(0, 20) })
      : passed(rule, fine)
  }
}

const signatureHash = pathCheck(
  'signature-hash',
  'weak-signature',
  'Every signature uses a hash that browsers take.',
)
const chainAuthority = pathCheck(
  'chain-authority',
  'not-an-authority',
  'Every issuer is a certificate authority.',
)
const chainKeys = pathCheck('chain-keys', 'weak-key', 'Every issuer has a key that browsers take.')
const chainPurpose = pathCheck('chain-purpose', 'not-for-servers', 'Every issuer may issue for servers.')
const keyIdentifiers = pathCheck(
  'key-identifiers',
  'points-elsewhere',
  'The key identifiers fit the issuers.',
)
const pathLength = pathCheck(
  'path-length',
  'too-long',
  'No issuer allows fewer intermediates than there are.',
)
const nameConstraints = pathCheck(
  'name-constraints',
  'name-not-permitted',
  'No issuer excludes a name of the certificate.',
)
const policies = pathCheck(
  'policies',
  'no-valid-policy',
  'The certificate policies of the chain fit together.',
)

/** What the gateway will ask clients for is a CA, and works as one. */
const trustedRootCa: Check = ({ trustedRootCa: certificates, options: { at } }) => {
  if (certificates.length === 0) return undefined
  const wrong: string[] = []
  for (const certificate of certificates) {
    const { basicConstraints, keyUsage } = certificate.extensions
    const { notBefore, notAfter } = certificate.certificate
    if (basicConstraints?.ca !== true && certificate.version === 3)
      wrong.push(`${nameOf(certificate)} is not a certificate authority`)
    if (keyUsage !== undefined && !keyUsage.keyCertSign)
      wrong.push(`${nameOf(certificate)} may not sign certificates by its key usage`)
    if (!isValidAt(certificate, at))
      wrong.push(
        `${nameOf(certificate)} is valid from ${notBefore.toISOString()} to ${notAfter.toISOString()} only`,
      )
    const weakness = weakKey(certificate.publicKey)
    if (weakness !== undefined) wrong.push(`${nameOf(certificate)} has ${weakness}`)
    for (const violation of certificate.violations)
      if (violation.result === 'refused') wrong.push(`${nameOf(certificate)} ${violation.message}`)
  }
  if (wrong.length > 0)
    return refused(
      'trusted-root-ca',
      'not-usable',
      `The CA for client certificates cannot be used: ${sentences(wrong)}`,
      { problems: wrong.slice(0, 20) },
    )
  return passed(
    'trusted-root-ca',
    `Client certificates are to come from ${certificates.map(nameOf).join(', ')}.`,
    { count: certificates.length },
  )
}

export const chainChecks: readonly Check[] = [
  signatureHash,
  chainOrder,
  chainComplete,
  chainDates,
  chainAuthority,
  chainKeys,
  chainPurpose,
  keyIdentifiers,
  pathLength,
  nameConstraints,
  policies,
  trustedRootCa,
]
