import { domainToASCII } from 'node:url'
import { getPublicSuffix } from 'tldts-icann'
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
  if (!isDnsName(base)) return false
  if (pattern === name) return publicSuffixOf(base) !== base
  if (name.startsWith('*.')) return false
  const dot = name.indexOf('.')
  // Asked of the host, as Chromium does: `kawasaki.jp` is a public suffix for some names below it only.
  return dot > 0 && name.slice(dot + 1) === base && publicSuffixOf(name) !== base
}

/**
 * Chromium refuses a wildcard directly below a public suffix, under private roots too. It goes by the registries'
 * part of the Public Suffix List (`co.uk`, not `github.io`), and takes a top-level name that is not listed for one.
 */
function publicSuffixOf(name: string): string | null {
  return getPublicSuffix(name, { extractHostname: false, validateHostname: false })
}
