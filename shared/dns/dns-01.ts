import type { Challenge, ChallengeSolver, Placement } from '../acme/port.ts'
import type { Clock } from '../base/clock.ts'
import { Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import type { DnsLookup, DnsService, TxtRecordSet } from './port.ts'

export interface Dns01Options {
  /** `dns-01:huaweicloud`. */
  id: string
  service: DnsService
  lookup: DnsLookup
  clock: Clock
  log: Log
  /** Between two looks at a record set that is settling. Milliseconds. */
  pollMs?: number
  /** How long a record set that is settling is waited for in one go; then others have their turn. Milliseconds. */
  settleWithinMs?: number
  /** Where no name server can be asked from here: how long after it was written the CA may look. */
  blindWaitMs?: number
  /** Where some name servers show it: how long the others are waited for. The CA mostly asks the quick ones. */
  lagWaitMs?: number
}

/**
 * DNS-01 (RFC 8555, section 8.4): a TXT record below `_acme-challenge`, or wherever that name is delegated to by
 * CNAME. Several challenges share one record set (the apex and its wildcard, or certificates renewed at the same
 * time), so a value is added to what is there and taken from what is there, never more.
 */
export function createDns01Solver(options: Dns01Options): ChallengeSolver {
  return new Dns01Solver(options)
}

class Dns01Solver implements ChallengeSolver {
  readonly type = 'dns-01'
  readonly id: string
  readonly #options: Required<Dns01Options>

  constructor(options: Dns01Options) {
    this.id = options.id
    this.#options = {
      pollMs: 2_000,
      settleWithinMs: 10_000,
      blindWaitMs: 60_000,
      lagWaitMs: 120_000,
      ...options,
    }
  }

  async prepare(challenge: Challenge, signal?: AbortSignal): Promise<Placement> {
    const { service, lookup } = this.#options
    const record = await lookup.followCnames(`_acme-challenge.${challenge.identifier}`, signal)
    const zone = await service.zoneFor(record, signal)
    return { zoneId: zone.id, zone: zone.name, record, value: challenge.value }
  }

  async present(placement: Placement, signal?: AbortSignal): Promise<void> {
    const { service } = this.#options
    const { zoneId, record, value } = fields(placement)
    await this.#patiently(record, signal, async () => {
      const set = await this.#settled(zoneId, record, signal)
      if (set?.values.includes(value)) return
      if (set === undefined) await service.createTxt(zoneId, record, [value], signal)
      else await service.replaceTxt(zoneId, set.id, [...set.values, value], signal)
    })
  }

  async ready(
    placement: Placement,
    { shownForMs = 0, signal }: { shownForMs?: number; signal?: AbortSignal } = {},
  ): Promise<'ready' | 'waiting' | 'missing'> {
    const { service, lookup, blindWaitMs, lagWaitMs, log } = this.#options
    const { zoneId, zone, record, value } = fields(placement)
    const set = await service.txt(zoneId, record, signal)
    if (set === undefined || !set.values.includes(value)) return 'missing'
    if (!set.settled) return 'waiting'
    const seen = await lookup.authoritativeTxt(zone, record, value, signal)
    if (seen === 'seen') return 'ready'
    if (seen === 'unseen') return 'waiting'
    if (shownForMs < (seen === 'silent' ? blindWaitMs : lagWaitMs)) return 'waiting'
    const why = seen === 'silent' ? 'can be asked from here' : 'lags any longer'
    log.warn(`the CA is asked to look, although not every name server of the zone ${why}`, { zone, record })
    return 'ready'
  }

  async cleanUp(placement: Placement, signal?: AbortSignal): Promise<void> {
    const { service } = this.#options
    const { zoneId, record, value } = fields(placement)
    await this.#patiently(record, signal, async () => {
      const set = await this.#settled(zoneId, record, signal)
      if (set === undefined || !set.values.includes(value)) return
      const rest = set.values.filter((other) => other !== value)
      if (rest.length === 0) await service.removeTxt(zoneId, set.id, signal)
      else await service.replaceTxt(zoneId, set.id, rest, signal)
    })
  }

  /** The record set once nothing is in motion: the service refuses changes before. */
  async #settled(zoneId: string, record: string, signal?: AbortSignal): Promise<TxtRecordSet | undefined> {
    const { service, clock, pollMs, settleWithinMs } = this.#options
    const until = clock.monotonic() + settleWithinMs
    for (;;) {
      const set = await service.txt(zoneId, record, signal)
      if (set === undefined || set.settled) return set
      if (clock.monotonic() >= until) throw slow(record, settleWithinMs)
      await clock.sleep(pollMs, signal)
    }
  }

  /** Looks and acts again while another writer keeps the record set in motion. */
  async #patiently(
    record: string,
    signal: AbortSignal | undefined,
    work: () => Promise<void>,
  ): Promise<void> {
    const { clock, pollMs, settleWithinMs } = this.#options
    const until = clock.monotonic() + settleWithinMs
    for (;;) {
      try {
        return await work()
      } catch (thrown) {
        if (!(thrown instanceof Failure) || thrown.code !== 'dns.busy') throw thrown
        if (clock.monotonic() >= until) throw slow(record, settleWithinMs)
        await clock.sleep(pollMs, signal)
      }
    }
  }
}

function slow(record: string, withinMs: number): Failure {
  return new Failure({
    code: 'dns.slow',
    kind: 'later',
    message: `The record set ${record} has not settled within ${Math.round(withinMs / 1000)} s.`,
    next: 'Look at its state in the console of the DNS service; if it lasts, delete it there.',
    facts: { record },
  })
}

/** RFC 8555, section 8.4: the base64url of a SHA-256. Nothing else in a zone is a challenge of ours. */
const VALUE = /^[A-Za-z0-9_-]{43}$/
const ID = /^[A-Za-z0-9_-]{1,128}$/

/** A placement comes back from the store: it names a challenge in its own zone, or nothing is done with it. */
function fields(placement: Placement): { zoneId: string; zone: string; record: string; value: string } {
  const { zoneId = '', zone = '', record = '', value = '' } = placement
  const plain = (name: string) => name.replace(/\.$/, '').toLowerCase()
  const inZone = plain(record).endsWith(`.${plain(zone)}`) || plain(record) === plain(zone)
  if (ID.test(zoneId) && VALUE.test(value) && zone !== '' && inZone) return { zoneId, zone, record, value }
  throw new Failure({
    code: 'dns-01.foreign-placement',
    kind: 'never',
    message: `${JSON.stringify(record.slice(0, 200))} with the value ${JSON.stringify(value.slice(0, 60))} is no challenge, so it is left alone.`,
    next: 'Find out who writes to renew/ in the store.',
    facts: { record: record.slice(0, 200) },
  })
}
