import type { Failure } from '../base/failure.ts'
import type { Signer } from './jws.ts'
import { problemOf, shortType } from './problems.ts'
import type { AcmeReply, AcmeTransport } from './transport.ts'

/** Servers may reject nonces at will (RFC 8555, section 6.5); the deadline bounds this, not a small number. */
const BAD_NONCES = 100
/** Nonces grow old; a few serve what goes on side by side. */
const NONCES_KEPT = 4

export interface SignedRequestsParts {
  transport: AcmeTransport
  signer: Signer
  newNonce: string
  /** A refusal in the CA's words. */
  refusal(reply: AcmeReply, doing: string): Failure
  /** What is not ACME. */
  broken(doing: string, thrown: unknown): Failure
}

/**
 * The requests of one account: each a POST with a signature over address, body and a nonce that the last reply brought. Nothing
 * is repeated but what was refused for its nonce, which had no effect.
 */
export class SignedRequests {
  /** The account's URL, once it is known: until then the key itself says who asks. */
  account: string | undefined
  readonly #parts: SignedRequestsParts
  readonly #nonces: string[] = []

  constructor(parts: SignedRequestsParts, account: string | undefined) {
    this.#parts = parts
    this.account = account
  }

  /** POST-as-GET (RFC 8555, section 6.3). */
  read(doing: string, url: string, signal: AbortSignal | undefined): Promise<AcmeReply> {
    return this.#send({ doing, url, payload: undefined, expected: [200] }, signal)
  }

  /** Fails with the CA's refusal, or with `acme.bad-reply` where the status is none of the expected. */
  post(
    request: { doing: string; url: string; payload: object; expected: readonly number[] },
    signal: AbortSignal | undefined,
  ): Promise<AcmeReply> {
    return this.#send(request, signal)
  }

  async #send(
    {
      doing,
      url,
      payload,
      expected,
    }: { doing: string; url: string; payload: unknown; expected: readonly number[] },
    signal: AbortSignal | undefined,
  ): Promise<AcmeReply> {
    const { transport, signer, refusal, broken } = this.#parts
    for (let attempt = 1; ; attempt++) {
      const nonce = this.#nonces.pop() ?? (await this.#newNonce(doing, signal))
      const body = signer.sign({ url, nonce, account: this.account }, payload)
      const reply = await transport.send('POST', url, JSON.stringify(body), signal)
      this.#keepNonce(reply)
      if (expected.includes(reply.status)) return reply
      if (reply.status < 400) throw broken(doing, new Error(`HTTP ${reply.status}`))
      if (shortType(problemOf(reply)) !== 'badNonce' || attempt > BAD_NONCES) throw refusal(reply, doing)
    }
  }

  async #newNonce(doing: string, signal: AbortSignal | undefined): Promise<string> {
    const { transport, newNonce, refusal, broken } = this.#parts
    const reply = await transport.send('HEAD', newNonce, undefined, signal)
    if (reply.status >= 400) throw refusal(reply, doing)
    this.#keepNonce(reply)
    const nonce = this.#nonces.pop()
    if (nonce === undefined) throw broken(doing, new Error('no nonce'))
    return nonce
  }

  #keepNonce({ headers }: AcmeReply): void {
    const nonce = headers['replay-nonce']
    if (nonce === undefined || !/^[\w-]{1,512}$/.test(nonce)) return
    this.#nonces.push(nonce)
    if (this.#nonces.length > NONCES_KEPT) this.#nonces.shift()
  }
}
