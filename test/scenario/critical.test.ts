import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { hour, minute, second } from '../../shared/base/clock.ts'
import type { Deadline } from '../../shared/rotation/parties.ts'
import type { RotationState } from '../../shared/rotation/record/state.ts'
import { noDeadline } from '../../shared/runtime/context.ts'
import { exitStatus, rotateUploads } from '../../shared/runtime/jobs.ts'
import { tick } from '../../shared/runtime/tick.ts'
import type { Bundle } from '../support/cloud.ts'
import { Story, type StoryOptions } from '../support/story.ts'
import { runCli } from '../support/terminal.ts'

const hosts = ['a.shop.example', 'b.shop.example', 'c.shop.example']
const [first, second_] = hosts as [string, string, string]

/** Keeps by path what it is sent. */
class Receiver {
  readonly messages: { path: string; text: string }[] = []
  readonly #server: Server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      this.messages.push({ path: request.url ?? '', text: Buffer.concat(chunks).toString('utf8') })
      response.writeHead(200).end()
    })
  })

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  /** What came since this was asked last, by path. */
  taken(): Record<string, string[]> {
    const taken: Record<string, string[]> = {}
    for (const { path, text } of this.messages.splice(0)) taken[path] = [...(taken[path] ?? []), text]
    return taken
  }

  stop(): void {
    this.#server.closeAllConnections()
    this.#server.close()
  }
}

describe('a domain that is bare or wrongly served', () => {
  let story: Story
  let receiver: Receiver
  let url: string

  beforeEach(async () => {
    receiver = new Receiver()
    url = await receiver.start()
  })
  afterEach(async () => {
    receiver.stop()
    await story.close()
  })

  const channel = (path: string) => ({ webhook: `${url}/${path}`, allowPrivateAddress: true })
  /** One channel for all and one for escalations; the ends of certificates are far enough to say nothing. */
  const alerts = () => ({
    thresholds: ['1d'],
    channels: [channel('all')],
    escalation: { from: '1d', channels: [channel('duty')] },
  })
  const begin = async (options: StoryOptions = {}) => {
    story = await Story.start({
      apig: hosts,
      roma: [],
      ...options,
      rest: { alerts: alerts(), ...options.rest },
    })
    const bundle = await story.settled()
    await watched()
    receiver.taken()
    return bundle
  }
  const watched = (deadline: Deadline = noDeadline(), jobs?: string[]) =>
    tick(story.wiring, story.parties(deadline), jobs)
  const unbind = (host: string) => story.cloud.emulator.bind(host, null)
  const boundTo = (host: string) => {
    const [binding] = story.cloud.emulator.state().bindings.filter((one) => one.host === host)
    return binding!.certificates[0]!.id
  }
  /** A rotation has begun and is not over: the state of a run that was cut off before its first detach. */
  const running = async (bundle: Bundle) => {
    const state = await story.state()
    const { boundAt: _, servedAt: __, ...rest } = Object.values(state.current!.domains)[0]!
    const domains = Object.fromEntries(
      Object.entries(state.current!.domains).map(([target, { host, domainId, groupId }]) => [
        target,
        { ...rest, host, domainId, groupId, servedBefore: bundle.fingerprint },
      ]),
    )
    const current = { ...state.current!, status: 'running' as const, domains, notes: {} }
    await story.cloud.store.put(
      'state/shop.json',
      JSON.stringify({ ...state, current } satisfies RotationState),
    )
  }
  const page = () => story.text('status/index.html')
  const metrics = () => story.text('status/metrics.prom')
  /** The command line takes the machine's clock; it must show the story's time, or the requests are signed too late. */
  const status = async (config: unknown, ...args: string[]) => {
    const file = join(story.cloud.folder, 'rotation.yaml')
    await writeFile(file, JSON.stringify(config))
    vi.useFakeTimers({ toFake: ['Date'], now: story.clock.lazy.now() })
    return runCli('status', '--config', file, ...args).finally(() => vi.useRealTimers())
  }
  const refuseAttach = () =>
    story.fault('apig.attachCertificate', {
      status: 403,
      errorCode: 'APIGW.0302',
      message: 'The action apig:domains:attach is not allowed',
    })

  it('is critical everywhere, told once to everybody and solved for everybody, though a rotation is under way', async () => {
    const bundle = await begin()
    await running(bundle)
    unbind(first)
    const report = await watched(undefined, ['watch'])
    expect(exitStatus(report)).toBe(1)
    expect(report.critical).toMatchObject([
      { certificate: 'shop', title: 'shop: 1 domain without a certificate' },
    ])
    const [certificate] = report.status!.certificates
    expect(certificate).toMatchObject({ health: 'critical', next: { act: 'close the gap' } })
    expect(certificate!.domains.map(({ host, critical }) => [host, critical?.problem])).toEqual([
      [first, 'nobody'],
      [second_, undefined],
      [hosts[2], undefined],
    ])
    expect(await page()).toContain('1 certificate needs you now')
    const line = (await metrics()).split('\n').find((one) => one.startsWith('cert_rotation_domain_critical'))
    expect(line).toMatch(/host="a\.shop\.example",problem="nobody"\} \d+/)
    expect(await metrics()).toMatch(/domain_served_as_expected\{.*host="a\.shop\.example"\} 0/)

    const told = receiver.taken()
    expect(Object.keys(told).sort()).toEqual(['/all', '/duty'])
    for (const [text, ...more] of Object.values(told)) {
      expect(more).toEqual([])
      expect(text).toContain(`${first} at apig:`)
      expect(text).toContain('no certificate is bound to it')
      expect(text).toContain('cert-rotation rotate shop')
    }
    for (let count = 0; count < 3; count++) {
      story.clock.advance(10 * minute)
      const before = story.clock.lazy.now().getTime()
      expect(exitStatus(await watched(undefined, ['watch']))).toBe(1)
      // What is certain is not waited for again.
      expect(story.clock.lazy.now().getTime() - before).toBeLessThan(10 * second)
    }
    expect(receiver.taken()).toEqual({})

    story.cloud.emulator.bind(first, boundTo(second_))
    for (let count = 0; count < 3; count++) {
      story.clock.advance(10 * minute)
      expect(exitStatus(await watched(undefined, ['watch']))).toBe(0)
    }
    const solved = receiver.taken()
    expect(solved['/all']).toHaveLength(1)
    expect(solved['/duty']).toHaveLength(1)
    expect(solved['/duty']?.[0]).toContain('solved')
  })

  it('is seen in the gateway’s own list where no handshake is possible', async () => {
    await begin({ gateway: { verify: false } })
    unbind(second_)
    const report = await watched()
    expect(exitStatus(report)).toBe(1)
    expect(report.critical?.[0]?.lines).toContainEqual({ label: 'Where', value: second_ })
    expect(await metrics()).toMatch(/domain_served_as_expected\{.*host="b\.shop\.example"\} 0/)
    expect(receiver.taken()['/duty']?.[0]).toContain(second_)
  })

  it('that another run puts right within servedWithin is nothing', async () => {
    await begin()
    const old = boundTo(first)
    unbind(first)
    let looks = 0
    story.change = (parties) => ({
      ...parties,
      clock: {
        ...parties.clock,
        sleep: async (ms, signal) => {
          if (ms === minute) {
            looks++
            story.cloud.emulator.bind(first, old)
          }
          await parties.clock.sleep(ms, signal)
        },
      },
    })
    const report = await watched()
    expect(looks).toBe(1)
    expect(exitStatus(report)).toBe(0)
    expect(report.status?.summary).toMatchObject({ ok: 1, domainsAsExpected: 3 })
    expect(receiver.taken()).toEqual({})
  })

  it('is neither certain nor over where the second look sees nothing', async () => {
    await begin({ gateway: { verify: false } })
    unbind(first)
    story.change = (parties) => ({
      ...parties,
      clock: {
        ...parties.clock,
        sleep: async (ms, signal) => {
          if (ms === minute) story.fault('apig.listGroups', { status: 403, errorCode: 'APIGW.0302' })
          await parties.clock.sleep(ms, signal)
        },
      },
    })
    const report = await watched()
    // That nobody could read the list is a failure of its own.
    expect(exitStatus(report)).toBe(1)
    const domains = report.status?.certificates[0]?.domains.map(({ host, verdict }) => [host, verdict])
    expect(domains).toContainEqual([first, 'nobody'])
    expect(report.status?.certificates[0]?.health).toBe('warning')
    const told = receiver.taken()
    expect(Object.keys(told)).toEqual(['/all'])
    expect(told['/all']?.join()).toContain('what is bound there could not be read')
    expect(told['/all']?.join()).not.toContain('without a certificate')
  })

  it('is looked at again by the next tick where the time does not suffice, and told then', async () => {
    await begin()
    unbind(first)
    const short: Deadline = { ...noDeadline(), remainingMs: () => 70 * second }
    const before = story.clock.lazy.now().getTime()
    const once = await watched(short)
    expect(story.clock.lazy.now().getTime() - before).toBeLessThan(30 * second)
    expect(once.status?.certificates[0]).toMatchObject({ health: 'warning' })
    expect(exitStatus(once)).toBe(0)
    expect(receiver.taken()).toEqual({})
    story.clock.advance(10 * minute)
    const again = await watched(short)
    expect(exitStatus(again)).toBe(1)
    expect(Object.keys(receiver.taken()).sort()).toEqual(['/all', '/duty'])
  })

  it('with the old certificate put back by hand is critical, with what should be there', async () => {
    story = await Story.start({ apig: hosts, roma: [], rest: { alerts: alerts() } })
    const before = boundTo(first)
    const bundle = await story.settled()
    story.cloud.emulator.bind(first, before)
    const report = await watched()
    expect(exitStatus(report)).toBe(1)
    const { remoteName } = (await story.state()).current!
    const lines = report.critical?.[0]?.lines ?? []
    expect(lines.find(({ label }) => label === 'Should be')?.value).toContain(remoteName)
    expect(story.cloud.served()[second_]).toBe(bundle.fingerprint)
  })

  it('that was never taken over is no alarm, whatever it serves', async () => {
    story = await Story.start({ apig: hosts, roma: [], rest: { alerts: alerts() } })
    const report = await watched()
    expect(exitStatus(report)).toBe(0)
    // Listed later than the rotation that is in service: its certificate is somebody else's.
    const strange = boundTo(hosts[2]!)
    await story.configure({ gateway: { domains: hosts.slice(0, 2) } })
    await story.settled()
    await story.configure()
    expect(boundTo(hosts[2]!)).toBe(strange)
    const later = await watched()
    expect(exitStatus(later)).toBe(0)
    expect(later.status?.certificates[0]?.problems).toEqual([])
  })

  it('and is known (snoozeUntil) is shown and neither told nor a failure', async () => {
    await begin({ certificate: { snoozeUntil: '2026-12-24' } })
    unbind(first)
    const report = await watched()
    expect(exitStatus(report)).toBe(0)
    expect(report.status?.certificates[0]).toMatchObject({ health: 'critical', snoozeUntil: '2026-12-24' })
    expect(receiver.taken()).toEqual({})
    const config = story.cloud.config({ snoozeUntil: '2026-12-24' })
    for (const failOn of ['critical', 'warning'])
      expect((await status(config, '--quiet', '--fail-on', failOn)).exitStatus).toBe(0)
    expect((await status(story.cloud.config(), '--quiet')).exitStatus).toBe(1)
  })

  it('and is known (snoozeUntil) is no failure of the run that left it bare either: only unfinished', async () => {
    await begin({ certificate: { snoozeUntil: '2026-12-24' } })
    await story.drop({ to: 91 })
    const stop = story.cloud.emulator.intercept((stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.detachCertificate') return
      stop()
      refuseAttach()
    })
    const report = await rotateUploads(story.wiring, story.parties(), { byPerson: true })
    expect(story.bare()).toEqual([first])
    expect(report.critical).toEqual([])
    expect(exitStatus(report)).toBe(3)
  })

  it('is nobody where attaching is forbidden for good: that is a failure, seen before anything is detached', async () => {
    await begin()
    await story.drop({ to: 91 })
    refuseAttach()
    const report = await rotateUploads(story.wiring, story.parties(), { byPerson: true })
    expect(exitStatus(report)).toBe(1)
    expect(story.bare()).toEqual([])
    expect(report.critical).toEqual([])
    expect((await watched()).critical).toEqual([])
  })

  it('because attaching is forbidden after the detach names the refusal, what was bound and the act', async () => {
    await begin()
    const old = boundTo(first)
    await story.drop({ to: 91 })
    const stop = story.cloud.emulator.intercept((stage, call) => {
      if (stage !== 'done' || call.route !== 'apig.detachCertificate') return
      stop()
      refuseAttach()
    })
    const rotated = await rotateUploads(story.wiring, story.parties(), { byPerson: true })
    expect(story.bare()).toEqual([first])
    expect(rotated.outcomes).toMatchObject([{ status: 'unfinished' }])
    expect(exitStatus(rotated)).toBe(1)
    expect(rotated.critical?.[0]?.title).toBe('shop: 1 domain without a certificate')

    const report = await watched()
    expect(exitStatus(report)).toBe(1)
    const lines = Object.fromEntries(
      (report.critical?.[0]?.lines ?? []).map(({ label, value }) => [label, value]),
    )
    expect(lines['Should be']).toContain(old)
    expect(lines.Refused).toContain('APIGW.0302')
    expect(lines['You can']).toContain('cert-rotation rotate shop')
    expect(report.status?.certificates[0]).toMatchObject({ health: 'critical' })
    expect(receiver.taken()['/duty']?.[0]).toContain('APIGW.0302')

    story.cloud.emulator.faults.clear()
    await rotateUploads(story.wiring, story.parties(), { byPerson: true })
    expect(story.bare()).toEqual([])
    for (let count = 0; count < 3; count++) {
      expect(exitStatus(await watched())).toBe(0)
      story.clock.advance(10 * minute)
    }
    expect(receiver.taken()['/duty']?.join()).toContain('solved')
  })

  it('ends `status` with 1 by what the last tick found, says how old that is, and waits for nothing', async () => {
    await begin()
    const here = story.cloud.config()
    unbind(first)
    // Seen once: a person may look, nobody is called.
    const once = await status(here)
    expect(once.exitStatus).toBe(3)
    expect(once.stdout.replace(/\s+/g, ' ')).toContain('seen once so far')
    expect((await status(here, '--fail-on', 'warning', '--quiet')).exitStatus).toBe(1)
    await watched()
    const found = await status(here)
    expect(found.exitStatus).toBe(1)
    expect(found.stdout.replace(/\s+/g, ' ')).toMatch(/Found: by the tick of 2026-11-22 12:\d\d UTC/)
    expect((await status(here, '--fail-on', 'never', '--json')).exitStatus).toBe(0)
    expect((await status(here, '--fail-on', 'sometimes')).exitStatus).toBe(2)

    // From where no gateway can be reached the last tick's finding is all there is.
    const away = story.cloud.config({}, { verify: { connect: '127.0.0.1:1' } })
    story.cloud.emulator.faults.add({
      route: 'apig.listGroups',
      fault: { status: 403, errorCode: 'APIGW.0302' },
    })
    const blind = await status(away)
    expect(blind.exitStatus).toBe(1)
    expect(JSON.parse((await status(away, '--json', '--fail-on', 'never')).stdout)).toMatchObject({
      certificates: [{ health: 'critical', problems: [{ title: 'shop: 1 domain without a certificate' }] }],
      unread: [{ where: expect.stringMatching(/^apig:/) }],
    })
  }, 60_000)

  it.each([
    ['refuses (403): that fails', { status: 403, errorCode: 'APIGW.0302' }, 1],
    ['is not found (404): that fails', { status: 404, errorCode: 'APIGW.3001' }, 1],
    [
      'is broken (503): that fails with the second tick in a row',
      { status: 503, errorCode: 'APIGW.9999' },
      3,
    ],
  ])('may stand in a list that %s, is told at once, and is solved', async (_, fault, first) => {
    await begin()
    story.fault('apig.listGroups', fault)
    const report = await watched()
    expect(report.failures).toMatchObject([
      { failure: { message: expect.stringMatching(/^What is bound at apig:.* could not be read: .*APIGW/) } },
    ])
    expect(exitStatus(report)).toBe(first)
    expect(report.status?.unread).toHaveLength(1)
    expect(receiver.taken()['/all']?.join()).toContain('what is bound there could not be read')
    story.clock.advance(hour)
    expect(exitStatus(await watched())).toBe(1)
    // Handshakes go on.
    expect(report.status?.certificates[0]?.health).toBe('ok')
    story.cloud.emulator.faults.clear()
    story.clock.advance(hour)
    const after = await watched()
    expect(after.failures).toEqual([])
    expect(exitStatus(after)).toBe(0)
    expect(receiver.taken()['/all']?.join()).toContain('solved')
  })

  it('cannot be ruled out where nothing could be looked at: that fails, also as an invocation', async () => {
    await begin({ gateway: { verify: false } })
    story.fault('apig.listGroups', { status: 403, errorCode: 'APIGW.0302' })
    const report = await watched()
    expect(report.failures).toMatchObject([{ failure: { code: 'watch.blind' } }])
    expect(exitStatus(report)).toBe(1)
    const config = story.cloud.config({}, { verify: false })
    const blind = await status(config)
    expect(blind.exitStatus).toBe(1)
    expect(blind.stderr).toContain('No domain could be looked at')
    expect((await status(config, '--fail-on', 'never', '--quiet')).exitStatus).toBe(0)
    story.clock.advance(hour)
    story.cloud.emulator.faults.clear()
    expect(exitStatus(await watched())).toBe(0)
  })
})
