import type { AcmeServer } from '../acme/port.ts'
import { countText } from '../base/count-text.ts'
import { asFailure } from '../base/failure.ts'
import type { DnsLookup, DnsService } from '../dns/port.ts'
import { listText } from '../watch/words.ts'
import { type HealthCheck, linesOf } from './port.ts'

export interface DirectoryWanted {
  directory: string
  profile: string | undefined
  externalAccount: boolean
}

/** Whether the CA answers, and offers what the config wants of it. Orders nothing and makes no account. */
export async function directoryCheck(
  server: Pick<AcmeServer, 'features'>,
  { directory, profile, externalAccount }: DirectoryWanted,
  signal: AbortSignal,
): Promise<HealthCheck> {
  const { passed, failed, failure } = linesOf('renewal')
  const about = new URL(directory).host
  try {
    const { profiles, externalAccountRequired } = await server.features(signal)
    if (profile !== undefined && !profiles.includes(profile))
      return failed(
        about,
        `has no profile ${profile}`,
        `Take profile out of renew.acme, or write one of: ${profiles.join(', ') || '(it has none)'}.`,
      )
    if (externalAccountRequired && !externalAccount)
      return failed(
        about,
        'takes no account without an external account binding',
        'Write renew.acme.externalAccount: { keyId, hmacKey } as the CA gave them to you.',
      )
    return passed(about, 'its directory answers')
  } catch (thrown) {
    return failure(about, asFailure(thrown))
  }
}

/**
 * Whether every name's challenge has a public zone in this project, and whether somebody can be asked from here what it
 * shows. Reads only.
 */
export async function zoneChecks(
  dns: DnsService,
  lookup: DnsLookup,
  names: readonly string[],
  signal: AbortSignal,
): Promise<HealthCheck[]> {
  const { passed, warning, failure } = linesOf('renewal')
  const zones = new Map<string, { id: string; names: string[]; record: string }>()
  const checks: HealthCheck[] = []
  for (const name of new Set(names.map((one) => one.replace(/^\*\./, '')))) {
    try {
      const record = await lookup.followCnames(`_acme-challenge.${name}`, signal)
      const zone = await dns.zoneFor(record, signal)
      const known = zones.get(zone.name) ?? { id: zone.id, names: [], record }
      known.names.push(name)
      zones.set(zone.name, known)
    } catch (thrown) {
      checks.push(failure(name, asFailure(thrown)))
    }
  }
  for (const [zone, { id, names: own, record }] of zones) {
    try {
      await dns.txt(id, record, signal)
      const seen = await lookup.authoritativeTxt(zone, record, NO_VALUE, signal)
      const text = `zone is public and in this project, for ${countText(own.length, 'name')} (${listText(own, 3)})`
      checks.push(
        seen === 'silent'
          ? warning(zone, `${text}; none of its name servers can be asked from here`, SILENT)
          : passed(zone, `${text}; not proven: writing records, which only an order does`),
      )
    } catch (thrown) {
      checks.push(failure(zone, asFailure(thrown)))
    }
  }
  return checks
}

const NO_VALUE = 'nothing has this value'
const SILENT =
  'Allow DNS (port 53) out of here, delegate the zone to its name servers, or name a resolver in dnsServers; else the CA is asked to look after a minute.'

/** The stored key of an account opens with the configured secret; one that is not there is made with the first order. */
export async function accountCheck(
  directory: string,
  open: () => Promise<'opens' | 'none'>,
): Promise<HealthCheck> {
  const { passed, failure } = linesOf('renewal')
  const about = new URL(directory).host
  try {
    const answer = await open()
    return passed(
      about,
      answer === 'opens'
        ? 'the key of its account opens with accountKeySecret'
        : 'no account yet: it is made with the first order',
    )
  } catch (thrown) {
    return failure(about, asFailure(thrown))
  }
}
