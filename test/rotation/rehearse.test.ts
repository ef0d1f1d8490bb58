import { describe, expect, it } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import { excuseFor, refusalOf } from '../../shared/rotation/act/rehearse.ts'
import { findingsOf, orderOf } from '../../shared/rotation/plan/attach-habit.ts'

const refused = (status: number, errorCode?: string, kind: 'never' | 'later' | 'again' = 'never') =>
  new Failure({ code: 'gateway.refused', kind, message: 'no', next: '', facts: { status, errorCode } })

describe('what a gateway answers to attaching again what is bound', () => {
  for (const [status, errorCode, about] of [
    [400, 'APIG.2102', 'of the old certificate'],
    [400, 'APIG.2000', 'of the old certificate'],
    [400, 'APIG.3309', 'of the old certificate'],
    [403, 'APIG.1115', 'of the old certificate'],
    [404, 'APIG.3021', 'of the old certificate'],
    [404, 'APIG.3025', 'of the old certificate'],
    [404, 'APIG.3093', 'of the old certificate'],
    [409, 'APIG.3708', 'of the old certificate'],
    [401, 'APIG.1001', 'of everybody'],
    [403, 'APIG.1005', 'of everybody'],
    [403, 'APIG.1301', 'of everybody'],
    [404, 'APIG.3030', 'of everybody'],
    [404, 'APIG.3097', 'of everybody'],
    [409, 'APIG.3711', 'of everybody'],
    [412, 'APIG.3458', 'of everybody'],
    [404, 'APIG.3001', 'of this domain'],
    [404, 'APIG.3020', 'of this domain'],
    [403, 'APIG.3474', 'of this domain'],
    // Somebody on the way answers: nothing was said about any certificate.
    [400, undefined, 'of everybody'],
    [403, undefined, 'of everybody'],
    [404, undefined, 'of everybody'],
  ] as const)
    it(`${status} ${errorCode ?? 'without a code'} is a refusal ${about}`, () => {
      expect(refusalOf(refused(status, errorCode))).toBe(about)
    })

  it('after the usual repeats, a 5xx is a refusal of everybody, whatever code comes with it', () => {
    expect(refusalOf(refused(500, 'APIG.2102', 'again'))).toBe('of everybody')
  })
})

describe('a certificate that cannot come back', () => {
  const now = new Date('2026-11-26T12:00:00Z')
  const days = (n: number) => new Date(now.getTime() + n * 86_400_000)
  const certificate = (from: number, to: number, name = '*.shop.example') => ({
    notBefore: days(from),
    notAfter: days(to),
    names: [name],
  })

  for (const [what, known, served, may] of [
    ['gone', undefined, undefined, true],
    ['expired', certificate(-91, -1), undefined, true],
    ['not what is served', certificate(-80, 10), certificate(-1, 60), true],
    ['in its emergency window', certificate(-84, 6), undefined, true],
    ['of six days, with two left', certificate(-4, 2), undefined, false],
    ['of six days, with one left', certificate(-5, 1), undefined, true],
    ['whose beginning nobody knows, in the last week', { notAfter: days(6) }, undefined, true],
    ['valid and served', certificate(-80, 10), certificate(-80, 10), false],
    ['valid and served for another name', certificate(-80, 10), certificate(-80, 10, 'evil.example'), true],
    ['valid, and nobody could look', certificate(-80, 10), undefined, false],
  ] as const)
    it(`${what}: is ${may ? 'replaced all the same' : 'not detached'}`, () => {
      expect(excuseFor(known, served, now, 'a.shop.example') !== undefined).toBe(may)
    })
})

describe('which goes first', () => {
  const facts = { habit: undefined, replaces: true, otherAlgorithm: false, goesFirst: false } as const
  for (const [what, more, order] of [
    ['nothing to replace', { setting: 'always', replaces: false }, 'attach'],
    ['another algorithm, never', { setting: 'never', otherAlgorithm: true }, 'attach, detach'],
    ['never', { setting: 'never', habit: 'replaces' }, 'detach, attach'],
    ['always', { setting: 'always', habit: 'refuses' }, 'attach, detach'],
    ['auto, the first', { setting: 'auto', habit: 'refuses', goesFirst: true }, 'attach, detach'],
    ['auto, nothing known', { setting: 'auto' }, 'attach, detach'],
    ['auto, it replaces', { setting: 'auto', habit: 'replaces' }, 'attach, detach'],
    ['auto, it keeps both', { setting: 'auto', habit: 'keeps both' }, 'attach, detach'],
    ['auto, it refuses', { setting: 'auto', habit: 'refuses' }, 'detach, attach'],
  ] as const)
    it(`${what}: ${order}`, () => {
      expect(orderOf({ ...facts, ...more })).toBe(order)
    })
})

describe('what is known of a gateway', () => {
  it('is nothing where somebody has written nonsense into the state file', () => {
    for (const gateways of [7, null, { a: 7 }, { a: { attach: 'toString', wayBack: { refused: 1 } } }])
      expect(findingsOf({ gateways } as never, ['a', 'constructor'], { digest: 'd' })).toEqual([])
  })
})
