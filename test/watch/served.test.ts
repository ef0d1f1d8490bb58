import { describe, expect, test } from 'vitest'
import { day } from '../../shared/base/clock.ts'
import { coversHost, judgeServed } from '../../shared/watch/served.ts'
import { bundle, later, serving, start } from './support.ts'

const current = bundle('shop', 2, start)
const older = bundle('shop', 1, later(-40 * day))
const input = { host: 'shop.example', expected: current, predecessors: [older.fingerprint] }

describe('what a domain serves is', () => {
  test.each([
    ['expected', serving(current)],
    ['incomplete chain', serving(current, { chain: [current.fingerprint] })],
    ['older', serving(older)],
    ['foreign', serving({ ...bundle('other', 1, start), names: ['shop.example'] })],
    ['wrong name', serving(bundle('other', 1, start))],
    ['nobody', { reached: true as const, served: undefined, reason: 'alert unrecognized_name' }],
    ['not reached', { reached: false as const, reason: 'ECONNREFUSED' }],
    ['not looked at', undefined],
  ])('%s', (verdict, result) => {
    expect(judgeServed({ ...input, result }).verdict).toBe(verdict)
  })

  test('as expected without an expectation, unless a client would refuse it', () => {
    const watching = { host: 'shop.example', expected: undefined, predecessors: [] }
    expect(judgeServed({ ...watching, result: serving(older) }).verdict).toBe('expected')
    expect(judgeServed({ ...watching, result: serving(bundle('other', 1, start)) }).verdict).toBe(
      'wrong name',
    )
  })
})

test.each([
  ['shop.example', ['shop.example'], true],
  ['SHOP.example.', ['shop.EXAMPLE'], true],
  ['api.shop.example', ['*.shop.example'], true],
  ['*.shop.example', ['*.shop.example'], true],
  ['shop.example', ['*.shop.example'], false],
  ['a.b.shop.example', ['*.shop.example'], false],
  ['shop.example', ['*.example'], true],
  ['example', ['*.example', '*'], false],
])('%s under %j is covered: %s', (host, names, expected) => {
  expect(coversHost(names, host)).toBe(expected)
})
