import type { FailureKind } from '../base/failure.ts'
import { Failure } from '../base/failure.ts'
import { recoded } from '../http/failures.ts'

/** What the caller was doing: the same code means different things at create, attach, detach and delete. */
export type GatewayAct = 'look-up' | 'create' | 'update' | 'attach' | 'detach' | 'delete'

interface Meaning {
  code?: string
  kind?: FailureKind
  next: string
}

/** Error table of the API reference ("Error Codes"), with what an operator can do about each. */
const meanings: Record<string, Meaning> = {
  'APIG.2051': {
    code: 'gateway.occupied',
    kind: 'never',
    next: 'Another certificate is bound to this name (perhaps on another port): detach it first.',
  },
  'APIG.2101': { next: 'The private key does not belong to the certificate: drop a matching pair.' },
  'APIG.2102': { next: 'The certificate has expired: drop a renewed one.' },
  'APIG.2103': {
    next: 'The certificate does not cover the domain: issue one with this name, or remove the domain.',
  },
  'APIG.2104': {
    next: 'The chain does not belong to the certificate: drop the leaf followed by its intermediates.',
  },
  'APIG.2105': {
    next: 'The private key is encrypted: give its password in rotation.yaml, or drop it unencrypted.',
  },
  'APIG.2106': { next: 'The gateway cannot read certificate or key: use RSA or ECDSA in PEM.' },
  'APIG.2109': { next: 'The certificate has no subject alternative name: issue one that has.' },
  'APIG.3148': {
    next: 'The gateway takes no certificate that ends after 2038-01-19: issue one with a shorter life.',
  },
  'APIG.3715': {
    next: 'The trusted root CA has another algorithm than the one already bound: use the same.',
  },
  'APIG.3100': {
    code: 'gateway.quota',
    kind: 'never',
    next: 'The certificate quota is used up: delete unbound certificates, shorten `retire`, or ask for more.',
  },
  'APIG.3474': {
    code: 'gateway.not-found',
    kind: 'never',
    next: 'The domain is in another API group: correct groupId in rotation.yaml, or name the domain by its host.',
  },
  'APIG.3458': {
    next: 'This gateway does not offer the feature: update the gateway, or use another strategy.',
  },
  'APIG.3030': {
    code: 'gateway.unknown-instance',
    kind: 'never',
    next: 'Check gateways[].instanceId, cloud.region and cloud.projectId in rotation.yaml.',
  },
  'APIC.7302': {
    code: 'gateway.unknown-instance',
    kind: 'never',
    next: 'Check gateways[].instanceId, cloud.region and cloud.projectId in rotation.yaml.',
  },
}

const notBound: Meaning = {
  code: 'gateway.not-bound',
  kind: 'never',
  next: 'Nothing to detach: look at what is bound to the domain now.',
}

/** The path of a detach is wrong, which is not the same as "not bound": the group or the domain is gone. */
const GONE = new Set(['APIG.3001', 'APIG.3020', 'APIG.3030', 'APIC.7302'])

/** Gives a failure of the gateway its telling code and its own next step; others pass unchanged. */
export function refined(thrown: unknown, act: GatewayAct): unknown {
  if (!(thrown instanceof Failure) || !thrown.code.startsWith('gateway.')) return thrown
  const { errorCode, status } = thrown.facts
  const code = typeof errorCode === 'string' ? errorCode : ''
  // A throttle or an outage stays one, whatever code comes with it.
  if (thrown.kind === 'again') return thrown
  if (act === 'detach') {
    if (code === 'APIG.3097' || code === 'APIG.2000' || (status === 404 && code !== '' && !GONE.has(code))) {
      return recoded(thrown, notBound)
    }
  }
  const meaning = Object.hasOwn(meanings, code) ? meanings[code] : undefined
  return meaning === undefined ? thrown : recoded(thrown, meaning)
}
