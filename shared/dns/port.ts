/** One TXT record set of a zone, as a DNS service's API shows it. */
export interface TxtRecordSet {
  id: string
  /** Without the quotes of the API. */
  values: string[]
  /** Whether the last change has taken effect in the service; nothing can be changed before. */
  settled: boolean
}

export interface DnsZone {
  id: string
  /** Lower-case, without the final dot. */
  name: string
}

/**
 * The TXT records of a DNS service, as far as DNS-01 needs them. Names are without the final dot.
 *
 * Failures: `dns.unreachable`, `dns.timeout`, `dns.unavailable`, `dns.throttled`, `dns.busy` (a change is still
 * settling) – again · `dns.unauthorized`, `dns.forbidden` – later · `dns.zone-not-found`, `dns.refused`,
 * `dns.quota` – never.
 */
export interface DnsService {
  /** For messages: `Huawei Cloud DNS`. */
  readonly description: string
  /** The public zone with the longest name that contains this name. Fails with `dns.zone-not-found`. */
  zoneFor(name: string, signal?: AbortSignal): Promise<DnsZone>
  txt(zone: string, name: string, signal?: AbortSignal): Promise<TxtRecordSet | undefined>
  /** Look-up: `txt`. Fails with `dns.busy` where another writer made the record set meanwhile. */
  createTxt(zone: string, name: string, values: string[], signal?: AbortSignal): Promise<void>
  /** Replaces all values. Look-up: `txt`. */
  replaceTxt(zone: string, id: string, values: string[], signal?: AbortSignal): Promise<void>
  /** Deleting what is not there succeeds. Look-up: `txt`. */
  removeTxt(zone: string, id: string, signal?: AbortSignal): Promise<void>
}

/** What the public DNS says, from here. */
export interface DnsLookup {
  /** Where the name's chain of CNAMEs ends; the name itself where there is none. */
  followCnames(name: string, signal?: AbortSignal): Promise<string>
  /**
   * Asks every authoritative server of the zone for the name's TXT values. `seen` – every server that answers has
   * the value · `lagging` – some have it and some do not · `unseen` – none has it yet · `silent` – none could be asked
   * from here.
   */
  authoritativeTxt(
    zone: string,
    name: string,
    value: string,
    signal?: AbortSignal,
  ): Promise<'seen' | 'lagging' | 'unseen' | 'silent'>
}
