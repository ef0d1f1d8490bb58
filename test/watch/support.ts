import { day } from '../../shared/base/clock.ts'
import { digestOf } from '../../shared/base/names.ts'
import { type Config, configSchema } from '../../shared/config/schema.ts'
import type { ProbeResult } from '../../shared/probe/port.ts'
import type { BundleFacts, Outcome, RotationState } from '../../shared/rotation/record/state.ts'
import type { DomainObservation, Gathered } from '../../shared/watch/facts.ts'

export const start = new Date('2026-11-22T06:00:00.000Z')

export function later(ms: number, from: Date = start): Date {
  return new Date(from.getTime() + ms)
}

export function config(certificates: Record<string, unknown>, alerts: unknown = {}): Config {
  return configSchema.parse({ store: { directory: './bucket' }, certificates, alerts })
}

/** A bundle by name and number: the same arguments give the same certificate. */
export function bundle(name: string, number: number, notBefore: Date, days = 47): BundleFacts {
  const fingerprint = digestOf(name, String(number)).repeat(2)
  return {
    digest: digestOf('bundle', fingerprint),
    fingerprint,
    chain: [fingerprint, digestOf('intermediate').repeat(2)],
    serial: digestOf('serial', fingerprint),
    commonName: `${name}.example`,
    names: [`${name}.example`, `www.${name}.example`],
    notBefore: notBefore.toISOString(),
    notAfter: later(days * day, notBefore).toISOString(),
    algorithm: 'ECC',
  }
}

export function outcome(
  certificate: string,
  status: Outcome['status'],
  at: Date,
  more: Partial<Outcome> = {},
): Outcome {
  return {
    certificate,
    status,
    at: at.toISOString(),
    durationMs: 4_200,
    sentence: `Outcome of ${certificate}: ${status}.`,
    checks: [],
    repairs: [],
    domains: [],
    pushed: [],
    failures: [],
    ...more,
  }
}

export function state(name: string, more: Partial<RotationState> = {}): RotationState {
  return { schema: 1, name, created: [], outcomes: [], ...more }
}

export function deployed(
  name: string,
  facts: BundleFacts,
  at: Date,
  more: Partial<RotationState> = {},
): RotationState {
  return state(name, { deployed: { ...facts, at: at.toISOString(), folder: `${facts.digest}/` }, ...more })
}

export function serving(
  facts: BundleFacts,
  more: Partial<{ chain: string[]; names: string[] }> = {},
): ProbeResult {
  return {
    reached: true,
    served: {
      fingerprint: facts.fingerprint,
      chain: facts.chain,
      notBefore: new Date(facts.notBefore),
      notAfter: new Date(facts.notAfter),
      commonName: facts.commonName,
      issuer: 'CN=Example Issuing CA',
      names: facts.names,
      ...more,
    },
  }
}

export function seen(certificate: string, host: string, result: ProbeResult | undefined): DomainObservation {
  return { certificate, gateway: 'apig 0a1b', host, result }
}

export function gathered(now: Date, settings: Config, more: Partial<Gathered> = {}): Gathered {
  return {
    now,
    config: settings,
    states: new Map(),
    observations: [],
    renewals: new Map(),
    discovered: [],
    quotas: [],
    ...more,
  }
}
