import type { Notice, ProblemNotice, ServedDifference } from '../watch/notice.ts'
import { worstSeverity } from '../watch/notice.ts'

/** What one message makes of another that waits for the same channel: of each condition the newest state counts. */

export function isProblem(notice: Notice): notice is ProblemNotice {
  return notice.kind !== 'solved' && notice.kind !== 'rotated'
}

/** Keys of conditions that are over as a whole. */
export function endedBy(notice: Notice): readonly string[] {
  if (notice.kind === 'rotated') return notice.solves
  return notice.kind === 'solved' && notice.remaining === 0 ? [notice.key] : []
}

/** What is left to tell of a notice that waits, now that newer ones have come: nothing, or less. */
export function stillToTell(older: Notice, newer: readonly Notice[]): Notice[] {
  let left = older
  for (const one of newer) {
    // Its news stay news; a problem that is there again is not over.
    if (left.kind === 'rotated') {
      if (isProblem(one)) left = { ...left, solves: left.solves.filter((key) => key !== one.key) }
    } else if (
      one.key === left.key &&
      one.kind === 'solved' &&
      one.remaining > 0 &&
      left.kind === 'not served'
    ) {
      const rest = left.domains.filter(({ host }) => !one.where.includes(host))
      if (rest.length === 0) return []
      left = withDomains(left, rest)
    } else if (one.kind !== 'rotated' ? one.key === left.key : one.solves.includes(left.key)) return []
  }
  return [left]
}

/** Whether it ends only what waits, too, and what nobody was told: then there is nothing to end. */
export function answered(newer: Notice, older: readonly Notice[], told: readonly string[]): boolean {
  if (newer.kind !== 'solved' || told.includes(newer.key)) return false
  return older.some((notice) => isProblem(notice) && notice.key === newer.key)
}

/** The newer one speaks for the domains of the one it takes the place of, but for those that `beside` says are well. */
export function withOlder(newer: Notice, older: readonly Notice[], beside: readonly Notice[]): Notice {
  let all = newer
  for (const one of older) {
    if (one.key !== all.key) continue
    if (one.kind === 'solved' && all.kind === 'solved')
      all = { ...all, where: [...new Set([...all.where, ...one.where])] }
    if (one.kind === 'not served' && all.kind === 'not served') {
      const { domains } = all
      const named = (a: ServedDifference) =>
        domains.some((b) => a.host === b.host && a.gateway === b.gateway) ||
        beside.some(({ kind, key, where }) => kind === 'solved' && key === one.key && where.includes(a.host))
      const severity = worstSeverity([all, one])
      const escalate = all.escalate || one.escalate
      all = {
        ...withDomains(all, [...domains, ...one.domains.filter((domain) => !named(domain))]),
        severity,
        escalate,
      }
    }
  }
  return all
}

function withDomains<Served extends ProblemNotice & { kind: 'not served' }>(
  notice: Served,
  domains: readonly ServedDifference[],
): Served {
  return { ...notice, domains, where: domains.map(({ host }) => host) }
}
