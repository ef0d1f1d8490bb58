import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { receiver } from '../notify/support.ts'
import { runCli } from '../support/terminal.ts'

/** `alert --test` asks real receivers on loopback, and says what they said. */

let folder: string
let server: Awaited<ReturnType<typeof receiver>>
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'alert-'))
  await mkdir(join(folder, 'bucket'))
  server = await receiver(({ url }, response) => {
    if (url.pathname === '/slack/verysecretpart') return response.end('ok')
    if (url.pathname === '/pagerduty')
      return response.writeHead(202).end('{"status":"success","message":"Event processed"}')
    response.writeHead(404).end('no_service verysecretpart')
  })
})
afterEach(async () => {
  await server.close()
  await rm(folder, { recursive: true })
})

const hook = (path: string, format: string, more = {}) => ({
  webhook: server.url(path),
  format,
  allowPrivateAddress: true,
  ...more,
})

async function alert(alerts: unknown, ...words: string[]) {
  const file = join(folder, 'rotation.yaml')
  await writeFile(
    file,
    JSON.stringify({ name: 'staging', store: { directory: './bucket' }, certificates: {}, alerts }),
  )
  return runCli('alert', ...words, '--config', file)
}

const everybody = () => ({
  channels: [hook('/slack/verysecretpart', 'slack')],
  owners: { shop: [hook('/gone/verysecretpart', 'slack')] },
  escalation: {
    from: '3d',
    channels: [
      hook('/slack/verysecretpart', 'slack'),
      hook('/pagerduty', 'pagerduty', { secret: 'R'.repeat(32) }),
    ],
  },
})

it('says of every channel, once, who is told by it and what it said, and fails when one did not take it', async () => {
  const { exitStatus, stdout, stderr } = await alert(everybody(), '--test')
  expect(exitStatus).toBe(1)
  expect(
    stdout
      .replace(/\s+/g, ' ')
      .replaceAll(/slack [0-9a-f]{8}/g, 'slack')
      .replace(/\d{2,}:/g, 'N:'),
  ).toMatch(
    /^✓ slack \(everybody, escalation\) took the test message: 200 ok ✗ slack \(owner shop\) .* did not take the message: 404 Check .* \[notify.refused\] ✓ pagerduty [0-9a-f]+ \(escalation\) took the test message: 202 Event processed $/,
  )
  expect(stdout + stderr).not.toContain('verysecretpart')
  for (const line of stdout.split('\n')) expect([...line].length).toBeLessThanOrEqual(100)
})

it('sends what nobody can take for an alarm, and leaves no incident', async () => {
  await alert(everybody(), '--test')
  const sent = server.received.filter(({ url }) => url.pathname !== '/pagerduty')
  expect(sent).toHaveLength(2)
  for (const { body } of sent)
    expect(body).toContain('staging: TEST: this is a test message, nothing is wrong')
  const events = server.received.filter(({ url }) => url.pathname === '/pagerduty').map(({ json }) => json)
  const key = events[0]?.dedup_key
  expect(key).toMatch(/^cert-rotation\/test\/[0-9a-f]{8}$/)
  expect(events.map(({ event_action, dedup_key }) => [event_action, dedup_key])).toEqual([
    ['trigger', key],
    ['resolve', key],
  ])
  expect(events[0]?.payload).toMatchObject({ severity: 'info', summary: expect.stringContaining('TEST') })
})

it("asks one owner's channels only, where an owner is named", async () => {
  const { exitStatus, stdout } = await alert(everybody(), '--test', '--owner', 'shop', '--json')
  expect(exitStatus).toBe(1)
  expect(server.received.map(({ url }) => url.pathname)).toEqual(['/gone/verysecretpart'])
  expect(JSON.parse(stdout)).toMatchObject({
    command: 'alert',
    exitStatus: 1,
    channels: [{ audiences: ['owner shop'], failure: { code: 'notify.refused' } }],
  })
  expect(stdout).not.toContain('verysecretpart')
})

it('is 0 when all of them took it', async () => {
  const { exitStatus, stdout } = await alert(
    { channels: [hook('/slack/verysecretpart', 'slack'), { console: true }] },
    '--test',
  )
  expect(exitStatus).toBe(0)
  expect(stdout).toMatch(/TEST: this is a test message.*\n/)
  expect(stdout).toMatch(/✓ console \(everybody\) {2}took the test message\n/)
})

it.each([
  [['--test', '--owner', 'shp'], everybody, /no owner "shp"; did you mean shop\?/],
  [['--test'], () => ({}), /has no channel: nobody is ever told anything/],
  [[], everybody, /Usage: cert-rotation alert/],
])('with %j is wrong usage', async (words, alerts, said) => {
  const { exitStatus, stderr } = await alert(alerts(), ...words)
  expect(exitStatus).toBe(2)
  expect(stderr).toMatch(said)
  expect(server.received).toEqual([])
})
