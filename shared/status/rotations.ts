import type { Outcome, RotationState } from '../rotation/record/state.ts'
import { plain } from '../watch/notice-text.ts'
import type { RotationStatus, StepStatus } from './model.ts'

const mostRotations = 5
const mostRows = 100

/** The last outcomes, newest first. Steps are known for the rotation whose notes are still in the state file. */
export function rotationsOf(state: RotationState | undefined): RotationStatus[] {
  if (state === undefined) return []
  const running = runningRotation(state)
  let stepsOwed = true
  const concluded = state.outcomes.slice(0, mostRotations).map((outcome) => {
    const own =
      stepsOwed && outcome.bundle !== undefined && outcome.bundle.digest === state.current?.bundle.digest
    if (own) stepsOwed = false
    return rotationOf(outcome, own ? stepsOf(state) : [])
  })
  return [...running, ...concluded].slice(0, mostRotations)
}

function rotationOf(outcome: Outcome, steps: StepStatus[]): RotationStatus {
  const gaps = outcome.domains.flatMap(({ gapMs }) => (gapMs === undefined ? [] : [gapMs]))
  return {
    at: outcome.at,
    status: outcome.status,
    durationMs: outcome.durationMs,
    sentence: plain(outcome.sentence, 600),
    ...(outcome.bundle === undefined
      ? {}
      : { commonName: plain(outcome.bundle.commonName), notAfter: outcome.bundle.notAfter }),
    ...(gaps.length === 0 ? {} : { longestGapMs: Math.max(...gaps) }),
    steps,
    domains: outcome.domains.slice(0, mostRows).map(({ host, gateway, status, gapMs, failure, note }) => ({
      host,
      gateway,
      status,
      ...(gapMs === undefined ? {} : { gapMs }),
      ...(failure === undefined ? {} : { failure: plain(failure.message, 600) }),
      ...(note === undefined ? {} : { note: plain(note) }),
    })),
    pushed: outcome.pushed.map(({ service, project, status, failure }) => ({
      service,
      project,
      status,
      ...(failure === undefined ? {} : { failure: plain(failure.message, 600) }),
    })),
    failures: outcome.failures.slice(0, 10),
  }
}

/** A rotation that has begun and has no outcome yet: what a person wants to see first at night. */
function runningRotation(state: RotationState): RotationStatus[] {
  const { current } = state
  if (current === undefined || current.status !== 'running') return []
  const told = state.outcomes.some(
    ({ bundle, at }) => bundle?.digest === current.bundle.digest && at >= current.startedAt,
  )
  if (told) return []
  const steps = stepsOf(state)
  const last = steps.at(-1)?.at ?? current.startedAt
  return [
    {
      at: current.startedAt,
      status: 'unfinished',
      durationMs: Math.max(0, Date.parse(last) - Date.parse(current.startedAt)),
      sentence: 'This rotation is under way.',
      commonName: plain(current.bundle.commonName),
      notAfter: current.bundle.notAfter,
      steps,
      domains: [],
      pushed: [],
      failures: [],
    },
  ]
}

function stepsOf({ current }: RotationState): StepStatus[] {
  if (current === undefined) return []
  const notes = Object.values(current.notes).sort((a, b) => a.at.localeCompare(b.at))
  let previous = Date.parse(current.startedAt)
  return notes.slice(0, mostRows).map(({ step, target, at }) => {
    const took = Date.parse(at) - previous
    previous = Date.parse(at)
    return { step, target: plain(target), at, ...(took >= 0 ? { tookMs: took } : {}) }
  })
}
