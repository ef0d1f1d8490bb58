/** One request to a service, without bodies, tokens and signatures. */
export interface Call {
  sequence: number
  /** Emulator time of arrival. */
  at: string
  service: string
  route: string
  method: string
  path: string
  query: string
  /** Null while it is being answered and where the connection was broken on purpose. */
  status: number | null
  errorCode: string | null
  /** Whether the route is meant to change the cloud. */
  mutating: boolean
  /** Whether this call did change it. */
  effect: boolean
  /** IAM action it needed, and those the documents call its dependencies. */
  action: string | null
  dependsOn: string[]
  /** What was made to go wrong with it. */
  lost: 'request' | 'reply' | 'half-reply' | null
  requestId: string
}

/** The log of calls, in the order of their arrival. */
export class Calls {
  #calls: Call[] = []
  #next = 1

  open(init: Omit<Call, 'sequence' | 'status' | 'errorCode' | 'effect' | 'lost'>): Call {
    const call: Call = {
      sequence: this.#next++,
      ...init,
      status: null,
      errorCode: null,
      effect: false,
      lost: null,
    }
    this.#calls.push(call)
    return call
  }

  list(): Call[] {
    return this.#calls.map((call) => ({ ...call }))
  }

  /** Sequence numbers go on. */
  clear(): void {
    this.#calls = []
  }
}
