import type { Outbox } from '../notify/outbox.ts'
import type { Parties } from '../rotation/parties.ts'
import { buildStatus } from '../status/build.ts'
import { renderJson } from '../status/json.ts'
import { renderMetrics } from '../status/metrics.ts'
import type { StatusModel } from '../status/model.ts'
import { renderPage } from '../status/page.ts'
import { watchKeys } from '../watch/alert-memory.ts'
import type { Gathered } from '../watch/facts.ts'
import { type LastTick, nextLastTick } from '../watch/last-tick.ts'

export const statusKeys = {
  page: 'status/index.html',
  json: 'status/status.json',
  metrics: 'status/metrics.prom',
} as const

/** Page, JSON and metrics into the store; after a tick the dead-man file too, as the very last thing. */
export async function publish(
  parties: Pick<Parties, 'store' | 'clock'>,
  gathered: Gathered,
  outbox: Outbox,
  options: { ticked: boolean; public: boolean },
): Promise<StatusModel> {
  const lastTick: LastTick | undefined = options.ticked
    ? nextLastTick(gathered.now, gathered.lastTick, gathered.notLookedAt?.domains)
    : gathered.lastTick
  const model = buildStatus({ ...gathered, lastTick, outbox })
  const put = (key: string, text: string, contentType: string) =>
    parties.store.put(key, text, { contentType, ...(options.public ? { public: true } : {}) })
  await put(statusKeys.page, renderPage(model), 'text/html; charset=utf-8')
  await put(statusKeys.json, `${renderJson(model)}\n`, 'application/json')
  await put(statusKeys.metrics, renderMetrics(model), 'text/plain; version=0.0.4; charset=utf-8')
  if (options.ticked && lastTick)
    await parties.store.put(watchKeys.lastTick, `${JSON.stringify(lastTick)}\n`, {
      contentType: 'application/json',
    })
  return model
}
