import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { systemClock } from '../../shared/base/clock.ts'
import { storeContract } from '../contract/store.contract.ts'
import { describeHistory, type History, histories } from '../support/history.ts'
import { HistoryLab } from '../support/history-run.ts'
import { HistoryStore } from '../support/history-store.ts'

/** `HISTORIES=10000` for a long run; `FC_SEED` and `FC_PATH` live a failure again; `FC_NO_SHRINK=1` tells the first one as it was found. */
const RUNS = Number(process.env.HISTORIES ?? 60)
/** `npm test` lives the same histories each time, so that a red run is about the change; a long run takes new ones. */
const FIXED = process.env.HISTORIES === undefined ? '385005607' : undefined
const SEED = process.env.FC_SEED ?? FIXED
const PATH = process.env.FC_PATH

/** Real milliseconds after which a history hangs. */
const HANGS_AFTER = 30_000

let lab: HistoryLab
beforeAll(async () => {
  lab = await HistoryLab.open()
})
afterAll(() => lab.close())

storeContract('The store of the histories', async () => new HistoryStore(systemClock), { objects: 100 })

test(`whatever happens in whatever order, every domain comes to serve the newest acceptable bundle, nothing is doubled and nobody acts without the lease (${RUNS} histories)`, {
  timeout: 60_000 + RUNS * 1_000,
}, async () => {
  const begun = systemClock.monotonic()
  const details = await fc.check(
    fc.asyncProperty(histories, (history) => lab.live(history)),
    {
      numRuns: RUNS,
      endOnFailure: process.env.FC_NO_SHRINK === '1',
      timeout: HANGS_AFTER,
      ...(SEED === undefined ? {} : { seed: Number(SEED) }),
      ...(PATH === undefined ? {} : { path: PATH }),
    },
  )
  const seconds = Math.round((systemClock.monotonic() - begun) / 1000)
  console.info(`${details.numRuns} histories in ${seconds} s, seed ${details.seed}`)
  if (details.failed) expect.fail(report(details))
})

function report(details: fc.RunDetails<[History]>): string {
  const [history] = details.counterexample ?? []
  const error = details.errorInstance
  return [
    `A history breaks a promise (found after ${details.numRuns}, shrunk ${details.numShrinks} times).`,
    `Again: FC_SEED=${details.seed} FC_PATH='${details.counterexamplePath}' npx vitest run test/scenario/property.test.ts`,
    '',
    history ? describeHistory(history) : 'no history',
    '',
    error instanceof Error ? error.message : String(error),
  ].join('\n')
}
