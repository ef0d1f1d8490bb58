import { asFailure, Failure } from '../../base/failure.ts'
import { keys } from '../../base/names.ts'
import { printable } from '../../base/printable.ts'
import type { Bundle, Certificate, Repair } from '../../certificate/bundle.ts'
import { withTrustedRootCa } from '../../certificate/read-objects.ts'
import { rootsFromPem } from '../../certificate/trust.ts'
import type { DomainBinding } from '../../gateway/port.ts'
import type { Job, Parties } from '../parties.ts'
import type { Deployed } from '../record/state.ts'
import { CLIENT_CA } from './delivered.ts'
import { previousBundle } from './deployed-bundle.ts'

/** `clientCa` of the config: the certificates of a file, the fingerprints (SHA-256, hex) of what is brought, or none at all. */
export type ClientCaSetting = { certificates: Certificate[] } | { fingerprints: string[] } | 'none'

/** What decides which CA judges the clients of a domain, before anything of an upload is believed. */
export interface ClientCaFacts {
  /** The certificate's name in rotation.yaml. */
  name: string
  setting: ClientCaSetting | undefined
  /** The fingerprints that the state says are in service; undefined where a state of 0.1.0 does not say. */
  recorded: readonly string[] | undefined
  /** What lies in `deployed/`. */
  kept: Certificate[]
}

export async function clientCaFacts(
  job: Job,
  parties: Pick<Parties, 'store' | 'clock' | 'reader'>,
  deployed: Deployed | undefined,
): Promise<ClientCaFacts> {
  const setting = job.clientCa
  const recorded = deployed ? deployed.clientCa : []
  const said = setting === 'none' || (setting !== undefined && 'certificates' in setting)
  // The gateway never gives a CA back: what is to stay what it was has to be read again.
  const asked = !said && recorded?.length !== 0
  const before = asked ? await previousBundle(job, parties, deployed) : undefined
  return { name: job.name, setting, recorded, kept: before?.trustedRootCa ?? [] }
}

/**
 * The bundle with the CA for client certificates that it is deployed with. Whoever may upload a bundle must not be able
 * to say who may come in, so an uploaded CA is used only where its fingerprint stands in the config or in the state.
 * Whatever differs is noted among the bundle's repairs, which `plan`, the outcome and the message show.
 */
export function withClientCa(bundle: Bundle, facts: ClientCaFacts): Bundle {
  const { name, setting, recorded } = facts
  const brought = bundle.trustedRootCa
  const chosen = chosenCa(facts, brought)
  const leftOut = brought.filter((one) => !includes(chosen, one))
  const notes: Repair[] = []
  if (recorded === undefined && setting === undefined && chosen.length > 0)
    notes.push({
      code: 'client-ca-taken-over',
      message: `The CA for client certificates (${shown(chosen)}) is taken over from deployed/; ${lineFor(name, chosen)} says so for good.`,
    })
  if (leftOut.length > 0)
    notes.push({
      code: 'client-ca-left-out',
      message: `The CA for client certificates that lies in the folder (${shown(leftOut)}) is not used, because ${whyNot(facts, chosen)}. If it shall be: ${lineFor(name, leftOut)}.`,
    })
  if (recorded && setting !== undefined && !sameAs(recorded, chosen))
    notes.push({
      code: 'client-ca-changed',
      message: `The CA for client certificates is now ${chosen.length > 0 ? shown(chosen) : 'none'}, as clientCa says; before it was ${recorded.join(', ') || 'none that this tool deployed'}.`,
    })
  return {
    ...withTrustedRootCa(bundle, chosen),
    repairs: [...bundle.repairs, ...notes],
    ...(leftOut.length > 0 ? { leftOutCa: leftOut } : {}),
  }
}

function chosenCa(
  { setting, recorded, kept }: ClientCaFacts,
  brought: readonly Certificate[],
): Certificate[] {
  if (setting === undefined) return recorded === undefined ? kept : foundAll(recorded, kept)
  if (setting === 'none') return []
  return 'certificates' in setting
    ? setting.certificates
    : foundAll(setting.fingerprints, [...kept, ...brought])
}

/**
 * What would keep a renewed certificate from a gateway that verifies clients: known before it is ordered. A CA that is
 * named by its fingerprint may still lie in `incoming/`.
 */
export async function clientCaObstacle(
  job: Job,
  parties: Pick<Parties, 'store' | 'clock' | 'reader'>,
  deployed: Deployed | undefined,
  domains: readonly Verifying[],
): Promise<Failure | undefined> {
  const facts = await clientCaFacts(job, parties, deployed)
  const lying = await parties.store.get(`${keys.incoming(job.name)}${CLIENT_CA}`)
  const brought = lying ? rootsFromPem(new TextDecoder().decode(lying.bytes)) : []
  const trustedRootCa = chosenCa(facts, brought)
  const leftOutCa = brought.filter((one) => !includes(trustedRootCa, one))
  try {
    requireClientCa(job, { trustedRootCa, leftOutCa }, domains)
    return undefined
  } catch (thrown) {
    return asFailure(thrown)
  }
}

type Verifying = { host: string; binding: Pick<DomainBinding, 'hasTrustedRootCa' | 'clientVerification'> }

/** Known before anything is touched: a domain that verifies clients would be left without the CA for it. */
export function requireClientCa(
  job: Pick<Job, 'name' | 'config' | 'clientCa'>,
  { trustedRootCa, leftOutCa = [] }: Pick<Bundle, 'trustedRootCa' | 'leftOutCa'>,
  domains: readonly Verifying[],
): void {
  if (trustedRootCa.length > 0) {
    requirePlaceForCa(job)
    return
  }
  const needed = domains.filter(
    ({ binding }) => binding.clientVerification || (binding.hasTrustedRootCa && job.clientCa !== 'none'),
  )
  if (needed.length === 0) return
  const hosts = needed.map((domain) => domain.host)
  const asked = job.clientCa
  const missing = asked !== undefined && asked !== 'none' && 'fingerprints' in asked ? asked.fingerprints : []
  throw new Failure({
    code: 'bundle.client-ca-missing',
    kind: 'later',
    message: `${hosts.join(', ')} verify client certificates, and ${
      missing.length > 0
        ? `the CA ${missing.join(', ')} that clientCa names is neither in the folder nor in deployed/`
        : 'nothing says by which CA'
    }`,
    next:
      missing.length > 0
        ? `Put it as trusted-root-ca.pem into incoming/${job.name}/, or name its file in clientCa.`
        : leftOutCa.length > 0
          ? `If it is the one that lies in the folder (${shown(leftOutCa)}): ${lineFor(job.name, leftOutCa)}.`
          : `Set certificates.${job.name}.clientCa to the PEM file of the CA; the gateway does not give the present one back.`,
    facts: { domains: hosts },
  })
}

function requirePlaceForCa(job: Pick<Job, 'config'>): void {
  for (const { flavour, instanceId, scope, strategy } of job.config.gateways) {
    const global = scope === 'global' && strategy !== 'update'
    // "Add certificate to a domain" of APIG has three fields, none of them for a CA.
    const addOnly = strategy === 'add' && flavour === 'apig'
    if (!global && !addOnly) continue
    const setting = global ? 'scope global' : 'strategy add'
    throw new Failure({
      code: 'bundle.client-ca-not-possible',
      kind: 'later',
      message: `The certificate has a CA for client certificates, but ${flavour} ${instanceId} is configured with ${setting}, which takes none`,
      next: 'Use scope instance with strategy rebind or update for this gateway, or set clientCa: false.',
    })
  }
}

/** All of them or none: half a CA would lock half of the clients out. */
function foundAll(fingerprints: readonly string[], among: readonly Certificate[]): Certificate[] {
  const found = fingerprints.flatMap(
    (wanted) => among.find(({ fingerprint }) => fingerprint === wanted) ?? [],
  )
  return found.length === fingerprints.length ? found : []
}

function includes(all: readonly Certificate[], { fingerprint }: Certificate): boolean {
  return all.some((one) => one.fingerprint === fingerprint)
}

function sameAs(fingerprints: readonly string[], chosen: readonly Certificate[]): boolean {
  const now = chosen.map(({ fingerprint }) => fingerprint)
  return now.length === fingerprints.length && now.every((one) => fingerprints.includes(one))
}

function whyNot({ setting }: ClientCaFacts, chosen: readonly Certificate[]): string {
  if (setting === 'none') return 'clientCa says that there is none'
  if (setting !== undefined) return 'clientCa names another one'
  return chosen.length > 0 ? 'the one in service stays' : 'clientCa names none'
}

function shown(certificates: readonly Certificate[]): string {
  return certificates
    .map(({ subject, fingerprint }) => `${printable(subject)}, SHA-256 ${fingerprint}`)
    .join('; ')
}

/** Quoted: digits alone would be a number to YAML. */
function lineFor(name: string, certificates: readonly Certificate[]): string {
  const list = certificates.map(({ fingerprint }) => `"${fingerprint}"`)
  const value = list.length === 1 ? list[0] : `[${list.join(', ')}]`
  return `the line \`clientCa: ${value}\` under certificates.${name} in rotation.yaml`
}
