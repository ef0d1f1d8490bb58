import type { Clock } from '../base/clock.ts'
import type { ChannelConfig, Config } from '../config/schema.ts'
import type { HttpClient } from '../http/client.ts'
import { createConsoleChannel } from './console.ts'
import type { Channel } from './port.ts'
import { createSmnChannel } from './smn.ts'
import { createSmtpChannel } from './smtp.ts'
import { createWebhookChannel } from './webhook.ts'

export interface ChannelParts {
  clock: Clock
  /** Milliseconds one message may take. */
  timeoutMs: number
  /** Asked for only when a topic is configured. */
  smn: () => { http: HttpClient; projectId: string }
  /** Where the console channel writes. */
  write: (text: string) => void
}

export interface Channels {
  all: readonly Channel[]
  /** Everybody who is told apart: `undefined` for whoever is not. */
  audiences: readonly (string | undefined)[]
  /** Names of the channels that an audience of `digestsOf` is told by. */
  of(audience: string | undefined): readonly string[]
}

/** Channels as configured, each target once, and who is told by which. */
export function createChannels(alerts: Config['alerts'], parts: ChannelParts): Channels {
  const all = new Map<string, Channel>()
  const names = (configs: readonly ChannelConfig[]): string[] =>
    configs.map((config) => {
      const channel = createChannel(config, parts)
      if (!all.has(channel.name)) all.set(channel.name, channel)
      return channel.name
    })
  const owners = new Map(
    Object.entries(alerts.owners).map(([owner, configs]) => [`owner ${owner}`, names(configs)]),
  )
  const everybody = names(alerts.channels)
  const escalation = names(alerts.escalation?.channels ?? [])
  // What belongs to no owner must not fall silent where only owners have channels.
  const rest = everybody.length > 0 ? everybody : [...new Set([...owners.values()].flat())]
  return {
    all: [...all.values()],
    audiences: [undefined, ...owners.keys(), ...(escalation.length > 0 ? ['escalation'] : [])],
    of: (audience) => {
      if (audience === 'escalation') return escalation
      const own = audience === undefined ? undefined : owners.get(audience)
      return own === undefined || own.length === 0 ? rest : own
    },
  }
}

function createChannel(config: ChannelConfig, parts: ChannelParts): Channel {
  const { clock, timeoutMs } = parts
  if ('smn' in config)
    return createSmnChannel({ ...parts.smn(), topicUrn: config.smn, now: () => clock.now() })
  if ('smtp' in config) return createSmtpChannel({ ...config.smtp, timeoutMs })
  if ('console' in config) return createConsoleChannel(parts.write)
  const { webhook, format, secret, allowPrivateAddress } = config
  return createWebhookChannel({ url: webhook, format, secret, allowPrivateAddress, clock, timeoutMs })
}
