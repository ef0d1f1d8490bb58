import { second } from '../base/clock.ts'
import { asFailure, Failure } from '../base/failure.ts'
import { keys } from '../base/names.ts'
import type { DomainConfig, GatewayConfig } from '../config/schema.ts'
import type { DomainBinding } from '../gateway/port.ts'
import { misplacedIn } from '../rotation/intake/misplaced.ts'
import { uploadsIn } from '../rotation/intake/uploads.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { findDomain, findListed, gatewayKey, probeTarget } from '../rotation/plan/look.ts'
import { readState } from '../rotation/record/journal.ts'
import type { RotationState } from '../rotation/record/state.ts'
import type {
  CloudSeen,
  DomainObservation,
  GatewaySeen,
  Gathered,
  RenewalFacts,
  Unread,
} from '../watch/facts.ts'
import type { LastTick } from '../watch/last-tick.ts'
import { inOrderOfUrgency, lookKey } from '../watch/look-order.ts'
import type { Wiring } from '../wire/cloud.ts'
import { askManager, type Discovery, discover, unlistedGateways } from './discover.ts'
import { namesLeft } from './left.ts'
import { renewalsKnown } from './renewals.ts'
import { lastTickOf } from './tell.ts'
import { inTime, type Limited, limited } from './time-budget.ts'

const HANDSHAKES_AT_ONCE = 32

/** Of the time that is left, the share for looking; the rest is for judging, telling and publishing. */
const LOOKING_SHARE = 2 / 3

/** A gateway that does not answer must not keep anybody from the handshakes. */
const LISTING_SHARE = 1 / 3
const LONGEST_LISTING_MS = 30 * second

/** Everything that watching and the page need: state files, the gateways' own lists, a handshake with every domain. */
export function gather(
  wiring: Wiring,
  parties: Parties,
  renewals?: Map<string, RenewalFacts>,
): Promise<Gathered> {
  return looking(parties, async (look) => {
    const found: Discovery = { discovered: [], quotas: [], unread: [] }
    const unlisted = await inTime(look, unlistedGateways(wiring, parties, found), [])
    const { lists, ...seen } = await lookAt(wiring, parties, wiring.names, look, { renewals, unlisted })
    await inTime(look, discover(wiring, parties, lists, found, unlisted), undefined)
    const strays = await inTime(look, misplacedNow(wiring, parties), { misplaced: [], unread: [] })
    const left = await inTime(
      look,
      namesLeft(wiring, parties).catch(() => undefined),
      undefined,
    )
    // Copies: what is looked at late goes on adding to its own.
    const { discovered, quotas } = found
    // A gateway that gives no list gives none of its certificates either.
    const known = new Set(seen.unread?.map(({ where }) => where))
    const news = found.unread.filter(({ where }) => !known.has(where))
    const unread = [...(seen.unread ?? []), ...news, ...strays.unread]
    return { ...seen, ...strays, left, unread, discovered: [...discovered], quotas: [...quotas] }
  })
}

/** What lies in `incoming/` where no rotation looks, or why nobody can say. */
async function misplacedNow(
  wiring: Wiring,
  parties: Parties,
): Promise<Required<Pick<Gathered, 'misplaced' | 'unread'>>> {
  try {
    const uploads = await uploadsIn(parties.store, wiring.names)
    const found = await misplacedIn(uploads, wiring.config.certificates, parties)
    return { misplaced: found.map(({ failure }) => failure.toJSON()), unread: [] }
  } catch (thrown) {
    return { misplaced: [], unread: [{ where: keys.incoming(), failure: asFailure(thrown).toJSON() }] }
  }
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
  {
    renewals,
    unlisted = [],
  }: { renewals?: Map<string, RenewalFacts> | undefined; unlisted?: GatewayConfig[] } = {},
): Promise<Gathered & { lists: Lists }> {
  const failed: Unread[] = []
  const note = (where: string, thrown: unknown, list?: true) => {
    const failure = asFailure(thrown)
    parties.log.warn(`${where} could not be read: ${failure.message}`, { failure })
    failed.push({ where, failure: failure.toJSON(), ...(list && { list }) })
  }
  const lastTick = await inTime(look, lastTickOf(parties), undefined)
  const { states, unread } = await statesOf(names, parties, look, note)
  const lists = await listsOf([...gatewaysOf(wiring, names), ...unlisted], parties, look, note)
  const known = { states, lists, lastTick }
  const { observations, skipped } = await observe(wiring, parties, names, look, known)
  return {
    now: parties.clock.now(),
    config: wiring.config,
    states,
    observations,
    cloud: cloudSeen(wiring, lists),
    gateways: gatewaysSeen(wiring, names, lists),
    renewals: renewals ?? (await inTime(look, renewalsKnown(wiring, parties, names), new Map())),
    discovered: [],
    quotas: [],
    lastTick,
    lists,
    // A copy: what is read late goes on adding to its own.
    unread: [...failed],
    notLookedAt: { certificates: unread, domains: skipped.map(lookKey) },
  }
}

type Note = (where: string, thrown: unknown, list?: true) => void

async function statesOf(names: readonly string[], parties: Parties, look: Limited, note: Note) {
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
      note(keys.state(name), thrown)
    }
  })
  return { states, unread }
}

/** What refuses us, or cannot be reached: for whoever has nothing else to ask there. */
export function placesUnread(
  wiring: Wiring,
  parties: Parties,
  names: readonly string[] = wiring.names,
): Promise<Unread[]> {
  return looking(parties, async (look) => {
    const found: Discovery = { discovered: [], quotas: [], unread: [] }
    const note = (where: string, thrown: unknown) =>
      void found.unread.push({ where, failure: asFailure(thrown).toJSON(), list: true })
    const unlisted = await inTime(look, unlistedGateways(wiring, parties, found), [])
    await listsOf([...gatewaysOf(wiring, names), ...unlisted], parties, look, note)
    await inTime(look, askManager(wiring, parties, found), undefined)
    return [...found.unread]
  })
}

/** By gateway key: its domains; a gateway that could not be read is missing. */
export type Lists = ReadonlyMap<string, DomainBinding[]>

function gatewaysOf({ config }: Wiring, names: readonly string[]): GatewayConfig[] {
  return names.flatMap((name) => config.certificates[name]?.gateways ?? [])
}

async function listsOf(
  configs: readonly GatewayConfig[],
  parties: Parties,
  look: Limited,
  note: Note,
): Promise<Lists> {
  const gateways = new Map(configs.map((one) => [gatewayKey(one), one]))
  const lists = new Map<string, DomainBinding[]>()
  const own = limited(look, parties.clock, Math.min(LONGEST_LISTING_MS, look.remainingMs() * LISTING_SHARE))
  await inParallel(8, [...gateways], async ([key, config]) => {
    if (own.signal.aborted) return note(key, lateList(), true)
    try {
      const list = await inTime(own, parties.gatewayFor(config).domains(own.signal), undefined)
      if (list) lists.set(key, list)
      else note(key, lateList(), true)
    } catch (thrown) {
      note(key, thrown, true)
    }
  }).finally(() => own.cancel())
  return lists
}

function cloudSeen(wiring: Wiring, lists: Lists): CloudSeen | undefined {
  const { cloud } = wiring.config
  if (!cloud || wiring.credentials === undefined) return undefined
  const [answered] = lists.keys()
  const http = answered && wiring.http(answered.startsWith('roma:') ? 'roma' : 'apig')
  return {
    credentials: wiring.credentials,
    region: cloud.region,
    projectId: wiring.projectId,
    temporary: Boolean(cloud.auth?.accessKey?.securityToken ?? cloud.auth?.token),
    clockAheadMs: http ? http.clockAheadMs : undefined,
  }
}

/** Which of the configured domains each gateway has; those that two certificates list there count twice. */
function gatewaysSeen(wiring: Wiring, names: readonly string[], lists: Lists): GatewaySeen[] {
  const gateways = gatewaysOf(wiring, names)
  return [...lists].map(([where, present]) => {
    const own = gateways.filter((config) => gatewayKey(config) === where)
    const found = own.flatMap(({ domains }) =>
      domains.map((domain) => findDomain(domain, present, { description: where })),
    )
    const missing = found.flatMap((one) => (one instanceof Failure ? [one.toJSON()] : []))
    return { where, found: found.length - missing.length, missing }
  })
}

function lateList(): Failure {
  return new Failure({
    code: 'gateway.list-late',
    kind: 'later',
    message: 'the gateway did not list its domains in time',
    next: 'Handshakes tell what is served; whether something is bound is asked again by the next tick.',
  })
}

const NO_TIME = { reached: false, reason: 'not looked at: the time of this tick was over' } as const

/** What every configured domain serves. A domain written by ids only is known by name from the gateway's list. */
async function observe(
  wiring: Wiring,
  parties: Parties,
  names: readonly string[],
  look: Limited,
  known: { states: Map<string, RotationState>; lists: Lists; lastTick: LastTick | undefined },
) {
  const { states, lists, lastTick } = known
  const wanted: (DomainObservation & { target: ReturnType<typeof probeTarget> })[] = []
  for (const certificate of names)
    for (const gateway of wiring.config.certificates[certificate]?.gateways ?? []) {
      const key = gatewayKey(gateway)
      const list = lists.get(key)
      for (const domain of gateway.domains) {
        const bindings = findListed(domain, list ?? [])
        const verify = typeof domain === 'string' ? undefined : domain.verify
        const written = typeof domain === 'string' ? domain : domain.host
        const host = written ?? bindings[0]?.host ?? recordedHost(states.get(certificate), domain)
        if (!host) continue
        const target = probeTarget(host, verify ?? gateway.verify)
        const place = { certificate, gateway: key, host, target }
        wanted.push(...(bindings.length > 0 ? bindings.map((binding) => ({ ...place, binding })) : [place]))
      }
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

function recordedHost(state: RotationState | undefined, domain: DomainConfig): string | undefined {
  if (typeof domain === 'string' || !('domainId' in domain)) return undefined
  return Object.values(state?.current?.domains ?? {}).find((record) => record.domainId === domain.domainId)
    ?.host
}
