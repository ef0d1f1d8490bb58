/** What JSON from a store or a service must be before it is believed. */

export function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A record in which each of these fields is a text. */
export function isTexts<Field extends string>(
  value: unknown,
  ...fields: Field[]
): value is Record<string, unknown> & Record<Field, string> {
  return isRecord(value) && fields.every((field) => typeof value[field] === 'string')
}

export function isStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string')
}

/** A record all of whose values are texts. */
export function isTextRecord(value: unknown): value is Record<string, string> {
  return isRecord(value) && Object.values(value).every((item) => typeof item === 'string')
}

/** The JSON object in a text, or undefined where it is none. */
export function parseRecord(text: string): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = JSON.parse(text)
    return isRecord(parsed) ? parsed : undefined
  } catch {
    return undefined
  }
}
