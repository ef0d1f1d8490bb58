import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import { signerOf } from './jws.ts'
import type {
  AccountRequest,
  AcmeAccount,
  AcmeFeatures,
  AcmeServer,
  Authority,
  ConnectAcme,
  RenewalInfo,
} from './port.ts'
import { hostOf, problemFailure, problemOf, shortType } from './problems.ts'
import { readRenewalInfo } from './renewal-info.ts'
import { SignedAccount } from './signed-account.ts'
import { SignedRequests } from './signed-requests.ts'
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

export function connectAcme(options: ConnectOptions): ConnectAcme {
  return (authority) => new HttpServer(authority, options)
}

type Directory = Record<(typeof requiredResources)[number], string> & {
  renewalInfo?: unknown
  meta?: Record<string, unknown>
}

class HttpServer implements AcmeServer {
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
      userAgent: options.userAgent ?? 'cert-rotation',
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
    const signer = signerOf(request.key)
    const transport = this.#transport
    const { newNonce, newAccount, newOrder } = directory
    const requests = new SignedRequests(
      {
        transport,
        signer,
        newNonce,
        refusal: (reply, doing) => this.#refusal(reply, doing),
        broken: (doing, thrown) => this.#brokenReply(doing, thrown),
      },
      request.url,
    )
    if (requests.account === undefined) {
      const { email, externalAccount } = request
      const payload = {
        termsOfServiceAgreed: true,
        ...(email !== undefined && { contact: [`mailto:${email}`] }),
        ...(externalAccount !== undefined && {
          externalAccountBinding: signer.bind({ url: newAccount, ...externalAccount }),
        }),
      }
      const doing = 'the account'
      const reply = await requests.post({ doing, url: newAccount, payload, expected: [200, 201] }, signal)
      requests.account = reply.headers.location
      if (requests.account === undefined) throw this.#brokenReply(doing, new Error('no Location header'))
    }
    return new SignedAccount(requests.account, { requests, transport, signer, newOrder })
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
