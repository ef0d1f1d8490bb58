import { execFileSync } from 'node:child_process'

/** The runtime of FunctionGraph. */
export const PLATFORM_NODE = '20.15.1'

/** Its program, from npm's package `node`; else whatever runs the tests, and that is said. CI requires it. */
export function platformNode(): string {
  try {
    const found = execFileSync('npx', ['-y', `--package=node@${PLATFORM_NODE}`, 'which', 'node'], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
    if (found) return found
  } catch {
    // Told below.
  }
  if (process.env.CI) throw new Error(`npm's package node@${PLATFORM_NODE} could not be had`)
  console.warn(`Node ${PLATFORM_NODE} could not be had from npm: this runs on ${process.version} instead.`)
  return process.execPath
}
