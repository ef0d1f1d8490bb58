import { second } from '../base/clock.ts'
import type { Parties } from '../rotation/parties.ts'
import { allCertificateFacts, type Gathered } from '../watch/facts.ts'
import type { Wiring } from '../wire/cloud.ts'
import { gatherFor } from './gather.ts'

/** What telling people and writing the page may take: never spent on waiting. */
const TELLING_MS = 15 * second

interface Doubt {
  certificate: string
  gateway: string
  host: string
}

/**
 * One look at a domain is no verdict: an edge takes a while to follow its gateway, and another run may stand between
 * a detach and an attach. What looks wrong for the first time is looked at again after `servedWithin`, in the same
 * run, so that people need not wait for the next tick. Where the time does not suffice, the next tick is the second
 * look. What an earlier tick is certain of is not waited for again.
 */
export async function lookTwice(wiring: Wiring, parties: Parties, gathered: Gathered): Promise<Gathered> {
  const doubts = doubtsIn(gathered)
  if (doubts.length === 0) return gathered
  const { servedWithin } = wiring.config
  const hosts = doubts.map(({ host }) => host)
  if (parties.deadline.remainingMs() < servedWithin + TELLING_MS) {
    parties.log.warn(`no time to look again at ${hosts.join(', ')}: the next tick does`, { step: 'watch' })
    return gathered
  }
  const names = [...new Set(doubts.map(({ certificate }) => certificate))]
  for (const certificate of names) {
    const own = doubts.filter((one) => one.certificate === certificate).map(({ host }) => host)
    const sentence = `${own.join(', ')}: not served as it should be; looking again in ${Math.round(servedWithin / second)} s`
    parties.log.info(sentence, { certificate, step: 'watch' })
    parties.progress({ kind: 'trouble', certificate, target: own[0] ?? certificate, sentence })
  }
  try {
    await parties.clock.sleep(servedWithin, parties.deadline.signal)
  } catch {
    return gathered
  }
  const again = await gatherFor(wiring, parties, names)
  const states = new Map([...gathered.states, ...again.states])
  // Judged by itself: what is wrong now, and was a moment ago.
  const still = doubtsIn({ ...gathered, states, observations: again.observations }).map(placeOf)
  const before = doubts.map(placeOf)
  const fresh = new Map(again.observations.map((one) => [placeOf(one), one]))
  const observations = gathered.observations.map((first) => {
    const place = placeOf(first)
    const now = fresh.get(place)
    // What could not be seen the second time is neither certain nor over.
    if (!before.includes(place) || !(now?.binding || now?.result?.reached)) return first
    return { ...now, seenTwice: still.includes(place) }
  })
  const unread = [...(gathered.unread ?? []), ...(again.unread ?? [])]
  return {
    ...gathered,
    states,
    observations,
    unread: [...new Map(unread.map((one) => [one.where, one])).values()],
  }
}

/** What looks wrong, and what no tick is certain of yet. A missing intermediate can wait for the next one. */
function doubtsIn(gathered: Gathered): Doubt[] {
  return allCertificateFacts(gathered).flatMap(({ name, domains }) =>
    domains
      .filter(({ trouble }) => trouble && !trouble.certain && trouble.problem !== 'incomplete chain')
      .map(({ gateway, host }) => ({ certificate: name, gateway, host })),
  )
}

function placeOf({ certificate, gateway, host }: Doubt): string {
  return `${certificate} ${gateway} ${host}`
}
