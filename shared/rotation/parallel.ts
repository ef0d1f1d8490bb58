/** Runs `work` over the items, at most `limit` at a time, in order of the list. Rejects with the first rejection, after all that had begun have ended. */
export async function inParallel<T>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<void>,
): Promise<void> {
  let next = 0
  let failed = false
  const worker = async () => {
    while (next < items.length && !failed) {
      const item = items[next++] as T
      try {
        await work(item)
      } catch (thrown) {
        failed = true
        throw thrown
      }
    }
  }
  const settled = await Promise.allSettled(Array.from({ length: Math.min(limit, items.length) }, worker))
  for (const one of settled) if (one.status === 'rejected') throw one.reason
}
