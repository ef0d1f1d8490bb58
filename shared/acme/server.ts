import { AsyncLocalStorage } from 'node:async_hooks'
import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { Secret } from '../base/secret.ts'
import { ClientAccount, type ClientInternals } from './client-account.ts'
import type {
  AccountRequest,
  AcmeAccount,
  AcmeChallenge,
  AcmeFeatures,
  AcmeServer,
  Authority,
  ConnectAcme,
  Problem,
  RenewalInfo,
} from './port.ts'
import { hostOf, problemFailure, shortType } from './problems.ts'
import { readRenewalInfo } from './renewal-info.ts'
import { type AcmeReply, AcmeTransport } from './transport.ts'

export interface ConnectOptions {
  clock: Clock
  /** Milliseconds one request may take; default 30 s. */
  timeoutMs?: number
  /** Milliseconds that are left of the work this belongs to: a request takes a third of it at the most. */
  remainingMs?: () => number
  userAgent?: string
}

/** What a directory must have before anything is sent to it (RFC 8555, section 7.1.1). */
const requiredResources = ['newNonce', 'newAccount', 'newOrder'] as const
/** Servers may reject nonces at will (RFC 8555, section 6.5); the deadline bounds this, not a small number. */
const badNonceRetries = 100

/** Connects to an authority by acme-client, which is loaded only when an account is needed. */
export function connectAcme(options: ConnectOptions): ConnectAcme {
  return (authority) => new ClientServer(authority, options)
}

type Directory = Record<string, unknown> & { meta?: Record<string, unknown> }

class ClientServer implements AcmeServer {
  readonly #authority: Omit<Authority, 'solver'>
  readonly #transport: AcmeTransport
  readonly #clock: Clock
  #directory: Directory | undefined

  constructor(authority: Omit<Authority, 'solver'>, options: ConnectOptions) {
    this.#authority = authority
    this.#clock = options.clock
    this.#transport = new AcmeTransport({
      directory: authority.directory,
      caPem: authority.caPem,
      clock: options.clock,
      timeoutMs: options.timeoutMs ?? 30_000,
      remainingMs: options.remainingMs,
      userAgent: options.userAgent ?? 'cert-rotation/0.1 acme-client/5.4.0',
    })
  }

  async features(signal?: AbortSignal): Promise<AcmeFeatures> {
    const directory = await this.#readDirectory(signal)
    const renewalInfo = directory.renewalInfo
    const profiles = directory.meta?.profiles
    return {
      ...(typeof renewalInfo === 'string' && { renewalInfo }),
      profiles: profiles !== null && typeof profiles === 'object' ? Object.keys(profiles) : [],
      externalAccountRequired: directory.meta?.externalAccountRequired === true,
    }
  }

  async renewalInfo(certificateId: string, signal?: AbortSignal): Promise<RenewalInfo | undefined> {
    const { renewalInfo } = await this.features(signal)
    if (renewalInfo === undefined) return undefined
    const url = `${renewalInfo.replace(/\/+$/, '')}/${certificateId}`
    const reply = await this.#transport.send('GET', url, undefined, signal)
    if (reply.status !== 200) {
      throw this.#refusal(reply, 'renewal information')
    }
    return readRenewalInfo(reply.data, this.#transport.retryAfter(reply))
  }

  async account(request: AccountRequest, signal?: AbortSignal): Promise<AcmeAccount> {
    const directory = await this.#readDirectory(signal)
    if (
      directory.meta?.externalAccountRequired === true &&
      request.externalAccount === undefined &&
      request.url === undefined
    ) {
      throw problemFailure(
        {
          type: 'urn:ietf:params:acme:error:externalAccountRequired',
          detail: 'its directory says that an account needs an external account binding',
        },
        { doing: 'an account', directory: this.#authority.directory, status: 400, now: this.#clock.now() },
      )
    }
    const acme = await import('acme-client')
    const client = new acme.Client({
      directoryUrl: this.#authority.directory,
      accountKey: request.key.reveal(),
      ...(request.url !== undefined && { accountUrl: request.url }),
      ...(request.externalAccount !== undefined && {
        externalAccountBinding: {
          kid: request.externalAccount.keyId,
          hmacKey: request.externalAccount.hmacKey.reveal(),
        },
      }),
    })
    const internals = client as unknown as ClientInternals
    const call = new AsyncLocalStorage<{ doing: string; signal: AbortSignal | undefined }>()
    internals.http.maxBadNonceRetries = badNonceRetries
    internals.http.directoryCache = directory
    internals.http.directoryTimestamp = Number.MAX_SAFE_INTEGER
    // acme-client's own transport is one axios instance for the whole process: its roots, retries (it sends the
    // same signed request again) and defaults would be shared by all authorities. So this one replaces it.
    internals.http.request = async (url, method, options) => {
      const { doing, signal } = call.getStore() ?? { doing: 'a request', signal: undefined }
      const body = options?.data === undefined ? undefined : JSON.stringify(options.data)
      const verb = method.toUpperCase() as 'GET' | 'HEAD' | 'POST'
      const reply = await this.#transport.send(verb, url, body, signal)
      if (reply.status >= 400 && shortType(problemOf(reply)) !== 'badNonce') {
        throw this.#refusal(reply, doing)
      }
      return reply
    }
    const run = <T>(doing: string, signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> =>
      call.run({ doing, signal }, async () => {
        try {
          return await work()
        } catch (thrown) {
          signal?.throwIfAborted()
          if (thrown instanceof Failure) throw thrown
          throw this.#brokenReply(doing, thrown)
        }
      })

    let url = request.url
    if (url === undefined) {
      const reply = await run('the account', signal, () =>
        internals.api.createAccount({
          termsOfServiceAgreed: true,
          ...(request.email !== undefined && { contact: [`mailto:${request.email}`] }),
        }),
      )
      url = reply.headers.location
      if (url === undefined) throw this.#brokenReply('the account', new Error('no Location header'))
    }
    const values = (challenge: AcmeChallenge) =>
      client.getChallengeKeyAuthorization(
        challenge as Parameters<typeof client.getChallengeKeyAuthorization>[0],
      )
    const csr = async (key: Secret, names: string[]) => {
      const [, pem] = await acme.crypto.createCsr({ altNames: [...names] }, key.reveal())
      return acme.crypto.getPemBodyAsB64u(pem)
    }
    return new ClientAccount(url, internals.api, this.#transport, { run, values, csr })
  }

  close(): Promise<void> {
    return this.#transport.close()
  }

  async #readDirectory(signal?: AbortSignal): Promise<Directory> {
    if (this.#directory !== undefined) return this.#directory
    const url = this.#authority.directory
    const reply = await this.#transport.send('GET', url, undefined, signal)
    if (reply.status === 429 || reply.status >= 500) throw this.#refusal(reply, 'its directory')
    const directory = reply.data as Directory
    const complete =
      reply.status === 200 &&
      directory !== null &&
      typeof directory === 'object' &&
      requiredResources.every((name) => typeof directory[name] === 'string')
    if (!complete) {
      throw new Failure({
        code: 'acme.bad-directory',
        kind: 'never',
        message: `${url} is not an ACME directory (HTTP ${reply.status}).`,
        next: "Set `directory` to the directory URL in the CA's documentation, for example https://acme-v02.api.letsencrypt.org/directory.",
        facts: { directory: url, status: reply.status },
      })
    }
    this.#directory = directory
    return directory
  }

  #refusal(reply: AcmeReply, doing: string): Failure {
    const failure = problemFailure(problemOf(reply), {
      doing,
      directory: this.#authority.directory,
      status: reply.status,
      retryAfterMs: this.#transport.retryAfter(reply),
      now: this.#clock.now(),
      ...(doing === 'the account' &&
        this.#authority.externalAccount !== undefined &&
        ['unauthorized', 'malformed', 'externalAccountRequired'].includes(
          shortType(problemOf(reply)) ?? '',
        ) && {
          code: 'acme.external-account',
        }),
    })
    return this.#withSkew(failure)
  }

  #withSkew(failure: Failure): Failure {
    const skew = this.#transport.skewMs
    if (skew === undefined) return failure
    const minutes = Math.round(Math.abs(skew) / 60_000)
    return new Failure({
      ...failure,
      message: failure.message,
      next: `Set this machine's clock: it is ${minutes} minutes ${skew > 0 ? 'ahead of' : 'behind'} the CA's. ${failure.next}`,
      facts: { ...failure.facts, clockSkewMs: skew },
      retryAfterMs: failure.retryAfterMs as number,
      cause: failure.cause,
    })
  }

  #brokenReply(doing: string, thrown: unknown): Failure {
    return new Failure({
      code: 'acme.bad-reply',
      kind: 'later',
      message: `The ACME server ${hostOf(this.#authority.directory)} answered ${doing} with something that is not ACME: ${
        thrown instanceof Error ? thrown.message : String(thrown)
      }.`,
      next: "Check the directory URL and the CA's status page.",
      facts: { directory: this.#authority.directory },
      effect: 'unknown',
      cause: thrown,
    })
  }
}

function problemOf(reply: AcmeReply): Problem {
  if (reply.data !== null && typeof reply.data === 'object') return reply.data as Problem
  return {
    detail:
      typeof reply.data === 'string' && reply.data !== '' ? reply.data.slice(0, 200) : 'no reason given',
  }
}
