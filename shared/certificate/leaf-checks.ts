import { day } from '../base/clock.ts'
import { passed, refused, warning } from './check-result.ts'
import type { Check } from './checks.ts'
import { ANY_EXTENDED_KEY_USAGE, Extension, SERVER_AUTH } from './extensions.ts'
import { isValidAt } from './path.ts'
import { opensslReads } from './x509.ts'

/** The leaf is valid at the instant of the judgement (RFC 5280, 4.1.2.5: both ends included). */
const dates: Check = ({ leaf, options: { at } }) => {
  const { notBefore, notAfter } = leaf.certificate
  const facts = { notBefore: notBefore.toISOString(), notAfter: notAfter.toISOString() }
  if (notAfter < notBefore)
    return refused('dates', 'never-valid', 'The certificate ends before it begins.', facts)
  if (at < notBefore)
    return refused(
      'dates',
      'not-yet-valid',
      `The certificate is not valid before ${facts.notBefore}: use it then, or check the clocks here and at the CA.`,
      facts,
    )
  if (!isValidAt(leaf, at))
    return refused(
      'dates',
      'expired',
      `The certificate ended on ${facts.notAfter}: renew it and upload the new one.`,
      facts,
    )
  return passed('dates', `The certificate is valid until ${facts.notAfter}.`, facts)
}

/** APIG answers `APIG.3148` to anything later: it counts seconds in 32 bits. */
const GATEWAY_DATE_LIMIT = new Date('2038-01-19T03:14:07Z')

const gatewayDateLimit: Check = ({ leaf }) => {
  const { notAfter } = leaf.certificate
  if (notAfter <= GATEWAY_DATE_LIMIT)
    return passed('gateway-date-limit', 'The certificate ends within the range the gateways take.')
  return refused(
    'gateway-date-limit',
    'ends-after-2038-01-19',
    `The certificate ends on ${notAfter.toISOString()}; the gateways refuse everything after ${GATEWAY_DATE_LIMIT.toISOString()}. Issue it for a shorter time.`,
    { notAfter: notAfter.toISOString() },
  )
}

/** CA/Browser Forum Baseline Requirements, 6.3.2 (ballots 193, SC-22 and SC-081v3): days by date of issue. */
const PUBLIC_LIFETIMES: readonly [from: string, days: number][] = [
  ['2029-03-15', 47],
  ['2027-03-15', 100],
  ['2026-03-15', 200],
  ['2020-09-01', 398],
  ['2018-03-01', 825],
  ['1970-01-01', 1185],
]

/** The longest life, in days, that a public CA may give a certificate issued on this day. */
export function publicLifetimeLimit(issued: Date): number {
  return PUBLIC_LIFETIMES.find(([from]) => issued >= new Date(from))?.[1] ?? 1185
}

const lifetime: Check = ({ leaf, options: { trust } }) => {
  const { notBefore, notAfter } = leaf.certificate
  // Both ends count, so the second after notAfter is the first one outside.
  const days = (notAfter.getTime() + 1000 - notBefore.getTime()) / day
  if (!(days > 0)) return undefined
  const limit = publicLifetimeLimit(notBefore)
  const facts = { days: Math.round(days * 100) / 100, limit }
  if (days <= limit)
    return passed(
      'lifetime',
      `The certificate lives ${Math.round(days)} days; public CAs may give ${limit}.`,
      facts,
    )
  const who =
    trust.kind === 'public' ? 'browsers may refuse it' : 'browsers accept that from a private CA only'
  return warning(
    'lifetime',
    `The certificate lives ${Math.round(days)} days, longer than the ${limit} that public CAs may give; ${who}.`,
    facts,
  )
}

const leafNotCa: Check = ({ leaf }) => {
  if (leaf.extensions.basicConstraints?.ca !== true)
    return passed('leaf-not-ca', 'The certificate is not a certificate authority.')
  return refused(
    'leaf-not-ca',
    'is-ca',
    'The certificate is a certificate authority itself (basic constraints CA:TRUE); issue a server certificate with it instead.',
  )
}

/** TLS 1.3 and ephemeral key exchange sign with the key; Chromium refuses a key usage that does not allow it. */
const keyUsage: Check = ({ leaf }) => {
  const usage = leaf.extensions.keyUsage
  if (usage === undefined) return passed('key-usage', 'The certificate does not limit the use of its key.')
  if (usage.digitalSignature) return passed('key-usage', 'The key may sign handshakes.')
  return refused(
    'key-usage',
    'no-digital-signature',
    'The key may not make digital signatures (key usage), which every modern handshake needs.',
  )
}

const serverAuth: Check = ({ leaf }) => {
  const usages = leaf.extensions.extendedKeyUsage
  if (leaf.extensions.netscapeServer === false)
    return refused(
      'server-auth',
      'not-for-servers',
      'The certificate is not meant for servers: its Netscape certificate type, which OpenSSL still obeys, lacks them.',
    )
  if (usages === undefined) return passed('server-auth', 'The certificate does not limit its purpose.')
  if (usages.includes(SERVER_AUTH)) return passed('server-auth', 'The certificate is meant for servers.')
  if (usages.includes(ANY_EXTENDED_KEY_USAGE))
    return refused(
      'server-auth',
      'any-purpose-only',
      'The certificate is for any purpose but does not name servers (serverAuth), which OpenSSL and others want.',
    )
  return refused(
    'server-auth',
    'not-for-servers',
    'The certificate is not meant for servers: its extended key usage lacks serverAuth.',
    { usages },
  )
}

/** What the RFC's profile and every strict reader ask of the encoding, for leaf and chain. */
const encoding: Check = ({ leaf, chain, problems, search }) => {
  if (leaf.unknownCritical.includes(Extension.precertificatePoison))
    return refused(
      'encoding',
      'precertificate',
      'This is a precertificate (RFC 6962), made for transparency logs only; upload the final certificate.',
    )
  const served = [leaf, ...(search.path?.certificates.slice(1) ?? chain)]
  const wrong = problems.filter((problem) => problem.rule === 'encoding').map((problem) => problem.message)
  const unread = served.find((certificate) => !opensslReads(certificate))
  if (unread !== undefined) wrong.push('A certificate of the chain cannot be read by OpenSSL.')
  if (leaf.version !== 3)
    wrong.push('The certificate is not of version 3, so it cannot hold the names that browsers look for.')
  if (wrong.length > 0) return refused('encoding', 'malformed', sentences(wrong), { problems: wrong })
  const odd = served.flatMap((certificate) => certificate.violations.map((violation) => violation.message))
  if (odd.length === 0) return passed('encoding', 'The certificates are well formed.')
  return warning(
    'encoding',
    `Browsers take it, but a certificate here ${[...new Set(odd)].slice(0, 4).join('; ')}.`,
    { problems: [...new Set(odd)].slice(0, 20) },
  )
}

export function sentences(messages: readonly string[]): string {
  const shown = messages.slice(0, 3).map((message) => (message.endsWith('.') ? message : `${message}.`))
  return messages.length > 3 ? `${shown.join(' ')} And ${messages.length - 3} more.` : shown.join(' ')
}

export const leafChecks: readonly Check[] = [
  dates,
  gatewayDateLimit,
  lifetime,
  leafNotCa,
  keyUsage,
  serverAuth,
  encoding,
]
