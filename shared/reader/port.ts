import type { Bundle, Reading, UploadedObject } from '../certificate/bundle.ts'
import type { ReadOptions } from '../certificate/found.ts'
import type { InspectOptions, InspectReport } from '../certificate/inspect-report.ts'
import type { JudgeOptions, Verdict } from '../certificate/verdict.ts'

/** What one object holds, without deciding what belongs together and without anything secret. */
export interface Contents {
  /** As uploaded: not safe to print. */
  name: string
  /** `publicKey` is the same text exactly for the same key. */
  certificates: { fingerprint: string; selfIssued: boolean; publicKey: string }[]
  privateKeys: { publicKey: string }[]
  /** Something in it cannot be read or opened. */
  damaged: boolean
}

/**
 * Reads and judges bytes that anybody may have written: what was uploaded, and what it became. What overruns time or
 * memory twice is answered like anything else that cannot be read, with the code `overran`. Nothing is thrown for
 * what is in the bytes.
 */
export interface BundleReader {
  read(objects: readonly UploadedObject[], options: ReadOptions): Promise<Reading>
  judge(bundle: Bundle, options: JudgeOptions): Promise<Verdict>
  /** One entry for each object; none where they are too many or cost too much. */
  contents(objects: readonly UploadedObject[], options: ReadOptions): Promise<Contents[]>
  /** Reading and verdict in one, for `inspect`. */
  inspect(objects: readonly UploadedObject[], options: InspectOptions): Promise<InspectReport>
  close(): Promise<void>
}
