import { describe, expect, test } from 'vitest'
import { day, hour, minute } from '../../shared/base/clock.ts'
import type { LeafMemory } from '../../shared/watch/alert-memory.ts'
import { crossings, type LeafFacts } from '../../shared/watch/expiry.ts'
import { crossingsOf } from '../../shared/watch/threshold.ts'
import { later, start } from './support.ts'

const thresholds = ['33%', '20%', '10%', '3d', '1d']
const leaf: LeafFacts = {
  fingerprint: 'a'.repeat(64),
  commonName: 'shop.example',
  notBefore: start,
  notAfter: later(100 * day),
  hosts: ['shop.example'],
}

/** Feeds instants in the given order and notes what is told at each. */
function tell(instants: readonly Date[], leaves: (now: Date) => LeafFacts[] = () => [leaf], muted = false) {
  let memory: Record<string, LeafMemory> = {}
  const told: string[] = []
  const solved: string[] = []
  for (const now of instants) {
    const result = crossings({
      now,
      leaves: leaves(now),
      thresholds,
      escalateFrom: '10%',
      memory,
      watched: ['shop.example'],
      muted,
    })
    // Through JSON, as between two invocations.
    memory = JSON.parse(JSON.stringify(result.memory))
    told.push(
      ...result.tell.map(({ crossing, leaf: { commonName } }) => `${commonName} ${crossing.threshold}`),
    )
    solved.push(...result.solved.map((item) => item.memory.told?.threshold ?? '?'))
  }
  return { told, solved, memory }
}

function every(step: number, from: Date, to: Date): Date[] {
  const instants: Date[] = []
  for (let at = from.getTime(); at <= to.getTime(); at += step) instants.push(new Date(at))
  return instants
}

describe('the crossings of a certificate', () => {
  test.each([
    [
      47,
      [
        '33% 2026-12-23T17:45',
        '20% 2026-12-29T20:24',
        '10% 2027-01-03T13:12',
        '3d 2027-01-05T06:00',
        '1d 2027-01-07T06:00',
      ],
    ],
    [
      90,
      [
        '33% 2027-01-21T13:12',
        '20% 2027-02-02T06:00',
        '10% 2027-02-11T06:00',
        '3d 2027-02-17T06:00',
        '1d 2027-02-19T06:00',
      ],
    ],
    // Three days are more than a third of six: capped, and then the same as 33%.
    [6, ['3d 2026-11-26T06:00', '20% 2026-11-27T01:12', '1d 2026-11-27T06:00', '10% 2026-11-27T15:36']],
  ])('lie at these instants for a lifetime of %i days', (days, expected) => {
    const points = crossingsOf({ notBefore: start, notAfter: later(days * day) }, thresholds)
    expect(points.at(-1)).toEqual({ threshold: 'expired', at: later(days * day) })
    expect(
      points.slice(0, -1).map(({ threshold, at }) => `${threshold} ${at.toISOString().slice(0, 16)}`),
    ).toEqual(expected)
  })

  test('are each told once when the timer ticks every hour until after the end', () => {
    const { told } = tell(every(hour, start, later(110 * day)))
    expect(told).toEqual(
      ['33%', '20%', '10%', '3d', '1d', 'expired'].map((threshold) => `shop.example ${threshold}`),
    )
  })

  test('that passed during an outage are told as the most urgent one only', () => {
    const { told } = tell([later(50 * day), later(98 * day), later(98 * day + hour)])
    expect(told).toEqual(['shop.example 3d'])
  })

  test('are not told again when the clock jumps back, by hours or by months, for a while', () => {
    const { told } = tell([
      later(81 * day),
      later(80 * day - 3 * hour),
      later(81 * day),
      later(20 * day),
      later(81 * day + hour),
      new Date(0),
      later(82 * day),
    ])
    expect(told).toEqual(['shop.example 20%'])
  })

  test('that a clock running ahead for one tick has told too early are told when they really come', () => {
    const { told } = tell([
      later(10 * day),
      later(200 * day),
      ...every(6 * hour, later(10 * day + hour), later(101 * day)),
    ])
    expect(told[0]).toBe('shop.example expired')
    expect(told.slice(1)).toEqual(
      ['33%', '20%', '10%', '3d', '1d', 'expired'].map((threshold) => `shop.example ${threshold}`),
    )
  })

  test('escalate from the configured threshold on, and at the end', () => {
    let memory = {}
    const escalated = every(hour, start, later(101 * day)).flatMap((now) => {
      const result = crossings({
        now,
        leaves: [leaf],
        thresholds,
        escalateFrom: '10%',
        memory,
        watched: ['shop.example'],
        muted: false,
      })
      memory = result.memory
      return result.tell.filter(({ escalated }) => escalated).map(({ crossing }) => crossing.threshold)
    })
    expect(escalated).toEqual(['10%', '3d', '1d', 'expired'])
  })

  test('are told after a snooze as the most urgent one', () => {
    let memory = {}
    const told = every(day, start, later(95 * day)).flatMap((now) => {
      const muted = now.getTime() < later(92 * day).getTime()
      const result = crossings({ now, leaves: [leaf], thresholds, memory, watched: ['shop.example'], muted })
      memory = result.memory
      return result.tell.map(
        ({ crossing }) => `${crossing.threshold} day ${(now.getTime() - start.getTime()) / day}`,
      )
    })
    expect(told).toEqual(['10% day 92'])
  })

  test('start anew with a new certificate, and the old one is solved once it has stayed away', () => {
    const next = {
      ...leaf,
      fingerprint: 'b'.repeat(64),
      notBefore: later(81 * day),
      notAfter: later(181 * day),
    }
    const served = (now: Date) => (now.getTime() < later(82 * day).getTime() ? [leaf] : [next])
    const { told, solved, memory } = tell(every(hour, later(80 * day), later(90 * day)), served)
    expect(told).toEqual(['shop.example 20%'])
    expect(solved).toEqual(['20%'])
    expect(Object.keys(memory)).toHaveLength(1)
  })

  test('are not called solved because the certificate alternates with its successor during a roll-out', () => {
    const next = {
      ...leaf,
      fingerprint: 'b'.repeat(64),
      notBefore: later(81 * day),
      notAfter: later(181 * day),
    }
    let turn = 0
    const { told, solved } = tell(every(2 * minute, later(82 * day), later(82 * day + 2 * hour)), () =>
      turn++ % 2 === 0 ? [leaf] : [next],
    )
    expect(told).toEqual(['shop.example 20%'])
    expect(solved).toEqual([])
  })

  test('are not called solved because nobody can see the certificate any more', () => {
    const { solved } = tell(every(hour, later(81 * day), later(83 * day)), (now) =>
      now.getTime() < later(82 * day).getTime() ? [leaf] : [],
    )
    expect(solved).toEqual([])
  })
})
