import { Failure } from '../base/failure.ts'
import type { Store } from '../store/port.ts'
import type { Challenge, ChallengeSolver, Placement } from './port.ts'

export interface Http01Options {
  /** `http-01:my-website`. */
  id: string
  /** The store behind the web site: what lies under the prefix is served at `/.well-known/acme-challenge/`. */
  store: Store
  /** Default `.well-known/acme-challenge/`. */
  prefix?: string
}

/** RFC 8555, section 8.3, with the token as the only thing that comes from outside (base64url, section 8.1). */
const token = /^[A-Za-z0-9_-]{16,256}$/

/**
 * HTTP-01 by an object in a bucket that serves the path. Whether it is reachable from the internet only the CA can
 * see; `ready` reads the object back.
 */
export function createHttp01Solver(options: Http01Options): ChallengeSolver {
  const { store, id } = options
  const prefix = `${(options.prefix ?? '.well-known/acme-challenge/').replace(/^\/+|\/+$/g, '')}/`
  /** A placement comes back from the store: it names an object of this solver, or nothing is done with it. */
  const keyOf = ({ key = '' }: Placement) => {
    if (key.startsWith(prefix) && token.test(key.slice(prefix.length))) return key
    throw new Failure({
      code: 'http-01.foreign-placement',
      kind: 'never',
      message: `${JSON.stringify(key.slice(0, 200))} in ${store.description} is not where a challenge is put (${prefix}<token>), so it is left alone.`,
      next: 'If it is a challenge of an earlier configuration, delete it by hand; else find out who writes to renew/.',
      facts: { key: key.slice(0, 200) },
    })
  }
  return {
    type: 'http-01',
    id,
    async prepare(challenge: Challenge) {
      if (!token.test(challenge.token)) {
        throw new Failure({
          code: 'http-01.bad-token',
          kind: 'never',
          message: `The CA sent a challenge token for ${challenge.identifier} that is not base64url.`,
          next: 'Check the directory URL.',
          facts: { name: challenge.identifier },
        })
      }
      return { key: `${prefix}${challenge.token}`, value: challenge.value }
    },
    async present(placement, signal) {
      const options = { contentType: 'application/octet-stream', ...(signal && { signal }) }
      await store.put(keyOf(placement), placement.value ?? '', options)
    },
    async ready(placement, { signal } = {}) {
      const object = await store.get(keyOf(placement), { ...(signal && { signal }) })
      if (object === undefined) return 'missing'
      return Buffer.from(object.bytes).toString('utf8') === placement.value ? 'ready' : 'missing'
    },
    async cleanUp(placement, signal) {
      const key = keyOf(placement)
      const object = await store.get(key, { ...(signal && { signal }) })
      // Only what was put there for this challenge: another's under the same name stays.
      if (object === undefined || Buffer.from(object.bytes).toString('utf8') !== placement.value) return
      await store.delete(key, { ...(signal && { signal }) })
    },
  }
}
