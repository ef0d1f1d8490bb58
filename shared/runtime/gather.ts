import { asFailure } from '../base/failure.ts'
import { readState } from '../rotation/journal.ts'
import { gatewayKey, probeTarget } from '../rotation/look.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import type { RotationState } from '../rotation/state.ts'
import type { DomainObservation, Gathered, RenewalFacts } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import { discover } from './discover.ts'
import { renewalsKnown } from './renewals.ts'
import { lastTickOf } from './tell.ts'

const HANDSHAKES_AT_ONCE = 32

/** Everything that watching and the status page need: state files and a handshake with every listed domain. */
export async function gather(
  wiring: Wiring,
  parties: Parties,
  renewals?: Map<string, RenewalFacts>,
): Promise<Gathered> {
  const states = await statesOf(wiring.names, parties)
  return {
    now: parties.clock.now(),
    config: wiring.config,
    states,
    observations: await observe(wiring, parties, states, wiring.names),
    renewals: renewals ?? (await renewalsKnown(wiring, parties)),
    ...(await discover(wiring, parties)),
    lastTick: await lastTickOf(parties),
  }
}

/** After an upload: only the certificates it was about, without looking at anything else. */
export async function gatherFor(
  wiring: Wiring,
  parties: Parties,
  names: readonly string[],
): Promise<Gathered> {
  const states = await statesOf(names, parties)
  return {
    now: parties.clock.now(),
    config: wiring.config,
    states,
    observations: await observe(wiring, parties, states, names),
    renewals: await renewalsKnown(wiring, parties, names),
    discovered: [],
    quotas: [],
    lastTick: await lastTickOf(parties),
  }
}

async function statesOf(names: readonly string[], parties: Parties): Promise<Map<string, RotationState>> {
  const states = new Map<string, RotationState>()
  await inParallel(8, names, async (name) => {
    try {
      const state = await readState(name, parties)
      if (state) states.set(name, state)
    } catch (thrown) {
      const failure = asFailure(thrown)
      parties.log.warn(failure.message, { certificate: name, failure })
    }
  })
  return states
}

/** What every configured domain serves. A domain written by ids only is known by name once it was rotated. */
async function observe(
  wiring: Wiring,
  parties: Parties,
  states: Map<string, RotationState>,
  names: readonly string[],
): Promise<DomainObservation[]> {
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
  await inParallel(HANDSHAKES_AT_ONCE, wanted, async (one) => {
    if (one.target && !parties.deadline.signal.aborted) one.result = await parties.probe.handshake(one.target)
  })
  return wanted.map(({ target: _target, ...observation }) => observation)
}

function recordedHost(state: RotationState | undefined, domain: object): string | undefined {
  if (!('domainId' in domain)) return undefined
  return Object.values(state?.current?.domains ?? {}).find((record) => record.domainId === domain.domainId)
    ?.host
}
