import type { Clock } from '../base/clock.ts'
import { second } from '../base/clock.ts'
import { Secret } from '../base/secret.ts'
import type { AccessKey } from '../http/sign.ts'
import type { Deadline } from '../rotation/parties.ts'
import { timeOver } from './time-budget.ts'

/**
 * What FunctionGraph and Lambda hand to a handler, as far as it is used here. FunctionGraph: methods of
 * `context` (runtime manual of Node.js 20.15); Lambda: the Node.js context object. Anything may be missing.
 */
export interface PlatformContext {
  getRequestID?(): string
  getRemainingTimeInMilliSeconds?(): number
  getUserData?(name: string): string | undefined
  getSecurityAccessKey?(): string
  getSecuritySecretKey?(): string
  getSecurityToken?(): string
  getFunctionName?(): string
  getProjectID?(): string
  awsRequestId?: string
  functionName?: string
  getRemainingTimeInMillis?(): number
}

/** Kept free at the end of an invocation for writing the state and releasing the lease. */
const RESERVE_MS = 2 * second

/**
 * The invocation's end as an `AbortSignal`, some seconds before the platform stops the process. Both names of
 * the method work; with neither, there is no end.
 */
export function deadlineOf(context: PlatformContext, clock: Clock): Deadline & { cancel(): void } {
  const remaining = context.getRemainingTimeInMilliSeconds?.() ?? context.getRemainingTimeInMillis?.()
  if (remaining === undefined || !Number.isFinite(remaining)) return noDeadline()
  const reserve = Math.min(RESERVE_MS, remaining * 0.2)
  const end = clock.monotonic() + remaining - reserve
  const controller = new AbortController()
  const timer = setTimeout(
    () => controller.abort(timeOver('this invocation')),
    Math.max(0, remaining - reserve),
  )
  timer.unref()
  return {
    signal: controller.signal,
    remainingMs: () => Math.max(0, end - clock.monotonic()),
    cancel: () => clearTimeout(timer),
  }
}

/** Why a signal was aborted by a person's Ctrl-C: what was left undone is as they wanted it, and no failure. */
export class StoppedByPerson extends Error {
  constructor() {
    super('stopped by the user')
  }
}

/** For a terminal: no end but the user's Ctrl-C. */
export function noDeadline(
  signal: AbortSignal = new AbortController().signal,
): Deadline & { cancel(): void } {
  return { signal, remainingMs: () => (signal.aborted ? 0 : Number.POSITIVE_INFINITY), cancel() {} }
}

/**
 * Temporary credentials of the execution agency, read at every call: they belong to the invocation and change
 * under a running instance. `getAccessKey` and `getSecretKey` exist too, and give something else.
 */
export function agencyKey(context: PlatformContext): AccessKey | undefined {
  const id = context.getSecurityAccessKey?.()
  const secret = context.getSecuritySecretKey?.()
  const token = context.getSecurityToken?.()
  if (!id || !secret) return undefined
  return { id, secret: new Secret(secret), ...(token ? { securityToken: new Secret(token) } : {}) }
}

export function requestId(context: PlatformContext): string | undefined {
  return context.getRequestID?.() ?? context.awsRequestId
}

/** Configuration of the function: user data on FunctionGraph, else the environment. */
export function setting(
  context: PlatformContext,
  environment: Readonly<Record<string, string | undefined>>,
  name: string,
): string | undefined {
  return context.getUserData?.(name) || environment[name] || undefined
}
