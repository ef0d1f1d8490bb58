import { namesToOrder } from '../acme/names.ts'
import { asFailure, type Failure } from '../base/failure.ts'
import type { Config } from '../config/schema.ts'
import { credentialsCheck } from '../health/credentials.ts'
import { gatewayRights } from '../health/gateway.ts'
import { leftoverChecks, nobodys, type RemoteCertificate } from '../health/leftovers.ts'
import { managerRights } from '../health/manager.ts'
import { type HealthCheck, type HealthReport, inOrder, linesOf, worstOf } from '../health/port.ts'
import { accountCheck, directoryCheck, zoneChecks } from '../health/renewal.ts'
import {
  configChecks,
  credentialChecks,
  gatewayChecks,
  handshakeChecks,
  nobodyIsTold,
  renewalChecks,
  storeChecks,
} from '../health/seen.ts'
import { unreadableStore, versionedStore, writableStore } from '../health/store.ts'
import { findProjectId } from '../http/auth.ts'
import type { Channel } from '../notify/port.ts'
import { sendTest } from '../notify/test-message.ts'
import { inParallel } from '../rotation/parallel.ts'
import type { Parties } from '../rotation/parties.ts'
import { gatewayKey } from '../rotation/plan/look.ts'
import { readState } from '../rotation/record/journal.ts'
import type { RotationState } from '../rotation/record/state.ts'
import type { Store } from '../store/port.ts'
import type { Gathered } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import { gather } from './gather.ts'

export interface CheckOptions {
  /** Writes nothing, and asks for nothing that changes anything, not even of what is not there. */
  readOnly: boolean
  /** A test message really goes out on every channel. */
  send: boolean
  /** Told the lines as soon as they are known, in the order of `healthGroups`. */
  told?: (checks: HealthCheck[]) => void
}

/** What one run of the checks knows while it goes on. */
interface Look {
  wiring: Wiring
  parties: Parties
  options: CheckOptions
  /** Random hex: of marks and of ids that nothing is called by. */
  id: string
  seen: Gathered
  /** What gateways and SCM have, as far as it was listed. */
  certificates: RemoteCertificate[]
}

/**
 * Looks at everything that the tool depends on, and says what works, what does not and what to do about it. Changes
 * nothing but a marked object in the store, which it takes away again. Never fails: what could not be looked at is a check
 * that failed.
 */
export async function runChecks(
  wiring: Wiring,
  parties: Parties,
  options: CheckOptions,
): Promise<HealthReport> {
  const checks: HealthCheck[] = []
  const add = async (found: HealthCheck[] | Promise<HealthCheck[]>) => {
    const own = await found
    checks.push(...own)
    if (own.length > 0) options.told?.(own)
  }
  const { store, clock, deadline } = parties
  await add(configAndFiles(wiring))
  const id = hex(parties.random)
  const renews = Object.values(wiring.config.certificates).some(({ renew }) => renew)
  const parts = { store, id, renews, now: clock.now(), signal: deadline.signal }
  const unreadable = await unreadableStore(parts)
  const seen = await gather(wiring, unreadable ? { ...parties, store: nothingIn(store) } : parties)
  const look: Look = { wiring, parties, options, id, seen, certificates: [] }
  await add(credentials(look))
  if (unreadable) await add([linesOf('store').failure(store.description, unreadable)])
  else {
    await add(options.readOnly ? storeChecks(seen) : writableStore(parts))
    await add(versionedStore(parts))
  }
  await add(gateways(look))
  await add(manager(look))
  await add(handshakeChecks(seen))
  await add(renewal(look, unreadable))
  await add(channels(look))
  if (!unreadable) await add(leftovers(look))
  return { at: clock.now().toISOString(), readOnly: options.readOnly, result: worstOf(checks), checks }
}

function hex(random: () => number): string {
  return Array.from({ length: 32 }, () => Math.floor(random() * 16).toString(16)).join('')
}

/** For whoever looks at the clouds where the store cannot be read: that is told by itself. */
function nothingIn({ description }: Store): Store {
  return {
    description,
    get: async () => undefined,
    list: async () => [],
    children: async () => ({ objects: [], folders: [], more: false }),
    put: async () => {},
    delete: async () => {},
  }
}

/** The outside could not even be opened: the credentials show no project, or a service is not offered there. */
export function unopened(config: Config, thrown: unknown, readOnly: boolean, now: Date): HealthReport {
  const failure = asFailure(thrown)
  const group = failure.code.startsWith('iam.') ? 'credentials' : 'config'
  const checks = [
    ...configChecks({ config }),
    linesOf(group).failure('cloud', failure),
    linesOf('gateways').warning('gateways', 'and all the rest was not looked at', 'Correct that first.'),
  ]
  return { at: now.toISOString(), readOnly, result: 'failed', checks: inOrder(checks) }
}

async function configAndFiles(wiring: Wiring): Promise<HealthCheck[]> {
  const { failure } = linesOf('config')
  const files: HealthCheck[] = []
  await inParallel(4, wiring.names, async (name) => {
    // Reads what trust and clientCa name.
    await wiring.job(name, false).catch((thrown) => files.push(failure(name, asFailure(thrown))))
  })
  return [...configChecks({ config: wiring.config }), ...files]
}

/** The gateways' own answers tell; IAM is asked only where none has answered. */
async function credentials({ wiring, parties, seen }: Look): Promise<HealthCheck[]> {
  const known = credentialChecks(seen)
  if (known.length > 0 || !seen.cloud) return known
  const { region } = seen.cloud
  const iam = wiring.http('iam')
  const { signal } = parties.deadline
  const refusal = await findProjectId(iam, region, signal).then(
    () => undefined,
    (thrown) => {
      const failure = asFailure(thrown)
      const answered = failure.facts.status === 403 || failure.code === 'iam.no-project'
      return answered ? undefined : failure.toJSON()
    },
  )
  return credentialsCheck({ ...seen.cloud, clockAheadMs: iam.clockAheadMs }, refusal)
}

async function gateways(look: Look): Promise<HealthCheck[]> {
  const { wiring, parties, seen, options, id } = look
  const { signal } = parties.deadline
  const checks = await Promise.all(gatewayChecks(seen).map((check) => withInstances(check, look)))
  const configs = Object.values(wiring.config.certificates).flatMap((one) => one.gateways)
  for (const { where } of seen.gateways ?? []) {
    const config = configs.find((one) => gatewayKey(one) === where)
    // What its list of certificates refuses has been said.
    if (!config || seen.unread?.some((one) => one.where === where)) continue
    const bound = seen.observations.find((one) => one.gateway === where && one.binding?.certificates.length)
    const gateway = parties.gatewayFor(config)
    const answer = await gatewayRights({
      gateway,
      where,
      bound: bound?.binding?.certificates[0]?.id,
      rotatedAt: lastRotated(seen.states, where),
      readOnly: options.readOnly,
      nothing: id,
      signal,
    })
    // Beside what was seen of the same gateway.
    const at = checks.findLastIndex(({ about }) => about === where)
    checks.splice(at + 1, 0, ...answer.checks)
    look.certificates.push(
      ...(answer.certificates ?? []).map((one) => ({
        where,
        id: one.id,
        name: one.name,
        boundTo: async () => (await gateway.attachedDomains(one.id, signal)).map(({ host }) => host),
      })),
    )
  }
  return checks
}

/** Where an instance is not known, what there is instead is mostly the answer. */
async function withInstances(check: HealthCheck, { wiring, parties }: Look): Promise<HealthCheck> {
  if (check.code !== 'gateway.unknown-instance') return check
  const flavour = check.about.startsWith('roma:') ? 'roma' : 'apig'
  const there = await wiring.instances(flavour, parties.deadline.signal).catch(() => [])
  const names = there.slice(0, 5).map(({ id, name }) => `${name} ${id}`)
  return names.length === 0 ? check : { ...check, next: `${check.next} There are: ${names.join(', ')}.` }
}

function lastRotated(states: ReadonlyMap<string, RotationState>, where: string): string | undefined {
  const through = [...states.values()].flatMap(({ outcomes }) =>
    outcomes.filter(
      ({ status, domains }) => status === 'rotated' && domains.some(({ gateway }) => gateway === where),
    ),
  )
  return through
    .map(({ at }) => at)
    .sort()
    .at(-1)
}

async function manager(look: Look): Promise<HealthCheck[]> {
  const { wiring, parties, seen } = look
  const pushes = Object.values(wiring.config.certificates).flatMap(({ push }) => push)
  if (!parties.manager || (pushes.length === 0 && !wiring.config.discover)) return []
  const pushedAt = [...seen.states.values()]
    .flatMap(({ outcomes }) =>
      outcomes.filter(({ pushed }) => pushed.some(({ status }) => status === 'pushed')),
    )
    .map(({ at }) => at)
    .sort()
    .at(-1)
  const services = pushes.map(({ service }) => service)
  const answer = await managerRights(parties.manager, services, pushedAt, parties.deadline.signal)
  for (const { id, name } of answer.certificates ?? []) look.certificates.push({ where: 'scm', id, name })
  return answer.checks
}

async function renewal(
  { wiring, parties, seen }: Look,
  storeless: Failure | undefined,
): Promise<HealthCheck[]> {
  const renewing = Object.entries(wiring.config.certificates).filter(([, { renew }]) => renew)
  if (renewing.length === 0) return []
  const { renewalParties } = await import('../wire/health.ts')
  const outside = renewalParties(wiring, parties)
  const { signal } = parties.deadline
  const { failure, passed } = linesOf('renewal')
  const checks = renewalChecks(seen)
  const names: string[] = []
  for (const [name, certificate] of renewing) {
    try {
      names.push(...namesToOrder(name, certificate))
    } catch (thrown) {
      checks.push(failure(name, asFailure(thrown)))
    }
  }
  const authorities = outside.authorities()
  for (const config of authorities) {
    const { directory, profile, externalAccount } = config
    try {
      const server = await outside.server(config)
      const wanted = { directory, profile, externalAccount: externalAccount !== undefined }
      checks.push(await directoryCheck(server, wanted, signal).finally(() => server.close()))
      if (wiring.config.accountKeySecret && !storeless)
        checks.push(await accountCheck(directory, () => outside.account(config)))
    } catch (thrown) {
      checks.push(failure(new URL(directory).host, asFailure(thrown)))
    }
  }
  if (authorities.some(({ dns }) => dns))
    checks.push(...(await zoneChecks(outside.dns(), outside.lookup, names, signal)))
  for (const bucket of new Set(authorities.flatMap(({ http }) => http?.bucket ?? []))) {
    const store = outside.bucket(bucket)
    const answer = await store.list('.well-known/', { signal }).then(
      () =>
        passed(store.description, 'can be listed; not proven: writing challenges, which only an order does'),
      (thrown) => failure(store.description, asFailure(thrown)),
    )
    checks.push(answer)
  }
  return checks
}

async function channels({ wiring, parties, options }: Look): Promise<HealthCheck[]> {
  const { passed, failure } = linesOf('alerts')
  try {
    const channels = await wiring.channels()
    if (channels.all.length === 0) return [nobodyIsTold]
    const { clock, deadline } = parties
    const { signal } = deadline
    if (!options.send) return await Promise.all(channels.all.map((channel) => reachCheck(channel, signal)))
    const sent = await sendTest(channels, { from: wiring.installation, clock, signal })
    return sent.map(({ channel, said, failure: refused }) =>
      refused ? failure(channel, refused) : passed(channel, `took a test message${said ? `: ${said}` : ''}`),
    )
  } catch (thrown) {
    return [failure('alerts', asFailure(thrown))]
  }
}

async function reachCheck(channel: Channel, signal: AbortSignal): Promise<HealthCheck> {
  const { passed, failure } = linesOf('alerts')
  const { name } = channel
  try {
    await channel.reach?.(signal)
    const reached = channel.reach ? 'can be reached; ' : ''
    return passed(name, `${reached}not proven: that it takes a message (--send sends one)`)
  } catch (thrown) {
    return failure(name, asFailure(thrown))
  }
}

/** Folders of `deployed/` that are looked at by name. */
const MOST_BUNDLES = 2_000
/** So many strangers are looked at; more of them is the same news. */
const MOST_STRANGERS = 50

async function leftovers({ wiring, parties, seen, certificates }: Look): Promise<HealthCheck[]> {
  const { store, clock, deadline } = parties
  const { failure } = linesOf('leftovers')
  try {
    const { signal } = deadline
    const [below, orders, bundles] = await Promise.all([
      store.list('state/', { signal }),
      store.list('renew/', { signal }),
      store.children('deployed/', { most: MOST_BUNDLES, signal }),
    ])
    const keys = [...below, ...orders].map(({ key }) => key)
    const configured = new Set(wiring.names)
    const states = new Map(seen.states)
    const others = keys.flatMap((key) => /^state\/([^/]+)\.json$/.exec(key)?.[1] ?? [])
    await inParallel(8, others.filter((one) => !states.has(one)).slice(0, MOST_STRANGERS), async (name) => {
      const state = await readState(name, parties).catch(() => undefined)
      if (state) states.set(name, state)
    })
    const strange = await Promise.all(
      nobodys(certificates, states)
        .slice(0, MOST_STRANGERS)
        .map(async ({ boundTo, ...one }) => ({ ...one, hosts: await boundTo?.().catch(() => undefined) })),
    )
    return leftoverChecks({
      now: clock.now(),
      configured,
      keys,
      bundles: bundles.folders,
      states,
      strange,
    })
  } catch (thrown) {
    return [failure(store.description, asFailure(thrown))]
  }
}
