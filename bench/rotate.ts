/**
 * How long a rotation takes with many domains at a realistic distance: the same job with the default concurrency
 * and one domain at a time, in one run. `npm run bench -- [domains] [latency in ms]`
 */
import { rotateUploads } from '../shared/runtime/jobs.ts'
import { APIG, TestCloud } from '../test/support/cloud.ts'

const domains = Number(process.argv[2] ?? 500)
const latencyMs = Number(process.argv[3] ?? 20)

async function measure(
  concurrency: number,
  count: number,
): Promise<{ ms: number; longestGapMs: number; medianGapMs: number }> {
  const cloud = await TestCloud.start({
    apig: [],
    roma: [],
    seed: {
      project: { id: '0123456789abcdef0123456789abcdef' },
      rules: { latencyMs, visibilityDelayMs: 0 },
      accessKeys: [{ id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' }],
      instances: [{ flavour: 'apig', id: APIG, domains: { count, suffix: 'load.example' } }],
    },
  })
  try {
    const hosts = cloud.emulator.state().bindings.map((binding) => binding.host)
    const { host, port } = cloud.emulator.tls
    const gateways = [
      { flavour: 'apig', instanceId: APIG, domains: hosts, verify: { connect: `${host}:${port}` } },
    ]
    const wiring = await cloud.wire(cloud.config({ gateways }, {}, { concurrency }))
    await cloud.drop(await cloud.issue(['*.load.example']))
    const begun = performance.now()
    const { outcomes } = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
    const ms = performance.now() - begun
    if (outcomes[0]?.status !== 'rotated') throw new Error(outcomes[0]?.sentence)
    const gaps = cloud.emulator
      .state()
      .gaps.map((gap) => gap.durationMs ?? 0)
      .sort((a, b) => a - b)
    return { ms, longestGapMs: gaps.at(-1) ?? 0, medianGapMs: gaps[Math.floor(gaps.length / 2)] ?? 0 }
  } finally {
    await cloud.close()
  }
}

const parallel = await measure(8, domains)
const few = Math.max(10, Math.round(domains / 10))
const [wide, narrow] = [await measure(8, few), await measure(1, few)]
const seconds = (ms: number) => `${(ms / 1000).toFixed(1)} s`
console.log(
  `${domains} domains at ${latencyMs} ms, concurrency 8: ${seconds(parallel.ms)}, each verified by handshake; without a certificate: median ${Math.round(parallel.medianGapMs)} ms, longest ${Math.round(parallel.longestGapMs)} ms`,
)
console.log(
  `${few} domains: concurrency 8 ${seconds(wide.ms)}, one at a time ${seconds(narrow.ms)}, ratio ${(narrow.ms / wide.ms).toFixed(1)}`,
)
