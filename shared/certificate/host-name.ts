import { domainToASCII } from 'node:url'
import { type GeneralName, ipBytes } from './general-name.ts'

/** What a client wants to reach, ready for comparison. */
export type Host =
  | { kind: 'ip'; bytes: Uint8Array }
  /** Lower-case A-labels. A listed domain may itself be a wildcard, which only the same wildcard covers. */
  | { kind: 'dns'; name: string }

/**
 * A host name or address as a person or a config writes it: any case, U-labels (converted by UTS 46, as
 * browsers do), one trailing dot. Undefined if it can be neither.
 */
export function parseHost(text: string): Host | undefined {
  const bytes = ipBytes(text)
  if (bytes !== undefined) return { kind: 'ip', bytes }
  const wildcard = text.startsWith('*.')
  const bare = text.slice(wildcard ? 2 : 0).replace(/\.$/, '')
  const ascii = /^[\x21-\x7e]*$/.test(bare) ? bare.toLowerCase() : domainToASCII(bare)
  if (!isDnsName(ascii) || /^[\d.]+$/.test(ascii)) return undefined
  return { kind: 'dns', name: wildcard ? `*.${ascii}` : ascii }
}

/** Letters, digits, hyphens and (as browsers tolerate) underscores; labels of 1–63, in all at most 253 characters. */
export function isDnsName(name: string): boolean {
  return (
    name.length <= 253 &&
    /^([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/i.test(name)
  )
}

/**
 * Whether the subject alternative names cover `host`: RFC 9525 (6.3, 6.5) as browsers apply it. A wildcard is
 * the whole left-most label, stands for exactly one label and needs at least two labels behind it that are
 * not a public suffix; an address matches an iPAddress only; the common name never counts.
 */
export function namesCover(names: readonly GeneralName[], host: Host): boolean {
  return names.some((name) => {
    if (host.kind === 'ip') return name.kind === 'ip' && Buffer.from(name.value).equals(host.bytes)
    return name.kind === 'dns' && patternCovers(name.value.toLowerCase(), host.name)
  })
}

/** Whether one name of `Certificate.names` covers a host as somebody wrote it; by the same rules. */
export function hostMatches(host: string, name: string): boolean {
  const parsed = parseHost(host)
  if (parsed === undefined) return false
  const value = ipBytes(name)
  return namesCover([value === undefined ? { kind: 'dns', value: name } : { kind: 'ip', value }], parsed)
}

function patternCovers(pattern: string, name: string): boolean {
  if (!pattern.startsWith('*.')) return isDnsName(pattern) && pattern === name
  const base = pattern.slice(2)
  if (!isDnsName(base) || isPublicSuffix(base)) return false
  if (pattern === name) return true
  if (name.startsWith('*.')) return false
  return name.slice(name.indexOf('.') + 1) === base && name.indexOf('.') > 0
}

/** Second-level labels under which country registries sell names, as `co` in `co.uk`. */
const REGISTRY_LABELS = new Set(
  'ac co com edu gob gouv gov govt go gv info law ltd me mil ne net nom nhs or org plc police sch school web'.split(
    ' ',
  ),
)

/**
 * Browsers refuse a wildcard directly below a public suffix. The full Public Suffix List is 250 KB and
 * changes weekly; no CA issues such a certificate, so top-level names and the usual country registries do.
 */
export function isPublicSuffix(name: string): boolean {
  const labels = name.split('.')
  if (labels.length === 1) return true
  return labels.length === 2 && labels[1]!.length === 2 && REGISTRY_LABELS.has(labels[0]!)
}
