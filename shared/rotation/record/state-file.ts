import { Failure } from '../../base/failure.ts'
import { isBundleFolder, isRemoteNameForm, keys, remoteCertificateName } from '../../base/names.ts'
import { isRecord, isStrings, isTexts, parseRecord } from '../../base/shape.ts'
import type { CreatedCertificate, Deployed, Outcome, RotationState } from './state.ts'

/**
 * What comes back from the store is checked against what this tool could have written. Paths, ids and names in it
 * decide what is deleted: an empty `moving.to` would empty the store, a planted id delete a stranger's certificate.
 */

/** What `conclude` writes beside a bundle; enough to know what is ours when the state file is gone. */
export interface ResultFile extends Outcome {
  created?: CreatedCertificate[]
  deployed?: Deployed
  /** Names of the objects that were moved here, below this folder: the only ones that are ever removed with it. */
  objects?: string[]
}

/** The state, or undefined where the text is not a state file of this certificate. A newer schema is refused. */
export function parseState(name: string, text: string): RotationState | undefined {
  const state = parseRecord(text)
  if (!state) return undefined
  if (typeof state.schema === 'number' && state.schema > 1)
    throw new Failure({
      code: 'state.newer-schema',
      kind: 'never',
      message: `The state file of ${name} has schema ${state.schema}; this version reads up to 1`,
      next: 'A newer cert-rotation wrote it: update this one, or run the newer one only.',
      facts: { certificate: name, schema: state.schema },
    })
  if (state.schema !== 1 || state.name !== name) return undefined
  const { current, moving, deployed, retry, refused, outcomes, created } = state
  const whole =
    listOf(created, (one) => isCreated(name, one)) &&
    listOf(outcomes, isOutcome) &&
    (current === undefined || isCurrent(name, current)) &&
    (moving === undefined || isMove(name, moving)) &&
    (deployed === undefined || isDeployed(deployed)) &&
    (retry === undefined ||
      (isTexts(retry, 'digest', 'configDigest', 'notBefore') && isTexts(retry.failure, 'code', 'message'))) &&
    (refused === undefined ||
      (isTexts(refused, 'digest', 'configDigest', 'at') && Array.isArray(refused.failures)))
  return whole ? (state as unknown as RotationState) : undefined
}

/**
 * A `result.json` that lies in `folder`, or undefined where it is not one of this certificate. Entries that this tool
 * could not have written are left out: whoever may upload can put a file of that name into a bundle.
 */
export function parseResult(name: string, folder: string, bytes: Uint8Array): ResultFile | undefined {
  const result = parseRecord(new TextDecoder().decode(bytes))
  if (!result || result.certificate !== name) return undefined
  const { created, deployed, objects, ...outcome } = result
  return {
    ...(outcome as unknown as Outcome),
    ...(Array.isArray(created) ? { created: created.filter((one) => isCreated(name, one)) } : {}),
    ...(isDeployed(deployed) && deployed.folder === folder ? { deployed } : {}),
    ...(isStrings(objects) ? { objects } : {}),
  }
}

/** The folder whose own `result.json` this key is; one that came inside an upload lies deeper. */
export function folderOfResult(prefix: string, key: string): string | undefined {
  const [folder, file, ...deeper] = key.slice(prefix.length).split('/')
  const own = key.startsWith(prefix) && file === 'result.json' && deeper.length === 0
  return own && folder !== undefined && isBundleFolder(folder) ? folder : undefined
}

function isCreated(name: string, value: unknown): value is CreatedCertificate {
  if (!isTexts(value, 'where', 'id', 'name', 'digest', 'createdAt')) return false
  const { where, id, name: remoteName, digest } = value
  return isPlace(where) && isId(id) && isDigest(digest) && isRemoteNameForm(name, remoteName)
}

function isDeployed(value: unknown): value is Deployed {
  if (!isTexts(value, 'digest', 'fingerprint', 'at', 'folder', 'notBefore', 'notAfter')) return false
  const { digest, folder, chain, names, clientCa } = value
  return (
    isDigest(digest) &&
    isBundleFolder(folder) &&
    isStrings(chain) &&
    isStrings(names) &&
    (clientCa === undefined || isStrings(clientCa))
  )
}

/** The folder is that of the bundle it says, and everything it lists lies in this certificate's `incoming/`. */
function isMove(name: string, value: unknown): boolean {
  if (!isTexts(value, 'to', 'digest')) return false
  const { to, digest, sources, copied } = value
  const base = [keys.deployed(name), keys.rejected(name)].find((one) => to.startsWith(one))
  const folder = base === undefined ? '' : to.slice(base.length, -1)
  const incoming = keys.incoming(name)
  return (
    to.endsWith('/') &&
    isBundleFolder(folder) &&
    folder.endsWith(`-${digest.slice(0, 8)}`) &&
    typeof copied === 'boolean' &&
    listOf(
      sources,
      (one) =>
        isTexts(one, 'key', 'digest') &&
        one.key.startsWith(incoming) &&
        one.key.split('/').every((segment) => segment !== '' && segment !== '.' && segment !== '..'),
    )
  )
}

function isCurrent(name: string, value: unknown): boolean {
  if (!isTexts(value, 'remoteName', 'status', 'startedAt')) return false
  const { bundle, domains, certificates, notes, remoteName } = value
  if (!isTexts(bundle, 'digest', 'fingerprint', 'notAfter') || !isDigest(bundle.digest)) return false
  return (
    remoteName === remoteCertificateName(name, bundle.digest) &&
    isDifference(value.difference) &&
    everyOf(domains, (one, target) => isDomainRecord(one, target)) &&
    everyOf(certificates, (one, where) => isPlace(where) && typeof one === 'string' && isId(one)) &&
    everyOf(notes, (one) => isTexts(one, 'step', 'target'))
  )
}

function isDomainRecord(value: unknown, target: string): boolean {
  if (!isTexts(value, 'gateway', 'groupId', 'domainId', 'host')) return false
  const { gateway, groupId, domainId } = value
  const { predecessor } = value
  return (
    isGatewayKey(gateway) &&
    isId(groupId) &&
    isId(domainId) &&
    target === `${gateway}/${groupId}/${domainId}` &&
    (predecessor === undefined || (isTexts(predecessor, 'id', 'name') && isId(predecessor.id)))
  )
}

function isOutcome(value: unknown): boolean {
  if (!isTexts(value, 'certificate', 'status', 'at', 'sentence')) return false
  const lists = ['checks', 'repairs', 'domains', 'pushed', 'failures'] as const
  return lists.every((field) => Array.isArray(value[field])) && isDifference(value.difference)
}

/** Whole enough to be told: nobody's message may fail because of it. */
function isDifference(value: unknown): boolean {
  if (value === undefined) return true
  if (!isRecord(value)) return false
  const { replaces, first, clientCa, gateways, warnings } = value
  return (
    listOf(replaces, isReplacement) &&
    isStrings(first) &&
    isChange(clientCa, isStrings) &&
    listOf(gateways, isGatewayChange) &&
    isStrings(warnings)
  )
}

function isReplacement(value: unknown): boolean {
  if (!isRecord(value)) return false
  const { hosts, validUntil, issuer, key, chain, names, uses } = value
  return (
    isStrings(hosts) &&
    [validUntil, issuer, key].every((one) => isChange(one, isText)) &&
    isChange(chain, isStrings) &&
    [names, uses].every(
      (one) => one === undefined || (isRecord(one) && isStrings(one.won) && isStrings(one.lost)),
    )
  )
}

function isGatewayChange(value: unknown): boolean {
  return (
    isTexts(value, 'gateway') &&
    isStrings(value.order) &&
    isTexts(value.wayBack, 'state', 'why') &&
    isTexts(value.gap, 'why')
  )
}

function isChange(value: unknown, is: (one: unknown) => boolean): boolean {
  return isRecord(value) && is(value.new) && (value.old === undefined || is(value.old))
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}

function isPlace(where: string): boolean {
  return where === 'scm' || isGatewayKey(where)
}

function isGatewayKey(where: string): boolean {
  return /^(?:apig|roma):.+$/.test(where)
}

/** Ids become a segment of a URL: neither a path nor its parent. */
function isId(id: string): boolean {
  return /^[A-Za-z0-9_-]{1,128}$/.test(id)
}

function isDigest(digest: string): boolean {
  return /^[0-9a-f]{32}$/.test(digest)
}

function listOf(value: unknown, is: (one: unknown) => boolean): boolean {
  return Array.isArray(value) && value.every(is)
}

function everyOf(value: unknown, is: (one: unknown, key: string) => boolean): boolean {
  return isRecord(value) && Object.entries(value).every(([key, one]) => is(one, key))
}
