import { hour } from '../base/clock.ts'
import { countText } from '../base/count-text.ts'
import { printable } from '../base/printable.ts'
import type { RotationState } from '../rotation/record/state.ts'
import { listText } from '../watch/words.ts'
import { type HealthCheck, linesOf } from './port.ts'

export interface LeftoverFacts {
  now: Date
  /** Names in rotation.yaml. */
  configured: ReadonlySet<string>
  /** Every key below state/ and renew/. */
  keys: readonly string[]
  /** Names of the folders below deployed/. */
  bundles: readonly string[]
  /** State files that could be read, of names that are configured and of others. */
  states: ReadonlyMap<string, RotationState>
  /** `nobodys` of what gateways and SCM have; `hosts`: the domains that each is bound to, where that can be asked. */
  strange: readonly (Omit<RemoteCertificate, 'boundTo'> & { hosts: readonly string[] | undefined })[]
}

/** A certificate at a gateway, or in SCM. */
export interface RemoteCertificate {
  /** `apig:0a1b…` or `scm`. */
  where: string
  id: string
  name: string
  /** The domains that it is bound to; absent where there is no such thing. */
  boundTo?: () => Promise<string[]>
}

/** Certificates under names that this tool gives, of which no state here knows. */
export function nobodys<T extends Pick<RemoteCertificate, 'id' | 'name'>>(
  certificates: readonly T[],
  states: ReadonlyMap<string, RotationState>,
): T[] {
  const known = new Set([...states.values()].flatMap(({ created }) => created.map(({ id }) => id)))
  return certificates.filter(({ id, name }) => REMOTE_NAME.test(name) && !known.has(id))
}

/** As `remoteCertificateName` derives them, whichever certificate and bundle they are of. */
const REMOTE_NAME = /^cr_[A-Za-z0-9_]*_[0-9a-f]{24}$/

/** What is left of certificates that nobody watches any more, and of runs that ended badly. Pure. */
export function leftoverChecks(facts: LeftoverFacts): HealthCheck[] {
  const lines = [
    ...nobodysNames(facts),
    ...brokenStates(facts),
    ...oldClaims(facts),
    ...nobodysCertificates(facts),
  ]
  return lines.length > 0
    ? lines
    : [linesOf('leftovers').passed('store and gateways', 'nothing is there of which nobody knows')]
}

/** Names whose state, orders or keys lie in the store, and which are not in the config. */
function nobodysNames({ keys, bundles, configured, states }: LeftoverFacts): HealthCheck[] {
  const { warning } = linesOf('leftovers')
  const places = new Map<string, string[]>()
  const found = (name: string | undefined, place: string) => {
    if (name === undefined || configured.has(name)) return
    const known = places.get(name) ?? []
    if (!known.includes(place)) places.set(name, [...known, place])
  }
  for (const key of keys) {
    // An account is nobody's alone; what was set aside has a line of its own.
    if (/\.broken-[^/]+\.json$|^renew\/account-/.test(key)) continue
    const [, folder, name] = /^(state|renew)\/([^/]+)\.json$/.exec(key) ?? []
    if (folder) found(name, key)
  }
  for (const name of bundles) found(name, `deployed/${name}/`)
  return [...places].map(([name, own]) => {
    const state = states.get(name)
    const recorded = Object.values(state?.current?.domains ?? {}).map(({ host }) => host)
    const told = state?.outcomes[0]?.domains.map(({ host }) => host) ?? []
    const hosts = [...new Set([...recorded, ...told])]
    const unwatched = hosts.length === 0 ? '' : `; nobody watches ${listText(hosts, 3)}`
    const keysStay = own.some((place) => place.startsWith('deployed/')) ? ', with its private keys' : ''
    return warning(
      printable(name),
      `is not in rotation.yaml, and ${listText(
        own.map((one) => printable(one)),
        3,
      )} ${own.length === 1 ? 'lies' : 'lie'} in the store${keysStay}${unwatched}`,
      'Put it back under certificates:, or delete these when nobody is served by it any more.',
    )
  })
}

function brokenStates({ keys }: LeftoverFacts): HealthCheck[] {
  const { warning } = linesOf('leftovers')
  return keys
    .filter((key) => /^(state|renew)\/.+\.broken-[^/]+\.json$/.test(key))
    .map((key) =>
      warning(
        printable(key),
        'is a state file that did not parse and was set aside',
        'Find out who wrote it, then delete it: its successor was put together from what the clouds show.',
      ),
    )
}

/** Far longer than any run holds a lease, by anybody's clock. */
function oldClaims({ keys, now }: LeftoverFacts): HealthCheck[] {
  const { warning } = linesOf('leftovers')
  const old = new Map<string, number>()
  for (const key of keys) {
    const [, lease, until] = /^(state\/.+\.lease\/)(\d{13,15})-[0-9a-f]{24}$/.exec(key) ?? []
    if (lease && Number(until) + hour < now.getTime()) old.set(lease, (old.get(lease) ?? 0) + 1)
  }
  return [...old].map(([lease, count]) =>
    warning(
      printable(lease),
      `has ${countText(count, 'claim')} of runs that ended more than an hour ago`,
      'Allow deleting objects below state/ (see policies/), and delete these: at 100 of them nothing is rotated any more.',
    ),
  )
}

function nobodysCertificates({ strange }: LeftoverFacts): HealthCheck[] {
  const { warning } = linesOf('leftovers')
  return strange.map(({ where, id, name, hosts }) => {
    const what = `has ${printable(name)} (${id}), which no state here knows`
    if (hosts?.length)
      return warning(
        where,
        `${what}; it is bound to ${listText(hosts, 3)}`,
        'Another installation of this tool put it there, or its state was lost: see that only one rotates this domain.',
      )
    return warning(
      where,
      hosts ? `${what}, bound to nothing` : what,
      'If no other installation of this tool made it, delete it in the console.',
    )
  })
}
