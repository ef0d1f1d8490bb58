import type { Bundle } from '../../certificate/bundle.ts'
import type { HeldLease, Job, Parties } from '../parties.ts'
import type { Journal } from '../record/journal.ts'
import { makeOutcome, type OutcomeInit } from '../record/make-outcome.ts'
import type { Outcome } from '../record/state.ts'
import type { ClientCaFacts } from './client-ca.ts'
import type { Upload } from './incoming.ts'
import { factsOf } from './material.ts'

/** One look at what lies in `incoming/<name>/`, under the lease. */
export interface Attempt {
  job: Job
  parties: Parties
  lease: HeldLease
  journal: Journal
  upload: Upload
  clientCa: ClientCaFacts
  begunAt: Date
}

/** What came of it, until now. */
export function outcomeOf(
  { job, parties, begunAt }: Pick<Attempt, 'job' | 'parties' | 'begunAt'>,
  init: Omit<OutcomeInit, 'certificate' | 'begunAt' | 'endedAt'>,
): Outcome {
  return makeOutcome({ certificate: job.name, begunAt, endedAt: parties.clock.now(), ...init })
}

/** What every outcome of a bundle tells about it. */
export function about(bundle: Bundle): Pick<OutcomeInit, 'bundle' | 'repairs'> {
  return { bundle: factsOf(bundle), repairs: bundle.repairs }
}
