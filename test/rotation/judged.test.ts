import { expect, it } from 'vitest'
import { judgeOf } from '../../shared/rotation/record/judged.ts'

it.each([
  ['the service speaks of the content', 'never', 'gateway.refused', 'APIG.2104', 'content'],
  ['the service speaks of something else', 'never', 'gateway.refused', 'APIG.3711', undefined],
  ['a page without a code, of whoever stands between', 'never', 'gateway.refused', undefined, undefined],
  ['what may pass', 'later', 'gateway.refused', 'APIG.2104', undefined],
  ['a handshake', 'later', 'served.not-new', undefined, 'handshake'],
] as const)('%s', (_, kind, code, errorCode, judge) => {
  expect(judgeOf({ kind, code, facts: { errorCode } })).toBe(judge)
})
