import { expect, test } from 'vitest'
import { day } from '../../shared/base/clock.ts'
import type { RotationState } from '../../shared/rotation/record/state.ts'
import { inOrderOfUrgency } from '../../shared/watch/look-order.ts'

const now = new Date('2026-11-22T12:00:00Z')
const at = (days: number) => new Date(now.getTime() + days * day).toISOString()

function state(more: Partial<RotationState>, ends = 80): RotationState {
  const deployed = { notBefore: at(ends - 90), notAfter: at(ends) }
  return { schema: 1, name: 'x', outcomes: [], created: [], deployed, ...more } as unknown as RotationState
}

const wrong = {
  schema: 1,
  leaves: {},
  conditions: {
    'served/apig 1/wrong.example': { kind: 'not served', since: at(0), seen: 1, where: ['wrong.example'] },
  },
}

test('bare or wrong before due and passed over, before unknown, before the rest; the nearest end first', () => {
  const states = new Map<string, RotationState>([
    ['fine', state({})],
    ['ends-soon', state({}, 2)],
    ['ends-sooner', state({}, 1)],
    ['ended', state({}, -1)],
    ['renewal-due', state({ renewAt: at(-1) } as Partial<RotationState>)],
    ['rolling', state({ current: { status: 'running' } } as unknown as Partial<RotationState>)],
    ['wrong', state({ alerts: wrong } as unknown as Partial<RotationState>)],
    ['passed-over', state({}, 79)],
  ])
  const names = ['fine', 'unknown', 'passed-over', 'ends-soon', 'renewal-due', 'wrong', 'ends-sooner']
  const wanted = [...names, 'ended', 'rolling', 'fine-too'].map((certificate) => ({
    certificate,
    gateway: 'apig 1',
    host: `${certificate}.example`,
  }))
  states.set('fine-too', state({}, 70))
  const order = inOrderOfUrgency(wanted, states, now, ['apig 1 passed-over.example'])
  expect(order.map(({ certificate }) => certificate)).toEqual([
    'wrong',
    'rolling',
    'ended',
    'ends-sooner',
    'ends-soon',
    'passed-over',
    'renewal-due',
    'unknown',
    'fine-too',
    'fine',
  ])
})
