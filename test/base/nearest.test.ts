import { expect, test } from 'vitest'
import { distance, nearest } from '../../shared/base/nearest.ts'

test.each([
  ['', '', 0],
  ['abc', '', 3],
  ['kitten', 'sitting', 3],
  ['trsut', 'trust', 1],
  ['domains', 'domain', 1],
])('The distance from %j to %j is %i edits', (a, b, edits) => {
  expect(distance(a, b)).toBe(edits)
  expect(distance(b, a)).toBe(edits)
})

test('The nearest name ignores case and separators, and there is none where nothing is near', () => {
  expect(nearest('instance-id', ['instanceId', 'scope'])).toBe('instanceId')
  expect(nearest('SCOPE', ['instanceId', 'scope'])).toBe('scope')
  expect(nearest('zebra', ['instanceId', 'scope'])).toBeUndefined()
  expect(nearest('x'.repeat(100_000), ['scope'])).toBeUndefined()
  expect(nearest('x', [])).toBeUndefined()
})
