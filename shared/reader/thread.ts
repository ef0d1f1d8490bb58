import { join } from 'node:path'
import { Worker, type WorkerOptions } from 'node:worker_threads'

/** Set by the bundler of the functions (deploy/bundle.ts): where the worker's file lies, seen from the code's own. */
declare const PACKED_READER: string | undefined

/** Starts the thread that reads, from wherever this code runs: a function's package, the compiled package, or the sources. */
export function startThread(options: Pick<WorkerOptions, 'resourceLimits'>): Worker {
  // Nothing of the parent's options, and of its environment, which may hold secrets, only what keeps tsx from caching.
  const own = { ...options, execArgv: [], env: { TSX_DISABLE_CACHE: '1' } }
  if (typeof PACKED_READER === 'string') return new Worker(join(__dirname, PACKED_READER), own)
  const here = import.meta.url
  return new Worker(new URL(here.endsWith('.js') ? './worker.js' : './from-sources.mjs', here), own)
}
