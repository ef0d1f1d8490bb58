import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Store } from '../../shared/store/port.ts'
import { renewToEnd as renewDue, temporaryStore } from '../support/acme.ts'
import { Boundaries } from '../support/boundaries.ts'
import { type Ledger, OrderStage, orderFaults } from '../support/order-crash.ts'
import { pebbleMissing } from '../support/pebble.ts'

describe.skipIf(pebbleMissing())('an order whose process dies or whose replies are lost', () => {
  let stage: OrderStage
  beforeAll(async () => {
    stage = await OrderStage.start()
  })
  afterAll(() => stage?.close())

  test('ends at every boundary with one certificate, its key, and nothing left behind', async () => {
    // With ALL_FAULTS=1 every boundary with every fault; `npm run faults` prints them as a table.
    const { calls, cases } = await stage.cases(process.env.ALL_FAULTS === '1')
    await stage.play(cases, (one, _, wrong) =>
      expect(wrong, `${one.fault} at ${one.at} (${one.name}), ${one.listing}`).toEqual([]),
    )
    console.info(
      `order boundaries: ${calls.length} (${new Set(calls).size} kinds of call), ${orderFaults.length} faults, ${cases.length} runs, all with one certificate`,
    )
  }, 600_000)

  test('that is not wanted any more still takes its challenges down', async () => {
    const ledger: Ledger = { placed: new Set(), finalized: new Set() }
    const run = async (boundaries: Boundaries, store: Store, host: string) =>
      renewDue(stage.partsThrough(boundaries, store, host, ledger, 'list')).catch(() => undefined)
    const counting = new Boundaries()
    const counted = await temporaryStore()
    await run(counting, counted.store, stage.newHost())
    await counted.remove()
    const created = counting.seen.indexOf('dns.createTxt') + 1
    const { store, remove } = await temporaryStore()
    try {
      const unwanted = stage.newHost()
      await run(new Boundaries(created, 'killed after'), store, unwanted)
      await expect
        .poll(() => stage.cloud.zones.answers(`_acme-challenge.${unwanted}`)?.get('TXT'))
        .toBeDefined()
      // Somebody changes the names in the config before the next tick.
      const outcome = await run(new Boundaries(), store, stage.newHost())
      expect(outcome?.status).toBe('delivered')
      await expect
        .poll(() => stage.cloud.zones.answers(`_acme-challenge.${unwanted}`)?.get('TXT'))
        .toBeUndefined()
    } finally {
      await remove()
    }
  })
})
