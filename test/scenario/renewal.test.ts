import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { day, hour, minute } from '../../shared/base/clock.ts'
import type { RotationState } from '../../shared/rotation/record/state.ts'
import { exitStatus } from '../../shared/runtime/jobs.ts'
import { tick } from '../../shared/runtime/tick.ts'
import type { StatusModel } from '../../shared/status/model.ts'
import type { Store } from '../../shared/store/port.ts'
import { pebbleMissing } from '../support/pebble.ts'
import { RenewalCloud } from '../support/renewal-cloud.ts'

describe.skipIf(pebbleMissing())('scheduled renewal, from the timer to the handshake', () => {
  let world: RenewalCloud
  beforeEach(async () => {
    world = await RenewalCloud.start({ pebble: { config: { domainBlocklist: ['bad.shop.example'] } } })
  })
  afterEach(() => world?.close())

  const state = async () => JSON.parse(await world.text('state/shop.json')) as RotationState
  const status = async () => JSON.parse(await world.text('status/status.json')) as StatusModel

  test('a first issue: ordered, proven, dropped, rotated, and served to a real TLS client', async () => {
    const before = await world.served()
    const report = await world.tick()
    expect(exitStatus(report), JSON.stringify(report)).toBe(0)
    const [renewal] = report.renewals
    expect(renewal).toMatchObject({ status: 'delivered', reason: 'there is no certificate yet' })
    expect(report.outcomes).toMatchObject([{ certificate: 'shop', status: 'rotated' }])
    const fingerprint = renewal?.delivered?.fingerprint
    expect(fingerprint).not.toBe(before?.fingerprint)
    for (const host of ['api.shop.example', 'eu.cdn.shop.example']) {
      const served = await world.served(host)
      expect(served?.fingerprint, host).toBe(fingerprint)
      expect(served?.issuer).toContain('Pebble')
    }
    const keys = await world.cloud.keys()
    expect(keys.filter((key) => key.startsWith('incoming/'))).toEqual([])
    expect(keys.filter((key) => /^deployed\/shop\/.*privkey\.pem$/.test(key))).toHaveLength(1)
    await expect.poll(() => world.challenges()).toEqual([])
    expect(world.ordersPlaced()).toBe(1)
  })

  test('a second tick orders nothing, and everybody can see when it will', async () => {
    const first = await world.tick()
    const renewAt = first.renewals[0]?.renewAt
    expect((await state()).renewAt).toBe(renewAt)
    world.cloud.emulator.clearCalls()
    const second = await world.tick()
    expect(second.renewals).toMatchObject([{ status: 'not-due' }])
    expect(world.ordersPlaced()).toBe(1)
    expect(world.cloud.effects()).toEqual({})
    const announced = second.renewals[0]?.renewAt
    expect((await state()).renewAt).toBe(announced)
    expect((await status()).certificates[0]?.next).toMatchObject({ at: announced })
    const printed = await world.cli('status', world.config(), '--json')
    expect((JSON.parse(printed.stdout) as StatusModel).certificates[0]?.next).toMatchObject({ at: announced })
  })

  test('by time: a certificate with less than a third of its life left is renewed, a younger one is not', async () => {
    await world.cloud.drop(await world.cloud.issue(undefined, { from: -50, to: 40 }))
    const young = await world.tick()
    expect(young.outcomes).toMatchObject([{ status: 'rotated' }])
    expect(young.renewals).toMatchObject([
      { status: 'not-due', reason: 'the default share of its lifetime is left' },
    ])
    expect(world.ordersPlaced()).toBe(0)
    world.pass(Date.parse(young.renewals[0]?.renewAt ?? '') - Date.now() + minute)
    const due = await world.tick()
    expect(due.renewals).toMatchObject([{ status: 'delivered' }])
    expect(due.outcomes).toMatchObject([{ status: 'rotated' }])
    expect((await world.served())?.fingerprint).toBe(due.renewals[0]?.delivered?.fingerprint)
    expect(world.ordersPlaced()).toBe(1)
  })

  test('by renewal information: a window in the past renews at once, names the predecessor, and is not repeated', async () => {
    await world.tick()
    const before = await world.served()
    const folder = (await state()).deployed?.folder
    const chain = await world.text(`deployed/shop/${folder}/fullchain.pem`)
    const leaf = `${chain.split('-----END CERTIFICATE-----')[0]}-----END CERTIFICATE-----\n`
    const window = { start: '2020-01-01T00:00:00Z', end: '2020-01-02T00:00:00Z' }
    await world.pebble.setRenewalInfo(leaf, JSON.stringify({ suggestedWindow: window }))
    const report = await world.tick()
    expect(report.renewals).toMatchObject([{ status: 'delivered', reason: 'the CA suggested this time' }])
    expect(report.outcomes).toMatchObject([{ status: 'rotated' }])
    const after = await world.served()
    expect(after?.fingerprint).toBe(report.renewals[0]?.delivered?.fingerprint)
    expect(after?.fingerprint).not.toBe(before?.fingerprint)
    expect((await world.tick()).renewals).toMatchObject([{ status: 'not-due' }])
    expect(world.ordersPlaced()).toBe(2)
  })

  test('a CA that is down is told with its reason until it is up again, then the renewal goes through', async () => {
    await world.pebble.halt()
    const down = await world.tick()
    expect(exitStatus(down)).toBe(1)
    expect(down.renewals[0]).toMatchObject({
      status: 'failed',
      failing: { attempts: 1, failure: { code: 'acme.unreachable' } },
    })
    const waiting = await world.tick()
    expect(exitStatus(waiting)).toBe(1)
    expect(waiting.renewals[0]).toMatchObject({ status: 'waiting', failing: { attempts: 1 } })
    expect((await status()).certificates[0]?.problems.map(({ kind }) => kind)).toContain('renewal failing')
    world.pass(hour)
    const again = await world.tick()
    expect(again.renewals[0]?.failing).toMatchObject({
      attempts: 2,
      since: down.renewals[0]?.failing?.since,
    })
    const shown = await world.cli('status', world.config(), '--json')
    expect(shown.stdout, 'status, which orders nothing, knows it too').toContain('the connection was refused')
    await world.pebble.start()
    world.pass(2 * hour)
    const up = await world.tick()
    expect(up.renewals[0]?.status).toBe('delivered')
    expect(up.outcomes).toMatchObject([{ status: 'rotated' }])
    expect((await status()).certificates[0]?.problems).toEqual([])
    expect(exitStatus(up)).toBe(0)
  })

  test('the second CA is asked when the first is down', async () => {
    const first = world.authority({ directory: 'https://127.0.0.1:9/dir' })
    const report = await world.tick(world.config([first, world.authority()]))
    expect(exitStatus(report)).toBe(0)
    expect(report.renewals[0]).toMatchObject({
      status: 'delivered',
      delivered: { directory: world.pebble.directory },
      failures: [{ code: 'acme.unreachable' }],
    })
    expect(report.outcomes).toMatchObject([{ status: 'rotated' }])
    expect((await world.served())?.issuer).toContain('Pebble')
  })

  test('an order that fails leaves what is served alone and is told to people in the CA’s words', async () => {
    const before = await world.served()
    const told = world.config(
      undefined,
      { names: ['api.shop.example', 'bad.shop.example'] },
      { alerts: { channels: [{ console: true }] } },
    )
    const printed = await world.cli('tick', told)
    expect(printed.exitStatus).toBe(1)
    expect(printed.stdout).toMatch(/rejectedIdentifier: .*bad\.shop\.example/)
    expect(printed.stdout, 'the message to people').toMatch(/renewal has failed once/)
    expect((await status()).certificates[0]?.problems.map(({ kind }) => kind)).toContain('renewal failing')
    expect(await world.served()).toEqual(before)
    expect(world.ordersPlaced()).toBe(0)
  })

  const deaths: [string, (key: string, text: string) => boolean][] = [
    ['when only the key has been dropped', (key) => key === 'incoming/shop/privkey.pem'],
    ['when the bundle has been dropped', (key) => key === 'incoming/shop/fullchain.pem'],
    [
      'when the delivery has been noted',
      (key, text) => key === 'renew/shop.json' && text.includes('"issued"') && text.includes('"orders": {}'),
    ],
  ]
  test.each(deaths)(
    'a process that dies %s, is finished by the next tick with the same certificate',
    async (_, last) => {
      const wiring = await world.cloud.wire(world.config(), { clock: world.clock })
      const parties = world.cloud.parties(wiring)
      const store = dyingAfter(parties.store, last)
      await tick(wiring, { ...parties, store }).catch(() => undefined)
      expect(world.certificatesIssued()).toBe(1)
      expect((await world.served())?.issuer, 'nothing has been rotated yet').not.toContain('Pebble')
      // The dead process's lease ends by itself.
      world.pass(minute)
      const report = await world.tick()
      expect(report.outcomes.at(-1), JSON.stringify(report)).toMatchObject({ status: 'rotated' })
      expect((await world.served())?.issuer).toContain('Pebble')
      const rest = await world.tick()
      expect(rest.renewals).toMatchObject([{ status: 'not-due' }])
      expect(world.ordersPlaced()).toBe(1)
      expect(world.certificatesIssued()).toBe(1)
      expect((await world.cloud.keys()).filter((key) => key.startsWith('incoming/'))).toEqual([])
      await expect.poll(() => world.challenges()).toEqual([])
    },
  )

  test('on the terminal each step can be seen, and --json has it as one document', async () => {
    const printed = await world.cli('tick')
    expect(printed.exitStatus, printed.stdout + printed.stderr).toBe(0)
    const steps = [
      /is renewed at 127\.0\.0\.1:\d+, because there is no certificate yet/,
      /order placed for .*api\.shop\.example/,
      /challenge for api\.shop\.example written: TXT _acme-challenge\.api\.shop\.example/,
      /challenge can be seen: .*TXT _acme-challenge\.api\.shop\.example/,
      /the CA has validated/,
      /certificate issued, valid until 20\d\d/,
      /rotated: /,
    ]
    let at = 0
    for (const step of steps) {
      const found = printed.stdout.slice(at).search(step)
      expect(found, `${step} in\n${printed.stdout}`).toBeGreaterThanOrEqual(0)
      at += found
    }
    const second = await world.cli('tick', world.config(), '--json')
    expect(second.stdout.trimEnd().split('\n')).toHaveLength(1)
    expect(JSON.parse(second.stdout)).toMatchObject({
      command: 'tick',
      exitStatus: 0,
      renewals: [{ certificate: 'shop', status: 'not-due' }],
      outcomes: [],
    })
    expect(printed.stdout + second.stdout).not.toMatch(/PRIVATE KEY|a passphrase of the test/)
  }, 30_000)

  test('a certificate that lasts 90 days is renewed between its 60th and 61st day', async () => {
    const { renewals } = await world.tick()
    const { notBefore = '', notAfter = '' } = renewals[0]?.delivered ?? {}
    expect((Date.parse(notAfter) - Date.parse(notBefore)) / day).toBeCloseTo(90, 1)
  })
})

/** The process ends with the write that `last` recognizes: it takes effect, and nothing after it does. */
function dyingAfter(store: Store, last: (key: string, text: string) => boolean): Store {
  let dead = false
  return new Proxy(store, {
    get(target, property) {
      const value = Reflect.get(target, property, target) as unknown
      if (typeof value !== 'function') return value
      return async (...args: unknown[]) => {
        if (dead) throw new Error('this process has ended')
        const result = await (value.apply(target, args) as Promise<unknown>)
        if (property === 'put' && last(String(args[0]), String(args[1]))) {
          dead = true
          throw new Error('this process has ended')
        }
        return result
      }
    },
  })
}
