import { findPebble, type Pebble, type PebbleOptions, startPebble as start } from '../../emulator/pebble.ts'

export type { Pebble } from '../../emulator/pebble.ts'

/** For `describe.skipIf`: says why tests are left out. With `REQUIRE_PEBBLE=1` absence is an error. */
export function pebbleMissing(): boolean {
  const found = findPebble(process.env.PEBBLE)
  if ('binary' in found) return false
  if (process.env.REQUIRE_PEBBLE === '1') throw new Error(found.missing)
  console.warn(`left out: tests against a real ACME server. ${found.missing}`)
  return true
}

/** The installed Pebble, started. */
export function startPebble(options: Omit<PebbleOptions, 'binary'>): Promise<Pebble> {
  const found = findPebble(process.env.PEBBLE)
  if ('missing' in found) throw new Error(found.missing)
  return start({ ...options, binary: found.binary })
}
