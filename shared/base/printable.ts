/**
 * Everything that comes out of a bundle (subjects, names, file names) reaches a person, a log or a page only
 * through this function: a subject may hold line breaks that forge log lines, escape sequences that repaint a
 * terminal, or characters that turn the direction of writing around.
 *
 * Control, format (bidirectional marks, zero width), surrogate, private-use and unassigned characters and
 * line separators are written as `\u{…}`; at most `limit` characters are shown.
 */
export function printable(text: string, limit = 120): string {
  const cut = text.length > limit
  const shown = cut ? text.slice(0, limit) : text
  return shown.replace(UNSAFE, (char) => `\\u{${char.codePointAt(0)!.toString(16)}}`) + (cut ? '…' : '')
}

const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Cn}\p{Zl}\p{Zp}]/gu

/** JSON that means the same and shows nothing of what `printable` hides: object names in it come from outside. */
export function printableJson(value: unknown, indent: number): string {
  const escaped = (char: string) =>
    char === '\n' ? char : [...Array(char.length).keys()].map((i) => unit(char.charCodeAt(i))).join('')
  return JSON.stringify(value, null, indent).replace(UNSAFE, escaped)
}

function unit(code: number): string {
  return `\\u${code.toString(16).padStart(4, '0')}`
}

/** A list for a sentence: the first few in full, the rest as a count. */
export function printableList(texts: readonly string[], most = 5): string {
  const shown = texts.slice(0, most).map((text) => printable(text))
  const rest = texts.length - shown.length
  return rest > 0 ? `${shown.join(', ')} and ${rest} more` : shown.join(', ')
}
