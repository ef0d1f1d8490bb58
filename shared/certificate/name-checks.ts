import { passed, refused, warning } from './check-result.ts'
import type { Check } from './checks.ts'
import type { Facts } from './facts.ts'
import { type Host, namesCover, parseHost } from './host-name.ts'
import { printable, printableList } from './printable.ts'

/** The subject alternative names cover every domain, by the browsers' rules. */
const namesCovered: Check = ({ leaf, options: { domains } }) => {
  const names = leaf.extensions.subjectAlternativeName ?? []
  const has = leaf.certificate.names
  const facts = {
    names: has.slice(0, 100),
    domains: domains.slice(0, 100).map((domain) => printable(domain)),
  }
  if (has.length === 0) {
    const hint = leaf.certificate.commonName === '' ? '' : ' (browsers do not look at the common name)'
    return refused(
      'names-covered',
      'no-names',
      `The certificate has no subject alternative names${hint}: issue it with the names of its domains.`,
      facts,
    )
  }
  const unknown = domains.filter((domain) => parseHost(domain) === undefined)
  if (unknown.length > 0)
    return refused(
      'names-covered',
      'not-a-host-name',
      `Not a host name or address: ${printableList(unknown)}.`,
      facts,
    )
  const missing = domains.filter((domain) => !namesCover(names, parseHost(domain)!))
  if (missing.length > 0)
    return refused(
      'names-covered',
      'name-not-covered',
      `The certificate does not cover ${printableList(missing)}; it covers ${printableList(has)}.`,
      {
        ...facts,
        missing: missing.slice(0, 100).map((domain) => printable(domain)),
      },
    )
  if (domains.length === 0)
    return passed('names-covered', `The certificate covers ${printableList(has)}.`, facts)
  return passed(
    'names-covered',
    `The certificate covers ${domains.length === 1 ? printable(domains[0]!) : `all ${domains.length} domains`}.`,
    facts,
  )
}

/**
 * What is served now is neither newer nor wider nor more complete: an old bundle that turns up late must not undo a
 * renewal, and a leaf whose intermediates are still on their way must not take them from clients that need them.
 */
const noDowngrade: Check = ({ leaf, chain, bundle, options: { served, allowDowngrade, trust } }) => {
  if (served === undefined || served.length === 0) return undefined
  const names = leaf.extensions.subjectAlternativeName ?? []
  const older = served.filter(
    (now) => now.notBefore > leaf.certificate.notBefore && now.notAfter > leaf.certificate.notAfter,
  )
  const lost = [...new Set(served.flatMap((now) => now.names))].filter((name) => {
    const host: Host | undefined = parseHost(name)
    return host !== undefined && !namesCover(names, host)
  })
  // Under other trust the path to the root tells. A root that came along and was dropped has signed the leaf itself.
  const alone = chain.length === 0 && !bundle.repairs.some(({ code }) => code === 'dropped-root')
  const intermediates = Math.max(...served.map((now) => (now.chain?.length ?? 1) - 1))
  const bare = trust.kind === 'any' && alone && !isIssuedByItself(leaf) && intermediates > 0
  if (older.length === 0 && lost.length === 0 && !bare)
    return passed('no-downgrade', 'The certificate is as new and as wide as what is served now.')
  const end = older[0]?.notAfter.toISOString()
  const why = [
    ...(older.length > 0 ? [`it is older than what is served now, which lasts until ${end}`] : []),
    ...(lost.length > 0 ? [`it lacks ${printableList(lost)}, which is served now`] : []),
    ...(bare
      ? [
          `it comes without intermediates, and what is served now has ${intermediates}: add them, or the root where it signs directly`,
        ]
      : []),
  ].join(', and ')
  const facts = { lost: lost.slice(0, 100).map((name) => printable(name)), older: older.length }
  if (allowDowngrade)
    return warning('no-downgrade', `The certificate is a step back: ${why}; the config allows it.`, facts)
  return refused(
    'no-downgrade',
    older.length > 0 ? 'older' : lost.length > 0 ? 'narrower' : 'chain',
    `The certificate is a step back: ${why}. Set allowDowngrade if that is meant.`,
    facts,
  )
}

function isIssuedByItself({ certificate }: Facts['leaf']): boolean {
  return certificate.issuer === certificate.subject
}

export const nameChecks: readonly Check[] = [namesCovered, noDowngrade]
