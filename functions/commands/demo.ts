import { readFile } from 'node:fs/promises'
import type { Emulator } from '../../emulator/emulator.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { day } from '../../shared/base/clock.ts'
import { countText } from '../../shared/base/count-text.ts'
import { Failure } from '../../shared/base/failure.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import {
  configOf,
  type Domains,
  instancesOf,
  onStage,
  openDemo,
  renderServed,
  say,
  shopDomains,
} from './demo-stage.ts'
import { EdgeWatch } from './edge-watch.ts'
import { painter, renderReport } from './render.ts'
import { columnsOf, terminalProgress, useColor } from './session.ts'
import { readArguments, UsageError } from './usage.ts'

interface Scene extends Domains {
  /** The user's own bundle, or one that the embedded cloud's own CA issues. */
  bundle?: { certificate: string; key: string }
  /** A cloud of the user's own making, instead of the demo's. */
  seed?: SeedInput
}

/**
 * `npm start`: the embedded cloud with a few domains on a certificate that ends soon, a new bundle dropped into
 * a folder, the rotation, and what a TLS client saw before, during and after. Nothing leaves this machine, and
 * nothing is left on it. With `--renew` a real ACME server on this machine issues the new certificate.
 */
export async function run(args: string[]): Promise<number> {
  const scene = await readScene(args)
  if (scene === 'renew') {
    const { renewDemo } = await import('./demo-renew.ts')
    return renewDemo()
  }
  const { startEmulator } = await import('../../emulator/emulator.ts')
  return onStage(async ({ folder, signal, closing }) => {
    const emulator = await startEmulator({ seed: scene.seed ?? seedFor(scene) })
    closing(() => emulator.close())
    return play(scene, emulator, folder, signal)
  })
}

async function play(scene: Scene, emulator: Emulator, folder: string, signal: AbortSignal): Promise<number> {
  const paint = painter(useColor(process.stdout))
  const push = [{ service: 'ELB', project: emulator.ready.seed.region }]
  const wiring = await openDemo(configOf(scene, emulator, { push }), folder)
  const watch = new EdgeWatch([...scene.apig, ...scene.roma], emulator.tls)
  try {
    say(paint('bold', 'cert-rotation demo: an embedded cloud, no account, nothing leaves this machine'))
    say()
    const count = scene.apig.length + scene.roma.length
    const ends = count === 1 ? 'its certificate ends soon' : 'their certificate ends soon'
    say(
      `1. ${countText(count, 'domain')} at ${scene.roma.length > 0 ? 'two gateways (APIG, ROMA Connect)' : 'an APIG gateway'}; ${scene.seed ? 'bound as the seed says' : ends}.`,
    )
    await watch.start()
    const bundle = scene.bundle ?? (await issueBundle(scene, emulator))
    await wiring.store.put('incoming/demo/fullchain.pem', bundle.certificate)
    await wiring.store.put('incoming/demo/privkey.pem', bundle.key)
    say('2. A new bundle is dropped into incoming/demo/: fullchain.pem and privkey.pem.')
    say('3. The rotation; every line is a call to a gateway or a TLS handshake:')
    say()
    const progress = terminalProgress('   ')
    const parties = wiring.parties({
      deadline: noDeadline(signal),
      progress: (event) => progress.show(event),
    })
    const report = await rotateUploads(wiring, parties, { names: ['demo'], byPerson: true })
    progress.end()
    say()
    say(renderReport(report, useColor(process.stdout), columnsOf(process.stdout)))
    const domains = await watch.stop()
    say('4. What a TLS client was served:')
    say()
    say(renderServed(domains, scene, emulator, paint))
    return exitStatus(report)
  } finally {
    await watch.stop()
    await wiring.close()
  }
}

async function readScene(args: string[]): Promise<Scene | 'renew'> {
  const { values } = readArguments('demo', args)
  const own = values.cert !== undefined || values.key !== undefined || values.host !== undefined
  if (values.renew && own) throw new UsageError('--renew orders its own certificate: leave out the files')
  if (values.seed !== undefined && (own || values.renew))
    throw new UsageError('--seed brings its own domains: leave out --renew and the files')
  if (values.renew) return 'renew'
  if (values.seed !== undefined) return sceneOf(values.seed, await readOwn(values.seed, '--seed'))
  if (!own) return shopDomains
  const needed = 'your own files need --cert FILE, --host NAME and, unless FILE holds it, --key FILE'
  if (!values.cert || !values.host) throw new UsageError(needed)
  const certificate = await readOwn(values.cert, '--cert')
  const key = values.key ? await readOwn(values.key, '--key') : ''
  if (!`${certificate}${key}`.includes('PRIVATE KEY-----'))
    throw new UsageError(`${needed}: there is no private key`)
  return { apig: values.host, roma: [], bundle: { certificate, key } }
}

/** Every domain of the seed's first gateway of each kind. */
async function sceneOf(file: string, text: string): Promise<Scene> {
  const { parseSeed } = await import('../../emulator/seed.ts')
  let seed: unknown
  try {
    seed = JSON.parse(text)
  } catch {
    throw new UsageError(
      `--seed: ${file} is not JSON`,
      'A seed is a JSON file such as emulator/seeds/attach-forbidden.json of the repository; emulator/README.md says what stands in one.',
    )
  }
  const { instances } = parseSeed(seed)
  const hosts = (flavour: 'apig' | 'roma') =>
    instances
      .find((one) => one.flavour === flavour)
      ?.groups.flatMap(({ domains }) => domains.map(({ host }) => host)) ?? []
  const scene = { apig: hosts('apig'), roma: hosts('roma'), seed: seed as SeedInput }
  if (scene.apig.length === 0) throw new UsageError('--seed: the demo needs an apig gateway with a domain')
  return scene
}

async function readOwn(file: string, option: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    throw new Failure({
      code: 'usage.unreadable-file',
      kind: 'never',
      message: `${option}: ${file} cannot be read`,
      next: `Name an existing ${option === '--seed' ? 'JSON' : 'PEM'} file.`,
      cause,
    })
  }
}

function seedFor(scene: Scene) {
  return {
    rules: { visibilityDelayMs: 1_500, latencyMs: 20 },
    certificates: [
      { ref: 'old', generate: { names: [...scene.apig, ...scene.roma], notBefore: '-81d', notAfter: '+9d' } },
    ],
    instances: instancesOf(scene),
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
