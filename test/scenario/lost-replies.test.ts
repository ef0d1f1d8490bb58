import { describe, expect, it } from 'vitest'
import { FAULTS, FaultMatrix, STRATEGIES } from '../support/fault-matrix.ts'
import { Story } from '../support/story.ts'

/** Every n-th combination only, for a quick run; 1 tries them all. */
const STEP = Number(process.env.FAULT_STEP ?? 7)

describe('a rotation whose calls go wrong one at a time', () => {
  for (const strategy of Object.keys(STRATEGIES))
    it(`converges without a duplicate and without a bare domain, by strategy ${strategy}`, {
      timeout: 600_000,
    }, async () => {
      const matrix = await FaultMatrix.start(strategy)
      try {
        const calls = await matrix.mutatingCalls()
        expect(calls.length).toBeGreaterThan(4)
        let n = 0
        for (const call of calls)
          for (const fault of Object.keys(FAULTS)) {
            if (n++ % STEP !== 0) continue
            const verdict = await matrix.strike(call, fault)
            expect(verdict.problems, verdict.where).toEqual([])
          }
      } finally {
        await matrix.close()
      }
    })
})

describe('a call that makes something new', () => {
  it('is not repeated while nobody can look whether it has happened', async () => {
    const story = await Story.start({ apig: ['a.shop.example'], roma: [] })
    try {
      const bundle = await story.drop()
      const stop = story.cloud.emulator.intercept((stage, call) => {
        if (stage !== 'done' || call.route !== 'apig.createCertificate') return
        stop()
        story.fault('apig.listCertificates', { status: 500, errorCode: 'APIG.9999' })
      })
      story.fault('apig.createCertificate', { lose: 'reply' }, { nth: 1 })
      const [outcome] = await story.tick()
      expect(outcome).toMatchObject({ status: 'failed' })
      expect(story.called('apig.createCertificate')).toBe(1)
      story.cloud.emulator.faults.clear()
      expect((await story.ticks()).at(-1)).toMatchObject({ status: 'rotated' })
      expect(story.copies(bundle)).toBe(1)
      expect(story.called('apig.createCertificate')).toBe(1)
    } finally {
      await story.close()
    }
  })
})
