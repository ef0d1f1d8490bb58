import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { authorityConfigs, authorityFrom, challengeOf } from '../acme/authorities.ts'
import { createHttp01Solver } from '../acme/http-01.ts'
import { namesToOrder } from '../acme/names.ts'
import type { Authority, ChallengeSolver } from '../acme/port.ts'
import { type RenewalOutcome, renewDue } from '../acme/renew.ts'
import { connectAcme } from '../acme/server.ts'
import { Failure } from '../base/failure.ts'
import { createDns01Solver } from '../dns/dns-01.ts'
import { createHuaweiDns } from '../dns/huaweicloud.ts'
import { createDnsLookup } from '../dns/propagation.ts'
import { previousBundle } from '../rotation/deployed-bundle.ts'
import type { Parties } from '../rotation/parties.ts'
import type { Wiring } from './cloud.ts'

export interface InService {
  fingerprint: string
  names: string[]
  notBefore: Date
  notAfter: Date
  /** Under `deployed/<name>/`. */
  folder: string
}

export interface OpenRenewals {
  renew(name: string, current: InService | undefined, lease: AbortSignal): Promise<RenewalOutcome>
}

/** Everything a renewal needs, made once per tick: solvers are shared, so that certificates share record sets. */
export async function openRenewals(wiring: Wiring, parties: Parties): Promise<OpenRenewals> {
  const solvers = new Map<string, ChallengeSolver>()
  const connect = connectAcme({ clock: parties.clock })

  async function solverFor(config: ReturnType<typeof authorityConfigs>[number]): Promise<ChallengeSolver> {
    const challenge = challengeOf(config)
    const id = 'dns' in challenge ? `dns-01:${challenge.dns}` : `http-01:${challenge.http.bucket}`
    const known = solvers.get(id)
    if (known) return known
    const solver =
      'dns' in challenge
        ? createDns01Solver({
            id,
            service: createHuaweiDns(wiring.http('dns')),
            lookup: createDnsLookup({ servers: wiring.config.dnsServers }),
            clock: parties.clock,
            log: parties.log,
          })
        : createHttp01Solver({
            id,
            store: wiring.openBucket(challenge.http.bucket),
            prefix: challenge.http.prefix,
          })
    solvers.set(id, solver)
    return solver
  }

  async function authorities(name: string): Promise<Authority[]> {
    const { renew } = wiring.config.certificates[name]!
    return Promise.all(
      authorityConfigs(renew!).map(async (config) =>
        authorityFrom(config, await solverFor(config), config.ca && (await readCa(config.ca, wiring.folder))),
      ),
    )
  }

  return {
    async renew(name, current, lease) {
      const config = wiring.config.certificates[name]!
      // Renewal information asks by the leaf's own identifiers.
      const deployed = await previousBundle(await wiring.job(name, false), parties, current)
      return renewDue({
        name,
        store: parties.store,
        clock: parties.clock,
        log: parties.log.with({ certificate: name }),
        random: parties.random,
        names: namesToOrder(name, config),
        settings: config.renew!,
        authorities: await authorities(name),
        connect,
        secret: wiring.config.accountKeySecret,
        current: current && { ...current, ...(deployed ? { der: deployed.leaf.der } : {}) },
        progress: ({ kind, sentence }) =>
          parties.progress(
            kind === 'begin'
              ? { kind: 'bundle', certificate: name, sentence }
              : { kind: 'step', certificate: name, step: 'renew', target: name, sentence },
          ),
        signal: AbortSignal.any([parties.deadline.signal, lease]),
      })
    },
  }
}

async function readCa(file: string, folder: string): Promise<string> {
  try {
    return await readFile(resolve(folder, file), 'utf8')
  } catch (cause) {
    throw new Failure({
      code: 'config.unreadable-file',
      kind: 'never',
      message: `renew.acme.ca names ${file}, which cannot be read`,
      next: 'Put the PEM file with the root of the ACME server there; the path is relative to rotation.yaml.',
      cause,
    })
  }
}
