import { describe, expect, test } from 'vitest'
import { type BundleFate, fateOf } from '../../shared/rotation/intake/fate.ts'
import type {
  BundleFacts,
  Outcome,
  OutcomeStatus,
  RotationState,
} from '../../shared/rotation/record/state.ts'

const bundle = (name: string) => ({ digest: `digest ${name}`, fingerprint: name }) as BundleFacts
const failure = {
  code: 'gateway.refused',
  kind: 'never' as const,
  message: 'no',
  next: 'Do this.',
  facts: {},
}

function outcome(status: OutcomeStatus, of = 'ours', more: Partial<Outcome> = {}): Outcome {
  const empty = { checks: [], repairs: [], domains: [], pushed: [], failures: [] }
  return {
    certificate: 'shop',
    status,
    at: `at ${status}`,
    durationMs: 0,
    sentence: status,
    bundle: bundle(of),
    ...empty,
    ...more,
  }
}
const refusing = { checks: [{ code: 'dates', result: 'refused', message: 'too early' }] }
const deployed = (name: string) => ({ deployed: { ...bundle(name), at: '', folder: '' } })

const rows: [what: string, state: Partial<RotationState>, fate: Partial<BundleFate> | undefined][] = [
  ['never heard of', {}, undefined],
  ['in service', deployed('ours'), { is: 'deployed' }],
  [
    'in service although some domain was given up',
    { ...deployed('ours'), outcomes: [outcome('failed')] },
    { is: 'deployed' },
  ],
  [
    'was in service until something newer came',
    { ...deployed('newer'), outcomes: [outcome('rotated', 'newer'), outcome('rotated')] },
    { is: 'replaced' },
  ],
  [
    'overtaken before it was in service',
    { ...deployed('newer'), outcomes: [outcome('superseded')] },
    { is: 'replaced' },
  ],
  [
    'refused by the checks',
    { outcomes: [outcome('refused', 'ours', refusing)] },
    { is: 'refused', by: 'verdict', at: 'at refused' },
  ],
  [
    'refused by the gateway',
    { outcomes: [outcome('refused', 'ours', { failures: [failure] })] },
    { is: 'refused', by: 'outside', next: 'Do this.' },
  ],
  [
    'rolled back, with the config it happened under',
    {
      outcomes: [outcome('rolled back')],
      refused: { digest: 'digest ours', configDigest: 'then', at: '', failures: [] },
    },
    { is: 'refused', by: 'outside', config: 'then' },
  ],
  ['another one was refused', { outcomes: [outcome('refused', 'other', refusing)] }, undefined],
  ['still waiting', { outcomes: [outcome('waiting')] }, undefined],
  ['under way', { outcomes: [outcome('unfinished')] }, undefined],
  [
    'failed, and tried again',
    {
      outcomes: [outcome('failed')],
      retry: { digest: 'digest ours', configDigest: '', attempts: 1, notBefore: '', failure },
    },
    undefined,
  ],
  [
    'refused, and refused differently later',
    { outcomes: [outcome('rolled back'), outcome('refused', 'ours', refusing)] },
    { is: 'refused', by: 'outside' },
  ],
]

describe('what has become of a certificate', () => {
  test.each(rows)('%s', (_, state, fate) => {
    const found = fateOf({ schema: 1, name: 'shop', created: [], outcomes: [], ...state }, 'ours')
    if (fate === undefined) expect(found).toBeUndefined()
    else expect(found).toMatchObject(fate)
  })
})
