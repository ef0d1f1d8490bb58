import type { CheckResult } from './bundle.ts'

type ResultFacts = NonNullable<CheckResult['facts']>

export function passed(code: string, message: string, facts?: ResultFacts): CheckResult {
  return result(code, 'passed', message, facts)
}

export function warning(code: string, message: string, facts?: ResultFacts): CheckResult {
  return result(code, 'warning', message, facts)
}

/** `reason` in the facts tells finer than the code what is wrong, and is as stable. */
export function refused(code: string, reason: string, message: string, facts?: ResultFacts): CheckResult {
  return result(code, 'refused', message, { reason, ...facts })
}

function result(
  code: string,
  outcome: CheckResult['result'],
  message: string,
  facts: ResultFacts | undefined,
): CheckResult {
  return facts === undefined ? { code, result: outcome, message } : { code, result: outcome, message, facts }
}
