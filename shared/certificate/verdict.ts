import type { Bundle, CheckResult } from './bundle.ts'
import { checks } from './checks.ts'
import { type Facts, gatherFacts, type JudgeOptions } from './facts.ts'

export type { JudgeOptions, Served } from './facts.ts'
export type { Trust } from './trust.ts'

/** What is to become of a bundle, and why. */
export interface Verdict {
  /** `refuse` if any check refuses; warnings do not. */
  decision: 'accept' | 'refuse'
  /** In the order of `checks.ts`; a check that had nothing to say is left out. */
  checks: CheckResult[]
}

/** Pure: the same bundle, instant and trust give the same verdict. Never throws for what a bundle holds. */
export function judge(bundle: Bundle, options: JudgeOptions): Verdict {
  return judgeFacts(gatherFacts(bundle, options))
}

/** The same for facts that were gathered before. */
export function judgeFacts(facts: Facts): Verdict {
  const results = checks.flatMap((check) => check(facts) ?? [])
  return {
    decision: results.some((check) => check.result === 'refused') ? 'refuse' : 'accept',
    checks: results,
  }
}
