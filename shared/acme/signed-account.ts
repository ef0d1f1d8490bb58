import { createHash, X509Certificate } from 'node:crypto'
import { Failure } from '../base/failure.ts'
import type { Secret } from '../base/secret.ts'
import { certificateRequest } from './csr.ts'
import type { Signer } from './jws.ts'
import type { AcmeAccount, AcmeAuthorization, AcmeChallenge, AcmeOrder, NewOrder } from './port.ts'
import type { SignedRequests } from './signed-requests.ts'
import type { AcmeReply, AcmeTransport } from './transport.ts'

/** Pages of the list of orders that are read at most. */
const orderPages = 20

/** One account at an ACME server, spoken to by signed requests. */
export class SignedAccount implements AcmeAccount {
  readonly url: string
  readonly #requests: SignedRequests
  readonly #transport: AcmeTransport
  readonly #signer: Signer
  readonly #newOrder: string

  constructor(
    url: string,
    parts: { requests: SignedRequests; transport: AcmeTransport; signer: Signer; newOrder: string },
  ) {
    this.url = url
    this.#requests = parts.requests
    this.#transport = parts.transport
    this.#signer = parts.signer
    this.#newOrder = parts.newOrder
  }

  async orders(signal?: AbortSignal): Promise<string[] | undefined> {
    const account = await this.#read('the account', this.url, signal)
    let next = (account.data as { orders?: unknown }).orders
    if (typeof next !== 'string') return undefined
    const urls: string[] = []
    try {
      for (let page = 0; page < orderPages && typeof next === 'string'; page++) {
        const reply: AcmeReply = await this.#read('the list of orders', next, signal)
        urls.push(...strings((reply.data as { orders?: unknown }).orders))
        next = links(reply, 'next')[0]
      }
    } catch (thrown) {
      // Some servers name the list and do not have it.
      if (thrown instanceof Failure && thrown.kind === 'never') return undefined
      throw thrown
    }
    return urls
  }

  async placeOrder(request: NewOrder, signal?: AbortSignal): Promise<AcmeOrder> {
    const doing = `the order for ${listed(request.names)}`
    const payload = {
      identifiers: request.names.map((value) => ({ type: 'dns', value })),
      ...(request.profile !== undefined && { profile: request.profile }),
      ...(request.replaces !== undefined && { replaces: request.replaces }),
    }
    const reply = await this.#requests.post({ doing, url: this.#newOrder, payload, expected: [201] }, signal)
    return this.#order(reply, reply.headers.location)
  }

  async order(url: string, signal?: AbortSignal): Promise<AcmeOrder | undefined> {
    try {
      return this.#order(await this.#read('the look at its order', url, signal), url)
    } catch (thrown) {
      if (thrown instanceof Failure && thrown.facts.status === 404) return undefined
      throw thrown
    }
  }

  async authorization(url: string, signal?: AbortSignal): Promise<AcmeAuthorization> {
    const reply = await this.#read('the look at an authorization', url, signal)
    const data = reply.data as Partial<AcmeAuthorization> & { identifier?: { value?: string } }
    const retryAfterMs = this.#transport.retryAfter(reply)
    return {
      url,
      status: data.status ?? 'pending',
      identifier: data.identifier?.value ?? '',
      wildcard: data.wildcard === true,
      challenges: Array.isArray(data.challenges) ? data.challenges : [],
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    }
  }

  challengeValue({ type, token }: AcmeChallenge): string {
    const authorization = this.#signer.keyAuthorization(token)
    // RFC 8555, section 8.4; HTTP-01 shows the whole (8.3).
    return type === 'dns-01' ? createHash('sha256').update(authorization).digest('base64url') : authorization
  }

  async respond(challenge: AcmeChallenge, signal?: AbortSignal): Promise<void> {
    const doing = 'the answer to a challenge'
    await this.#requests.post({ doing, url: challenge.url, payload: {}, expected: [200] }, signal)
  }

  async finalize(order: AcmeOrder, key: Secret, names: string[], signal?: AbortSignal): Promise<AcmeOrder> {
    const payload = { csr: certificateRequest(key, names).toString('base64url') }
    const doing = `the certificate signing request for ${listed(names)}`
    const reply = await this.#requests.post({ doing, url: order.finalize, payload, expected: [200] }, signal)
    return this.#order(reply, order.url)
  }

  async certificate(
    order: AcmeOrder,
    preferredChain: string | undefined,
    signal?: AbortSignal,
  ): Promise<string> {
    if (order.certificate === undefined) throw new Error('a valid order without a certificate URL')
    const first = await this.#read('the certificate', order.certificate, signal)
    if (preferredChain === undefined || topIssuer(String(first.data)) === preferredChain) {
      return String(first.data)
    }
    for (const url of links(first, 'alternate')) {
      const other = String((await this.#read('an alternate chain', url, signal)).data)
      if (topIssuer(other) === preferredChain) return other
    }
    // RFC 8555, section 7.4.2: the default chain is always right; a preference is no reason to go without.
    return String(first.data)
  }

  #read(doing: string, url: string, signal: AbortSignal | undefined): Promise<AcmeReply> {
    return this.#requests.read(doing, url, signal)
  }

  #order(reply: AcmeReply, url: string | undefined): AcmeOrder {
    const data = reply.data as Partial<Omit<AcmeOrder, 'names'>> & { identifiers?: { value?: unknown }[] }
    if (url === undefined || typeof data?.finalize !== 'string' || data.status === undefined) {
      throw new Failure({
        code: 'acme.bad-reply',
        kind: 'later',
        message: 'The ACME server answered with an order that has no URL or no status.',
        next: "Check the directory URL and the CA's status page.",
        effect: 'unknown',
      })
    }
    const retryAfterMs = this.#transport.retryAfter(reply)
    return {
      url,
      status: data.status,
      names: strings(data.identifiers?.map((identifier) => identifier.value)),
      authorizations: strings(data.authorizations),
      finalize: data.finalize,
      ...(data.certificate !== undefined && { certificate: data.certificate }),
      ...(data.expires !== undefined && { expires: data.expires }),
      ...(data.error !== undefined && { error: data.error }),
      ...(retryAfterMs !== undefined && { retryAfterMs }),
    }
  }
}

function links(reply: AcmeReply, relation: string): string[] {
  const entries = (reply.headers.link ?? '').matchAll(/<([^>]*)>\s*((?:;[^,]*)*)/g)
  return [...entries]
    .filter(([, , parameters]) => new RegExp(`rel="?${relation}"?(?:[\\s;]|$)`, 'i').test(parameters ?? ''))
    .map(([, url]) => url ?? '')
}

function strings(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((item) => typeof item === 'string') : []
}

function listed(names: string[]): string {
  return names.length <= 3 ? names.join(', ') : `${names[0]} and ${names.length - 1} more names`
}

/** Common name of whoever signed the last certificate of the chain. */
function topIssuer(chainPem: string): string | undefined {
  const last = chainPem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)?.at(-1)
  return last === undefined ? undefined : /^CN=(.*)$/m.exec(new X509Certificate(last).issuer)?.[1]
}
