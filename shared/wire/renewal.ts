import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { authorityConfigs, authorityFrom, challengeOf } from '../acme/authorities.ts'
import { createHttp01Solver } from '../acme/http-01.ts'
import type { DomainSeen } from '../acme/incumbent.ts'
import { namesToOrder } from '../acme/names.ts'
import type { Authority, ChallengeSolver } from '../acme/port.ts'
import { type RenewalOutcome, renewDue } from '../acme/renew.ts'
import { connectAcme } from '../acme/server.ts'
import { Failure } from '../base/failure.ts'
import { createDns01Solver } from '../dns/dns-01.ts'
import { createHuaweiDns } from '../dns/huaweicloud.ts'
import { createDnsLookup } from '../dns/propagation.ts'
import { wouldAccept } from '../rotation/decide.ts'
import { clientCaObstacle } from '../rotation/intake/client-ca.ts'
import { previousBundle } from '../rotation/intake/deployed-bundle.ts'
import { fateOf } from '../rotation/intake/fate.ts'
import type { Job, Parties } from '../rotation/parties.ts'
import type { RotationState } from '../rotation/record/state.ts'
import { type bindingsListed, bundlesOf, leafOf } from '../runtime/in-service.ts'
import type { Wiring } from './cloud.ts'

/** What is known of one certificate before it is renewed. */
export interface BeforeRenewal {
  state: RotationState
  job: Job
  domains: readonly DomainSeen[]
  /** Its domains as their gateways list them. */
  bindings: Awaited<ReturnType<typeof bindingsListed>>
  /** Only see where it stands: nothing is asked of a CA and nothing ordered. */
  lookOnly: boolean
  /** Looked at before in this tick: that it goes on is no news. */
  again?: boolean
}

export interface OpenRenewals {
  renew(before: BeforeRenewal, lease: AbortSignal): Promise<RenewalOutcome>
}

/** Everything a renewal needs, made once per tick: solvers are shared, so that certificates share record sets. */
export async function openRenewals(wiring: Wiring, parties: Parties): Promise<OpenRenewals> {
  const solvers = new Map<string, ChallengeSolver>()
  const { clock, deadline } = parties
  const connect = connectAcme({ clock, remainingMs: () => deadline.remainingMs() })

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
    async renew({ state, job, domains, bindings, lookOnly, again }, lease) {
      const { name, config } = job
      const { deployed } = state
      // Renewal information asks by the leaf's own identifiers.
      const bundle = await previousBundle(job, parties, deployed)
      const text = (content: string) => new TextEncoder().encode(content)
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
        current: deployed && { ...leafOf(deployed), leaf: bundle?.leaf.der },
        domains,
        earlier: bundlesOf(state).map(leafOf),
        fateOf: (fingerprint) => fateOf(state, fingerprint),
        judge: (certificatePem, key) =>
          wouldAccept(job, parties, [
            { name: 'fullchain.pem', bytes: text(certificatePem) },
            { name: 'privkey.pem', bytes: text(key.reveal()) },
          ]),
        obstacle: () => clientCaObstacle(job, parties, deployed, bindings),
        config: job.configDigest,
        lookOnly,
        progress: ({ kind, sentence }) => {
          if (kind === 'step')
            parties.progress({ kind, certificate: name, step: 'renew', target: name, sentence })
          else if (!again) parties.progress({ kind: 'bundle', certificate: name, sentence })
        },
        signal: AbortSignal.any([parties.deadline.signal, lease]),
      })
    },
  }
}

export async function readCa(file: string, folder: string): Promise<string> {
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
