import type { Worker } from 'node:worker_threads'
import { type Log, silentLog } from '../base/log.ts'
import { printable } from '../base/printable.ts'
import type { CheckResult, Reading } from '../certificate/bundle.ts'
import { unreadReport } from '../certificate/inspect-report.ts'
import { inProcessReader } from './in-process.ts'
import { type Answer, type Method, pack, type Question, unpackReading } from './messages.ts'
import type { BundleReader } from './port.ts'
import { startThread } from './thread.ts'

export interface WorkerLimits {
  /** Wall time of one question, in milliseconds. */
  milliseconds: number
  /** Of JavaScript's heap, in MiB. */
  memory: number
}

/**
 * The count of the work (`certificate/limits.ts`) ends what is costly; this ends what nobody thought of. So the time is many
 * times what the count allows on a machine of the slowest kind, and the memory is below half of what a function has.
 */
const NET: WorkerLimits = { milliseconds: 30_000, memory: 192 }

/** How a question went over the limits. */
type Overrun = { overran: 'time' | 'memory' }

/**
 * Reads in a thread of its own, which is started when there is something to read and asked one question after another. A
 * question that overruns is asked once more in a fresh thread, since the machine may have been busy, and then answered
 * with a refusal, so that nobody comes back to it with every tick. Where no thread can be had at all it is read here:
 * the count of the work still holds, and a certificate that is not renewed would be the greater harm.
 */
export function createWorkerReader(
  options: { limits?: Partial<WorkerLimits>; log?: Log; start?: typeof startThread } = {},
): BundleReader {
  const limits = { ...NET, ...options.limits }
  const log = options.log ?? silentLog
  const start = options.start ?? startThread
  let worker: Worker | undefined
  let threadless = false
  let turn: Promise<unknown> = Promise.resolve()

  function stop(): Promise<unknown> {
    const old = worker
    worker = undefined
    return old?.terminate() ?? Promise.resolve()
  }

  async function running(): Promise<Worker> {
    if (worker !== undefined) return worker
    const fresh = await started(start({ resourceLimits: { maxOldGenerationSizeMb: limits.memory } }))
    fresh.on('exit', () => {
      if (worker === fresh) worker = undefined
    })
    worker = fresh
    return fresh
  }

  async function once(question: Question): Promise<Answer | Overrun | 'threadless'> {
    let thread: Worker
    try {
      thread = await running()
    } catch (cause) {
      threadless = true
      log.warn('the reader has no thread of its own here; uploads are read without its limits', {
        reason: printable(cause instanceof Error ? cause.message : String(cause)),
      })
      return 'threadless'
    }
    const answer = await answerOf(thread, question, limits.milliseconds)
    // Not waited for: inside OpenSSL a thread ends only when the call does.
    if ('overran' in answer) void stop()
    return answer
  }

  /** The value, or how it overran. */
  async function twice(method: Method, args: unknown[]): Promise<unknown> {
    const question: Question = { method, args: args.map(pack) }
    for (let last = false; ; last = true) {
      const answer = await once(question)
      if (answer === 'threadless') return here(method, args)
      if ('overran' in answer) {
        log.warn(
          `reading took too much ${answer.overran}${last ? ' again' : ', once more in a fresh thread'}`,
          {
            method,
          },
        )
        if (last) throw new Overran(answer.overran, limits)
        continue
      }
      if ('failed' in answer)
        throw Object.assign(new Error(answer.failed.message), { stack: answer.failed.stack })
      return answer.value
    }
  }

  function here(method: Method, args: unknown[]): Promise<unknown> {
    return (inProcessReader[method] as (...args: unknown[]) => Promise<unknown>)(...args)
  }

  async function ask<T>(method: Method, args: unknown[], overran: (check: CheckResult) => T): Promise<T> {
    if (threadless) return (await here(method, args)) as T
    const mine = turn.then(() => twice(method, args))
    turn = mine.catch(() => {})
    try {
      return (await mine) as T
    } catch (thrown) {
      if (thrown instanceof Overran) return overran(thrown.check)
      throw thrown
    }
  }

  return {
    async read(objects, readOptions) {
      const packed = await ask<Reading>('read', [objects, readOptions], (check) => ({
        kind: 'unreadable',
        problems: [check],
      }))
      return threadless ? packed : unpackReading(packed)
    },
    judge: (bundle, judgeOptions) =>
      ask('judge', [bundle, judgeOptions], (check) => ({ decision: 'refuse', checks: [check] })),
    contents: (objects, readOptions) => ask('contents', [objects, readOptions], () => []),
    inspect: (objects, inspectOptions) =>
      ask('inspect', [objects, inspectOptions], (check) => unreadReport(objects, inspectOptions, check)),
    async close() {
      await turn
      await stop()
    },
  }
}

/** Rejects where the thread ends before it is ready. */
function started(worker: Worker): Promise<Worker> {
  return new Promise((resolve, reject) => {
    const onExit = (code: number) => reject(new Error(`the thread ended with ${code}`))
    // Stays, so that an error between two questions is nobody's; the question after it gets a fresh thread.
    worker.on('error', reject)
    worker.once('exit', onExit)
    worker.once('message', () => {
      worker.off('exit', onExit)
      // Between two questions it keeps no process alive.
      worker.unref()
      resolve(worker)
    })
  })
}

function answerOf(worker: Worker, question: Question, milliseconds: number): Promise<Answer | Overrun> {
  return new Promise((resolve) => {
    const end = (answer: Answer | Overrun) => {
      clearTimeout(timer)
      worker.off('message', end)
      worker.off('error', onError)
      worker.off('exit', onExit)
      worker.unref()
      resolve(answer)
    }
    const onError = (cause: Error & { code?: string }) =>
      end(
        cause.code === 'ERR_WORKER_OUT_OF_MEMORY'
          ? { overran: 'memory' }
          : { failed: { message: cause.message, stack: cause.stack } },
      )
    const onExit = () => end({ overran: 'memory' })
    const timer = setTimeout(() => end({ overran: 'time' }), milliseconds)
    worker.on('message', end)
    worker.on('error', onError)
    worker.on('exit', onExit)
    worker.ref()
    worker.postMessage(question)
  })
}

class Overran extends Error {
  readonly check: CheckResult

  constructor(what: 'time' | 'memory', limits: WorkerLimits) {
    super(what)
    const most = what === 'time' ? `${limits.milliseconds / 1000} s` : `${limits.memory} MiB of memory`
    this.check = {
      code: 'overran',
      result: 'refused',
      message: `What lies here took more than ${most} to read, twice, and was given up: it is no certificate that any tool writes. Upload the certificate, its chain and its key as they were issued.`,
      facts: { overran: what },
    }
  }
}
