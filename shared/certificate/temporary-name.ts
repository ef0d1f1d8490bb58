const TEMPORARY = /(^|\/)\.|(\.part|\.partial|\.tmp|\.temp|\.swp|\.crdownload|~)$/i

/** Names that say "still being written" or "not for you": such objects are left alone. */
export function isTemporaryName(name: string): boolean {
  return TEMPORARY.test(name)
}
