import { countText } from '../base/count-text.ts'
import { asFailure } from '../base/failure.ts'
import type { ListedCertificate, Manager, PushService } from '../manager/port.ts'
import { instantText } from '../watch/words.ts'
import { type HealthCheck, linesOf } from './port.ts'

export interface ManagerAnswer {
  checks: HealthCheck[]
  certificates?: ListedCertificate[]
}

/** The certificate manager: listing, and asking where a certificate was pushed to. `pushedAt`: the last push of ours. */
export async function managerRights(
  manager: Manager,
  services: readonly PushService[],
  pushedAt: string | undefined,
  signal: AbortSignal,
): Promise<ManagerAnswer> {
  const { passed, failure } = linesOf('manager')
  const about = manager.description
  try {
    const certificates = await manager.list(signal)
    const [one] = certificates
    if (one && services.length > 0) await manager.pushed(one.id, [...new Set(services)], signal)
    const proven =
      services.length === 0
        ? ''
        : pushedAt
          ? `; import and push worked ${instantText(pushedAt)}`
          : '; not proven: import and push, which only a change can'
    return {
      checks: [passed(about, `${countText(certificates.length, 'certificate')}; may read${proven}`)],
      certificates,
    }
  } catch (thrown) {
    return { checks: [failure(about, asFailure(thrown))] }
  }
}
