import type { Clock } from '../base/clock.ts'
import { asFailure, Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import { due, type Outbox, type Pending, settle } from './outbox.ts'
import type { Channel } from './port.ts'

export interface Delivery {
  channels: readonly Channel[]
  outbox: Outbox
  clock: Clock
  log: Log
  /** Ends everything: what is not confirmed then stays in the outbox. */
  signal: AbortSignal
}

/** A channel that does not care for the signal must not hold back the page, the outbox and everybody else. */
function tooLate(signal: AbortSignal): Promise<never> {
  const over = new Promise<never>((_, reject) => {
    const end = () =>
      reject(
        new Failure({
          code: 'notify.timeout',
          kind: 'later',
          message: 'The time of this tick was over before the channel had taken the message',
          next: 'Give the function more time if this goes on.',
          effect: 'unknown',
        }),
      )
    if (signal.aborted) end()
    else signal.addEventListener('abort', end, { once: true })
  })
  over.catch(() => {})
  return over
}

/**
 * Sends what is due, channels side by side, one channel's messages in order. Never throws: a channel that fails is
 * a fact of the outbox. After its first failure a channel is left alone until the next tick.
 */
export async function deliver({ channels, outbox, clock, log, signal }: Delivery): Promise<Outbox> {
  let current = outbox
  const work = due(outbox, clock.now())
  const over = tooLate(signal)
  await Promise.all(
    channels.map(async (channel) => {
      for (const item of work.filter((pending) => pending.channel === channel.name)) {
        if (signal.aborted) return
        const delivered = await attempt(channel, item)
        if (!delivered) return
      }
    }),
  )
  return current

  async function attempt(channel: Channel, item: Pending): Promise<boolean> {
    try {
      await Promise.race([channel.send(item.digest, signal), over])
      current = settle(current, item, clock.now())
      log.info('message sent', { channel: channel.name, notices: item.digest.notices.length })
      return true
    } catch (thrown) {
      const failure = asFailure(thrown)
      current = settle(current, item, clock.now(), failure)
      log.warn('message not sent', { channel: channel.name, failure })
      return false
    }
  }
}
