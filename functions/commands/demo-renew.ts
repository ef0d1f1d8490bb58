import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Emulator } from '../../emulator/emulator.ts'
import type { Pebble } from '../../emulator/pebble.ts'
import { day } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { tick } from '../../shared/runtime/tick.ts'
import type { Wiring } from '../../shared/wire/cloud.ts'
import { configOf, instancesOf, onStage, openDemo, renderServed, say, shopDomains } from './demo-stage.ts'
import { EdgeWatch } from './edge-watch.ts'
import { painter, renderReport } from './render.ts'
import { columnsOf, terminalProgress, useColor } from './session.ts'

/** What the embedded cloud takes to make a new binding visible, while the demo runs. */
const VISIBILITY_DELAY_MS = 1_500

/**
 * `npm start -- --renew`: a certificate that is due, Let's Encrypt's test server Pebble as the CA, and the embedded
 * cloud with its DNS between them. One tick orders, proves, drops and rotates; a second one orders nothing.
 */
export async function renewDemo(): Promise<number> {
  const { findPebble, startPebble } = await import('../../emulator/pebble.ts')
  const found = findPebble(process.env.PEBBLE)
  if ('missing' in found)
    throw new Failure({
      code: 'demo.no-pebble',
      kind: 'never',
      message: 'The renewal demo needs Pebble, the ACME test server, which is not installed here',
      next: 'Run .ci/install-pebble.sh (Debian; it unpacks the package below node_modules, no root needed), or set PEBBLE to the path of the program.',
    })
  const { startEmulator } = await import('../../emulator/emulator.ts')
  return onStage(async ({ folder, signal, closing }) => {
    const emulator = await startEmulator({ seed: seed() })
    closing(() => emulator.close())
    const pebble = await startPebble({
      binary: found.binary,
      dns: emulator.ready.dnsServer ?? '',
      config: { profiles: { ninety: { description: '90 days', validityPeriod: (90 * day) / 1_000 } } },
    })
    closing(() => pebble.remove())
    await writeFile(join(folder, 'pebble.pem'), pebble.caPem)
    const wiring = await openDemo(config(emulator, pebble), folder)
    closing(() => wiring.close())
    await deployOld(wiring, emulator, signal)
    emulator.setRules({ visibilityDelayMs: VISIBILITY_DELAY_MS, latencyMs: 20 })
    return play(wiring, emulator, pebble, signal)
  })
}

async function play(
  wiring: Wiring,
  emulator: Emulator,
  pebble: Pebble,
  signal: AbortSignal,
): Promise<number> {
  const color = useColor(process.stdout)
  const paint = painter(color)
  const { apig, roma } = shopDomains
  const watch = new EdgeWatch([...apig, ...roma], emulator.tls)
  const progress = terminalProgress('   ')
  const parties = wiring.parties({
    deadline: noDeadline(signal),
    progress: (event) => progress.show(event),
  })
  try {
    say(paint('bold', 'cert-rotation renewal demo: no account, nothing leaves this machine'))
    say()
    say(
      `1. ${apig.length + roma.length} domains at two gateways on a certificate with 9 of its 90 days left.`,
    )
    say(`   The CA is Pebble at ${pebble.directory}; it asks the embedded cloud's DNS.`)
    await watch.start()
    say('2. One tick of the timer: order, challenge, certificate, rotation.')
    say()
    const report = await tick(wiring, parties)
    progress.end()
    say()
    say(renderReport(report, color, columnsOf(process.stdout)))
    if (signal.aborted) return exitStatus(report)
    const watched = await watch.stop()
    say('3. What a TLS client was served:')
    say()
    say(renderServed(watched, shopDomains, emulator, paint))
    say()
    say('4. A second tick:')
    say()
    const second = await tick(wiring, parties)
    say(`   ${renderReport(second, color, columnsOf(process.stdout)).trimEnd()}`)
    const orders = pebble.logLines.filter((line) => line.includes('Added order ')).length
    say(`   Orders that Pebble has seen in all: ${orders}.`)
    return Math.max(exitStatus(report), exitStatus(second))
  } finally {
    await watch.stop()
  }
}

/** The predecessor came by upload, as ever: so the state file knows what is to be renewed. */
async function deployOld(wiring: Wiring, emulator: Emulator, signal: AbortSignal): Promise<void> {
  const now = Date.now()
  const old = await emulator.intermediate.issue({
    names: [...shopDomains.apig, ...shopDomains.roma],
    notBefore: new Date(now - 81 * day),
    notAfter: new Date(now + 9 * day),
  })
  await wiring.store.put('incoming/demo/fullchain.pem', old.fullchainPem)
  await wiring.store.put('incoming/demo/privkey.pem', old.privateKeyPem)
  const parties = wiring.parties({ deadline: noDeadline(signal) })
  const report = await rotateUploads(wiring, parties, { names: ['demo'], byPerson: true })
  signal.throwIfAborted()
  if (exitStatus(report) !== 0)
    throw new Error(report.outcomes[0]?.sentence ?? 'the demo could not be set up')
}

function seed() {
  const names = [...shopDomains.apig, ...shopDomains.roma]
  return {
    rules: { visibilityDelayMs: 0 },
    certificates: [{ ref: 'old', generate: { names, notBefore: '-171d', notAfter: '+1d' } }],
    instances: instancesOf(shopDomains),
    dns: { zones: [{ name: 'shop.example' }], pendingMs: 500, propagationMs: 500 },
  }
}

function config(emulator: Emulator, pebble: Pebble) {
  const acme = { directory: pebble.directory, profile: 'ninety', dns: 'huaweicloud', ca: 'pebble.pem' }
  return {
    ...configOf(shopDomains, emulator, { renew: { acme } }),
    dnsServers: [emulator.ready.dnsServer],
    accountKeySecret: 'a passphrase of the demo',
  }
}
