import { countText } from '../base/count-text.ts'
import type { FailureReport } from '../base/failure.ts'
import { isLoopback } from '../base/host.ts'
import { lastFailure, type Outbox } from '../notify/outbox.ts'
import { allCertificateFacts, type Gathered, type ServedFacts } from '../watch/facts.ts'
import { instantText } from '../watch/words.ts'
import { credentialsCheck } from './credentials.ts'
import { type HealthCheck, inOrder, linesOf } from './port.ts'

/**
 * The short form: what a tick has looked at already says how the tool itself is. Pure, and asks nobody; what a tick does
 * not come to has no line.
 */
export function seenChecks(gathered: Gathered, outbox: Outbox): HealthCheck[] {
  return inOrder([
    ...configChecks(gathered),
    ...credentialChecks(gathered),
    ...storeChecks(gathered),
    ...gatewayChecks(gathered),
    ...managerChecks(gathered),
    ...handshakeChecks(gathered),
    ...renewalChecks(gathered),
    ...toldChecks(gathered, outbox),
  ])
}

export function configChecks({ config }: Pick<Gathered, 'config'>): HealthCheck[] {
  const { passed, warning, failed } = linesOf('config')
  const about = 'rotation.yaml'
  const certificates = Object.values(config.certificates)
  const gateways = certificates.flatMap((one) => one.gateways)
  const places = new Set(gateways.map(({ flavour, instanceId }) => `${flavour}:${instanceId}`))
  const domains = gateways.flatMap((gateway) => gateway.domains).length
  const counts = [
    countText(certificates.length, 'certificate'),
    countText(domains, 'domain'),
    countText(places.size, 'gateway'),
  ].join(', ')
  const plain = config.allowPlainHttp ? [] : plainAddresses(config)
  const renewing = Object.entries(config.certificates).find(([, { renew }]) => renew)
  return [
    certificates.length > 0 || config.discover
      ? passed(about, `${counts}${config.discover ? ', and what else the gateways have (discover)' : ''}`)
      : warning(about, 'has no certificate, so nothing is rotated and nothing watched', NO_CERTIFICATE),
    ...(renewing && !config.accountKeySecret
      ? [
          failed(
            'accountKeySecret',
            `is not set, and the renewal of ${renewing[0]} has nothing to encrypt its keys with`,
            'Write accountKeySecret: "${ACME_SECRET}" and set that variable, for example to the output of openssl rand -hex 32.',
          ),
        ]
      : []),
    ...plain.map(({ setting, address }) =>
      warning(
        setting,
        `${address} is not encrypted: keys and tokens can be read on the way`,
        'Write https://. Where it is meant, say allowPlainHttp: true: a later release refuses it otherwise.',
      ),
    ),
  ]
}

/** Keys, tokens and private keys go there readable for whoever sits in between. */
function plainAddresses({
  cloud,
  store,
  certificates,
}: Gathered['config']): { setting: string; address: string }[] {
  const endpoints = Object.entries(cloud?.endpoints ?? {})
  const authorities = Object.entries(certificates).flatMap(([name, { renew }]) =>
    (renew ? [renew.acme].flat() : []).map(({ directory }) => [`certificates.${name}.renew.acme`, directory]),
  )
  return [
    ...endpoints.map(([service, address]) => [`cloud.endpoints.${service}`, address]),
    ['store.endpoint', store?.endpoint],
    ...authorities,
  ].flatMap(([setting, address]) =>
    address?.startsWith('http://') && !isLoopback(new URL(address).host)
      ? [{ setting: setting!, address }]
      : [],
  )
}

const NO_CERTIFICATE =
  'List certificates under certificates:, or set discover: true to watch what the gateways have.'

/** A list that a gateway gave, or refused with 401, is the answer to whether the credentials are accepted. */
export function credentialChecks({ cloud, gateways = [], unread = [] }: Gathered): HealthCheck[] {
  const refused = unread.find(({ failure }) => failure.facts.status === 401)?.failure
  return cloud && (refused || gateways.length > 0) ? credentialsCheck(cloud, refused) : []
}

export function storeChecks({ unread = [] }: Gathered): HealthCheck[] {
  const { passed, failure } = linesOf('store')
  const own = unread.filter(({ list }) => !list)
  if (own.length === 0) return [passed('store', 'state, uploads and what was told could be read')]
  return own.map((one) => failure(one.where, one.failure))
}

export function gatewayChecks({ gateways = [], unread = [], quotas }: Gathered): HealthCheck[] {
  const { passed, warning, failure } = linesOf('gateways')
  return [
    ...unread
      .filter(({ list, where }) => list && where !== SCM)
      .map((one) => failure(one.where, one.failure)),
    ...gateways.flatMap(({ where, found, missing }) => [
      ...(found > 0 || missing.length === 0 ? [passed(where, foundText(found, found + missing.length))] : []),
      ...missing.map((one) => failure(String(one.facts.domain ?? where), one)),
    ]),
    ...quotas
      .filter(({ used, limit }) => used >= limit * QUOTA_SHARE)
      .map(({ where, used, limit }) =>
        warning(where.replace(' ', ':'), `${used} of ${limit} certificates used`, QUOTA_NEXT),
      ),
  ]
}

function foundText(found: number, wanted: number): string {
  // One that is only discovered: the config names none of its domains.
  return wanted === 0 ? 'its domains could be read' : `${found} of ${countText(wanted, 'domain')} found`
}

/** How a list of the certificate manager is called among what could not be read. */
const SCM = 'scm'

/** It is asked only where something is pushed or discovered, so its silence has no line. */
function managerChecks({ unread = [] }: Gathered): HealthCheck[] {
  return unread
    .filter(({ where }) => where === SCM)
    .map(({ where, failure }) => linesOf('manager').failure(where, failure))
}

/** As the alerts have it. */
const QUOTA_SHARE = 0.85
const QUOTA_NEXT =
  'Delete certificates there that nothing is bound to, shorten retire, or raise the quota and maxCertificates.'

export function handshakeChecks(gathered: Gathered): HealthCheck[] {
  const { passed, warning } = linesOf('handshakes')
  const domains = allCertificateFacts(gathered).flatMap((one) => one.domains)
  const off = domains.filter(({ verdict }) => verdict.verdict === 'not looked at')
  const wanted = domains.length - off.length
  const lines = domains.flatMap((domain) => handshakeCheck(domain, gathered.now))
  if (domains.length === 0) return []
  if (wanted === 0)
    return [
      warning(
        countText(off.length, 'name'),
        'nobody looks what clients are served: verify is false for all of them',
        'Take verify: false out where there is a way to the domain from here.',
      ),
    ]
  const well = wanted - lines.length
  const unasked = off.length === 0 ? '' : `; ${off.length} not asked (verify: false)`
  return [
    ...(well > 0 ? [passed(`${well} of ${countText(wanted, 'name')}`, `served as expected${unasked}`)] : []),
    ...lines,
  ]
}

function handshakeCheck({ host, verdict, served }: ServedFacts, now: Date): HealthCheck[] {
  const { warning, failed } = linesOf('handshakes')
  if (served && served.notAfter <= now)
    return [failed(host, `serves a certificate that ended ${instantText(served.notAfter)}`, DROP)]
  switch (verdict.verdict) {
    case 'expected':
    case 'not looked at':
      return []
    case 'not reached':
      return [
        warning(
          host,
          `no way to it from here: ${verdict.detail}`,
          'Correct verify.connect or name resolution for where this runs, or write verify: false.',
        ),
      ]
    case 'nobody':
    case 'wrong name':
      return [failed(host, verdict.detail, DROP)]
    default:
      return [
        warning(host, verdict.detail, 'Run cert-rotation status: it says since when, and what happens next.'),
      ]
  }
}

const DROP = 'Drop a bundle for it into incoming/<name>/; cert-rotation plan shows what would be done.'

export function renewalChecks({ config, renewals }: Gathered): HealthCheck[] {
  const { passed, failure } = linesOf('renewal')
  return Object.entries(config.certificates)
    .filter(([, { renew }]) => renew)
    .map(([name]) => {
      const { renewAt, failing } = renewals.get(name) ?? {}
      if (failing) return failure(name, failing.failure)
      return passed(name, renewAt ? `is renewed ${instantText(renewAt)}` : 'is ordered by the next tick')
    })
}

/** How each channel took what it was sent last. */
export function toldChecks({ config }: Pick<Gathered, 'config'>, outbox: Outbox): HealthCheck[] {
  const { channels, owners } = config.alerts
  if (channels.length === 0 && Object.values(owners).flat().length === 0) return [nobodyIsTold]
  const { passed } = linesOf('alerts')
  return Object.entries(outbox.channels).flatMap(([name, { lastSuccess }]) => {
    const failed = lastFailure(outbox, name)
    if (failed) return [notTaken(name, failed)]
    return lastSuccess ? [passed(name, `took its last message ${instantText(lastSuccess)}`)] : []
  })
}

export const nobodyIsTold: HealthCheck = linesOf('alerts').warning(
  'channels',
  'none is configured: people are told nothing, and learn from exit statuses and the page only',
  'Add alerts.channels, for example - { smn: "urn:smn:…" } or - { webhook: "${SLACK_URL}", format: slack }.',
)

export function notTaken(name: string, failure: FailureReport): HealthCheck {
  return linesOf('alerts').failure(name, failure)
}
