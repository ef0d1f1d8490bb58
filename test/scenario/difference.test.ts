import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { x509 } from '../../emulator/authority.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { day } from '../../shared/base/clock.ts'
import { preview } from '../../shared/rotation/preview.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { APIG, TestCloud } from '../support/cloud.ts'
import { Story } from '../support/story.ts'
import { runCli } from '../support/terminal.ts'

/** What a rotation changes: planned, carried out, written down and told as the same facts. */

// The command starts its own reader; on a busy machine that takes seconds.
vi.setConfig({ testTimeout: 60_000 })

const hosts = ['a.shop.example', 'b.shop.example']
const { clientAuth, serverAuth } = x509.ExtendedKeyUsage

describe('the difference that a bundle makes', () => {
  let story: Story
  afterEach(() => story.close())

  /** In service: a certificate that is a client's, too, and has a name more. */
  const begin = async (options: Parameters<typeof Story.start>[0] = {}) => {
    story = await Story.start({
      apig: hosts,
      roma: [],
      ...options,
      certificate: { allowDowngrade: true, ...options.certificate },
    })
    const extensions = [new x509.ExtendedKeyUsageExtension([serverAuth, clientAuth])]
    const names = [...story.cloud.hosts, 'gone.shop.example']
    const now = story.cloud.emulator.clock.now().getTime()
    const times = { notBefore: new Date(now - day), notAfter: new Date(now + 30 * day) }
    const first = await story.cloud.emulator.intermediate.issue({ names, extensions, ...times })
    await story.cloud.drop(first)
    expect((await story.tick()).map(({ status }) => status)).toEqual(['rotated'])
    story.clock.advance(2000)
    return first
  }
  const planned = async () =>
    (await preview(await story.wiring.job('shop', true), story.parties())).difference
  const lost = { names: { won: [], lost: ['gone.shop.example'] } }

  it('stands in the plan, in result.json and in the message, by what a handshake shows', async () => {
    await begin({ rest: { alerts: { channels: [{ console: true }] } } })
    const told: string[] = []
    story.wiring = await story.cloud.wire(
      story.cloud.config({ allowDowngrade: true }, {}, { alerts: { channels: [{ console: true }] } }),
      { clock: story.clock.eager, write: (text) => void told.push(text) },
    )
    await story.drop()
    const plan = await planned()
    expect(plan).toMatchObject({
      replaces: [{ hosts, seen: 'handshake', ...lost, uses: { lost: ['client authentication'] } }],
      gateways: [{ order: hosts, wayBack: { state: 'to be proven' }, gap: { ms: expect.any(Number) } }],
    })
    const report = await tick(story.wiring, story.parties())
    expect(report.outcomes.map(({ status }) => status)).toEqual(['rotated'])
    const result = (await story.results('deployed')).at(-1)?.difference
    expect(result).toMatchObject({ gateways: [{ wayBack: { state: 'proven' } }] })
    expect({ ...result, gateways: [] }).toEqual({ ...plan, gateways: [] })
    const [line] = /^.*Changed: .*$/m.exec(told.join('')) ?? []
    expect(line).toMatch(
      /valid until \S+ → \S+, 60 days later; names lost gone\.shop\.example; use lost client authentication/,
    )
    expect(line).not.toMatch(/issuer|key|chain/)
  })

  it('is that of the whole rotation, where it took two runs', async () => {
    const first = await begin()
    await story.drop()
    const stop = new AbortController()
    const forget = story.cloud.emulator.intercept((stage, { route }) => {
      if (stage === 'done' && route === 'apig.attachCertificate') {
        const served = Object.values(story.cloud.bound()).flat()
        if (served.some((fingerprint) => fingerprint !== first.fingerprint)) stop.abort()
      }
    })
    const deadline = {
      signal: stop.signal,
      remainingMs: () => (stop.signal.aborted ? 0 : Number.POSITIVE_INFINITY),
    }
    expect((await story.tick(deadline)).map(({ status }) => status)).toEqual(['unfinished'])
    forget()
    expect((await planned())?.replaces).toMatchObject([{ hosts: ['b.shop.example'] }])
    const [outcome] = await story.ask()
    expect(outcome).toMatchObject({ status: 'rotated', difference: { replaces: [{ hosts, ...lost }] } })
  })

  it('tells what the gateway lists where nobody shakes hands, and nothing where that fails, too', async () => {
    await begin({ gateway: { verify: false } })
    await story.drop()
    expect((await planned())?.replaces).toMatchObject([{ seen: 'gateway', ...lost }])
    story.fault('apig.listCertificates', { status: 403, errorCode: 'APIG.1005' }, { nth: 2 })
    const plan = await planned()
    expect(plan?.replaces).toHaveLength(1)
    expect(plan?.replaces[0]).not.toHaveProperty('seen')
    expect(plan?.replaces[0]).not.toHaveProperty('names')
    expect(plan?.replaces[0]?.validUntil).not.toHaveProperty('old')
  })

  it('that somebody has spoilt in the state file keeps nobody from being told', async () => {
    await begin({ rest: { alerts: { channels: [{ console: true }] } } })
    const state = await story.state()
    Object.assign(state.outcomes[0]!, { difference: { replaces: 'all' } })
    await story.cloud.store.put('state/shop.json', JSON.stringify(state))
    expect((await tick(story.wiring, story.parties())).failures).toEqual([])
    await story.drop()
    expect((await story.tick()).map(({ status }) => status)).toEqual(['rotated'])
  })

  it('warns of a domain that verifies clients beside one that does not', async () => {
    const seed: SeedInput = {
      project: { id: '0123456789abcdef0123456789abcdef' },
      rules: { visibilityDelayMs: 0 },
      accessKeys: [{ id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' }],
      certificates: [
        {
          ref: 'old',
          scope: 'instance',
          trustedRootCa: 'seeded',
          generate: { names: hosts, notBefore: '-80d', notAfter: '+10d' },
        },
      ],
      instances: [
        {
          flavour: 'apig',
          id: APIG,
          groups: [
            {
              domains: hosts.map((host, at) => ({ host, certificate: 'old', clientVerification: at === 0 })),
            },
          ],
        },
      ],
    }
    story = await Story.start({ apig: hosts, roma: [], seed, certificate: { clientCa: 'clients.pem' } })
    await writeFile(join(story.cloud.folder, 'clients.pem'), story.cloud.emulator.intermediate.rootPem)
    await story.drop()
    const plan = await planned()
    expect(plan?.warnings).toEqual([expect.stringMatching(/a\.shop\.example asks clients .* with b\.shop/)])
    expect(plan?.clientCa).toMatchObject({ new: [expect.any(String)] })
    expect(plan?.clientCa).not.toHaveProperty('old')
  })
})

it('plan prints it within 80 columns and without colours in a pipe, and all of it with --json', async () => {
  const cloud = await TestCloud.start({
    apig: Array.from({ length: 22 }, (_, at) => `d${at}.shop.example`),
    roma: [],
  })
  try {
    await cloud.drop(await cloud.issue([...cloud.hosts, '*.shop.example']))
    const file = join(cloud.folder, 'rotation.yaml')
    await writeFile(file, JSON.stringify(cloud.config()))
    vi.stubEnv('COLUMNS', '')
    const { exitStatus, stdout } = await runCli('plan', '--config', file)
    expect(exitStatus).toBe(0)
    expect(stdout).toMatch(/^ {2}names {8}won \*\.shop\.example$/m)
    expect(stdout).toMatch(/and 20 more like it/)
    expect(stripVTControlCharacters(stdout)).toBe(stdout)
    expect(Math.max(...stdout.split('\n').map((line) => line.length))).toBeLessThanOrEqual(80)
    const [plan] = JSON.parse((await runCli('plan', '--config', file, '--json')).stdout).plans
    expect(plan.difference.gateways[0].order).toHaveLength(22)
    expect(plan.steps).toHaveLength(23)
  } finally {
    vi.unstubAllEnvs()
    await cloud.close()
  }
})

it('plan refuses an update in place without a way back, as rotate does', async () => {
  const story = await Story.start({ apig: hosts, roma: [], gateway: { strategy: 'update' } })
  await story.drop()
  await expect(preview(await story.wiring.job('shop', true), story.parties())).rejects.toMatchObject({
    code: 'rotation.no-way-back',
  })
  await story.close()
})
