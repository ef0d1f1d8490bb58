import type { Bundle, CheckResult } from './bundle.ts'
import { checks } from './checks.ts'
import { type Facts, gatherFacts, type JudgeOptions } from './facts.ts'
import { TooMuchWork } from './limits.ts'

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
  return judgeWithFacts(bundle, options).verdict
}

/** The same with what the checks looked at, where it did not cost too much to find out. */
export function judgeWithFacts(
  bundle: Bundle,
  options: JudgeOptions,
): { verdict: Verdict; facts: Facts | undefined } {
  try {
    const facts = gatherFacts(bundle, options)
    const results = checks.flatMap((check) => check(facts) ?? [])
    const decision = results.some((check) => check.result === 'refused') ? 'refuse' : 'accept'
    return { verdict: { decision, checks: results }, facts }
  } catch (thrown) {
    if (!(thrown instanceof TooMuchWork)) throw thrown
    const check: CheckResult = {
      code: 'too-much-work',
      result: 'refused',
      message: `The certificates are not judged: what they hold ${thrown.message}.`,
    }
    return { verdict: { decision: 'refuse', checks: [check] }, facts: undefined }
  }
}
