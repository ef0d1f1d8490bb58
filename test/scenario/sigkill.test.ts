import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, stat, utimes, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, type ExpectStatic, it } from 'vitest'
import { hour, systemClock } from '../../shared/base/clock.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { seedFor, TestCloud } from '../support/cloud.ts'

const cli = fileURLToPath(new URL('../../bin/cert-rotation.js', import.meta.url))

/** `KILLS=50` for a long run: each kill costs up to 20 s, the life of the dead process's lease. */
const KILLS = Number(process.env.KILLS ?? 2)
const SEED = Number(process.env.KILL_SEED ?? 20_261_122)

const push = [
  { service: 'ELB', project: 'eu-de' },
  { service: 'CDN', project: 'eu-de' },
]

const clouds = new Set<TestCloud>()
const children = new Set<ChildProcess>()
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await Promise.all([...clouds].map((cloud) => cloud.close()))
})

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  output: string
}

/** The command as a user types it. */
function rotate(folder: string): { child: ChildProcess; ended: Promise<Ended> } {
  const child = spawn(
    process.execPath,
    [cli, 'rotate', '--config', join(folder, 'rotation.yaml'), '--quiet'],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  children.add(child)
  const chunks: string[] = []
  for (const stream of [child.stdout, child.stderr])
    stream!.setEncoding('utf8').on('data', (text: string) => chunks.push(text))
  const ended = once(child, 'close').then(([code, signal]) => {
    children.delete(child)
    return { code, signal, output: chunks.join('') } as Ended
  })
  return { child, ended }
}

/** Kills at the n-th call that reaches the cloud, when it arrives or when its effect is done; nothing is waited for by time. */
function killAt(running: TestCloud, child: ChildProcess, at: number, stage: 'arrived' | 'done'): () => void {
  let calls = 0
  return running.emulator.intercept(async (now) => {
    if (now !== stage || ++calls !== at) return
    child.kill('SIGKILL')
    await once(child, 'close')
  })
}

async function untilDone(folder: string, most = 8): Promise<Ended[]> {
  const runs: Ended[] = []
  while (runs.length < most) {
    const run = await rotate(folder).ended
    runs.push(run)
    if (run.code === 0) return runs
  }
  throw new Error(`not done after ${most} runs: ${runs.at(-1)?.output}`)
}

async function start(gateway: Record<string, unknown> = {}): Promise<TestCloud> {
  const apig = ['api.shop.example', 'www.shop.example', 'cdn.shop.example']
  const roma = ['erp.shop.example', 'b2b.shop.example']
  const cloud = await TestCloud.start({
    apig,
    roma,
    seed: seedFor(apig, roma, { visibilityDelayMs: 0, latencyMs: 5 }),
  })
  clouds.add(cloud)
  // JSON is YAML too.
  await writeFile(join(cloud.folder, 'rotation.yaml'), JSON.stringify(cloud.config({ push }, gateway)))
  return cloud
}

async function requireWhole(
  expect: ExpectStatic,
  running: TestCloud,
  fingerprint: string,
  certificates: number,
): Promise<void> {
  expect(running.bound()).toEqual(Object.fromEntries(running.hosts.map((host) => [host, [fingerprint]])))
  expect(running.served()).toEqual(Object.fromEntries(running.hosts.map((host) => [host, fingerprint])))
  const state = running.emulator.state()
  expect(state.certificates.filter((one) => one.fingerprint === fingerprint).length).toBe(certificates)
  expect(state.scm.length).toBe(1)
  expect(state.pushes.map(({ copies }) => copies)).toEqual([1, 1])
  expect(state.domainsWithoutCertificate).toEqual([])
  await tickLater(running)
  const files = await filesIn(join(running.folder, 'bucket'))
  const expected = /^(state\/shop\.json|deployed\/shop\/[^/]+\/(fullchain\.pem|privkey\.pem|result\.json))$/
  expect(files.filter((file) => !expected.test(file))).toEqual([])
  expect(files.filter((file) => file.endsWith('result.json')).length).toBe(1)
}

/** What the dead have left (a claim, half-written objects) is cleared away by the timer when it is old enough. */
async function tickLater(running: TestCloud): Promise<void> {
  running.emulator.clock.advance(2 * hour)
  // A claim's age is told by the store, here by the file's own time.
  for (const file of await filesIn(join(running.folder, 'bucket', 'state'))) {
    const path = join(running.folder, 'bucket', 'state', file)
    const at = new Date((await stat(path)).mtimeMs - 2 * hour)
    await utimes(path, at, at)
  }
  const later = { ...systemClock, now: () => new Date(Date.now() + 2 * hour) }
  const wiring = await running.wire(running.config({ push }), { clock: later })
  await tick(wiring, running.parties(wiring), ['finish', 'retire'])
}

/** As a process leaves it that is killed in the middle of a write: beside its target, under a name of its own. */
async function leaveHalfWritten(folder: string): Promise<void> {
  const file = join(folder, `.tmp-${'0123456789abcdef'.repeat(2).slice(0, 24)}`)
  await mkdir(folder, { recursive: true })
  await writeFile(file, '{"schema":1,"na')
}

/** Files as the operating system sees them, half-written ones among them. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)))
    .sort()
}

describe.concurrent('The command, killed by the operating system', () => {
  const random = randomFrom(SEED)
  const strategies = [
    {},
    { attachFirst: true },
    { strategy: 'update', updateWithoutWayBack: true },
    { strategy: 'add' },
  ]
  for (let kill = 0; kill < KILLS; kill++) {
    const gateway = strategies[kill % strategies.length]!
    // The run makes about 45 calls; spread over all of it, so that few kills still hit different parts.
    const at = 1 + Math.floor(((kill + random()) / KILLS) * 42)
    const stage = random() < 0.5 ? 'arrived' : 'done'
    const name = JSON.stringify(gateway)
    it(`at call ${at} (${stage}) with ${name} is run again until it is done: every domain serves the new certificate, nothing is there twice`, {
      timeout: 180_000,
    }, async ({ expect }) => {
      const running = await start(gateway)
      const bundle = await running.issue()
      await running.drop(bundle)
      await leaveHalfWritten(join(running.folder, 'bucket', 'state'))
      const { child, ended } = rotate(running.folder)
      const stop = killAt(running, child, at, stage)
      const first = await ended
      stop()
      const runs = await untilDone(running.folder)
      await requireWhole(
        expect,
        running,
        bundle.fingerprint,
        gateway.strategy === 'add' ? 5 : gateway.strategy ? 4 : 2,
      )
      console.info(
        `killed at call ${at} (${stage}): ${first.signal ?? `lived, ${first.code}`}; runs after it: ${runs.length}`,
      )
    })
  }

  for (const stage of ['arrived', 'done'] as const)
    it(`at the rehearsal of the way back (${stage}) has changed nothing, and is run again until it is done`, {
      timeout: 180_000,
    }, async ({ expect }) => {
      const running = await start()
      const bundle = await running.issue()
      await running.drop(bundle)
      const before = running.bound()
      const { child, ended } = rotate(running.folder)
      const stop = running.emulator.intercept(async (now, call) => {
        if (now !== stage || call.route !== 'apig.attachCertificate') return
        child.kill('SIGKILL')
        await once(child, 'close')
      })
      expect((await ended).signal).toBe('SIGKILL')
      stop()
      expect(running.bound()).toEqual(before)
      expect(Object.keys(running.effects()).filter((route) => !route.endsWith('.attachCertificate'))).toEqual(
        [],
      )
      await untilDone(running.folder)
      await requireWhole(expect, running, bundle.fingerprint, 2)
    })

  it('between a detach and its attach leaves a gap that the next run closes before it changes anything else', {
    timeout: 180_000,
  }, async ({ expect }) => {
    const running = await start()
    const bundle = await running.issue()
    await running.drop(bundle)
    const { child, ended } = rotate(running.folder)
    const stop = running.emulator.intercept(async (stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.detachCertificate') return
      child.kill('SIGKILL')
      await once(child, 'close')
    })
    expect((await ended).signal).toBe('SIGKILL')
    stop()
    const [bare, ...others] = running.emulator.state().domainsWithoutCertificate
    expect(bare).toBeDefined()
    expect(others).toEqual([])
    running.emulator.clearCalls()
    // A newer bundle has come meanwhile: its certificate must be created, but not before the gap is closed.
    const newer = await running.issue(running.hosts, { from: 0, to: 120 })
    await running.drop(newer)
    await untilDone(running.folder)
    const changes = running.emulator.calls().filter(({ mutating, effect }) => mutating && effect)
    const domain = running.emulator.state().bindings.find(({ host }) => host === bare!.host)!
    expect(changes[0]).toMatchObject({ route: 'apig.attachCertificate' })
    expect(changes[0]!.path).toContain(`/domains/${domain.domainId}/`)
    await requireWhole(expect, running, newer.fingerprint, 2)
  })
})

/** Small and seeded (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296
  }
}
