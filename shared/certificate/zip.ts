import { type FlateError, unzipSync } from 'fflate'
import type { UploadedObject } from './bundle.ts'
import type { Work } from './limits.ts'

/** Every authority mails one: its files, or a part of a sentence that says why they cannot be had. */
export type Unzipped = { files: UploadedObject[] } | { problem: string }

/** A file or a folder of it begins like that. */
export function isZip(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.subarray(0, 4)).toString('hex')
  return start === '504b0304' || start === '504b0506'
}

/** Folders and what systems add, besides the files. */
const MOST_ENTRIES = 256
/** All files of one archive together, in bytes: four times what one object may have. */
const MOST_BYTES = 1024 * 1024
/** PEM and DER hardly shrink; text may by ten times, what is made to grow by a thousand. */
const MOST_GROWTH = 100
const GROWTH_COUNTS_FROM = 16 * 1024
/** DEFLATE gives no more than this for one byte, whatever the archive claims; copying is cheap. */
const INFLATE = 1032 / 80

/**
 * Opens a ZIP archive as far as its own claims (files, sizes, growth) stay within limits; what it can cost at worst is
 * paid for before anything is unpacked. An archive in it is a file like any other, and opened by nobody.
 */
export function unzip(bytes: Uint8Array, name: string, work: Work): Unzipped {
  const unpack = 'unpack it yourself and put certificate, chain and key here'
  const { limits } = work
  const claims = new Map<string, { size: number; packed: number }>()
  let problem: string | undefined
  let listed = 0
  try {
    unzipSync(bytes, {
      filter: ({ name: entry, size, originalSize }) => {
        // Folders and clutter count: nothing is listed to the end that it claims.
        if (++listed > MOST_ENTRIES) throw new Error(`it lists more than ${MOST_ENTRIES} entries`)
        if (isClutter(entry)) return false
        if (claims.has(entry)) problem = 'holds two files of one name'
        claims.set(entry, { size: Math.max(originalSize, size), packed: size })
        return false
      },
    })
  } catch (thrown) {
    return { problem: `is a ZIP archive that cannot be read (${reasonOf(thrown)}): ${unpack}` }
  }
  const all = [...claims.values()]
  const sum = (of: (one: (typeof all)[number]) => number) => all.reduce((total, one) => total + of(one), 0)
  const packed = sum((one) => one.packed)
  if (claims.size > limits.objects) problem = `holds more than ${limits.objects} files`
  else if (sum(({ size }) => size) > MOST_BYTES || all.some(({ size }) => size > limits.objectBytes))
    problem = `unpacks to more than ${MOST_BYTES} bytes, or a file in it to more than ${limits.objectBytes}`
  else if (packed > bytes.length) problem = 'claims more than it has'
  else if (all.some((one) => one.size > GROWTH_COUNTS_FROM && one.size > one.packed * MOST_GROWTH))
    problem = `holds a file that grows to more than ${MOST_GROWTH} times its size`
  if (problem !== undefined) return { problem: `is a ZIP archive that ${problem}: ${unpack}` }
  work.spend(packed * INFLATE, 'unpacking')
  try {
    const files = unzipSync(bytes, { filter: ({ name: entry }) => claims.has(entry) })
    return {
      files: Object.entries(files).map(([entry, content]) => ({ name: `${name}/${entry}`, bytes: content })),
    }
  } catch (thrown) {
    return {
      problem: `is a ZIP archive that cannot be unpacked here (${reasonOf(thrown)}; it may have a password): ${unpack}`,
    }
  }
}

/** Folders, and what systems leave in archives. */
function isClutter(entry: string): boolean {
  return entry.endsWith('/') || /(^|\/)(__MACOSX\/|\.DS_Store$|Thumbs\.db$)/i.test(entry)
}

function reasonOf(thrown: unknown): string {
  return (thrown as Partial<FlateError>).message ?? 'damaged'
}
