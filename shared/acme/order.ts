import { X509Certificate } from 'node:crypto'
import { asFailure, Failure } from '../base/failure.ts'
import { deliveryDigest, keys } from '../base/names.ts'
import type { Secret } from '../base/secret.ts'
import { forgetAccountUrl, openAccount, reopenAccount, requireSecret } from './account.ts'
import { orderInvalid, proveNames, takeDown } from './challenges.ts'
import type { OrderContext } from './context.ts'
import { open, seal } from './envelope.ts'
import { belongsTo, isKeyOfType, newKey } from './keys.ts'
import { covers } from './names.ts'
import type { AcmeAccount, AcmeOrder } from './port.ts'
import { refusesKey } from './problems.ts'
import { rememberIssuance } from './refusal.ts'
import { authorityKey, type IssuedRecord, type OrderRecord } from './state.ts'
import { heedRetryAfter, StillWaiting, waitFor } from './still-waiting.ts'

/** After these the order cannot lead to a certificate any more: its record goes, and the next attempt is a new one. */
const endsOrder = new Set([
  'acme.order-invalid',
  'acme.order-gone',
  'acme.foreign-certificate',
  'acme.name-rejected',
  'acme.key-refused',
  'acme.profile',
  'acme.contact',
  'acme.refused',
  'acme.no-challenge',
  'acme.caa',
  'acme.account-unknown',
])
/** Once the signing request is sent, only the CA's own word on this order ends it: its key may be in use. */
const endsFinalized = new Set([
  'acme.order-invalid',
  'acme.order-gone',
  'acme.foreign-certificate',
  'acme.key-refused',
  'acme.account-unknown',
])
/** A longer `Retry-After` is a wait of the certificate, not of this invocation. */
const LONGEST_RETRY_MS = 10_000
/** An order may have to be begun anew (forgotten by the CA, account unknown); not for ever in one invocation. */
const beginnings = 2

/**
 * The order at one authority, from wherever it stands to the bundle in `incoming/<name>/`.
 *
 * A state machine over the record in the store. Each step looks at the CA, acts, and notes; the note comes first
 * where a crash after the act could lose something:
 *
 * - `intended`, with the certificate's key: written before the CA hears of the order. ACME has no idempotency key.
 *   After a lost reply the account's list of orders is asked; a CA without such a list (Let's Encrypt) either
 *   answers the same request with the same pending order, or keeps an order that nobody finalizes, which costs
 *   nothing and expires. Only an order whose URL has been noted is ever finalized, so at most one can issue.
 * - `finalizing`: written before the signing request is sent. Its key stays until the bundle is delivered.
 * - `delivering`, with the chain: delivery needs neither the CA nor its account, and repeats the same bytes.
 *
 * Where nothing is to be done but to wait, it ends with `StillWaiting` and is to be called again.
 */
export async function runOrder(context: OrderContext): Promise<IssuedRecord> {
  for (let begun = 1; ; begun++) {
    try {
      return await advance(context)
    } catch (thrown) {
      if (context.signal?.aborted || thrown instanceof StillWaiting) throw thrown
      const failure = asFailure(thrown)
      const droppedKey = dropRefusedKey(context, failure)
      await afterFailure(context, failure)
      const anew = failure.code === 'acme.account-unknown' || failure.code === 'acme.order-gone'
      if ((!anew && !droppedKey) || begun >= beginnings) throw failure
      context.log.info('the order begins anew', { failure })
    }
  }
}

/** The order ends here: what it shows is taken down, and its record goes. */
export async function dropOrder(context: OrderContext): Promise<void> {
  const id = authorityKey(context.authority)
  const record = context.state.orders[id]
  if (record === undefined) return
  delete context.state.orders[id]
  await takeDown(context, record)
  await context.save()
}

/** Writes the bundle where every upload goes. The only exit of a renewal. */
export async function deliver(
  context: Pick<
    OrderContext,
    'name' | 'store' | 'clock' | 'state' | 'save' | 'secret' | 'request' | 'inService'
  >,
  id: string,
): Promise<IssuedRecord> {
  const record = context.state.orders[id]
  if (record?.certificate === undefined) throw new Error('nothing to deliver')
  const key = await open(record.key, requireSecret(context.secret), keyPurpose(context.name))
  const leaf = new X509Certificate(record.certificate)
  // A crash after the drop: the rotation was quicker than the note about it.
  if (fingerprintOf(leaf) !== context.inService) await drop(context, key, record.certificate)
  const issued: IssuedRecord = {
    directory: record.directory,
    fingerprint: fingerprintOf(leaf),
    names: namesOf(leaf),
    notBefore: new Date(leaf.validFrom).toISOString(),
    notAfter: new Date(leaf.validTo).toISOString(),
    leaf: leaf.toString(),
    key: record.key,
    certificate: record.certificate,
    ...(record.delivery !== undefined && { delivery: record.delivery }),
    authority: id,
    at: context.clock.now().toISOString(),
  }
  context.state.issued = issued
  delete context.state.refusal
  // Orders at other authorities are superseded; what they show is taken down as leftovers.
  for (const other of Object.values(context.state.orders)) {
    for (const { solver, placement, presentedAt } of Object.values(other.challenges)) {
      if (presentedAt !== undefined) context.state.leftovers.push({ solver, placement })
    }
  }
  context.state.orders = {}
  context.state.waits = {}
  await context.save()
  return issued
}

/** The key first: a certificate without its key would be the half that alarms people. */
export async function drop(
  { name, store }: Pick<OrderContext, 'name' | 'store'>,
  key: Secret,
  certificate: string,
): Promise<void> {
  const folder = keys.incoming(name)
  const type = { contentType: 'application/x-pem-file' }
  await store.put(`${folder}privkey.pem`, key.reveal(), type)
  await store.put(`${folder}fullchain.pem`, certificate, type)
}

async function advance(context: OrderContext): Promise<IssuedRecord> {
  const { clock, pace, signal, state } = context
  const id = authorityKey(context.authority)
  const existing = state.orders[id]
  if (existing !== undefined && !canGoOn(context, existing)) await dropOrder(context)
  let fresh = false
  let account: AcmeAccount | undefined
  if (state.orders[id] === undefined) {
    account = await intend(context, id)
    fresh = true
  }
  for (let failed = 0; ; ) {
    signal?.throwIfAborted()
    const record = state.orders[id]
    if (record === undefined) throw new Error('the order has no record')
    try {
      if (record.status === 'delivering') return await deliver(context, id)
      heedRetryAfter(context, record)
      account ??= await reopenAccount(context, context.authority, context.server, record.account, signal)
      if (record.status === 'intended') await place(context, record, account, fresh && failed === 0)
      else await followUp(context, record, account)
      failed = 0
    } catch (thrown) {
      if (signal?.aborted) throw thrown
      const failure = asFailure(thrown)
      failed += 1
      const wait = failure.retryAfterMs ?? pace.retryMs * 2 ** (failed - 1)
      // A longer wait is not sat out here: it is noted, and others have their turn.
      if (failure.kind !== 'again' || failed >= pace.tries || wait > LONGEST_RETRY_MS) throw failure
      await clock.sleep(wait, signal)
    }
  }
}

async function intend(context: OrderContext, id: string): Promise<AcmeAccount> {
  const { authority, clock, request, state } = context
  const secret = requireSecret(context.secret)
  const features = await context.server.features(context.signal)
  if (authority.profile !== undefined && !features.profiles.includes(authority.profile)) {
    throw new Failure({
      code: 'acme.profile',
      kind: 'never',
      message: `The CA at ${authority.directory} has no profile ${JSON.stringify(authority.profile)}.`,
      next:
        features.profiles.length > 0
          ? `Choose one of its profiles: ${features.profiles.join(', ')}.`
          : 'Leave profile out: this CA has none.',
      facts: { directory: authority.directory, profiles: features.profiles },
    })
  }
  const { account, record } = await openAccount(context, authority, context.server, context.signal)
  state.orders[id] = {
    directory: authority.directory,
    status: 'intended',
    startedAt: clock.now().toISOString(),
    names: request.names,
    ...(authority.profile !== undefined && { profile: authority.profile }),
    ...(context.replaces !== undefined &&
      features.renewalInfo !== undefined && { replaces: context.replaces }),
    account: record,
    key: await certificateKey(context, secret),
    challenges: {},
  }
  await context.save()
  return account
}

/** A fresh key, or with `reuseKey` the one of the last order if it is of the configured type. */
async function certificateKey(context: OrderContext, secret: Secret): Promise<OrderRecord['key']> {
  const { keyType, reuseKey } = context.request
  const kept = context.state.issued?.key
  if (reuseKey && kept !== undefined) {
    const key = await open(kept, secret, keyPurpose(context.name))
    if (isKeyOfType(key, keyType)) return kept
  }
  return seal(await newKey(keyType), secret, keyPurpose(context.name))
}

async function place(
  context: OrderContext,
  record: OrderRecord,
  account: AcmeAccount,
  fresh: boolean,
): Promise<void> {
  const order = (fresh ? undefined : await placedBefore(context, record, account)) ?? (await placeNow())
  if (order === undefined) return
  record.url = order.url
  record.status = 'placed'
  if (order.expires !== undefined) record.expires = order.expires
  await context.save()
  context.log.info('order placed', { order: order.url, names: record.names })
  context.progress(`order placed for ${record.names.join(', ')}`)

  async function placeNow(): Promise<AcmeOrder | undefined> {
    try {
      const { names, profile, replaces } = record
      return await account.placeOrder({ names, profile, replaces }, context.signal)
    } catch (thrown) {
      const failure = asFailure(thrown)
      const answered = typeof failure.facts.status === 'number'
      const otherReason = failure.code === 'acme.rate-limited' || failure.code === 'acme.account-unknown'
      if (record.replaces === undefined || !answered || otherReason) throw failure
      // RFC 9773, section 5: naming the predecessor is a courtesy. Servers refuse it after an account change or
      // when it was named before, with whatever status they like; without it the order stands on its own.
      context.log.warn('order refused with replaces, repeated without', { failure })
      delete record.replaces
      await context.save()
      return undefined
    }
  }
}

/** The look-up of an order whose reply was lost: an unfinished order for exactly these names. */
async function placedBefore(
  context: OrderContext,
  record: OrderRecord,
  account: AcmeAccount,
): Promise<AcmeOrder | undefined> {
  const wanted = [...record.names].sort().join()
  for (const url of (await account.orders(context.signal))?.reverse() ?? []) {
    const order = await account.order(url, context.signal)
    const open = order?.status === 'pending' || order?.status === 'ready'
    if (open && [...order.names].sort().join() === wanted) return order
  }
  return undefined
}

async function followUp(context: OrderContext, record: OrderRecord, account: AcmeAccount): Promise<void> {
  const { pace, signal } = context
  const order = record.url === undefined ? undefined : await account.order(record.url, signal)
  if (order === undefined) {
    throw new Failure({
      code: 'acme.order-gone',
      kind: 'later',
      message: `The CA does not know the order of ${context.name} any more.`,
      next: 'Nothing to do: a new order is placed.',
      facts: { order: record.url },
    })
  }
  switch (order.status) {
    case 'pending':
      return await proveNames(context, record, account, order)
    case 'ready':
      await takeDown(context, record)
      return await issue(context, record, account, order)
    case 'processing': {
      const sentence = `The CA is still making the certificate of ${context.name}.`
      const { patienceMs } = pace
      await waitFor(context, record, { for: 'issued', sentence, patienceMs, askedMs: order.retryAfterMs })
      throw new Failure({
        code: 'acme.processing-slow',
        kind: 'later',
        message: sentence,
        next: 'Nothing to do: it is fetched with a later tick.',
        facts: { order: order.url },
      })
    }
    case 'valid':
      return await fetchCertificate(context, record, account, order)
    default:
      throw await orderInvalid(context, account, order)
  }
}

async function issue(
  context: OrderContext,
  record: OrderRecord,
  account: AcmeAccount,
  order: AcmeOrder,
): Promise<void> {
  const key = await open(record.key, requireSecret(context.secret), keyPurpose(context.name))
  if (record.status !== 'finalizing') {
    record.status = 'finalizing'
    record.finalizedAt = context.clock.now().toISOString()
    await context.save()
  }
  await account.finalize(order, key, record.names, context.signal)
}

async function fetchCertificate(
  context: OrderContext,
  record: OrderRecord,
  account: AcmeAccount,
  order: AcmeOrder,
): Promise<void> {
  const chain = await account.certificate(order, context.authority.preferredChain, context.signal)
  const key = await open(record.key, requireSecret(context.secret), keyPurpose(context.name))
  const leaf = readLeaf(chain)
  const missing = leaf === undefined ? [] : record.names.filter((name) => !covers(namesOf(leaf), name))
  if (leaf === undefined || !belongsTo(key, leaf) || missing.length > 0) {
    // A CA may answer two equal requests with one order: then the other request's key was finalized first.
    throw new Failure({
      code: 'acme.foreign-certificate',
      kind: 'later',
      message: `The order of ${context.name} was finished with a certificate that ${
        leaf === undefined
          ? 'is not PEM'
          : missing.length > 0
            ? `lacks ${missing.join(', ')}`
            : 'has another key'
      }.`,
      next: 'Do not order the same names under two certificate names with one account; otherwise nothing: it is ordered again.',
      facts: { order: order.url },
    })
  }
  record.certificate = chain.endsWith('\n') ? chain : `${chain}\n`
  record.delivery = deliveryDigest(key.reveal(), record.certificate)
  record.status = 'delivering'
  rememberIssuance(context.state, context.clock.now(), record.names, leaf)
  await context.save()
  context.progress(
    `certificate issued, valid until ${new Date(leaf.validTo).toISOString().slice(0, 10)}: ${fingerprintOf(leaf).slice(0, 12)}…`,
  )
  context.log.info('certificate issued', { order: order.url, fingerprint: fingerprintOf(leaf) })
}

/** Whether a stored order is still what is wanted. One that may have issued is always finished. */
function canGoOn(context: OrderContext, record: OrderRecord): boolean {
  if (record.status === 'finalizing' || record.status === 'delivering') return true
  const expires = Date.parse(record.expires ?? '')
  // By a clock that is days ahead every order has expired when it is placed: then the CA's own word counts.
  const expired = expires <= context.clock.now().getTime() && expires > Date.parse(record.startedAt)
  return (
    !expired &&
    record.names.join() === context.request.names.join() &&
    record.profile === context.authority.profile
  )
}

/**
 * The CA refuses the key itself (weak, blocked, known to be compromised), and `reuseKey` would ask with the same one
 * for ever: the kept key goes, and the next order takes a new one. RFC 8555 has `badPublicKey` for it; CAs that
 * find the key inside the signing request say `badCSR`.
 */
function dropRefusedKey(context: OrderContext, failure: Failure): boolean {
  const { issued, orders } = context.state
  const record = orders[authorityKey(context.authority)]
  const kept = issued?.key
  if (record?.status !== 'finalizing' || !refusesKey(failure) || kept?.data !== record.key.data) return false
  delete issued?.key
  context.warnings.push(
    `The CA refused the key that reuseKey kept for ${context.name}: a new one takes its place.`,
  )
  return true
}

async function afterFailure(context: OrderContext, failure: Failure): Promise<void> {
  const id = authorityKey(context.authority)
  const record = context.state.orders[id]
  if (failure.code === 'acme.account-unknown') await forgetAccountUrl(context, context.authority)
  if (record === undefined) return
  const neverPlaced = record.status === 'intended' && failure.effect === 'none'
  const mayHaveIssued = record.status === 'finalizing' || record.status === 'delivering'
  const over = mayHaveIssued ? endsFinalized.has(failure.code) : endsOrder.has(failure.code)
  if (over || neverPlaced) return await dropOrder(context)
  // The CA may be looking at this moment; what it was told to look at stays until it has said what it saw.
  const answered = Object.values(record.challenges).some(({ respondedAt }) => respondedAt !== undefined)
  if (!answered) await takeDown(context, record)
}

/** Undefined where the text is not PEM. */
export function readLeaf(chain: string): X509Certificate | undefined {
  try {
    return new X509Certificate(chain)
  } catch {
    return undefined
  }
}

/** dNSName subject alternative names, lower-case. */
export function namesOf(leaf: X509Certificate): string[] {
  return (leaf.subjectAltName ?? '')
    .split(', ')
    .filter((entry) => entry.startsWith('DNS:'))
    .map((entry) => entry.slice('DNS:'.length).toLowerCase())
}

/** As `Certificate.fingerprint`. */
export function fingerprintOf(leaf: X509Certificate): string {
  return leaf.fingerprint256.replaceAll(':', '').toLowerCase()
}

export function keyPurpose(name: string): string {
  return `the certificate ${name}`
}
