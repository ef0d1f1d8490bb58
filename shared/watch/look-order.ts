import type { RotationState } from '../rotation/record/state.ts'
import { readAlertMemory } from './alert-memory.ts'
import { servedKey } from './trouble.ts'

/** One domain that is to be looked at. */
export interface ToLookAt {
  /** Name in rotation.yaml. */
  certificate: string
  gateway: string
  host: string
}

/** How a domain is remembered between ticks where the time did not suffice for it. */
export function lookKey({ gateway, host }: Pick<ToLookAt, 'gateway' | 'host'>): string {
  return `${gateway} ${host}`
}

/**
 * The order in which domains are looked at, for a tick that may be too short for all of them: what may be bare or
 * was seen to be wrong, then what is due and what the tick before did not come to, then what nobody knows about,
 * then the rest, each with the nearest end first. Pure.
 */
export function inOrderOfUrgency<T extends ToLookAt>(
  wanted: readonly T[],
  states: ReadonlyMap<string, RotationState>,
  now: Date,
  notLookedAt: readonly string[] = [],
): T[] {
  const passedOver = new Set(notLookedAt)
  const ranked = wanted.map((one) => {
    const state = states.get(one.certificate)
    return { one, rank: rankOf(one, state, now, passedOver.has(lookKey(one))), end: endOf(state) }
  })
  return ranked.sort((a, b) => a.rank - b.rank || a.end - b.end).map(({ one }) => one)
}

function rankOf(one: ToLookAt, state: RotationState | undefined, now: Date, passedOver: boolean): number {
  // Between its detach and its attach a domain is bare, and a rotation that does not end may be stuck there.
  if (state?.current?.status === 'running') return 0
  const { conditions } = readAlertMemory(state?.alerts)
  if (conditions[servedKey(one.gateway, one.host)] !== undefined) return 0
  if (passedOver || (state !== undefined && isDue(state, now))) return 1
  return state?.deployed === undefined ? 2 : 3
}

/** Its renewal is due, or less than a third of its life is left. */
function isDue({ deployed, renewAt }: RotationState, now: Date): boolean {
  if (renewAt !== undefined && Date.parse(renewAt) <= now.getTime()) return true
  if (deployed === undefined) return false
  const end = Date.parse(deployed.notAfter)
  return end - now.getTime() < (end - Date.parse(deployed.notBefore)) / 3
}

function endOf(state: RotationState | undefined): number {
  return state?.deployed === undefined ? 0 : Date.parse(state.deployed.notAfter)
}
