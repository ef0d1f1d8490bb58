import type { FailureReport } from '../../base/failure.ts'

/** The gateway's own checks of the content: key, chain, dates, names (API reference, "Error Codes"). */
const ABOUT_THE_CONTENT = new Set(
  ['2101', '2102', '2103', '2104', '2105', '2106', '2109', '3148', '3708', '3709'].map(
    (code) => `APIG.${code}`,
  ),
)

/** What a client was served, or not, after the certificate was bound. */
const SHOWN_BY_HANDSHAKE = new Set(['served.not-new', 'served.not-restored'])

/**
 * Who has judged the bundle, if anybody has: the service by what it says about the content, or a handshake. Every
 * other failure (a firewall's page, a full quota, a missing permission, somebody's hand) is about the world: it is
 * left for later and held against no bundle.
 */
export function judgeOf(
  failure: Pick<FailureReport, 'code' | 'kind' | 'facts'>,
): 'content' | 'handshake' | undefined {
  if (SHOWN_BY_HANDSHAKE.has(failure.code)) return 'handshake'
  return failure.kind === 'never' && ABOUT_THE_CONTENT.has(String(failure.facts.errorCode))
    ? 'content'
    : undefined
}
