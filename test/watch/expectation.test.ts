import { describe, expect, it } from 'vitest'
import type { RecordedDomain } from '../../shared/rotation/record/domain.ts'
import type { RotationState } from '../../shared/rotation/record/state.ts'
import { expectedAt } from '../../shared/watch/expectation.ts'

const leaf = (fingerprint: string) => ({ fingerprint, chain: [fingerprint] })

interface Facts {
  /** What this tool has put into service before; undefined where it has not yet. */
  deployed?: string
  /** Status of the last rotation, which brings `new`. */
  current?: 'running' | 'done' | 'failed'
  /** What is noted of this domain in it; null where it is not part of it. */
  record?: { servedBefore?: string; servedAt?: string } | null
  shown?: string
}

function expected({ deployed, current, record = {}, shown }: Facts): string | undefined {
  const other = { gateway: 'apig', host: 'other.example' }
  const domains = record === null ? { other } : { other, this: record }
  const state = {
    ...(deployed && { deployed: leaf(deployed) }),
    ...(current && { current: { status: current, bundle: leaf('new'), domains } }),
  } as unknown as RotationState
  const noted = current && record !== null ? (record as RecordedDomain) : undefined
  return expectedAt(state, noted, shown)?.fingerprint
}

describe('what a domain should serve', () => {
  const at = '2026-11-22T12:00:00Z'
  for (const [what, facts, result] of [
    ['nothing was put into service yet', {}, undefined],
    ['nothing was, and a first rotation is under way', { current: 'running', shown: 'x' }, undefined],
    ['a rotation is done', { deployed: 'old', current: 'done', shown: 'old' }, 'new'],
    [
      'it was verified, though the rotation is not over',
      { deployed: 'old', current: 'running', record: { servedAt: at, servedBefore: 'old' }, shown: 'old' },
      'new',
    ],
    [
      'a rotation is under way and has not come to it',
      { deployed: 'old', current: 'running', record: { servedBefore: 'old' }, shown: 'old' },
      'old',
    ],
    [
      'a rotation is under way and has just come to it',
      { deployed: 'old', current: 'running', record: { servedBefore: 'old' }, shown: 'new' },
      'new',
    ],
    [
      'a rotation is under way, and it shows what neither is',
      { deployed: 'old', current: 'running', record: { servedBefore: 'old' }, shown: 'x' },
      'old',
    ],
    [
      'a rotation is under way, and it shows what somebody had put there before',
      { deployed: 'old', current: 'running', record: { servedBefore: 'theirs' }, shown: 'theirs' },
      'theirs',
    ],
    [
      'somebody had put another there before, and has changed it again: nobody has verified either',
      { deployed: 'old', current: 'running', record: { servedBefore: 'theirs' }, shown: 'x' },
      undefined,
    ],
    [
      'it was listed later, and shows a certificate of somebody',
      { deployed: 'new', current: 'done', record: null, shown: 'theirs' },
      undefined,
    ],
    [
      'it was listed later, and shows ours all the same',
      { deployed: 'new', current: 'done', record: null, shown: 'new' },
      'new',
    ],
  ] as [string, Facts, string | undefined][])
    it(`where ${what}: ${result ?? 'anything'}`, () => {
      expect(expected(facts)).toBe(result)
    })
})
