import type { Clock } from '../base/clock.ts'
import { asFailure, Failure } from '../base/failure.ts'
import type { Log } from '../base/log.ts'
import type { Installation } from '../watch/notice.ts'
import { begin, due, ended, type Outbox, type Pending, settle } from './outbox.ts'
import type { Channel } from './port.ts'

export interface Delivery {
  channels: readonly Channel[]
  outbox: Outbox
  /** In whose name. */
  from: Installation
  /** Keeps what is noted before anything is sent. */
  save: (outbox: Outbox) => Promise<void>
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
 * Sends what is due, channels side by side, one channel's messages in order. Throws only what `save` throws: a channel
 * that fails is a fact of the outbox. After its first failure a channel is left alone until the next tick. Whoever dies
 * between sending and saying so leaves what may have been told: its end is told, and a message comes twice at worst.
 */
export async function deliver({
  channels,
  outbox,
  from,
  save,
  clock,
  log,
  signal,
}: Delivery): Promise<Outbox> {
  let current = begin(outbox, clock.now(), from.scope)
  const work = due(current, clock.now()).filter(({ begun }) => begun)
  await save(current)
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
  return ended(current)

  async function attempt(channel: Channel, item: Pending): Promise<boolean> {
    const { name, scope: _ } = from
    const digest = {
      ...item.digest,
      ...(name === undefined ? {} : { installation: name }),
      ...(item.begun === undefined ? {} : { incidents: item.begun }),
    }
    try {
      await Promise.race([channel.send(digest, signal), over])
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
