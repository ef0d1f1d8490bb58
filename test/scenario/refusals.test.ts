import { describe, expect, it } from 'vitest'
import { STRATEGIES } from '../support/fault-matrix.ts'
import { RefusalMatrix } from '../support/refusal-matrix.ts'

/** Every n-th combination only, for a quick run; 1 tries them all. */
const STEP = Number(process.env.REFUSAL_STEP ?? 37)

describe('a gateway that refuses for good', () => {
  for (const [index, strategy] of Object.keys(STRATEGIES).entries())
    it(`leaves no domain without a certificate, not even for a moment, by strategy ${strategy}`, {
      timeout: 600_000,
    }, async () => {
      const matrix = await RefusalMatrix.start(strategy)
      try {
        const cases = RefusalMatrix.all().filter((_, n) => n % STEP === index % STEP)
        expect(cases.length).toBeGreaterThan(5)
        for (const one of cases) {
          const verdict = await matrix.refuse(one)
          expect(verdict.problems, verdict.where).toEqual([])
        }
      } finally {
        await matrix.close()
      }
    })
})
