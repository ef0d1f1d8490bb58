const PEM_BLOCK = /-----BEGIN[\s\S]*?(?:-----END[^-]*-----|$)/g
/** Long enough to spare ids and UUIDs, short enough for one line of a key, a signature or a token. */
const LONG_RUN = /[A-Za-z0-9+/=_-]{40,}/g

/**
 * Makes text that a service sent safe to print: some services quote the request, so known secrets, PEM blocks
 * and long base64 runs are cut out; control characters are escaped (no forged log lines, no terminal codes);
 * the rest is shortened.
 */
export function printable(text: string, secrets: readonly string[] = [], limit = 240): string {
  let safe = text
  // Longest first: a secret that contains another one must not leave its rest behind.
  for (const secret of [...secrets].sort((a, b) => b.length - a.length)) {
    for (const form of [secret, JSON.stringify(secret).slice(1, -1)]) {
      if (form.length > 0) safe = safe.replaceAll(form, '[secret]')
    }
  }
  safe = safe.replace(PEM_BLOCK, '[secret]').replace(LONG_RUN, '[removed]')
  safe = safe.replace(/[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g, (character) =>
    character === '\n' || character === '\t' || character === '\r'
      ? ' '
      : `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
  safe = safe.trim()
  return safe.length > limit ? `${safe.slice(0, limit - 1)}…` : safe
}
