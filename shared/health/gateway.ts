import { countText } from '../base/count-text.ts'
import { asFailure, type Failure } from '../base/failure.ts'
import type { Gateway, GatewayCertificate } from '../gateway/port.ts'
import { instantText } from '../watch/words.ts'
import { type HealthCheck, linesOf } from './port.ts'

export interface GatewayParts {
  gateway: Gateway
  /** `apig:0a1b…`. */
  where: string
  /** A certificate that is bound to one of the configured domains, to look at. */
  bound: string | undefined
  /** When a rotation of ours went through there last: creating, attaching and detaching are known to be allowed. */
  rotatedAt: string | undefined
  readOnly: boolean
  /** 32 hex digits that nothing there is called by. */
  nothing: string
  signal: AbortSignal
}

export interface GatewayAnswer {
  checks: HealthCheck[]
  /** What the gateway has; undefined where it does not say. */
  certificates?: GatewayCertificate[]
}

/**
 * What these credentials may do at a gateway whose domains could be read. Reading is asked for as a rotation asks.
 * Without `readOnly`, deleting, attaching and detaching are asked for of ids that do not exist: that changes nothing, and a
 * missing permission answers 403. Whether a call that is let through would have its effect only a change can prove.
 */
export async function gatewayRights(parts: GatewayParts): Promise<GatewayAnswer> {
  const { gateway, where, bound, signal, readOnly, nothing } = parts
  const { passed, failure } = linesOf('gateways')
  let certificates: GatewayCertificate[]
  try {
    certificates = await gateway.certificates({}, signal)
  } catch (thrown) {
    return { checks: [failure(where, asFailure(thrown))] }
  }
  const one = bound ?? certificates[0]?.id
  const nowhere = { groupId: nothing, domainId: nothing }
  const tried = await Promise.all([
    ...(one === undefined
      ? []
      : [refusal(gateway.certificate(one, signal)), refusal(gateway.attachedDomains(one, signal))]),
    ...(readOnly
      ? []
      : [
          refusal(gateway.remove(nothing, signal)),
          refusal(gateway.detach(nowhere, nothing, signal)),
          refusal(gateway.attach(nowhere, nothing, false, signal)),
        ]),
  ])
  const refused = tried.flatMap((why) => why ?? [])
  const count = countText(certificates.length, 'certificate')
  const checks = refused.map((why) => failure(where, why))
  if (refused.length === 0) checks.push(passed(where, `${count}; ${rights(parts)}`))
  return { checks, certificates }
}

/** What no harmless call shows is not proven, unless a rotation that went through has shown it. */
function rights({ rotatedAt, readOnly }: GatewayParts): string {
  const may = readOnly ? 'may read' : 'may read, delete, attach and detach'
  if (rotatedAt !== undefined)
    return `${may}; creating, attaching and detaching worked ${instantText(rotatedAt)}`
  return `${may}; not proven: ${readOnly ? 'create, attach, detach, delete' : 'create'}, which only a change can`
}

/** Why a call was not let through; what is only not there, or not bound, was. */
async function refusal(call: Promise<unknown>): Promise<Failure | undefined> {
  try {
    await call
    return undefined
  } catch (thrown) {
    const failure = asFailure(thrown)
    return /\.(not-found|not-bound|refused|unknown-domain)$/.test(failure.code) ? undefined : failure
  }
}
