import { describe, expect, test } from 'vitest'
import { emergencyFrom, renewAt } from '../../shared/acme/renew-at.ts'

const start = '2026-11-01T00:00:00Z'
const day = 86_400_000
const dayOf = (days: number) => new Date(Date.parse(start) + days * day)
const validity = (days: number) => ({ notBefore: new Date(start), notAfter: dayOf(days) })
const plain = { now: new Date(start), renewalInfo: undefined, before: undefined, random: 0 }

describe('without anything else said, the lifetime decides', () => {
  test.each([
    // days of life, renewed at: half of the life below ten days, a third left from ten days on
    [6, '2026-11-04T00:00:00.000Z'],
    [7, '2026-11-04T12:00:00.000Z'],
    [9, '2026-11-05T12:00:00.000Z'],
    [10, '2026-11-07T16:00:00.000Z'],
    [30, '2026-11-21T00:00:00.000Z'],
    [45, '2026-12-01T00:00:00.000Z'],
    [47, '2026-12-02T08:00:00.000Z'],
    [64, '2026-12-13T16:00:00.000Z'],
    [90, '2026-12-31T00:00:00.000Z'],
    [100, '2027-01-06T16:00:00.000Z'],
    [200, '2027-03-14T08:00:00.000Z'],
    [398, '2027-07-24T08:00:00.000Z'],
  ])('a certificate of %i days is renewed at %s', (days, at) => {
    expect(renewAt({ ...plain, validity: validity(days) })).toEqual({ at: new Date(at), reason: 'lifetime' })
  })

  test('a certificate as Let’s Encrypt dates it, a second short of 90 days, is renewed a third before its end', () => {
    const short = { notBefore: new Date(start), notAfter: new Date('2027-01-29T23:59:59Z') }
    expect(renewAt({ ...plain, validity: short }).at.toISOString()).toBe('2026-12-30T23:59:59.000Z')
  })
})

describe('the jitter', () => {
  test.each([
    [6, 0.5, '2026-11-03T22:33:36.000Z'],
    [47, 0.5, '2026-12-01T20:43:12.000Z'],
    [90, 0.25, '2026-12-30T18:00:00.000Z'],
    [398, 0.5, '2027-07-23T20:00:00.000Z'],
  ])('moves %i days with %f to %s: earlier, at most a fiftieth of the life or a day', (days, random, at) => {
    expect(renewAt({ ...plain, validity: validity(days), random }).at.toISOString()).toBe(at)
  })

  test('gives the same instant for the same number, whenever it is asked', () => {
    const asked = [0, 10, 20].map((days) =>
      renewAt({ ...plain, now: dayOf(days), validity: validity(90), random: 0.7 }).at.toISOString(),
    )
    expect(new Set(asked).size).toBe(1)
  })
})

describe('`before` of the config', () => {
  test.each([
    [90, '30d', '2026-12-31T00:00:00.000Z', 'config'],
    [90, '25%', '2027-01-07T12:00:00.000Z', 'config'],
    [398, '30d', '2027-11-04T00:00:00.000Z', 'config'],
    [47, '25%', '2026-12-06T06:00:00.000Z', 'config'],
    [6, '36h', '2026-11-05T12:00:00.000Z', 'config'],
    // Would renew in a loop: never in the first third of the life.
    [6, '30d', '2026-11-03T00:00:00.000Z', 'config'],
    [45, '45d', '2026-11-16T00:00:00.000Z', 'config'],
    [90, '100%', '2026-12-01T00:00:00.000Z', 'config'],
    // The last moment, chosen by somebody: the emergency window shrinks to it.
    [90, '3d', '2027-01-27T00:00:00.000Z', 'config'],
  ])('renews %i days with before: %s at %s', (days, before, at, reason) => {
    expect(renewAt({ ...plain, validity: validity(days), before })).toEqual({ at: new Date(at), reason })
  })
})

describe('renewal information', () => {
  const window = { start: new Date('2026-12-10T00:00:00Z'), end: new Date('2026-12-12T00:00:00Z') }
  test.each([
    [0, '2026-12-10T00:00:00.000Z'],
    [0.25, '2026-12-10T12:00:00.000Z'],
    [0.75, '2026-12-11T12:00:00.000Z'],
  ])('%f chooses %s inside the window, whatever the config says', (random, at) => {
    const chosen = renewAt({ ...plain, validity: validity(90), renewalInfo: window, before: '30d', random })
    expect(chosen).toEqual({ at: new Date(at), reason: 'renewal-info' })
  })

  test('a window in the past means now', () => {
    const now = new Date('2026-12-20T00:00:00Z')
    expect(renewAt({ ...plain, now, validity: validity(90), renewalInfo: window })).toEqual({
      at: now,
      reason: 'renewal-info',
    })
  })

  test('a window that begins too near to the end gives way to the emergency window', () => {
    const late = { start: dayOf(88), end: dayOf(89) }
    expect(renewAt({ ...plain, validity: validity(90), renewalInfo: late })).toEqual({
      at: dayOf(83),
      reason: 'emergency',
    })
  })
})

describe('the emergency window', () => {
  test.each([
    [6, '2026-11-06T00:00:00.000Z'],
    [3, '2026-11-03T06:00:00.000Z'],
    [47, '2026-12-13T07:12:00.000Z'],
    [90, '2027-01-23T00:00:00.000Z'],
    [398, '2027-11-27T00:00:00.000Z'],
  ])('of %i days begins at %s', (days, at) => {
    expect(emergencyFrom(validity(days)).toISOString()).toBe(at)
  })

  test('never lies after what is planned: an expired certificate is overdue, not planned', () => {
    const overdue = renewAt({ ...plain, now: dayOf(100), validity: validity(90) })
    expect(overdue.at.getTime()).toBeLessThan(dayOf(90).getTime())
  })

  test('a certificate that ends before it begins is due at once', () => {
    const broken = { notBefore: dayOf(1), notAfter: dayOf(0) }
    expect(renewAt({ ...plain, validity: broken })).toEqual({ at: new Date(start), reason: 'emergency' })
  })
})

test('without a certificate the time is now', () => {
  expect(renewAt({ ...plain, validity: undefined })).toEqual({
    at: new Date(start),
    reason: 'no-certificate',
  })
})
