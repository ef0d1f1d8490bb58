import { asFailure } from '../base/failure.ts'
import { readState } from '../rotation/journal.ts'
import { gatewayKey, probeTarget } from '../rotation/look.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import type { RotationState } from '../rotation/state.ts'
import type { DomainObservation, Gathered, RenewalFacts } from '../watch/facts.ts'
import type { LastTick } from '../watch/last-tick.ts'
import { inOrderOfUrgency, lookKey } from '../watch/look-order.ts'
import type { Wiring } from '../wire/cloud.ts'
import { type Discovery, discover } from './discover.ts'
import { renewalsKnown } from './renewals.ts'
import { lastTickOf } from './tell.ts'
import { inTime, type Limited, limited } from './time-budget.ts'

const HANDSHAKES_AT_ONCE = 32

/** Of the time that is left, the share for looking; the rest is for judging, telling and publishing. */
const LOOKING_SHARE = 2 / 3

/** Everything that watching and the status page need: state files and a handshake with every listed domain. */
export function gather(
  wiring: Wiring,
  parties: Parties,
  renewals?: Map<string, RenewalFacts>,
): Promise<Gathered> {
  return looking(parties, async (look) => {
    const found: Discovery = { discovered: [], quotas: [] }
    const seen = await lookAt(wiring, parties, wiring.names, look, renewals)
    await inTime(look, discover(wiring, parties, found), undefined)
    // Copies: what is looked at late goes on adding to its own.
    return { ...seen, discovered: [...found.discovered], quotas: [...found.quotas] }
  })
}

/** After an upload: only the certificates it was about, without looking at anything else. */
export function gatherFor(wiring: Wiring, parties: Parties, names: readonly string[]): Promise<Gathered> {
  return looking(parties, (look) => lookAt(wiring, parties, names, look))
}

async function looking<T>(parties: Parties, work: (look: Limited) => Promise<T>): Promise<T> {
  const { deadline, clock } = parties
  const look = limited(deadline, clock, deadline.remainingMs() * LOOKING_SHARE)
  try {
    return await work(look)
  } finally {
    look.cancel()
  }
}

/** Nothing in here takes longer than `look`: what was not seen by then is named in `notLookedAt`. */
async function lookAt(
  wiring: Wiring,
  parties: Parties,
  names: readonly string[],
  look: Limited,
  renewals?: Map<string, RenewalFacts>,
): Promise<Gathered> {
  const lastTick = await inTime(look, lastTickOf(parties), undefined)
  const { states, unread } = await statesOf(names, parties, look)
  const { observations, skipped } = await observe(wiring, parties, states, names, look, lastTick)
  return {
    now: parties.clock.now(),
    config: wiring.config,
    states,
    observations,
    renewals: renewals ?? (await inTime(look, renewalsKnown(wiring, parties, names), new Map())),
    discovered: [],
    quotas: [],
    lastTick,
    notLookedAt: { certificates: unread, domains: skipped.map(lookKey) },
  }
}

async function statesOf(names: readonly string[], parties: Parties, look: Limited) {
  const states = new Map<string, RotationState>()
  const unread = new Set(names)
  await inParallel(8, names, async (name) => {
    if (look.signal.aborted) return
    try {
      const state = await inTime<RotationState | undefined | 'late'>(look, readState(name, parties), 'late')
      if (state === 'late') return
      unread.delete(name)
      if (state) states.set(name, state)
    } catch (thrown) {
      const failure = asFailure(thrown)
      parties.log.warn(failure.message, { certificate: name, failure })
    }
  })
  return { states, unread }
}

const NO_TIME = { reached: false, reason: 'not looked at: the time of this tick was over' } as const

/** What every configured domain serves. A domain written by ids only is known by name once it was rotated. */
async function observe(
  wiring: Wiring,
  parties: Parties,
  states: Map<string, RotationState>,
  names: readonly string[],
  look: Limited,
  lastTick: LastTick | undefined,
) {
  const wanted: (DomainObservation & { target: ReturnType<typeof probeTarget> })[] = []
  for (const [certificate, config] of Object.entries(wiring.config.certificates).filter(([name]) =>
    names.includes(name),
  ))
    for (const gateway of config.gateways)
      for (const domain of gateway.domains) {
        const verify = typeof domain === 'string' ? undefined : domain.verify
        const host =
          typeof domain === 'string' ? domain : (domain.host ?? recordedHost(states.get(certificate), domain))
        if (!host) continue
        wanted.push({
          certificate,
          gateway: gatewayKey(gateway),
          host,
          target: probeTarget(host, verify ?? gateway.verify),
        })
      }
  const order = inOrderOfUrgency(wanted, states, parties.clock.now(), lastTick?.notLookedAt)
  await inParallel(HANDSHAKES_AT_ONCE, order, async (one) => {
    if (!one.target) return
    one.result = NO_TIME
    if (!look.signal.aborted) one.result = await inTime(look, parties.probe.handshake(one.target), NO_TIME)
  })
  const skipped = wanted.filter(({ result }) => result === NO_TIME)
  return { observations: wanted.map(({ target: _target, ...observation }) => observation), skipped }
}

function recordedHost(state: RotationState | undefined, domain: object): string | undefined {
  if (!('domainId' in domain)) return undefined
  return Object.values(state?.current?.domains ?? {}).find((record) => record.domainId === domain.domainId)
    ?.host
}
