/** The known name that was probably meant, or undefined where none is near. Case, `-` and `_` do not count. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const plain = (text: string) => text.toLowerCase().replace(/[-_\s]/g, '')
  let best: string | undefined
  let least = Number.POSITIVE_INFINITY
  for (const candidate of known) {
    const d = distance(plain(name.slice(0, 64)), plain(candidate))
    if (d < least) [best, least] = [candidate, d]
  }
  return best !== undefined && least <= Math.max(1, Math.floor(best.length / 3)) ? best : undefined
}

/** Edits (insert, delete, replace, swap of neighbours) that turn one text into the other. */
export function distance(a: string, b: string): number {
  let before: number[] = []
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      let d = Math.min(row[j]! + 1, next[j - 1]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1))
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        d = Math.min(d, before[j - 2]! + 1)
      next.push(d)
    }
    before = row
    row = next
  }
  return row[b.length]!
}
