import { minute } from '../base/clock.ts'
import { Failure, type FailureKind } from '../base/failure.ts'
import type { Problem } from './port.ts'

/** RFC 8555, section 6.7 · RFC 9773, section 7.4 · draft-ietf-acme-profiles, section 6. */
const meanings: Record<string, { code: string; kind: FailureKind; next: string }> = {
  rateLimited: {
    code: 'acme.rate-limited',
    kind: 'later',
    next: 'Nothing to do: the next attempt waits as long as the CA asks, near expiry an hour at the most.',
  },
  externalAccountRequired: {
    code: 'acme.external-account',
    kind: 'never',
    next: 'Set externalAccount (keyId and hmacKey) for this CA: its account page shows both.',
  },
  accountDoesNotExist: {
    code: 'acme.account-unknown',
    kind: 'later',
    next: 'Nothing to do: the next attempt registers the account again.',
  },
  userActionRequired: {
    code: 'acme.user-action',
    kind: 'later',
    next: "Open the URL in the CA's words and do what it asks, for example agree to new terms of service.",
  },
  caa: {
    code: 'acme.caa',
    kind: 'later',
    next: 'Allow this CA in the CAA records of the name (or its parent), or choose another CA.',
  },
  rejectedIdentifier: {
    code: 'acme.name-rejected',
    kind: 'never',
    next: 'Take this name out of the certificate, or order it from another CA.',
  },
  unsupportedIdentifier: {
    code: 'acme.name-rejected',
    kind: 'never',
    next: 'Take this name out of the certificate: this CA does not issue for its kind.',
  },
  invalidContact: {
    code: 'acme.contact',
    kind: 'never',
    next: 'Correct the e-mail address of the ACME account.',
  },
  unsupportedContact: {
    code: 'acme.contact',
    kind: 'never',
    next: 'Correct the e-mail address of the ACME account.',
  },
  invalidProfile: {
    code: 'acme.profile',
    kind: 'never',
    next: "Choose one of the CA's profiles (its directory lists them), or leave profile out.",
  },
  alreadyReplaced: {
    code: 'acme.already-replaced',
    kind: 'never',
    next: 'Nothing to do: the order is placed again without naming its predecessor.',
  },
  badCSR: {
    code: 'acme.key-refused',
    kind: 'never',
    next: 'Choose another key type for this certificate.',
  },
  badPublicKey: {
    code: 'acme.key-refused',
    kind: 'never',
    next: 'Choose another key type for this certificate.',
  },
  dns: {
    code: 'acme.validation',
    kind: 'later',
    next: "Check that the name's public DNS answers, its delegation of _acme-challenge among it.",
  },
  connection: {
    code: 'acme.validation',
    kind: 'later',
    next: 'Check that the name answers on port 80 from the internet, or use DNS-01.',
  },
  incorrectResponse: {
    code: 'acme.validation',
    kind: 'later',
    next: 'Check that the bucket (HTTP-01) or the zone (DNS-01) of the config is the one the CA sees.',
  },
  unauthorized: {
    code: 'acme.unauthorized',
    kind: 'later',
    next: 'Check that the challenge ends up where the CA looks for it, and that the account may order this name.',
  },
  orderNotReady: {
    code: 'acme.order-busy',
    kind: 'again',
    next: 'Nothing to do: the order is looked at again.',
  },
  serverInternal: {
    code: 'acme.unavailable',
    kind: 'again',
    next: "Nothing to do unless it lasts: then look at the CA's status page.",
  },
}

const fallback = {
  code: 'acme.refused',
  kind: 'never' as FailureKind,
  next: "The CA's words say what it refuses: change the config accordingly.",
}

export interface ProblemContext {
  /** What was being done: `ordering shop.example`. Read after "The CA". */
  doing: string
  directory: string
  status: number
  retryAfterMs?: number | undefined
  now?: Date
  /** Replaces the code and the advice of the problem's type. */
  code?: string
}

/** A problem document as one failure: type, detail and every sub-problem in the CA's own words. */
export function problemFailure(problem: Problem, context: ProblemContext): Failure {
  const type = shortType(problem)
  const first = firstMeaning(problem)
  let { kind, next } = first
  let code = context.code ?? first.code
  // A status says it where no type does: nobody's config is to blame.
  if (context.status >= 500 && (type === undefined || first === fallback))
    ({ kind, code, next } = meaningOf('serverInternal'))
  if (context.status === 429) ({ kind, code, next } = meaningOf('rateLimited'))
  // The CA names a time: it will take the same request then.
  if (context.retryAfterMs !== undefined && kind === 'never') kind = 'later'
  return new Failure({
    code,
    kind,
    message: `The CA at ${hostOf(context.directory)} refused ${context.doing}: ${problemSentence(problem, context.status)}${wishText(context)}`,
    next,
    effect: context.status >= 500 ? 'unknown' : 'none',
    ...(context.retryAfterMs !== undefined && { retryAfterMs: context.retryAfterMs }),
    facts: {
      directory: context.directory,
      status: context.status,
      problem: problem.type,
      detail: oneLine(problem.detail),
      subproblems: problem.subproblems?.map((sub) => subSentence(sub)),
    },
  })
}

function meaningOf(type: 'serverInternal' | 'rateLimited') {
  return meanings[type] as typeof fallback
}

/** What is waited out within the tick is no news. */
function wishText({ retryAfterMs = 0, now }: ProblemContext): string {
  if (now === undefined || retryAfterMs < minute) return ''
  return `; it asks to be left alone until ${instantText(new Date(now.getTime() + retryAfterMs))}`
}

/** Whether it is the certificate's key that the CA does not want, said at once or as the end of the order. */
export function refusesKey(failure: Failure): boolean {
  const type = shortType({ type: failure.facts.problem as string })
  return type === 'badPublicKey' || type === 'badCSR'
}

/** `rejectedIdentifier: Policy forbids issuing (blocked.example: rejectedIdentifier: …)`. */
export function problemSentence(problem: Problem, status?: number): string {
  const type = shortType(problem) ?? (status === undefined ? 'no type given' : `HTTP ${status}`)
  const detail = oneLine(problem.detail ?? problem.title) ?? 'no detail given'
  const subs = problem.subproblems?.map(subSentence).join('; ')
  return `${type}: ${detail}${subs ? ` (${subs})` : ''}`
}

function subSentence(sub: Problem & { identifier?: { value?: string } }): string {
  const name = sub.identifier?.value
  return `${name === undefined ? '' : `${oneLine(name)}: `}${problemSentence(sub)}`
}

/** A compound problem says what to do only in its parts. */
function firstMeaning(problem: Problem): { code: string; kind: FailureKind; next: string } {
  const candidates = [problem, ...(problem.subproblems ?? [])]
  for (const candidate of candidates) {
    const type = shortType(candidate)
    const meaning = type !== undefined && Object.hasOwn(meanings, type) ? meanings[type] : undefined
    if (meaning && type !== 'compound') return meaning
  }
  return fallback
}

/** `urn:ietf:params:acme:error:rateLimited` → `rateLimited`. */
export function shortType(problem: Problem): string | undefined {
  return typeof problem.type === 'string'
    ? problem.type.replace(/^urn:ietf:params:acme:error:/, '')
    : undefined
}

/** `2026-11-22 08:15 UTC`. */
export function instantText(at: Date): string {
  return `${at.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}

export function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url
}

/** The CA's text is foreign: no line breaks or control characters, and not a page of it. */
function oneLine(text: string | undefined): string | undefined {
  if (typeof text !== 'string') return undefined
  const flat = text
    .replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g, ' ')
    .replace(/\s+/g, ' ')
    .trim()
  return flat.length > 500 ? `${flat.slice(0, 499)}…` : flat
}

/** The problem document of a reply; a page or nothing at all says only a little. */
export function problemOf(reply: { data: unknown }): Problem {
  if (reply.data !== null && typeof reply.data === 'object') return reply.data as Problem
  return {
    detail:
      typeof reply.data === 'string' && reply.data !== '' ? reply.data.slice(0, 200) : 'no reason given',
  }
}
