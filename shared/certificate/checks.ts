import type { CheckResult } from './bundle.ts'
import { chainChecks } from './chain-checks.ts'
import type { Facts } from './facts.ts'
import { keyChecks } from './key-checks.ts'
import { leafChecks } from './leaf-checks.ts'
import { nameChecks } from './name-checks.ts'

/**
 * One rule. Returns nothing where it cannot say anything (an earlier check has already told why).
 * The code of its result is its own name and never changes.
 */
export type Check = (facts: Facts) => CheckResult | undefined

/** Every rule that a bundle has to pass, in the order in which they are told. The list is the documentation. */
export const checks: readonly Check[] = [...keyChecks, ...leafChecks, ...chainChecks, ...nameChecks]
