import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import { digestOf } from '../base/names.ts'
import type { Secret } from '../base/secret.ts'
import type { Store } from '../store/port.ts'
import { type Envelope, open, seal } from './envelope.ts'
import { newKey } from './keys.ts'
import type { AcmeAccount, AcmeServer, Authority } from './port.ts'
import { renewKeys } from './state.ts'

interface AccountFile {
  schema: 1
  directory: string
  email?: string
  key: Envelope
  /** Missing until the CA has confirmed it. */
  url?: string
  createdAt: string
}

export interface AccountParts {
  store: Store
  clock: Clock
  /** Opens and seals the account key; needed unless the key is handed in. */
  secret: Secret | undefined
}

/** An account and its key as it is kept with an order; no envelope where the key is handed in by the config. */
export interface OpenAccount {
  account: AcmeAccount
  record: { url: string; key?: Envelope }
}

/** What decides which account it is. */
type AccountOf = Pick<Authority, 'directory' | 'email' | 'externalAccount'>

/**
 * The account for new orders. Its key is made once, stored before the CA hears of it, and registered again as
 * often as a crash demands: the same key always gives the same account (RFC 8555, section 7.3.1). Two
 * certificates that make it at the same moment may end with one account each; every order carries its own, so
 * neither is stranded, and from the next order on both use the one that stayed in the store.
 */
export async function openAccount(
  parts: AccountParts,
  authority: Authority,
  server: AcmeServer,
  signal?: AbortSignal,
): Promise<OpenAccount> {
  const request = { email: authority.email, externalAccount: authority.externalAccount }
  if (authority.accountKey !== undefined) {
    const account = await server.account({ ...request, key: authority.accountKey }, signal)
    return { account, record: { url: account.url } }
  }
  const secret = requireSecret(parts.secret)
  const purpose = accountPurpose(authority)
  const at = renewKeys.account(accountDigest(authority))
  const known = await readAccount(parts.store, at, signal)
  const file: AccountFile = known ?? {
    schema: 1,
    directory: authority.directory,
    ...(authority.email !== undefined && { email: authority.email }),
    key: await seal(await newKey('P-256'), secret, purpose),
    createdAt: parts.clock.now().toISOString(),
  }
  if (known === undefined) await writeAccount(parts.store, at, file)
  const key = await open(file.key, secret, purpose)
  const account = await server.account({ ...request, key, url: file.url }, signal)
  if (file.url !== account.url) await writeAccount(parts.store, at, { ...file, url: account.url })
  return { account, record: { url: account.url, key: file.key } }
}

/** Whether the key of the stored account opens; nothing is asked of the CA. Fails as `openAccount` does. */
export async function storedAccount(
  parts: Pick<AccountParts, 'store' | 'secret'>,
  authority: AccountOf,
  signal?: AbortSignal,
): Promise<'opens' | 'none'> {
  const known = await readAccount(parts.store, renewKeys.account(accountDigest(authority)), signal)
  if (known === undefined) return 'none'
  await open(known.key, requireSecret(parts.secret), accountPurpose(authority))
  return 'opens'
}

/** The account of an order that was placed in an earlier invocation. */
export async function reopenAccount(
  parts: AccountParts,
  authority: Authority,
  server: AcmeServer,
  record: OpenAccount['record'],
  signal?: AbortSignal,
): Promise<AcmeAccount> {
  const key =
    record.key === undefined
      ? authority.accountKey
      : await open(record.key, requireSecret(parts.secret), accountPurpose(authority))
  if (key === undefined) {
    throw new Failure({
      code: 'acme.key-missing',
      kind: 'never',
      message: `The order at ${authority.directory} belongs to an account whose key was handed in and is not any more.`,
      next: 'Hand in the same account key again, or delete the file of this certificate below renew/ to order anew.',
      facts: { directory: authority.directory },
    })
  }
  return server.account({ key, url: record.url }, signal)
}

/** The CA has forgotten the account: the key stays, and the next attempt registers it again. */
export async function forgetAccountUrl(parts: AccountParts, authority: Authority): Promise<void> {
  const at = renewKeys.account(accountDigest(authority))
  const file = await readAccount(parts.store, at)
  if (file?.url === undefined) return
  const { url: _, ...rest } = file
  await writeAccount(parts.store, at, rest)
}

export function requireSecret(secret: Secret | undefined): Secret {
  if (secret !== undefined) return secret
  throw new Failure({
    code: 'acme.no-secret',
    kind: 'never',
    message: 'ACME renewal keeps keys in the store, and there is nothing to encrypt them with.',
    next: 'Set accountKeySecret in the config, for example from an environment variable, to at least 20 random characters.',
  })
}

function accountDigest(authority: AccountOf): string {
  return digestOf(
    'acme-account',
    authority.directory,
    authority.email ?? '',
    authority.externalAccount?.keyId ?? '',
  )
}

function accountPurpose(authority: AccountOf): string {
  return `the ACME account at ${authority.directory}`
}

async function readAccount(store: Store, at: string, signal?: AbortSignal): Promise<AccountFile | undefined> {
  const object = await store.get(at, { ...(signal && { signal }) })
  if (object === undefined) return undefined
  try {
    const file = JSON.parse(Buffer.from(object.bytes).toString('utf8')) as AccountFile
    if (file.schema === 1 && file.key?.v === 1) return file
  } catch {
    // Falls through: the failure below names the file.
  }
  throw new Failure({
    code: 'acme.account-file',
    kind: 'never',
    message: `${at} in ${store.description} is not an account file.`,
    next: 'Restore it, or delete it: a new account is made then.',
    facts: { key: at },
  })
}

function writeAccount(store: Store, at: string, file: AccountFile): Promise<void> {
  return store.put(at, `${JSON.stringify(file, undefined, 2)}\n`, { contentType: 'application/json' })
}
