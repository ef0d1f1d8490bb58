import { expect, it } from 'vitest'
import { s3Server } from '../support/s3-server.ts'
import { StoreFaultMatrix } from '../support/store-fault-matrix.ts'

/** Every n-th fault only, for a quick run; 1 tries them all. */
const STEP = Number(process.env.STORE_FAULT_STEP ?? 41)
const FROM = Number(process.env.STORE_FAULT_FROM ?? 0)

const s3 = await s3Server()

/**
 * At every request of a rotation from a bucket, every false answer that is possible there: once, and for the rest of
 * the run. When it is over and the timer has come again, every domain serves the new certificate, the gateway got one,
 * the bundle lies whole in `deployed/` and nothing anywhere else.
 */
it.skipIf(!s3)(
  'a rotation from a bucket converges whatever is answered falsely, at whichever request',
  {
    timeout: 3_600_000,
  },
  async () => {
    const matrix = await StoreFaultMatrix.start(s3!)
    try {
      const faults = await matrix.faults()
      const failed: string[] = []
      let tried = 0
      for (let at = FROM; at < faults.length; at += STEP) {
        tried++
        const fault = faults[at]!
        const problems = await matrix.meet(fault)
        if (problems.length === 0) continue
        const { request, kind, lasting } = fault
        failed.push(`#${at} request ${request}, ${kind}${lasting ? ', lasting' : ''}: ${problems.join('; ')}`)
      }
      console.info(
        `${tried} of ${faults.length} false answers of the store: ${tried - failed.length} converge`,
      )
      expect(failed).toEqual([])
    } finally {
      await matrix.close()
    }
  },
)
