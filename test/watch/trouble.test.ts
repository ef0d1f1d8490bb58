import { expect, it } from 'vitest'
import { troubleAt } from '../../shared/watch/trouble.ts'

const now = new Date('2026-11-22T12:00:00Z')
const place = { gateway: 'apig', host: 'shop.example' }

it.each([
  ['nobody', true, true],
  ['foreign', true, true],
  ['wrong name', true, true],
  // Most clients find the intermediate themselves.
  ['incomplete chain', true, false],
  // One look is no verdict.
  ['nobody', false, false],
] as const)('%s, seen twice: %s, is critical: %s', (problem, seenTwice, critical) => {
  const verdict = { verdict: problem, detail: 'x' } as never
  expect(troubleAt({ place: { ...place, seenTwice }, verdict, memory: {}, now })).toMatchObject({
    problem,
    certain: seenTwice,
    critical,
  })
})
