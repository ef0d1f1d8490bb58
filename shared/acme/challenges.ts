import { asFailure, Failure } from '../base/failure.ts'
import type { OrderContext } from './context.ts'
import type { AcmeAccount, AcmeAuthorization, AcmeChallenge, AcmeOrder, Placement } from './port.ts'
import { problemSentence } from './problems.ts'
import type { ChallengeRecord, OrderRecord } from './state.ts'
import { waitedFor, waitFor } from './still-waiting.ts'

/** After this long an answer that the CA has not acted on is sent again: its effect may have been lost. */
const answerAgainMs = 5 * 60_000

interface Open {
  authorization: AcmeAuthorization
  challenge: AcmeChallenge
  record: ChallengeRecord
}

/**
 * Proves every name of a pending order that is not proven yet: record, present, wait until it can be seen,
 * answer, wait for the CA, clean up. Can be entered again at any point: it looks at the CA and at the record. Ends with
 * `StillWaiting` where somebody else needs time.
 */
export async function proveNames(
  context: OrderContext,
  record: OrderRecord,
  account: AcmeAccount,
  order: AcmeOrder,
): Promise<void> {
  const { signal } = context
  const open: Open[] = []
  for (const url of order.authorizations) {
    const authorization = await account.authorization(url, signal)
    if (authorization.status === 'pending') {
      open.push(await prepared(context, record, account, authorization))
    } else if (authorization.status !== 'valid') {
      throw invalidAuthorization(context, [authorization])
    }
  }
  if (open.length > 0) {
    await show(context, record, open)
    await answer(context, account, open)
    await validated(context, record, account, open)
  }
  await takeDown(context, record)
}

/** The failure of an order that the CA has given up, in the words of its authorizations. */
export async function orderInvalid(
  context: OrderContext,
  account: AcmeAccount,
  order: AcmeOrder,
): Promise<Failure> {
  const authorizations: AcmeAuthorization[] = []
  for (const url of order.authorizations) {
    const authorization = await account.authorization(url, context.signal).catch(() => undefined)
    if (authorization?.status === 'invalid') authorizations.push(authorization)
  }
  return invalidAuthorization(context, authorizations, order)
}

/** Removes everything this order still shows; what cannot be removed now is left to the next tick. */
export async function takeDown(context: OrderContext, record: OrderRecord): Promise<void> {
  const shown = Object.values(record.challenges)
  if (shown.length === 0) return
  // Written down first, so that a crash in the middle leaves them known.
  context.state.leftovers.push(
    ...shown
      .filter(({ presentedAt }) => presentedAt !== undefined)
      .map(({ solver, placement }) => ({ solver, placement })),
  )
  record.challenges = {}
  await context.save()
  await cleanLeftovers(context)
}

/** Challenges of earlier runs that nobody has removed. Never fails: a leftover is no reason not to renew. */
export async function cleanLeftovers(
  context: Pick<OrderContext, 'state' | 'save' | 'solvers' | 'warnings' | 'signal' | 'log' | 'progress'>,
): Promise<void> {
  const { state } = context
  if (state.leftovers.length === 0) return
  const kept: typeof state.leftovers = []
  const removed: string[] = []
  let unanswered = false
  for (const leftover of state.leftovers) {
    // One place that does not answer is enough: the rest is tried first in the next tick.
    if (unanswered) {
      kept.unshift(leftover)
      continue
    }
    const solver = context.solvers.get(leftover.solver)
    if (solver === undefined) {
      context.warnings.push(
        `A challenge of ${leftover.solver} could not be removed: that solver is not configured any more (${describe(leftover.placement)}).`,
      )
      continue
    }
    try {
      await solver.cleanUp(leftover.placement, context.signal)
      removed.push(placeOf(leftover.placement))
    } catch (thrown) {
      const failure = asFailure(thrown)
      // What no solver of ours has put there is not waited for either.
      if (!failure.code.endsWith('.foreign-placement')) kept.push(leftover)
      if (context.signal?.aborted) continue
      unanswered = failure.kind === 'again'
      context.warnings.push(`A challenge could not be removed yet: ${failure.message}`)
      context.log.warn('challenge not removed', { failure, ...leftover.placement })
    }
  }
  if (removed.length > 0) context.progress(`challenge removed again: ${few(removed)}`)
  state.leftovers = kept
  await context.save()
}

async function prepared(
  context: OrderContext,
  record: OrderRecord,
  account: AcmeAccount,
  authorization: AcmeAuthorization,
): Promise<Open> {
  const { solver } = context.authority
  const challenge = authorization.challenges.find(({ type }) => type === solver.type)
  if (challenge === undefined) {
    const offered = authorization.challenges.map(({ type }) => type).join(', ') || 'none'
    throw new Failure({
      code: 'acme.no-challenge',
      kind: 'never',
      message: `The CA does not offer ${solver.type} for ${authorization.identifier}; it offers ${offered}.`,
      next:
        solver.type === 'http-01'
          ? 'Use DNS-01 (`dns`): a wildcard cannot be proven by HTTP-01.'
          : 'Use the challenge type the CA offers, or another CA.',
      facts: { name: authorization.identifier, offered },
    })
  }
  let known = record.challenges[authorization.url]
  if (known === undefined || known.solver !== solver.id) {
    const value = account.challengeValue(challenge)
    const { identifier, wildcard } = authorization
    known = {
      identifier,
      wildcard,
      solver: solver.id,
      placement: await solver.prepare({ identifier, token: challenge.token, value }, context.signal),
    }
    record.challenges[authorization.url] = known
  }
  return { authorization, challenge, record: known }
}

/** Puts every challenge in place, and returns when each can be seen. */
async function show(context: OrderContext, order: OrderRecord, open: Open[]): Promise<void> {
  const { clock, signal, pace } = context
  const { solver } = context.authority
  const waiting = open.filter(({ record }) => record.respondedAt === undefined)
  if (waiting.length === 0) return
  // Once shown, a look tells whether somebody has removed it.
  const unshown =
    order.waiting?.for === 'visible'
      ? waiting.filter(({ record }) => record.presentedAt === undefined)
      : waiting
  for (const { record } of unshown) record.presentedAt ??= clock.now().toISOString()
  await context.save()
  const left: Open[] = []
  let busy: Failure | undefined
  // One after the other: several may share one record set.
  try {
    for (const { record } of unshown) {
      await solver.present(record.placement, signal)
      context.progress(`challenge for ${nameOf(record)} written: ${placeOf(record.placement)}`)
    }
    const shownForMs = waitedFor(context, order, 'visible')
    for (const item of waiting) {
      if (item.record.seenAt !== undefined) continue
      const seen = await solver.ready(item.record.placement, { shownForMs, ...(signal && { signal }) })
      if (seen === 'missing') await solver.present(item.record.placement, signal)
      if (seen === 'ready') {
        item.record.seenAt = clock.now().toISOString()
        context.progress(`challenge can be seen: ${placeOf(item.record.placement)}`)
      } else left.push(item)
    }
  } catch (thrown) {
    busy = asFailure(thrown)
    if (signal?.aborted || !settling.has(busy.code)) throw thrown
    left.push(...waiting.filter((item) => item.record.seenAt === undefined && !left.includes(item)))
  }
  await context.save()
  if (left.length === 0) return
  const sentence =
    busy?.message ??
    `The challenge for ${few(left.map(({ record }) => nameOf(record)))} cannot be seen everywhere yet (${placeOf(left[0]!.record.placement)}).`
  await waitFor(context, order, { for: 'visible', sentence, patienceMs: pace.visibleWithinMs })
  throw busy ?? notVisible(context, left)
}

/** Somebody else's change, or our own, is on its way there: nothing can be changed before it has arrived. */
const settling = new Set(['dns.slow', 'dns.busy'])

async function answer(context: OrderContext, account: AcmeAccount, open: Open[]): Promise<void> {
  for (const { authorization, challenge, record } of open) {
    if (record.respondedAt !== undefined && !isOld(context, record.respondedAt)) continue
    if (challenge.status !== 'pending') continue
    try {
      await account.respond(challenge, context.signal)
    } catch (thrown) {
      // A CA may refuse an answer to what it is looking at already: look before believing it.
      const now = await account.authorization(authorization.url, context.signal)
      const same = now.challenges.find(({ url }) => url === challenge.url)
      if (now.status === 'pending' && same?.status === 'pending') throw thrown
    }
    record.respondedAt = context.clock.now().toISOString()
  }
  await context.save()
}

async function validated(
  context: OrderContext,
  order: OrderRecord,
  account: AcmeAccount,
  open: Open[],
): Promise<void> {
  const { pace, signal } = context
  const now: AcmeAuthorization[] = []
  for (const { authorization } of open) now.push(await account.authorization(authorization.url, signal))
  const invalid = now.filter(({ status }) => status !== 'pending' && status !== 'valid')
  if (invalid.length > 0) throw invalidAuthorization(context, invalid)
  const pending = now.filter(({ status }) => status === 'pending')
  if (pending.length === 0) {
    context.progress(`the CA has validated ${few(open.map(({ record }) => nameOf(record)))}`)
    return
  }
  const names = few(pending.map(({ identifier }) => identifier))
  await waitFor(context, order, {
    for: 'validated',
    sentence: `The CA has not validated ${names} yet.`,
    patienceMs: pace.patienceMs,
    askedMs: Math.max(...pending.map(({ retryAfterMs }) => retryAfterMs ?? 0)),
  })
  throw new Failure({
    code: 'acme.validation-slow',
    kind: 'later',
    message: `The CA has not validated ${names} within ${Math.round(pace.patienceMs / 1000)} s.`,
    next: 'Nothing to do: the order goes on with the next tick.',
  })
}

function invalidAuthorization(
  context: OrderContext,
  authorizations: AcmeAuthorization[],
  order?: AcmeOrder,
): Failure {
  const problems = authorizations.flatMap(({ identifier, wildcard, status, challenges }) => {
    const error = challenges.find((challenge) => challenge.error !== undefined)?.error
    const name = wildcard ? `*.${identifier}` : identifier
    return [`${name}: ${error === undefined ? `authorization ${status}` : problemSentence(error)}`]
  })
  const own = order?.error === undefined ? [] : [problemSentence(order.error)]
  const words = [...own, ...problems]
  const types = authorizations.flatMap(({ challenges }) => challenges.map(({ error }) => error?.type))
  return new Failure({
    code: 'acme.order-invalid',
    kind: 'later',
    message: `The CA gave up the order of ${context.name}: ${words.join('; ') || 'it gave no reason'}.`,
    next: 'Check that the challenge reaches the place where the CA looks: public DNS (delegation, CAA) or port 80 of the name.',
    facts: {
      directory: context.authority.directory,
      order: order?.url,
      problem: order?.error?.type ?? types.find((type) => type !== undefined),
      subproblems: problems,
    },
  })
}

function notVisible(context: OrderContext, left: Open[]): Failure {
  const names = left.map(({ record }) => record.identifier)
  return new Failure({
    code: context.authority.solver.type === 'dns-01' ? 'dns.not-visible' : 'http-01.not-visible',
    kind: 'later',
    message: `The challenge for ${names.join(', ')} was written but did not become visible within ${Math.round(context.pace.visibleWithinMs / 1000)} s (${describe(left[0]?.record.placement ?? {})}).`,
    next:
      context.authority.solver.type === 'dns-01'
        ? "Check that the zone in this account is the one the name's parent delegates to, and that its name servers answer."
        : 'Check that the bucket serves the path of the challenge.',
    facts: { names },
  })
}

function nameOf({ identifier, wildcard }: ChallengeRecord): string {
  return wildcard ? `*.${identifier}` : identifier
}

function isOld(context: OrderContext, at: string): boolean {
  return context.clock.now().getTime() - Date.parse(at) > answerAgainMs
}

/** A certificate may have a hundred names; a line of a terminal has room for some. */
function few(items: string[]): string {
  const rest = items.length - 2
  return rest > 1 ? `${items.slice(0, 2).join(', ')} and ${rest} more` : items.join(', ')
}

/** Where people would look for it. */
function placeOf({ record, key }: Placement): string {
  return record === undefined ? `object ${key}` : `TXT ${record}`
}

function describe(placement: Record<string, string>): string {
  return Object.entries(placement)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ')
}
