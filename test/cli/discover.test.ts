import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TestCloud } from '../support/cloud.ts'
import { runCli } from '../support/terminal.ts'

// biome-ignore lint/suspicious/noExplicitAny: the tests break the config in ways its type forbids
type Config = any

let cloud: TestCloud
beforeEach(async () => {
  cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: ['erp.shop.example'] })
})
afterEach(() => cloud.close())

async function run(command: string, change: (config: Config) => void = () => {}, ...args: string[]) {
  const config: Config = { ...cloud.config(), certificates: undefined, discover: true }
  change(config)
  await writeFile(join(cloud.folder, 'rotation.yaml'), JSON.stringify(config))
  return runCli(command, '--config', join(cloud.folder, 'rotation.yaml'), ...args)
}

describe('discover with no certificate configured', () => {
  it('watches every gateway of the project, and changes nothing', async () => {
    const { stdout } = await run('status', undefined, '--json', '--fail-on', 'never')
    const { certificates, unread } = JSON.parse(stdout)
    expect(unread).toEqual([])
    const names = certificates.flatMap((one: Config) => one.leaf.names)
    expect([...new Set(names)].sort()).toEqual(['api.shop.example', 'erp.shop.example'])
    expect(certificates.every((one: Config) => !one.managed)).toBe(true)
    expect(cloud.effects()).toEqual({})
  })

  it('looks the project up where the config does not say it', async () => {
    const { stdout } = await run('status', (config) => delete config.cloud.projectId, '--json')
    expect(JSON.parse(stdout).certificates.length).toBeGreaterThan(0)
  })

  it.each(['status', 'tick'])(
    'ends %s with 1 where a wrong secret keeps it from looking',
    async (command) => {
      const wrong = (config: Config) => Object.assign(config.cloud.auth.accessKey, { secret: 'wrong' })
      const { exitStatus, stdout, stderr } = await run(command, wrong)
      expect(exitStatus).toBe(1)
      expect(`${stdout}${stderr}`.replace(/\s+/g, ' ')).toMatch(/apig.* 401 .*Check cloud\.auth\.accessKey/)
    },
  )

  it('is what doctor takes for something to watch', async () => {
    const { exitStatus, stdout } = await run('doctor', undefined, '--read-only', '--json')
    const { checks } = JSON.parse(stdout)
    expect(exitStatus).toBe(0)
    expect(checks).toContainEqual(
      expect.objectContaining({ group: 'gateways', message: 'its domains could be read', result: 'passed' }),
    )
    expect(checks[0].message).toMatch(/discover/)
  })

  it('needs to know the cloud', async () => {
    const { exitStatus, stderr } = await run('status', (config) => delete config.cloud)
    expect(exitStatus).toBe(2)
    expect(stderr).toMatch(/discover .*needs to know the cloud; add the section cloud/)
  })
})
