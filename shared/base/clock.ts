/** Time is handed in everywhere, so that tests choose it and nothing waits for real. */
export interface Clock {
  /** Wall-clock time. */
  now(): Date
  /** Milliseconds from an arbitrary origin that never jump: for durations and deadlines. */
  monotonic(): number
  /** Resolves after `ms` milliseconds; rejects with the signal's reason as soon as it aborts. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>
}

/** Node fires a longer timer at once: a wait of a month would spin. */
const LONGEST_TIMER_MS = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => new Date(),
  monotonic: () => performance.now(),
  sleep: (ms, signal) =>
    new Promise((resolve, reject) => {
      if (signal?.aborted) return reject(signal.reason)
      const onAbort = () => {
        clearTimeout(timer)
        reject(signal?.reason)
      }
      let timer: NodeJS.Timeout
      const wait = (left: number) => {
        const part = Math.min(left, LONGEST_TIMER_MS)
        timer = setTimeout(() => {
          if (left > part) return wait(left - part)
          signal?.removeEventListener('abort', onAbort)
          resolve()
        }, part)
      }
      wait(ms)
      signal?.addEventListener('abort', onAbort, { once: true })
    }),
}

export const second = 1_000
export const minute = 60 * second
export const hour = 60 * minute
export const day = 24 * hour
