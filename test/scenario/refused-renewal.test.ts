import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { RenewState } from '../../shared/acme/state.ts'
import { day, hour, minute } from '../../shared/base/clock.ts'
import type { RotationState } from '../../shared/rotation/record/state.ts'
import { exitStatus } from '../../shared/runtime/jobs.ts'
import type { StatusModel } from '../../shared/status/model.ts'
import { pebbleMissing } from '../support/pebble.ts'
import { RenewalCloud } from '../support/renewal-cloud.ts'

/** Due as soon as it is deployed: less than a third of its life is left. */
const dueAtOnce = { from: -65, to: 25 }

describe.skipIf(pebbleMissing())('a renewed certificate that the rotation refuses', () => {
  let world: RenewalCloud
  beforeEach(async () => {
    world = await RenewalCloud.start()
  })
  afterEach(() => world?.close())

  const state = async () => JSON.parse(await world.text('state/shop.json')) as RotationState
  const renew = async () => JSON.parse(await world.text('renew/shop.json')) as RenewState
  const shown = async () =>
    (JSON.parse(await world.text('status/status.json')) as StatusModel).certificates[0]
  const console = { alerts: { channels: [{ console: true }] } }

  /** rotation.yaml with `trust: private`; the roots are changed by writing the file. */
  async function trusting(...roots: string[]) {
    await writeFile(join(world.cloud.folder, 'roots.pem'), roots.join('\n'))
    const config = world.config(undefined, {}, console) as { certificates: { shop: object } }
    Object.assign(config.certificates.shop, { trust: { private: 'roots.pem' } })
    return config
  }

  test('for its root: told at once with the due date of what is served, not ordered again, and rotated without an order once the root is trusted', async () => {
    const own = (await world.cloud.emulator.root).certificatePem
    const untrusting = await trusting(own)
    const uploaded = await world.cloud.issue(undefined, dueAtOnce)
    await world.cloud.drop(uploaded)
    const first = await world.tick(untrusting)
    // A chain whose next issuer is missing may still be completed by another object, for two minutes.
    expect(first.outcomes.map(({ status }) => status)).toEqual(['rotated', 'waiting'])
    expect(first.renewals).toMatchObject([{ status: 'delivered' }])
    const planned = Date.parse((await state()).renewAt ?? '1970-01-01')
    expect(planned, 'what waits is not in service').toBeLessThanOrEqual(world.clock.now().getTime())
    world.pass(3 * minute)
    const refused = await world.tick(untrusting)
    expect(refused.outcomes).toMatchObject([{ status: 'refused' }])
    expect(refused.renewals).toMatchObject([{ status: 'waiting', failing: { attempts: 1 } }])
    expect(exitStatus(refused)).toBe(1)
    const status = await shown()
    expect(status?.problems.map(({ kind }) => kind)).toContain('renewal failing')
    expect(status?.next.act).toBe('order again')
    expect(status?.health).not.toBe('ok')
    const due = Date.parse((await state()).renewAt ?? '')
    expect(due, 'counted from what is served').toBeLessThanOrEqual(world.clock.now().getTime())

    const told = await world.cli('tick', untrusting)
    expect(told.exitStatus, told.stdout + told.stderr).toBe(1)
    expect(told.stdout).toContain('was refused')
    const second = await world.tick(untrusting)
    expect(second.renewals).toMatchObject([
      { status: 'waiting', inService: { by: 'list' }, failing: { attempts: 1 } },
    ])
    expect(world.ordersPlaced()).toBe(1)
    expect((await world.served())?.fingerprint).toBe(uploaded.fingerprint)
    expect(JSON.stringify(await renew())).not.toContain('PRIVATE KEY')

    const again = await world.tick(await trusting(own, await world.pebble.root()))
    expect(again.renewals, JSON.stringify(again)).toMatchObject([
      { status: 'delivered', delivered: { fingerprint: first.renewals[0]?.delivered?.fingerprint } },
    ])
    expect(again.outcomes).toMatchObject([{ status: 'rotated' }])
    expect(exitStatus(again)).toBe(0)
    expect((await world.served())?.fingerprint).toBe(first.renewals[0]?.delivered?.fingerprint)
    expect(world.ordersPlaced()).toBe(1)
    expect((await shown())?.next.act).toBe('renew')
    const rest = await world.tick(untrusting)
    expect(rest.renewals).toMatchObject([{ status: 'not-due' }])
    const { issued, refusal } = await renew()
    expect([issued?.certificate, issued?.key, refusal]).toEqual([undefined, undefined, undefined])
  })

  test('by the gateway: ordered again when the growing wait is over, while what is served nears its end', async () => {
    const uploaded = await world.cloud.issue(undefined, dueAtOnce)
    await world.cloud.drop(uploaded)
    expect((await world.tick(world.config(undefined, { before: '1d' }))).outcomes).toMatchObject([
      { status: 'rotated' },
    ])
    world.cloud.emulator.faults.add({
      route: 'apig.createCertificate',
      fault: { status: 400, errorCode: 'APIG.2102', message: 'the certificate is not acceptable' },
    })
    const refused = await world.tick()
    expect(refused.renewals).toMatchObject([{ status: 'delivered' }])
    expect(refused.outcomes).toMatchObject([{ status: 'refused' }])
    expect(await shown(), 'in the same tick').toMatchObject({ next: { act: 'order again' } })
    const due = Date.parse((await state()).renewAt ?? '')
    expect(due, 'counted from what is served').toBeLessThanOrEqual(world.clock.now().getTime())
    const waiting = await world.tick()
    expect(exitStatus(waiting)).toBe(1)
    expect(waiting.renewals).toMatchObject([
      { status: 'waiting', failing: { attempts: 1, failure: { code: 'acme.not-in-service' } } },
    ])
    expect(world.ordersPlaced()).toBe(1)
    world.pass(8 * hour)
    expect((await world.tick()).renewals).toMatchObject([{ status: 'delivered' }])
    expect(world.ordersPlaced()).toBe(2)
    world.pass(8 * hour)
    expect((await world.tick()).renewals, 'the wait has grown').toMatchObject([
      { status: 'waiting', failing: { attempts: 2 } },
    ])
    world.cloud.emulator.faults.clear()
    world.pass(day)
    const good = await world.tick()
    expect(good.outcomes, JSON.stringify(good)).toMatchObject([{ status: 'rotated' }])
    expect((await world.served())?.fingerprint).toBe(good.renewals[0]?.delivered?.fingerprint)
    expect((await world.tick()).renewals).toMatchObject([{ status: 'not-due' }])
    expect((await shown())?.problems).toEqual([])
  })

  test('what is bound counts, not what was deployed: a certificate that somebody has bound and that ends soon is replaced', async () => {
    await world.cloud.drop(await world.cloud.issue())
    const young = await world.tick()
    expect(young.renewals).toMatchObject([{ status: 'not-due', inService: { by: 'list' } }])
    const { emulator } = world.cloud
    const [old] = emulator.state().certificates.filter(({ boundTo }) => boundTo.length === 0)
    emulator.bind('api.shop.example', old?.id ?? '')
    const seen = await world.tick()
    const end = (await world.served())?.notAfter
    expect((end?.getTime() ?? 0) - world.clock.now().getTime()).toBeLessThan(11 * day)
    expect(seen.renewals, JSON.stringify(seen.renewals)).toMatchObject([
      {
        status: 'waiting',
        inService: { host: 'api.shop.example', by: 'handshake', notAfter: end?.toISOString() },
        failing: { failure: { code: 'acme.not-everywhere' } },
      },
    ])
    world.pass(8 * hour)
    const again = await world.tick()
    expect(again.renewals).toMatchObject([{ status: 'delivered' }])
    expect(again.outcomes).toMatchObject([{ status: 'rotated' }])
    expect((await world.served())?.fingerprint).toBe(again.renewals[0]?.delivered?.fingerprint)
    expect((await world.tick()).renewals).toMatchObject([{ status: 'not-due' }])
  })
})
