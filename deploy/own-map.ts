const DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'

interface SourceMap {
  version: number
  sources: string[]
  names: string[]
  mappings: string
}

/**
 * A source map without the packages: stack traces lead to lines of this repository, and the packages' lines would be
 * most of a zip. Undefined where nothing of ours is left. Format: ECMA-426, base64 VLQ.
 */
export function ownMap(text: string, isOwn: (source: string) => boolean): string | undefined {
  const map = JSON.parse(text) as SourceMap
  const own = map.sources.flatMap((source, index) => (isOwn(source) ? [index] : []))
  if (own.length === 0) return undefined
  const newIndex = new Map(own.map((index, position) => [index, position]))
  const before = [0, 0, 0, 0, 0]
  const after = [0, 0, 0, 0, 0]
  let kept = 0
  const lines = map.mappings.split(';').map((line) => {
    before[0] = 0
    after[0] = 0
    let open = false
    const segments: string[] = []
    for (const segment of line === '' ? [] : line.split(',')) {
      decode(segment).forEach((delta, field) => {
        before[field] = before[field]! + delta
      })
      const source = segment === '' ? undefined : newIndex.get(before[1]!)
      // A segment of one field ends the stretch before it: what follows is nobody's.
      if (source === undefined && !open) continue
      const values = source === undefined ? [before[0]!] : [before[0]!, source, before[2]!, before[3]!]
      segments.push(values.map((value, field) => encode(value - after[field]!)).join(''))
      values.forEach((value, field) => {
        after[field] = value
      })
      open = source !== undefined
      kept += 1
    }
    return segments.join(',')
  })
  if (kept === 0) return undefined
  const sources = own.map((index) => map.sources[index])
  return JSON.stringify({ version: 3, sources, names: [], mappings: lines.join(';') })
}

function decode(segment: string): number[] {
  const values: number[] = []
  let value = 0
  let shift = 0
  for (const character of segment) {
    const digit = DIGITS.indexOf(character)
    value += (digit & 31) << shift
    if (digit & 32) {
      shift += 5
      continue
    }
    values.push(value & 1 ? -(value >>> 1) : value >>> 1)
    value = 0
    shift = 0
  }
  return values
}

function encode(value: number): string {
  let rest = value < 0 ? (-value << 1) | 1 : value << 1
  let text = ''
  do {
    const digit = rest & 31
    rest >>>= 5
    text += DIGITS[rest > 0 ? digit | 32 : digit]
  } while (rest > 0)
  return text
}
