/**
 * Every boundary of an ACME order, with every fault, against Pebble: a process that ends before or after the call,
 * and a reply that is lost. Prints a markdown table of what was counted; exit status 1 where a run went wrong.
 * `node --import tsx bench/faults-order.ts`
 */
import { OrderStage, orderFaults } from '../test/support/order-crash.ts'
import { pebbleMissing } from '../test/support/pebble.ts'

if (pebbleMissing()) process.exit(1)

const stage = await OrderStage.start()
const rows = new Map<string, { runs: number; certificates: number; orders: number[] }>()
const wrong: string[] = []
try {
  const begun = performance.now()
  const { calls, cases } = await stage.cases(true)
  await stage.play(cases, (one, run, problems) => {
    const name = one.listing === 'list' ? one.name : `${one.name}, CA without a list of orders`
    const row = rows.get(name) ?? { runs: 0, certificates: 0, orders: [] }
    rows.set(name, row)
    row.runs += 1
    row.certificates += run.ledger.finalized.size
    row.orders.push(run.ledger.placed.size)
    if (problems.length > 0) wrong.push(`${one.fault} at ${one.at} (${name}): ${problems.join(', ')}`)
  })
  const seconds = Math.round((performance.now() - begun) / 1000)
  console.log('| call | runs | certificates issued | most orders in a run |')
  console.log('| --- | ---: | ---: | ---: |')
  for (const [name, { runs, certificates, orders }] of [...rows].sort(([a], [b]) => a.localeCompare(b)))
    console.log(`| ${name} | ${runs} | ${certificates} | ${Math.max(...orders)} |`)
  const total = [...rows.values()].reduce((sum, { certificates }) => sum + certificates, 0)
  console.log(`| **all** | **${cases.length}** | **${total}** | |`)
  console.log(
    `\n${calls.length} boundaries of an order (${new Set(calls).size} kinds of call), ${orderFaults.length} faults each, ${cases.length} runs in ${seconds} s: ${cases.length - wrong.length} end with exactly one certificate, its key, and nothing left behind.`,
  )
  for (const line of wrong) console.log(`- WRONG: ${line}`)
} finally {
  await stage.close()
}
process.exitCode = wrong.length > 0 ? 1 : 0
