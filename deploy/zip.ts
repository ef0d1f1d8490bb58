import { zipSync } from 'fflate'

/** One file of a package. */
export interface PackedFile {
  name: string
  bytes: Uint8Array
}

/** The DOS epoch: the earliest instant that a zip can hold, and the same on every machine. */
const EPOCH = new Date(1980, 0, 1)

/** Sorted names, fixed times and modes: the same files give the same bytes. */
export function zipOf(files: readonly PackedFile[]): Uint8Array {
  return zipSync(
    Object.fromEntries(
      files.map(({ name, bytes }) => [
        name,
        // 0o100644, as unpackers on Unix expect it in the upper half.
        [bytes, { mtime: EPOCH, level: 9, os: 3, attrs: 0o100644 << 16 }] as const,
      ]),
    ),
  )
}
