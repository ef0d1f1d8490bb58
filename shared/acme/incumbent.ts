/** A certificate as far as somebody can say what it is: a gateway's list knows no bytes and no beginning. */
export interface LeafSeen {
  /** dNSName subject alternative names, lower-case; empty where the list does not say. */
  names: readonly string[]
  notBefore?: Date | undefined
  notAfter: Date
  /** Of the key, where the list says it. */
  algorithm?: string | undefined
}

/** A certificate that this tool has ordered or deployed. */
export interface LeafKnown extends LeafSeen {
  fingerprint: string
  notBefore: Date
  /** DER or PEM; undefined where only its facts are known (no renewal information then). */
  leaf?: Uint8Array | string | undefined
}

/** One configured domain as this tick sees it. */
export interface DomainSeen {
  host: string
  /** From the gateway's list; empty where nothing is bound, undefined where the list could not be read. */
  bound?: readonly LeafSeen[] | undefined
  /** What a handshake showed, where one was possible. */
  served?: (LeafKnown & { stranger: boolean }) | undefined
}

export interface IncumbentFacts {
  domains: readonly DomainSeen[]
  /** What lies in `deployed/`. */
  deployed?: LeafKnown | undefined
  /** The newest certificate that was ordered here; `waits`: it lies in `incoming/` and has not been rotated yet. */
  issued?: (LeafKnown & { waits: boolean }) | undefined
  /** Others that this tool has had in its hands. */
  earlier?: readonly LeafKnown[] | undefined
}

/** Who says so: a bundle in `incoming/`, a handshake that agrees with the list, the list alone, or `deployed/`. */
export type Witness = 'incoming' | 'handshake' | 'list' | 'deployed'

export interface Incumbent {
  /** Of the leaf; where only a list knows it, something that stays the same as long as the list does. */
  fingerprint: string
  /** What was ordered or deployed last covers these: a name that is missing here has to be ordered. */
  names: readonly string[]
  notBefore: Date
  notAfter: Date
  leaf: Uint8Array | string | undefined
  by: Witness
  /** The domain that decided, where one did. */
  host?: string | undefined
}

export interface Standing {
  /** What the next renewal is counted from. Undefined: nothing of ours yet, so it is due now. */
  incumbent: Incumbent | undefined
  /** What clients are served until; the nearest end of all domains. */
  inService: Incumbent | undefined
}

/** Where nobody says when a certificate began, a lifetime of 90 days is the common case. */
const ASSUMED_LIFETIME_MS = 90 * 86_400_000

/**
 * What a renewal is counted from. Pure.
 *
 * What is in service counts: per domain the certificate that the gateway's list shows as bound (a handshake that
 * agrees gives its beginning); where the list cannot be read, what a handshake shows, unless a stranger answers;
 * else what lies in `deployed/`. Of all domains the nearest end decides. A certificate that was issued stands in
 * for it only while it waits in `incoming/`: one that the rotation has refused serves nobody.
 */
export function standingOf(facts: IncumbentFacts): Standing {
  const inService = nearestInService(facts)
  const { issued, deployed } = facts
  if (issued?.waits === true) return { incumbent: known(issued, issued, 'incoming'), inService }
  // What somebody else has put there is taken over with the first order.
  if (deployed === undefined) return { incumbent: undefined, inService }
  return { incumbent: inService && { ...inService, names: deployed.names }, inService }
}

function nearestInService(facts: IncumbentFacts): Incumbent | undefined {
  const found = facts.domains.flatMap((domain) => onDomain(domain, facts))
  // Bare everywhere, or no domain at all (pushes only): then what was deployed is all that is known.
  if (found.length === 0 && facts.deployed) found.push(known(facts.deployed, facts.deployed, 'deployed'))
  return found.sort((a, b) => a.notAfter.getTime() - b.notAfter.getTime())[0]
}

function onDomain({ host, bound, served }: DomainSeen, facts: IncumbentFacts): Incumbent[] {
  const { deployed } = facts
  if (bound !== undefined)
    return replaceable(bound, deployed).map((leaf) => {
      const same = [deployed, facts.issued, ...(facts.earlier ?? [])].find((one) => isSame(one, leaf))
      const seen = isSame(served, leaf) ? served : undefined
      return { ...known(leaf, same, seen ? 'handshake' : 'list', seen?.notBefore), host }
    })
  if (served !== undefined && !served.stranger) return [{ ...known(served, served, 'handshake'), host }]
  return deployed === undefined ? [] : [{ ...known(deployed, deployed, 'deployed'), host }]
}

/** A domain holds one certificate per algorithm, and a rotation replaces the one with its own. */
function replaceable(bound: readonly LeafSeen[], deployed: LeafKnown | undefined): readonly LeafSeen[] {
  const own = bound.filter(({ algorithm }) => algorithm !== undefined && algorithm === deployed?.algorithm)
  return own.length > 0 ? own : bound
}

/** By end and names: a list shows no bytes. Ends are compared to the second, as lists give them. */
function isSame<T extends LeafSeen>(one: T | undefined, other: LeafSeen): one is T {
  if (one === undefined) return false
  const second = (at: Date) => Math.floor(at.getTime() / 1_000)
  const names = (leaf: LeafSeen) => [...leaf.names].sort().join()
  const unnamed = one.names.length === 0 || other.names.length === 0
  return second(one.notAfter) === second(other.notAfter) && (unnamed || names(one) === names(other))
}

function known(seen: LeafSeen, same: LeafKnown | undefined, by: Witness, birth?: Date): Incumbent {
  const { notAfter, names } = seen
  return {
    fingerprint: same?.fingerprint ?? `${[...names].sort().join()}@${notAfter.toISOString()}`,
    names,
    notBefore:
      same?.notBefore ?? birth ?? seen.notBefore ?? new Date(notAfter.getTime() - ASSUMED_LIFETIME_MS),
    notAfter,
    leaf: same?.leaf,
    by,
  }
}
