import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Emulator } from '../../emulator/emulator.ts'
import { day, systemClock } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { silentLog } from '../../shared/base/log.ts'
import { loadConfig } from '../../shared/config/load.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { openWiring } from '../../shared/wire/cloud.ts'
import { EdgeWatch, type Watched } from './edge-watch.ts'
import { painter, renderProgress, renderReport } from './render.ts'
import { useColor } from './session.ts'
import { readArguments, UsageError } from './usage.ts'

const APIG = 'f0fa1789-3b76-433b-a787-9892951c620e'
const ROMA = 'aa1b2c3d-0000-4000-8000-000000000001'

interface Scene {
  apig: string[]
  roma: string[]
  /** The user's own bundle, or one that the embedded cloud's own CA issues. */
  bundle?: { certificate: string; key: string }
}

/**
 * `npm start`: the embedded cloud with a few domains on a certificate that ends soon, a new bundle dropped into
 * a folder, the rotation, and what a TLS client saw before, during and after. Nothing leaves this machine, and
 * nothing is left on it.
 */
export async function run(args: string[]): Promise<number> {
  const scene = await readScene(args)
  const folder = await mkdtemp(join(tmpdir(), 'cert-rotation-demo-'))
  await mkdir(join(folder, 'bucket'))
  const { startEmulator } = await import('../../emulator/emulator.ts')
  const emulator = await startEmulator({ seed: seedFor(scene) })
  const interrupted = new AbortController()
  const stop = () => interrupted.abort(new Error('stopped by the user'))
  process.once('SIGINT', stop)
  try {
    return await play(scene, emulator, folder, interrupted.signal)
  } finally {
    process.off('SIGINT', stop)
    await emulator.close()
    await rm(folder, { recursive: true, force: true })
  }
}

async function play(scene: Scene, emulator: Emulator, folder: string, signal: AbortSignal): Promise<number> {
  const paint = painter(useColor(process.stdout))
  const say = (line = '') => process.stdout.write(`${line}\n`)
  const config = loadConfig(configFor(scene, emulator), { file: 'the demo config', environment: {} })
  const wiring = await openWiring({
    config,
    folder,
    clock: systemClock,
    random: Math.random,
    log: silentLog,
    owner: 'demo',
  })
  const watch = new EdgeWatch([...scene.apig, ...scene.roma], emulator.tls)
  try {
    say(paint('bold', 'cert-rotation demo: an embedded cloud on this machine, no account, nothing leaves it'))
    say()
    say(
      `1. ${scene.apig.length + scene.roma.length} domains at two gateways (APIG and ROMA Connect), bound to a certificate that ends soon.`,
    )
    await watch.start()
    const bundle = scene.bundle ?? (await issueBundle(scene, emulator))
    await wiring.store.put('incoming/demo/fullchain.pem', bundle.certificate)
    await wiring.store.put('incoming/demo/privkey.pem', bundle.key)
    say('2. A new bundle is dropped into incoming/demo/: fullchain.pem and privkey.pem.')
    say('3. The rotation; every line is a call to a gateway or a TLS handshake:')
    say()
    const show = renderProgress(useColor(process.stdout))
    const parties = wiring.parties({
      deadline: noDeadline(signal),
      progress: (event) => process.stdout.write(`   ${show(event)}`),
    })
    const report = await rotateUploads(wiring, parties, { names: ['demo'], byPerson: true })
    say()
    say(renderReport(report, useColor(process.stdout)))
    const domains = await watch.stop()
    say('4. What a TLS client was served:')
    say()
    say(renderTable(domains, scene, emulator, paint))
    return exitStatus(report)
  } finally {
    await watch.stop()
    await wiring.close()
  }
}

async function readScene(args: string[]): Promise<Scene> {
  const { values } = readArguments({
    args,
    options: { cert: { type: 'string' }, key: { type: 'string' }, host: { type: 'string', multiple: true } },
  })
  if (!values.cert && !values.key && !values.host)
    return {
      apig: ['api.shop.example', 'www.shop.example', '*.cdn.shop.example'],
      roma: ['erp.shop.example', 'partners.shop.example'],
    }
  if (!values.cert || !values.host)
    throw new UsageError('your own files need --cert FILE, --host NAME and, unless FILE holds it, --key FILE')
  const certificate = await readOwn(values.cert, '--cert')
  const key = values.key ? await readOwn(values.key, '--key') : ''
  return { apig: values.host, roma: [], bundle: { certificate, key } }
}

async function readOwn(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new Failure({
      code: 'usage.unreadable-file',
      kind: 'never',
      message: `${option}: ${file} cannot be read`,
      next: 'Name an existing PEM file.',
      cause,
    })
  }
}

function seedFor(scene: Scene) {
  const domain = (host: string) => ({ host, certificate: 'old' })
  return {
    rules: { visibilityDelayMs: 1_500, latencyMs: 20 },
    certificates: [
      { ref: 'old', generate: { names: [...scene.apig, ...scene.roma], notBefore: '-81d', notAfter: '+9d' } },
    ],
    instances: [
      { flavour: 'apig' as const, id: APIG, groups: [{ name: 'shop', domains: scene.apig.map(domain) }] },
      { flavour: 'roma' as const, id: ROMA, groups: [{ name: 'office', domains: scene.roma.map(domain) }] },
    ],
  }
}

async function issueBundle(scene: Scene, emulator: Emulator) {
  const now = Date.now()
  const issued = await emulator.intermediate.issue({
    names: [...scene.apig, ...scene.roma],
    notBefore: new Date(now - 3_600_000),
    notAfter: new Date(now + 90 * day),
  })
  return { certificate: issued.fullchainPem, key: issued.privateKeyPem }
}

/** What a user would write, with the embedded cloud's address and its made-up access key. */
function configFor(scene: Scene, emulator: Emulator): string {
  const { ready, url, tls } = emulator
  const [key] = ready.seed.accessKeys
  const verify = { connect: `${tls.host}:${tls.port}` }
  const gateways = [
    { flavour: 'apig', instanceId: APIG, domains: scene.apig, verify },
    ...(scene.roma.length > 0 ? [{ flavour: 'roma', instanceId: ROMA, domains: scene.roma, verify }] : []),
  ]
  return JSON.stringify({
    cloud: {
      region: ready.seed.region,
      projectId: ready.seed.project.id,
      auth: { accessKey: { id: key?.id, secret: key?.secret } },
      endpoints: { iam: url, apig: url, roma: url, scm: url },
    },
    store: { directory: './bucket' },
    certificates: { demo: { gateways, push: [{ service: 'ELB', project: ready.seed.region }] } },
  })
}

function renderTable(
  domains: Watched[],
  scene: Scene,
  emulator: Emulator,
  paint: ReturnType<typeof painter>,
): string {
  const gaps = new Map(emulator.state().gaps.map((gap) => [gap.host, gap.durationMs]))
  const rows = domains.map(({ host, before, after, handshakes, refused, longestRefusalMs }) => [
    host,
    scene.roma.includes(host) ? 'ROMA' : 'APIG',
    served(before),
    served(after),
    `${refused} of ${handshakes}${refused > 0 ? ` (${longestRefusalMs} ms)` : ''}`,
    gaps.has(host) ? `${Math.round(gaps.get(host) ?? 0)} ms` : 'none',
  ])
  const head = ['domain', 'at', 'served before', 'served after', 'handshakes refused', 'longest unbound']
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  )
  const line = (cells: string[]) =>
    `   ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join('  ')}`.trimEnd()
  return [
    paint('dim', line(head)),
    ...rows.map(line),
    '',
    paint(
      'dim',
      '   served: fingerprint and last day. handshakes refused: real TLS handshakes every few milliseconds, all along.',
    ),
    paint(
      'dim',
      '   longest unbound: between detach and attach at the control plane, where the gateway holds no certificate.',
    ),
  ].join('\n')
}

function served(certificate: Watched['before']): string {
  return certificate
    ? `${certificate.fingerprint.slice(0, 12)}… ${certificate.notAfter.toISOString().slice(0, 10)}`
    : 'nothing'
}
