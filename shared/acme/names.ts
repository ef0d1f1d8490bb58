import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { Failure } from '../base/failure.ts'
import type { CertificateConfig } from '../config/schema.ts'

/**
 * The names to order: `renew.names`, else the hosts of the certificate's domains; lower-case ASCII, sorted,
 * without doubles and without names that a wildcard of the same certificate covers (Let's Encrypt refuses those
 * as redundant). Fails with `acme.no-names` or `acme.bad-name` (never).
 */
export function namesToOrder(certificate: string, config: CertificateConfig): string[] {
  const hosts = config.gateways.flatMap((gateway) =>
    gateway.domains.map((domain) => (typeof domain === 'string' ? domain : domain.host)),
  )
  const listed = config.renew?.names ?? hosts.filter((host) => host !== undefined)
  if (listed.length === 0 || (config.renew?.names === undefined && hosts.includes(undefined))) {
    throw new Failure({
      code: 'acme.no-names',
      kind: 'never',
      message: `Certificate ${certificate} is to be renewed, but not all of its names are known from the config.`,
      next: 'List them as renew.names, or give every domain its host.',
      facts: { certificate },
    })
  }
  const names = [...new Set(listed.map(asciiName))].sort()
  return names.filter((name) => !names.includes(wildcardAbove(name)) || name.startsWith('*.'))
}

/** Whether a certificate with these names serves the host: exactly, or by a wildcard one label deep. */
export function covers(certificateNames: readonly string[], name: string): boolean {
  const own = certificateNames.map((item) => item.toLowerCase())
  return own.includes(name) || (!name.startsWith('*.') && own.includes(wildcardAbove(name)))
}

function wildcardAbove(name: string): string {
  return `*.${name.split('.').slice(1).join('.')}`
}

function asciiName(name: string): string {
  const wildcard = name.startsWith('*.')
  const ascii = domainToASCII((wildcard ? name.slice(2) : name).replace(/\.$/, '')).toLowerCase()
  const label = /^(?!-)[a-z0-9-]{1,63}(?<!-)$/
  const labels = ascii.split('.')
  if (
    labels.length < 2 ||
    ascii.length > 253 ||
    isIP(ascii) !== 0 ||
    !labels.every((part) => label.test(part))
  ) {
    throw new Failure({
      code: 'acme.bad-name',
      kind: 'never',
      message: `${JSON.stringify(name)} is not a name a certificate can be ordered for.`,
      next: 'Use full DNS names; a wildcard is written *.shop.example.',
      facts: { name },
    })
  }
  return wildcard ? `*.${ascii}` : ascii
}
