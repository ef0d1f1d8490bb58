import type { KeyObject } from 'node:crypto'
import { examine } from '../certificate/found.ts'
import { inspectReport } from '../certificate/inspect-report.ts'
import { printable } from '../certificate/printable.ts'
import { readObjects } from '../certificate/read-objects.ts'
import { judge } from '../certificate/verdict.ts'
import type { BundleReader } from './port.ts'

/** Here and now: inside the worker, and in tests. What it costs is bounded by the count of the work alone. */
export const inProcessReader: BundleReader = {
  read: async (objects, options) => readObjects(objects, options),
  judge: async (bundle, options) => judge(bundle, options),
  contents: async (objects, options) => {
    const found = examine(objects, options)
    const damaged = new Set([...found.problems, ...found.keyProblems].map(({ facts }) => facts?.object))
    return found.objects.map(({ name, certificates, keys }) => ({
      name,
      certificates: certificates.map(({ certificate, selfIssued, publicKey }) => ({
        fingerprint: certificate.fingerprint,
        selfIssued,
        publicKey: comparable(publicKey.object(), publicKey.spki),
      })),
      privateKeys: keys.map(({ publicObject, spki }) => ({ publicKey: comparable(publicObject, spki) })),
      damaged: damaged.has(printable(name)),
    }))
  },
  inspect: async (objects, options) => inspectReport(objects, options),
  close: async () => {},
}

/** The same point may be written compressed in one place and not in the other; coordinates are the same in both. */
function comparable(key: KeyObject | undefined, spki: Uint8Array | undefined): string {
  try {
    if (key !== undefined) return JSON.stringify(key.export({ format: 'jwk' }))
  } catch {
    // A kind that has no such form.
  }
  return Buffer.from(spki ?? []).toString('hex')
}
