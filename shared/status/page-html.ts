/** A template whose every value is escaped for element content and quoted attributes. */
export function html(parts: TemplateStringsArray, ...values: readonly (string | number)[]): string {
  return parts.reduce((text, part, index) => text + escapeHtml(String(values[index - 1] ?? '')) + part)
}

export function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll("'", '&#39;')
}

/** JSON inside a script element: nothing in it can end the element or begin a comment. */
export function jsonForScript(value: unknown): string {
  return JSON.stringify(value).replace(
    /[<>&\u2028\u2029]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** What the page's script makes of an instant: `12 days ago`, `12 days left`, or the same behind a sentence's date. */
export type MomentForm = 'ago' | 'left' | ', ' | ' ('

/**
 * A page is read long after it was written: how long ago something was is reckoned by its script, and without script
 * there stands what never gets old.
 */
export function moment(instant: string, form: MomentForm, otherwise: string): string {
  return html`<time datetime="${instant}" data-as="${form}">${otherwise}</time>`
}

const DISTANCE = '(?:in \\d+ [a-z]+|\\d+ [a-z]+ ago|just now)'
const AGED = new RegExp(
  `(\\d{4}-\\d\\d-\\d\\d) (\\d\\d:\\d\\d) UTC(?:(, )${DISTANCE}| \\(${DISTANCE}\\))`,
  'g',
)

/** A sentence of ours, escaped; distances from the instants in it are left to the script. */
export function sentence(text: string): string {
  return escapeHtml(text).replace(
    AGED,
    (_, date: string, time: string, form: MomentForm = ' (') =>
      `${date} ${time} UTC${moment(`${date}T${time}:00Z`, form, '')}`,
  )
}
