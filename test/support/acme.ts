import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createDnsService } from '../../emulator/dns.ts'
import { type DnsAnswers, startDnsAnswers } from '../../emulator/dns-answers.ts'
import { DnsZones } from '../../emulator/dns-zones.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import type { Authority, ChallengeSolver } from '../../shared/acme/port.ts'
import { type RenewalOutcome, type RenewalParts, renewDue } from '../../shared/acme/renew.ts'
import { connectAcme } from '../../shared/acme/server.ts'
import { type Clock, systemClock } from '../../shared/base/clock.ts'
import { silentLog } from '../../shared/base/log.ts'
import { Secret } from '../../shared/base/secret.ts'
import { createDns01Solver } from '../../shared/dns/dns-01.ts'
import { createHuaweiDns } from '../../shared/dns/huaweicloud.ts'
import type { DnsService } from '../../shared/dns/port.ts'
import { createDnsLookup } from '../../shared/dns/propagation.ts'
import { accessKeyCredentials } from '../../shared/http/auth.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import { createDirectoryStore } from '../../shared/store/directory.ts'
import type { Store } from '../../shared/store/port.ts'
import type { Pebble } from './pebble.ts'

/** One for all: stretching it takes a tenth of a second. */
const passphrase = new Secret('a passphrase of the test')

/** A clock whose date tests move; waiting is real but fifty times as fast. */
export class TestClock implements Clock {
  offset = 0
  now = () => new Date(Date.now() + this.offset)
  monotonic = () => systemClock.monotonic()
  sleep = (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 50, signal)
}

export interface DnsCloud {
  zones: DnsZones
  answers: DnsAnswers
  emulator: Emulator
  service: DnsService
  solver: ChallengeSolver
  close(): Promise<void>
}

/** The emulated DNS service with its name servers, and the real client in front of it. */
export async function startDnsCloud(zoneNames: string[], clock: Clock = new TestClock()): Promise<DnsCloud> {
  const zones = new DnsZones(systemClock, { pendingMs: 20 })
  for (const name of zoneNames) zones.addZone(name)
  const answers = await startDnsAnswers(zones)
  const emulator = await startEmulator({
    services: [createDnsService(zones)],
    seed: { accessKeys: [{ id: 'TESTACCESSKEY', secret: 'test-secret-key' }] },
  })
  const dispatcher = createDispatcher()
  const http = createHttpClient({
    service: 'dns',
    endpoint: emulator.url,
    credentials: accessKeyCredentials(
      { id: 'TESTACCESSKEY', secret: new Secret('test-secret-key') },
      systemClock,
    ),
    clock,
    timeoutMs: 5_000,
    dispatcher,
  })
  const service = createHuaweiDns(http)
  const solver = createDns01Solver({
    id: 'dns-01:huaweicloud',
    service,
    lookup: createDnsLookup({ servers: [`127.0.0.1:${answers.port}`] }),
    clock,
    log: silentLog,
    pollMs: 500,
  })
  return {
    zones,
    answers,
    emulator,
    service,
    solver,
    async close() {
      await Promise.all([emulator.close(), answers.close(), dispatcher.close()])
    },
  }
}

/** A folder as store, removed by `remove`. */
export async function temporaryStore(): Promise<{ store: Store; remove(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'renewal-'))
  return { store: createDirectoryStore(folder), remove: () => rm(folder, { recursive: true, force: true }) }
}

export function authorityOf(
  pebble: Pebble,
  solver: ChallengeSolver,
  more: Partial<Authority> = {},
): Authority {
  return { directory: pebble.directory, caPem: pebble.caPem, email: 'ops@shop.example', solver, ...more }
}

/** One certificate's renewal with everything real but the clock's speed. */
export function renewalParts(
  init: Pick<RenewalParts, 'store' | 'authorities'> & Partial<RenewalParts> & { clock?: Clock },
): RenewalParts {
  const clock = init.clock ?? new TestClock()
  return {
    name: 'shop',
    log: silentLog,
    random: () => 0.5,
    names: ['shop.example', '*.shop.example'],
    settings: { key: 'P-256', reuseKey: false, before: undefined },
    connect: connectAcme({ clock, timeoutMs: 30_000 }),
    secret: passphrase,
    ...init,
    clock,
  }
}

/** Looks at one renewal until it waits for nobody any more, as a tick does that has time. */
export async function renewToEnd(parts: RenewalParts): Promise<RenewalOutcome> {
  const failures: RenewalOutcome['failures'] = []
  for (;;) {
    const outcome = await renewDue(parts)
    failures.push(...outcome.failures)
    outcome.failures = failures
    const { status, notBefore } = outcome
    if (status !== 'unfinished' || notBefore === undefined || parts.signal?.aborted) return outcome
    const pause = Math.max(0, Date.parse(notBefore) - parts.clock.now().getTime())
    await parts.clock.sleep(pause, parts.signal).catch(() => {})
    if (parts.signal?.aborted) return outcome
  }
}

export async function read(store: Store, key: string): Promise<string | undefined> {
  const object = await store.get(key)
  return object && Buffer.from(object.bytes).toString('utf8')
}
