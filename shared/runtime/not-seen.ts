import { isDefinite } from '../base/definite.ts'
import { Failure } from '../base/failure.ts'
import type { RunMemory } from '../watch/alert-memory.ts'
import type { Gathered, Unread } from '../watch/facts.ts'
import { unreadKey } from '../watch/watch.ts'

/** Nothing was seen of any domain: neither a gateway's list nor a handshake. Then "all is well" says nothing. */
export function isBlind({ observations }: Pick<Gathered, 'observations'>): boolean {
  return observations.length > 0 && observations.every(({ binding, result }) => !binding && !result?.reached)
}

export function blind({ unread = [], observations }: Pick<Gathered, 'unread' | 'observations'>): Failure {
  const [first] = unread
  const [reason] = observations.flatMap(({ result }) => (result && !result.reached ? [result.reason] : []))
  const why = first ? `${first.where}: ${first.failure.message}` : (reason ?? 'verification is turned off')
  return new Failure({
    code: 'watch.blind',
    kind: 'later',
    message: `No domain could be looked at, neither in a gateway's list nor by handshake: ${why}`,
    next: first?.failure.next ?? 'See whether the gateways can be reached from where this runs.',
  })
}

/** A gateway whose list nobody could read is no silence: a domain without a certificate may stand in it. */
export function unreadList({ where, failure }: Unread): Failure {
  const what = where === 'scm' ? 'What the certificate manager holds' : `What is bound at ${where}`
  return new Failure({ ...failure, message: `${what} could not be read: ${failure.message}` })
}

/**
 * What nobody could look at. A definite answer is a failure at once; what the network or a service's bad moment has
 * kept from us `mayPass`, and is a failure with the second tick in a row. Without a memory nobody knows that it is
 * the first.
 */
export function notSeen(
  { unread = [], observations }: Pick<Gathered, 'unread' | 'observations'>,
  standing: RunMemory['conditions'] = {},
): { failure: Failure; mayPass: boolean }[] {
  const lists = unread.filter(({ list }) => list)
  const mayPass = ({ where, failure }: Unread) =>
    !isDefinite(failure) && standing[unreadKey(where)]?.seen === 1
  const dark = isBlind({ observations })
  const told = lists
    // What `blind` says already is not said twice.
    .filter((one) => !(dark && one === unread[0]))
    .map((one) => ({ failure: unreadList(one), mayPass: mayPass(one) }))
  if (!dark) return told
  const passes = unread.length > 0 && unread.every((one) => one.list && mayPass(one))
  return [{ failure: blind({ unread, observations }), mayPass: passes }, ...told]
}
