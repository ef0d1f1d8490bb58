import { describe, expect, it } from 'vitest'
import { CrashMatrix, type Habit, type Obstacle } from '../support/crash-matrix.ts'
import { STRATEGIES } from '../support/fault-matrix.ts'

/** Every n-th boundary only, for a quick run; 1 tries them all. */
const STEP = Number(process.env.CRASH_STEP ?? 9)
const FROM = Number(process.env.CRASH_FROM ?? 1)

const endings: [Obstacle, string][] = [
  ['nothing', 'converges when it is run again'],
  ['the canary is refused', 'ends with all domains new or all as before, none without a certificate'],
  ['the canary never serves it', 'ends with every domain as before'],
]

/**
 * The process dies at every boundary that the code has: before a call leaves, and after its effect before its
 * answer is seen, with a half-written file left in the store. The boundaries are counted in a run that lives; then
 * each gets its death and its recovery.
 */
describe('a rotation that is killed at any boundary', () => {
  for (const [obstacle, claim] of endings)
    for (const [strategy, habit] of ways(obstacle))
      it(`where ${obstacle === 'nothing' ? 'all is well' : obstacle} ${claim}, by strategy ${strategy}, at gateways that ${habit}`, {
        timeout: 600_000,
      }, async () => {
        const matrix = await CrashMatrix.start(strategy, obstacle, habit)
        try {
          const { boundaries, problems } = await matrix.count()
          expect(problems, 'without a crash').toEqual([])
          expect(boundaries.length).toBeGreaterThan(25)
          for (let at = FROM; at <= boundaries.length; at += STEP) {
            const verdict = await matrix.dieAt(at)
            expect(verdict.problems, verdict.where).toEqual([])
          }
        } finally {
          await matrix.close()
        }
      })

  it('while the way back is being rehearsed, at whichever call, converges when it is run again', {
    timeout: 600_000,
  }, async () => {
    const matrix = await CrashMatrix.start('rebind')
    try {
      const { boundaries } = await matrix.count()
      // The look before the first attach, to whatever is created first.
      const from = boundaries.indexOf('before apig.attach') - 2
      const to = boundaries.findIndex((name) => /^before \w+\.create$/.test(name))
      const rehearsal = boundaries.slice(from, to)
      for (const call of ['apig.domain', 'apig.attach', 'roma.domain', 'roma.attach'])
        expect(rehearsal).toEqual(expect.arrayContaining([`before ${call}`, `after ${call}`]))
      for (let at = from + 1; at <= to; at++) {
        const verdict = await matrix.dieAt(at)
        expect(verdict.problems, verdict.where).toEqual([])
      }
    } finally {
      await matrix.close()
    }
  })
})

/** Each strategy at the harshest gateway, and what attaches first at the others, too. */
function ways(obstacle: Obstacle): [string, Habit][] {
  return Object.keys(STRATEGIES).flatMap((strategy): [string, Habit][] => {
    // Nothing of an in-place update whose predecessor is not ours can be put back.
    if (strategy === 'update') return obstacle === 'the canary never serves it' ? [] : [[strategy, 'refuse']]
    const others: Habit[] = ['replace', 'keep-both']
    const tries = strategy === 'rebind' || (strategy === 'add' && obstacle === 'nothing')
    const more = tries && obstacle !== 'the canary is refused' ? others : []
    return [[strategy, 'refuse'], ...more.map((habit): [string, Habit] => [strategy, habit])]
  })
}
