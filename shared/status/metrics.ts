import type { CertificateStatus, StatusModel } from './model.ts'

type Labels = Record<string, string>
type Sample = readonly [labels: Labels, value: number]

/**
 * `status/metrics.prom` in the Prometheus text format 0.0.4, for the node exporter's textfile collector or any
 * scraper. Base units and `_timestamp_seconds` as Prometheus' naming practices ask, so that the usual expression
 * `cert_rotation_certificate_not_after_timestamp_seconds - time()` works.
 */
export function renderMetrics(model: StatusModel): string {
  const { certificates, summary, name } = model
  const common: Labels = name === undefined ? {} : { installation: name }
  const family = (metric: string, help: string, samples: readonly Sample[]) =>
    familyText(
      metric,
      help,
      samples.map(([labels, value]) => [{ ...common, ...labels }, value]),
    )
  const each = (value: (certificate: CertificateStatus) => number | undefined): Sample[] =>
    certificates.flatMap((certificate) => {
      const number = value(certificate)
      return number === undefined ? [] : [[certificateLabels(certificate), number] as const]
    })
  const domains = certificates.flatMap((certificate) =>
    certificate.domains.map((domain) => ({ certificate, domain })),
  )
  return [
    family(
      'certificate_not_before_timestamp_seconds',
      'Start of the validity of the certificate in service.',
      each(({ leaf }) => seconds(leaf?.notBefore)),
    ),
    family(
      'certificate_not_after_timestamp_seconds',
      'End of the validity of the certificate in service.',
      each(({ leaf }) => seconds(leaf?.notAfter)),
    ),
    family(
      'certificate_renew_at_timestamp_seconds',
      'When renewal is due.',
      each(({ next }) => (next.act === 'renew' ? seconds(next.at) : undefined)),
    ),
    family(
      'certificate_health',
      'State of a certificate: 1 for the state it is in.',
      certificates.map((certificate) => [
        { ...certificateLabels(certificate), health: certificate.health },
        1,
      ]),
    ),
    family(
      'domain_served_as_expected',
      '1 where a handshake showed the expected certificate, 0 where it showed another one or none; missing where nobody looked.',
      domains
        .filter(({ domain }) => domain.verdict !== 'not reached' && domain.verdict !== 'not looked at')
        .map(({ certificate, domain }) => [
          { certificate: certificate.name, gateway: domain.gateway, host: domain.host },
          domain.verdict === 'expected' ? 1 : 0,
        ]),
    ),
    family(
      'domain_critical_since_timestamp_seconds',
      'Since when a domain has been bare or served what nobody verified; missing where all is well.',
      domains.flatMap(({ certificate, domain }) => {
        const since = seconds(domain.critical?.since)
        if (domain.critical === undefined || since === undefined) return []
        const { problem } = domain.critical
        const labels = { certificate: certificate.name, gateway: domain.gateway, host: domain.host, problem }
        return [[labels, since] as const]
      }),
    ),
    family(
      'domain_served_not_after_timestamp_seconds',
      'End of the validity of what a domain was seen to serve.',
      domains.flatMap(({ certificate, domain }) => {
        const end = seconds(domain.served?.notAfter)
        const labels = { certificate: certificate.name, gateway: domain.gateway, host: domain.host }
        return end === undefined ? [] : [[labels, end] as const]
      }),
    ),
    family('domains', 'Watched domains.', [[{}, summary.domains]]),
    family('certificates', 'Watched certificates by state.', [
      [{ health: 'critical' }, summary.critical],
      [{ health: 'warning' }, summary.warning],
      [{ health: 'due' }, summary.due],
      [{ health: 'ok' }, summary.ok],
      [{ health: 'unknown' }, summary.unknown],
    ]),
    family(
      'recent_rotations',
      'Rotations by outcome among the last five of each certificate.',
      recentRotations(certificates),
    ),
    family(
      'last_rotation_timestamp_seconds',
      'When a rotation was last looked at, and how that ended.',
      certificates.flatMap((certificate) => {
        const [last] = certificate.rotations
        const at = seconds(last?.at)
        if (last === undefined || at === undefined) return []
        return [[{ certificate: certificate.name, outcome: last.status }, at] as const]
      }),
    ),
    family(
      'last_rotation_duration_seconds',
      'How long the last rotation took.',
      each(({ rotations }) => perThousand(rotations[0]?.durationMs)),
    ),
    family(
      'last_rotation_gap_seconds',
      'Longest time that a domain was without a certificate in the last rotation that measured it.',
      each(({ rotations }) =>
        perThousand(rotations.find(({ longestGapMs }) => longestGapMs !== undefined)?.longestGapMs),
      ),
    ),
    family(
      'gateway_certificates',
      'Certificates at a gateway.',
      model.quotas.map(({ where, used }) => [{ gateway: where }, used]),
    ),
    family(
      'gateway_certificates_limit',
      'Certificate quota of a gateway.',
      model.quotas.map(({ where, limit }) => [{ gateway: where }, limit]),
    ),
    family(
      'channel_pending_messages',
      'Messages that a channel has not taken yet.',
      model.channels.map(({ name, pending }) => [{ channel: name }, pending]),
    ),
    family('last_tick_timestamp_seconds', 'When the timer ran last.', [
      [{}, seconds(model.lastTick?.at) ?? Number.NaN],
    ]),
    family('status_timestamp_seconds', 'When these numbers were made.', [
      [{}, seconds(model.at) ?? Number.NaN],
    ]),
  ].join('')
}

function certificateLabels({ name, managed, owner, where }: CertificateStatus): Labels {
  return {
    certificate: name,
    managed: String(managed),
    ...(owner === undefined ? {} : { owner }),
    ...(where === undefined ? {} : { where }),
  }
}

function recentRotations(certificates: readonly CertificateStatus[]): Sample[] {
  const counts = new Map<string, number>()
  for (const { rotations } of certificates) {
    for (const { status } of rotations) counts.set(status, (counts.get(status) ?? 0) + 1)
  }
  return [...counts].sort(([a], [b]) => a.localeCompare(b)).map(([outcome, count]) => [{ outcome }, count])
}

/** A family without samples is left out; two samples with the same labels would make the whole file invalid. */
function familyText(name: string, help: string, samples: readonly Sample[]): string {
  const metric = `cert_rotation_${name}`
  const lines = new Map<string, string>()
  for (const [labels, value] of samples) {
    if (Number.isNaN(value)) continue
    const pairs = Object.entries(labels).map(([label, text]) => `${label}="${escapeLabel(text)}"`)
    const series = pairs.length === 0 ? metric : `${metric}{${pairs.join(',')}}`
    lines.set(series, `${series} ${value}\n`)
  }
  if (lines.size === 0) return ''
  return `# HELP ${metric} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${metric} gauge\n${[...lines.values()].join('')}`
}

function escapeLabel(text: string): string {
  return text.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n')
}

function seconds(instant: string | undefined): number | undefined {
  const at = instant === undefined ? Number.NaN : Date.parse(instant)
  return Number.isNaN(at) ? undefined : at / 1_000
}

function perThousand(milliseconds: number | undefined): number | undefined {
  return milliseconds === undefined ? undefined : milliseconds / 1_000
}
