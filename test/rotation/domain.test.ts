import { describe, expect, it } from 'vitest'
import {
  asBound,
  awaitsUndo,
  giveUp,
  isDone,
  noteBare,
  noteBound,
  noteCovered,
  noteNoUndo,
  notePutBack,
  noteRestored,
  noteServed,
  noteTakenOff,
  noteUndoSeen,
  noteUnverifiable,
  type RecordedDomain,
  stageOf,
} from '../../shared/rotation/record/domain.ts'

const at = '2026-11-26T12:00:00.000Z'
const now = new Date(at)
const before = '2026-11-26T11:00:00.000Z'
const why = { code: 'served.not-new', kind: 'never' as const, message: 'no', next: '', facts: {} }
const predecessor = { id: 'old', name: 'cert_old' }
const record = (fields: Partial<RecordedDomain> = {}): RecordedDomain => ({
  gateway: 'apig:1',
  host: 'a.example',
  groupId: 'g',
  domainId: 'd',
  clientVerification: false,
  hasTrustedRootCa: false,
  ...fields,
})

/** The fields of one domain → how far it is. */
describe('the stage of a domain', () => {
  it.each<[string, Partial<RecordedDomain>, ReturnType<typeof stageOf>]>([
    ['nothing was done', { predecessor }, { is: 'untouched' }],
    ['it was detached', { predecessor, bareSince: before }, { is: 'bare', since: before }],
    [
      'bare outranks whatever else is noted',
      { boundAt: before, servedAt: before, givenUp: why, restoredAt: before, bareSince: at },
      { is: 'bare', since: at },
    ],
    ['the new one was attached', { predecessor, boundAt: before }, { is: 'bound', since: before }],
    ['it is served', { boundAt: before, servedAt: at }, { is: 'served', at }],
    ['nobody can look', { boundAt: before, unverified: 'off' }, { is: 'unverifiable', why: 'off' }],
    ['seen outranks not seen', { boundAt: before, unverified: 'off', servedAt: at }, { is: 'served', at }],
    [
      'it was given up, and the new one is on it',
      { boundAt: before, givenUp: why },
      { is: 'given up', why, wayBack: true },
    ],
    [
      'it was given up before anything was bound',
      { predecessor, givenUp: why },
      { is: 'given up', why, wayBack: true },
    ],
    ['it was given up and had nothing', { givenUp: why }, { is: 'given up', why, wayBack: false }],
    [
      'it was put back',
      { predecessor, givenUp: why, restoredAt: at },
      { is: 'restored', at, why, seen: undefined },
    ],
    [
      'and the predecessor was seen',
      { predecessor, givenUp: why, restoredAt: at, undo: 'served' },
      { is: 'restored', at, why, seen: 'served' },
    ],
    [
      'tried again after it was put back',
      { predecessor, restoredAt: before, boundAt: at },
      { is: 'bound', since: at },
    ],
  ])('where %s', (_, fields, stage) => {
    expect(stageOf(record(fields))).toEqual(stage)
  })
})

describe('a transition', () => {
  it.each<[string, Partial<RecordedDomain>, (one: RecordedDomain) => void, Partial<RecordedDomain>]>([
    [
      'to bare ends what was put back',
      { restoredAt: before },
      (one) => noteBare(one, now),
      { bareSince: at },
    ],
    ['to covered', { bareSince: before, boundAt: before }, noteCovered, { boundAt: before }],
    ['to bound ends bare', { bareSince: before }, (one) => noteBound(one, now), { boundAt: at }],
    [
      'to bound keeps the first instant',
      { boundAt: before },
      (one) => noteBound(one, now),
      { boundAt: before },
    ],
    [
      'to served ends what was held against it',
      { boundAt: before, givenUp: why },
      (one) => noteServed(one, now),
      { boundAt: before, servedAt: at },
    ],
    [
      'to unverifiable',
      { boundAt: at },
      (one) => noteUnverifiable(one, 'off'),
      { boundAt: at, unverified: 'off' },
    ],
    ['to given up', { boundAt: at }, (one) => giveUp(one, why), { boundAt: at, givenUp: why }],
    [
      'to restored leaves nothing of the new certificate, and keeps why',
      { predecessor, givenUp: why, boundAt: before, servedAt: before, unverified: 'off', bareSince: before },
      (one) => noteRestored(one, now),
      { predecessor, givenUp: why, restoredAt: at },
    ],
    ['to put back begins again', { bareSince: before, boundAt: before }, notePutBack, {}],
    [
      'to taken off keeps the way back',
      { predecessor, boundAt: before, servedAt: before, unverified: 'off' },
      noteTakenOff,
      { predecessor },
    ],
    [
      'of the undo that was seen',
      { restoredAt: at },
      (one) => noteUndoSeen(one, 'served'),
      { restoredAt: at, undo: 'served' },
    ],
    [
      'of an undo that is impossible',
      { givenUp: why },
      (one) => noteNoUndo(one, why),
      { givenUp: why, noUndo: why },
    ],
  ])('%s', (_, fields, transition, after) => {
    const one = record(fields)
    transition(one)
    expect(one).toEqual(record(after))
  })

  it('by what the gateway shows: bound though nobody noted it, taken off though it was noted', () => {
    expect(asBound(record({ restoredAt: before, undo: 'served' }), true, now)).toEqual(
      record({ boundAt: at }),
    )
    expect(asBound(record({ boundAt: before, servedAt: before, gapMs: 20 }), false, now)).toEqual(record())
    const given = record({ givenUp: why, restoredAt: before })
    expect(asBound(given, false, now)).toEqual(given)
  })
})

it.each<[Partial<RecordedDomain>, boolean, boolean]>([
  [{}, false, false],
  [{ boundAt: at }, false, false],
  [{ servedAt: at }, true, false],
  [{ unverified: 'off' }, true, false],
  [{ givenUp: why, predecessor }, false, true],
  [{ givenUp: why }, false, false],
  [{ givenUp: why, predecessor, restoredAt: at }, false, false],
  [{ givenUp: why, predecessor, noUndo: why }, false, false],
])('%j is done: %s, awaits its undo: %s', (fields, done, undo) => {
  expect([isDone(record(fields)), awaitsUndo(record(fields))]).toEqual([done, undo])
})
