import { asciiHost } from '../base/host.ts'
import type { ProbeResult } from '../probe/port.ts'
import type { BundleFacts } from '../rotation/record/state.ts'
import type { ServedProblem } from './notice.ts'

export type ServedVerdict =
  | { verdict: 'expected' }
  /** By config, or because there is no way to it from here: says nothing about what others are served. */
  | { verdict: 'not looked at' | 'not reached'; detail: string }
  | { verdict: ServedProblem; detail: string }

export interface ServedInput {
  host: string
  /** What should be served; undefined where nothing was deployed by this tool yet. */
  expected?: Pick<BundleFacts, 'fingerprint' | 'chain'> | undefined
  /** Fingerprints that this tool deployed before. */
  predecessors: readonly string[]
  /** Undefined where the config turned verification off. */
  result?: ProbeResult | undefined
}

/**
 * Compares what a handshake showed with what was deployed. Without an expectation (watching only) just what any
 * client would trip over counts: nobody is served, or a certificate for another name.
 */
export function judgeServed({ host, expected, predecessors, result }: ServedInput): ServedVerdict {
  if (result === undefined)
    return { verdict: 'not looked at', detail: 'verification is turned off for this domain' }
  if (!result.reached) return { verdict: 'not reached', detail: result.reason }
  const { served } = result
  if (served === undefined) return { verdict: 'nobody', detail: result.reason }
  const shown = `${served.commonName || served.names[0] || 'a certificate without a name'}, valid until ${served.notAfter.toISOString()}`

  if (expected !== undefined && served.fingerprint === expected.fingerprint) {
    const missing = expected.chain.filter((fingerprint) => !served.chain.includes(fingerprint)).length
    if (missing === 0) return { verdict: 'expected' }
    return {
      verdict: 'incomplete chain',
      detail: `the right certificate, but ${missing} of ${expected.chain.length} certificates of its chain missing`,
    }
  }
  if (!coversHost(served.names, host))
    return { verdict: 'wrong name', detail: `${shown}, which does not cover ${host}` }
  if (expected === undefined) return { verdict: 'expected' }
  if (predecessors.includes(served.fingerprint))
    return { verdict: 'older', detail: `a predecessor: ${shown}` }
  return { verdict: 'foreign', detail: `not deployed by this tool: ${shown}, issued by ${served.issuer}` }
}

/**
 * RFC 9525, section 6.3: the wildcard is the whole left-most label and stands for exactly one. A wildcard domain is
 * covered by the same wildcard; the apex below it is not (a false alarm that other monitors give for years).
 */
export function coversHost(names: readonly string[], host: string): boolean {
  const wanted = asciiHost(host)
  const dot = wanted.indexOf('.')
  const wildcard = dot < 0 ? undefined : `*${wanted.slice(dot)}`
  return names.some((name) => [wanted, wildcard].includes(asciiHost(name)))
}
