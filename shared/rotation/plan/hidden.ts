import type { AttachedDomain, BoundCertificate, DomainBinding, Gateway } from '../../gateway/port.ts'
import type { CreatedCertificate } from '../record/state.ts'

/**
 * ROMA Connect shows one of the certificates of a domain and leaves out its algorithm (its pages flag `ssl_infos`
 * as unsupported), so an old RSA or ECDSA certificate beside a new one of the other kind stays out of sight, and
 * in service. Which of the certificates we know of are bound besides is asked certificate by certificate.
 */
export class HiddenBindings {
  readonly #gateway: Gateway
  readonly #attached = new Map<string, Promise<AttachedDomain[]>>()

  /** For one look at a gateway: every certificate is asked for once. */
  constructor(gateway: Gateway) {
    this.#gateway = gateway
  }

  /** The binding with those of the known certificates that the gateway did not show. */
  async complete(binding: DomainBinding, known: readonly BoundCertificate[]): Promise<DomainBinding> {
    const shown = binding.certificates
    if (shown.length === 0 || shown.every(({ algorithm }) => algorithm !== undefined)) return binding
    const certificates = [...shown]
    for (const certificate of known) {
      if (certificates.some(({ id }) => id === certificate.id)) continue
      if (await this.#isOn(binding, certificate.id)) certificates.push(certificate)
    }
    return { ...binding, certificates }
  }

  async #isOn(binding: DomainBinding, id: string): Promise<boolean> {
    const attached = this.#attached.get(id) ?? this.#gateway.attachedDomains(id)
    this.#attached.set(id, attached)
    return (await attached).some(
      (one) =>
        one.domainId === binding.domainId || (one.host === binding.host && one.groupId === binding.groupId),
    )
  }
}

/**
 * Everything of ours that may be on a domain: an overtaken bundle's certificate stays there unseen, and in service, when
 * the run that was to detach it dies. Without the names that the state gives them: the gateway is asked about those.
 */
export function oursAt(
  created: Pick<CreatedCertificate, 'where' | 'id' | 'host'>[],
  gateway: string,
  host: string,
): BoundCertificate[] {
  return created
    .filter((one) => one.where === gateway && (one.host === undefined || one.host === host))
    .map(({ id }) => ({ id, name: '' }))
}
