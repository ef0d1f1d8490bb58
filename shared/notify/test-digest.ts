import type { Digest } from '../watch/notice.ts'

/** One message that says it is a test; `id` tells two of them apart. */
export function testDigest(now: Date, id: string, installation: string | undefined): Digest {
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
