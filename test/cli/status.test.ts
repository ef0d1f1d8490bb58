import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { ROMA, TestCloud } from '../support/cloud.ts'
import { runCli } from '../support/terminal.ts'

/** `status` is green only where somebody has looked. */

// biome-ignore lint/suspicious/noExplicitAny: the tests break the config in ways its type forbids
type Config = any

let cloud: TestCloud
beforeEach(async () => {
  cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: ['erp.shop.example'] })
})
afterEach(() => cloud.close())

async function status(change: (config: Config) => void, ...args: string[]) {
  const config: Config = cloud.config()
  change(config)
  const file = join(cloud.folder, 'rotation.yaml')
  await writeFile(file, JSON.stringify(config))
  const { exitStatus, stdout, stderr } = await runCli('status', '--config', file, ...args)
  return { exitStatus, stderr, stdout, text: stdout.replace(/\s+/g, ' ') }
}

const noId = 'ffffffff-0000-4000-8000-000000000000'

describe('status, where a gateway cannot be read,', () => {
  it.each<[string, (config: Config) => void, RegExp]>([
    [
      'a wrong secret',
      ({ cloud: { auth } }) => Object.assign(auth.accessKey, { secret: 'wrong' }),
      /✗ apig:\S+ could not be read: [^→]* 401 [^→]*→ Check cloud\.auth\.accessKey/,
    ],
    [
      'a wrong project',
      ({ cloud: own }) => Object.assign(own, { projectId: 'f'.repeat(32) }),
      /✗ apig:\S+ could not be read: [^→]*→ \w/,
    ],
    [
      'a wrong instance',
      ({ certificates }) => Object.assign(certificates.shop.gateways[0], { instanceId: noId }),
      /✗ apig:ffffffff\S+ could not be read: [^→]*APIG\.3030[^→]*→ Check gateways\[\]\.instanceId/,
    ],
    [
      'no way to it',
      ({ cloud: { endpoints } }) => Object.assign(endpoints, { roma: 'http://127.0.0.1:1' }),
      new RegExp(`! roma:${ROMA} could not be read: [^→]*ECONNREFUSED[^→]*→ \\w`),
    ],
  ])('says %s with what to do and ends with 1', async (_case, change, says) => {
    const { exitStatus, text } = await status(change)
    expect(text).toMatch(/2 of 2 domains served as expected/)
    expect(text).toMatch(says)
    expect(exitStatus).toBe(1)
    expect((await status(change, '--fail-on', 'never')).exitStatus).toBe(0)
    expect((await status(change, '--quiet')).exitStatus).toBe(1)
  })

  it('an unknown region is a sentence and 1', async () => {
    const { exitStatus, stderr } = await status(({ cloud: own }) => {
      own.region = 'eu-nowhere'
      delete own.projectId
    })
    expect(stderr).toMatch(/no project named eu-nowhere\nSet cloud\.projectId/)
    expect(exitStatus).toBe(1)
  })

  it('a missing permission is critical in the document, and a broken line a warning', async () => {
    const fault = { status: 403, errorCode: 'APIG.1005' }
    cloud.emulator.faults.add({ route: 'apig.listGroups', fault })
    const { exitStatus, stdout } = await status(
      ({ cloud: { endpoints } }) => Object.assign(endpoints, { roma: 'http://127.0.0.1:1' }),
      '--json',
    )
    expect(exitStatus).toBe(1)
    expect(
      JSON.parse(stdout)
        .unread.map((one: Config) => one.severity)
        .sort(),
    ).toEqual(['critical', 'warning'])
  })
})

it('status.json says how the tool is, for no call more than the status takes anyway', async () => {
  const well = await status(() => {}, '--json')
  const { health } = JSON.parse(well.stdout)
  expect(health.result).toBe('warning')
  expect(health.checks).toContainEqual(expect.objectContaining({ group: 'credentials', result: 'passed' }))
  const routes = cloud.emulator.calls().map(({ route }) => route)
  expect(routes.sort()).toEqual(['apig.listGroups', 'roma.listGroups'])
  const ill = await status(({ cloud: { auth } }) => Object.assign(auth.accessKey, { secret: 'wrong' }))
  expect(ill.text).toMatch(/3 checks of the tool itself failed: cert-rotation doctor says what to do/)
  const page = new TextDecoder().decode((await cloud.store.get('status/index.html'))?.bytes)
  expect(page).toMatch(/<details open><summary><h2 id="tool-title">[\s\S]*3 of 6 checks failed/)
})

it('status does not call well what only it has seen to be wrong, before any tick', async () => {
  const [host] = cloud.hosts
  const { bindings } = cloud.emulator.state()
  const { instanceId } = bindings.find((one) => one.host === host)!
  await fetch(`${cloud.emulator.url}/__emulator/bind`, {
    method: 'POST',
    body: JSON.stringify({ host, instanceId, certificateId: null }),
  })
  const { exitStatus, text } = await status(() => {})
  expect(text).toContain(
    `! ${host}: not served as it should be in this one look. cert-rotation tick looks twice`,
  )
  expect(exitStatus).toBe(3)
  expect((await status(() => {}, '--fail-on', 'never')).exitStatus).toBe(0)
  expect((await status(() => {}, '--fail-on', 'warning')).exitStatus).toBe(1)
})

it('status does not call a certificate well of which no domain can be seen', async () => {
  const change = ({ certificates }: Config) => {
    for (const gateway of certificates.shop.gateways) gateway.verify = { connect: '127.0.0.1:1' }
  }
  const { exitStatus, text } = await status(change)
  expect(text).toMatch(/! shop 0\/2 /)
  expect(text).toMatch(/● shop: 2 domains cannot be seen from here api\.shop\.example: [^→]*127\.0\.0\.1:1/)
  expect(exitStatus).toBe(3)
  expect((await status(change, '--fail-on', 'never')).exitStatus).toBe(0)
  expect((await status(change, '--fail-on', 'warning')).exitStatus).toBe(1)
  const allOff = await status(({ certificates }) => {
    for (const gateway of certificates.shop.gateways) gateway.verify = false
  })
  expect(allOff.text).not.toContain('cannot be seen from here')
})
