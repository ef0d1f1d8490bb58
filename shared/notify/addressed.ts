import type { Digest } from '../watch/notice.ts'
import type { Channels } from './channels.ts'

/**
 * Each digest for each of its channels: what `queue` takes. A channel that is told the same notices anyway is not
 * told them again because they escalated.
 */
export function addressed(
  digests: readonly Digest[],
  channels: Channels,
): { channel: string; digest: Digest }[] {
  const result: { channel: string; digest: Digest }[] = []
  const told = (channel: string) =>
    new Set(result.filter((item) => item.channel === channel).flatMap(({ digest }) => digest.notices))
  const ordered = [...digests].sort(
    (a, b) => Number(a.audience === 'escalation') - Number(b.audience === 'escalation'),
  )
  for (const digest of ordered) {
    for (const channel of new Set(channels.of(digest.audience))) {
      const already = told(channel)
      if (!digest.notices.every((notice) => already.has(notice))) result.push({ channel, digest })
    }
  }
  return result
}
