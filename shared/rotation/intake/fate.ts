import type { Outcome, RotationState } from '../record/state.ts'

/** What has become of one certificate; undefined where the state says nothing that is final. */
export type BundleFate =
  /** In service, or it was until something newer came. */
  | { is: 'deployed' | 'replaced' }
  | {
      is: 'refused'
      at: string
      /** `verdict`: the checks that `judge` knows, which can be asked again · `outside`: a gateway or a handshake. */
      by: 'verdict' | 'outside'
      /** Digest of the config it was refused under, where that is known. */
      config?: string
      sentence: string
      next?: string
    }

/** Pure: the newest final word that the state has about the certificate with this fingerprint. */
export function fateOf(state: RotationState, fingerprint: string): BundleFate | undefined {
  if (state.deployed?.fingerprint === fingerprint) return { is: 'deployed' }
  const last = state.outcomes.find(
    (outcome) => outcome.bundle?.fingerprint === fingerprint && isFinal(outcome, state),
  )
  if (last === undefined) return undefined
  if (last.status !== 'refused' && last.status !== 'rolled back' && last.status !== 'failed')
    return { is: 'replaced' }
  const { refused } = state
  const next = last.failures[0]?.next
  return {
    is: 'refused',
    at: last.at,
    by: last.checks.some(({ result }) => result === 'refused') ? 'verdict' : 'outside',
    ...(refused?.digest === last.bundle?.digest && { config: refused?.configDigest }),
    sentence: last.sentence,
    ...(next !== undefined && { next }),
  }
}

/** What failed and is tried again, waits or is under way has not come to its end. */
function isFinal({ status, bundle }: Outcome, { retry }: RotationState): boolean {
  if (status === 'waiting' || status === 'unfinished') return false
  return status !== 'failed' || retry?.digest !== bundle?.digest
}
