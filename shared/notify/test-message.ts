import type { Clock } from '../base/clock.ts'
import { asFailure, type Failure } from '../base/failure.ts'
import { digestOf } from '../base/names.ts'
import type { Digest, Installation } from '../watch/notice.ts'
import type { Channels } from './channels.ts'

/** What came of one channel's test message. */
export interface TestResult {
  channel: string
  /** Who is told by it: `everybody`, `owner NAME`, `escalation`. */
  audiences: string[]
  /** The receiver's own words, where it took it and has any. */
  said?: string
  failure?: Failure
}

/**
 * A message that says that it is a test, through every channel, or through those of one audience (`owner NAME`), side
 * by side. What a channel says stands in its result; nothing is queued and nothing remembered. Where a receiver keeps
 * incidents, the test's is opened and resolved.
 */
export async function sendTest(
  channels: Channels,
  {
    from,
    clock,
    signal,
    audience,
  }: { from: Installation; clock: Clock; signal: AbortSignal; audience?: string },
): Promise<TestResult[]> {
  const now = clock.now()
  const digest = testDigest(now, digestOf(from.scope, now.toISOString()).slice(0, 8), from.name)
  const asked = audience === undefined ? channels.audiences : [audience]
  const byName = new Map(channels.all.map((channel) => [channel.name, channel]))
  return Promise.all(
    [...new Set(asked.flatMap((one) => channels.of(one)))]
      .flatMap((name) => byName.get(name) ?? [])
      .map(async (channel): Promise<TestResult> => {
        const audiences = channels.audiences
          .filter((one) => channels.of(one).includes(channel.name))
          .map((one) => one ?? 'everybody')
        try {
          const said = await channel.send(digest, signal)
          return { channel: channel.name, audiences, ...(said ? { said } : {}) }
        } catch (thrown) {
          return { channel: channel.name, audiences, failure: asFailure(thrown) }
        }
      }),
  )
}

/** One message that says it is a test; `id` tells two of them apart. */
function testDigest(now: Date, id: string, installation: string | undefined): Digest {
  const at = now.toISOString()
  return {
    id: `test-${id}`,
    at,
    ...(installation === undefined ? {} : { installation }),
    notices: [
      {
        kind: 'test',
        key: `test/${id}`,
        at,
        severity: 'info',
        escalate: false,
        where: [],
        next: 'Nothing: no answer is expected.',
        action: '',
      },
    ],
  }
}
