import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Emulator } from '../../emulator/emulator.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { silentLog } from '../../shared/base/log.ts'
import { loadConfig } from '../../shared/config/load.ts'
import { StoppedByPerson } from '../../shared/runtime/context.ts'
import { openWiring, type Wiring } from '../../shared/wire/cloud.ts'
import type { Watched } from './edge-watch.ts'
import type { Paint } from './render.ts'

export const APIG = 'f0fa1789-3b76-433b-a787-9892951c620e'
export const ROMA = 'aa1b2c3d-0000-4000-8000-000000000001'

/** Shells say so of a program that Ctrl-C has ended. */
const STOPPED = 130

export interface Domains {
  apig: string[]
  roma: string[]
}

export const shopDomains: Domains = {
  apig: ['api.shop.example', 'www.shop.example', '*.cdn.shop.example'],
  roma: ['erp.shop.example', 'partners.shop.example'],
}

export const say = (line = '') => process.stdout.write(`${line}\n`)

/**
 * A folder of its own and a signal for Ctrl-C around a demo; both are gone afterwards, whatever happens. `work`
 * registers what else has to be closed, and it is closed in reverse order.
 */
export async function onStage(
  work: (stage: {
    folder: string
    signal: AbortSignal
    closing: (close: () => Promise<unknown>) => void
  }) => Promise<number>,
): Promise<number> {
  const interrupted = new AbortController()
  const stop = () => {
    if (!interrupted.signal.aborted) process.stderr.write('\nStopping.\n')
    interrupted.abort(new StoppedByPerson())
  }
  // Further signals are taken as well: cleaning up is a matter of moments, and must not be cut short.
  process.on('SIGINT', stop)
  process.on('SIGTERM', stop)
  const folder = await mkdtemp(join(tmpdir(), 'cert-rotation-demo-'))
  const open: (() => Promise<unknown>)[] = [() => rm(folder, { recursive: true, force: true })]
  try {
    await mkdir(join(folder, 'bucket'))
    const status = await work({ folder, signal: interrupted.signal, closing: (close) => open.push(close) })
    return interrupted.signal.aborted ? STOPPED : status
  } catch (thrown) {
    if (interrupted.signal.aborted) return STOPPED
    throw thrown
  } finally {
    for (const close of open.reverse()) await close().catch(() => undefined)
    process.off('SIGINT', stop)
    process.off('SIGTERM', stop)
  }
}

/** The demo's rotation.yaml, opened as any other. */
export function openDemo(config: unknown, folder: string): Promise<Wiring> {
  return openWiring({
    config: loadConfig(JSON.stringify(config), { file: 'the demo config', environment: {} }),
    folder,
    clock: systemClock,
    random: Math.random,
    log: silentLog,
    owner: 'demo',
  })
}

/** Both gateways of the embedded cloud with these domains, on the seeded certificate `old`. */
export function instancesOf({ apig, roma }: Domains) {
  const domain = (host: string) => ({ host, certificate: 'old' })
  return [
    { flavour: 'apig' as const, id: APIG, groups: [{ name: 'shop', domains: apig.map(domain) }] },
    { flavour: 'roma' as const, id: ROMA, groups: [{ name: 'office', domains: roma.map(domain) }] },
  ]
}

/** What a user would write, with the embedded cloud's address and its made-up access key. */
export function configOf({ apig, roma }: Domains, emulator: Emulator, certificate: Record<string, unknown>) {
  const { ready, url, tls } = emulator
  const [key] = ready.seed.accessKeys
  const verify = { connect: `${tls.host}:${tls.port}` }
  const at = (flavour: string, domains: string[]) => {
    const instance = ready.seed.instances.find((one) => one.flavour === flavour)
    return instance && domains.length > 0 ? [{ flavour, instanceId: instance.id, domains, verify }] : []
  }
  const gateways = [...at('apig', apig), ...at('roma', roma)]
  return {
    cloud: {
      region: ready.seed.region,
      projectId: ready.seed.project.id,
      auth: { accessKey: { id: key?.id, secret: key?.secret } },
      endpoints: { iam: url, apig: url, roma: url, scm: url, dns: url },
    },
    // The bundle is dropped in one piece: nothing to wait for.
    store: { directory: './bucket', settle: '0s' },
    certificates: { demo: { gateways, ...certificate } },
  }
}

/** What each domain served before and after, by real handshakes. */
export function renderServed(
  watched: Watched[],
  { roma }: Domains,
  emulator: Emulator,
  paint: Paint,
): string {
  const gaps = new Map(emulator.state().gaps.map((gap) => [gap.host, gap.durationMs]))
  const rows = watched.map(({ host, before, after, handshakes, refused, longestRefusalMs }) => [
    host,
    roma.includes(host) ? 'ROMA' : 'APIG',
    `${short(before)} → ${short(after)}`,
    `${refused} of ${handshakes}${refused > 0 ? ` (${longestRefusalMs} ms)` : ''}`,
    gaps.has(host) ? `${Math.round(gaps.get(host) ?? 0)} ms` : 'none',
  ])
  const head = ['domain', 'at', 'served', 'refused', 'unbound']
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  )
  const line = (cells: string[]) =>
    `   ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd()
  const lastDays = new Map(
    watched.flatMap(({ before, after }) =>
      [before, after].flatMap((one) =>
        one ? [[short(one), one.notAfter.toISOString().slice(0, 10)] as const] : [],
      ),
    ),
  )
  const notes = [
    ...[...lastDays].map(([fingerprint, day]) => `${fingerprint}: valid until ${day}`),
    'served:   by its fingerprint, before → after',
    'refused:  of real TLS handshakes every few milliseconds, all along (longest)',
    "unbound:  longest time without a certificate at the gateway's control plane",
  ]
  return [
    paint('dim', line(head)),
    ...rows.map(line),
    '',
    ...notes.map((text) => paint('dim', `   ${text}`)),
  ].join('\n')
}

function short(certificate: Watched['before']): string {
  return certificate ? certificate.fingerprint.slice(0, 8) : 'nothing'
}
