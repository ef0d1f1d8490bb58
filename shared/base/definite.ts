import type { FailureReport } from './failure.ts'

/**
 * Wrong credentials, a missing permission, an instance, project, host or bucket that is not there: no later look gets
 * another answer until somebody acts. Everything else (a broken line, a 5xx, a throttle) may pass by itself.
 */
export function isDefinite({ kind, facts }: Pick<FailureReport, 'kind' | 'facts'>): boolean {
  if (kind !== 'later') return kind === 'never'
  // Of what the network says, only a name without an address and a wrong certificate are for later and not for again.
  return facts.status === 401 || facts.status === 403 || facts.networkCode !== undefined
}
