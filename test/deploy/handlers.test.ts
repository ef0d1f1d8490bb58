import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { handler as onTimer } from '../../functions/on-timer.ts'
import { initializer, handler as onUpload } from '../../functions/on-upload.ts'
import type { PlatformContext } from '../../shared/runtime/context.ts'
import { closeService } from '../../shared/runtime/service.ts'
import { TestCloud } from '../support/cloud.ts'
import { root } from './support.ts'

let cloud: TestCloud
beforeEach(async () => {
  cloud = await TestCloud.start({ roma: [] })
})
afterEach(async () => {
  await closeService()
  await cloud.close()
})

const record = (key: string) => ({
  eventName: 'ObjectCreated:Put',
  s3: { bucket: { name: 'my-certificates' }, object: { key } },
})

/** FunctionGraph's context, with the config in user data. */
function platform(config: unknown = cloud.config()): PlatformContext {
  const data: Record<string, string> = {
    ROTATION_CONFIG: JSON.stringify(config),
    CONFIG_FOLDER: cloud.folder,
    LOG_LEVEL: 'silent',
  }
  return {
    getRequestID: () => 'a-request',
    getRemainingTimeInMilliSeconds: () => 60_000,
    getUserData: (name) => data[name],
    getSecurityAccessKey: () => '',
    getSecuritySecretKey: () => '',
    getSecurityToken: () => '',
  }
}

describe('the timer handler, asked for the doctor,', () => {
  it('answers with the document of `doctor --json`, from inside the function', async () => {
    const before = await cloud.keys()
    const well = await onTimer({ doctor: true }, platform())
    expect(well).toMatchObject({
      status: 'done',
      command: 'doctor',
      exitStatus: 0,
      failures: [],
      readOnly: false,
    })
    expect(well.checks).toContainEqual(expect.objectContaining({ group: 'gateways', result: 'passed' }))
    expect(await cloud.keys()).toEqual(before)
    expect(cloud.effects()).toEqual({})
    const config = cloud.config({}, { domains: ['nope.shop.example'] })
    const ill = await onTimer({ doctor: { readOnly: true } }, platform(config))
    expect(ill).toMatchObject({ status: 'failed', command: 'doctor', exitStatus: 1, readOnly: true })
    expect(ill.checks?.find(({ result }) => result === 'failed')?.about).toBe('nope.shop.example')
  })
})

describe('the upload handler', () => {
  it('does the good records of a batch, reports the bad one, and repeats nothing when the platform tries again', async () => {
    await cloud.drop(await cloud.issue())
    const event = { Records: [{ nonsense: true }, record('incoming/shop/privkey.pem')] }
    const first = await onUpload(event, platform())
    expect(first).toMatchObject({ status: 'failed', outcomes: [{ status: 'rotated' }] })
    expect(first.failures).toMatchObject([{ code: 'event.bad-record' }])
    cloud.emulator.clearCalls()
    await onUpload(event, platform())
    expect(cloud.effects()).toEqual({})
  })

  it('fails with the sentence of what nothing remembers, not with that of a failure beside it', async () => {
    const event = { Records: [record('incoming/stray/privkey.pem'), record('incoming/shop/privkey.pem')] }
    // A file where a folder should be: the store cannot write below it.
    await writeFile(join(cloud.folder, 'bucket/state'), '')
    await cloud.drop(await cloud.issue())
    await expect(onUpload(event, platform())).rejects.toThrow(/state.*\[store\./)
  })

  it('ignores own writes, even where the prefix of the trigger is wrong', async () => {
    const event = JSON.parse(await readFile(join(root, 'events/own-write.json'), 'utf8')) as unknown
    const before = await cloud.keys()
    expect(await onUpload(event, platform())).toMatchObject({ status: 'done', outcomes: [], failures: [] })
    expect((await cloud.keys()).filter((key) => !key.startsWith('status/') && !before.includes(key))).toEqual(
      [],
    )
    expect(cloud.effects()).toEqual({})
  })

  it('refuses an unknown shape by naming its fields', async () => {
    await expect(onUpload({ telegram: 1 }, platform())).rejects.toThrow(
      /"telegram".*\[event\.unknown-shape\]/,
    )
  })

  it("runs unchanged with AWS Lambda's context", async () => {
    await cloud.drop(await cloud.issue())
    process.env.ROTATION_CONFIG = JSON.stringify(cloud.config())
    process.env.CONFIG_FOLDER = cloud.folder
    process.env.LOG_LEVEL = 'silent'
    try {
      const lambda = {
        awsRequestId: 'lambda',
        functionName: 'on-upload',
        getRemainingTimeInMillis: () => 60_000,
      }
      const result = await onUpload({ Records: [record('incoming/shop/fullchain.pem')] }, lambda)
      expect(result).toMatchObject({ status: 'done', outcomes: [{ status: 'rotated' }] })
    } finally {
      delete process.env.ROTATION_CONFIG
      delete process.env.CONFIG_FOLDER
      delete process.env.LOG_LEVEL
    }
  })

  it('takes the credentials of each invocation, not those with which the instance was opened', async () => {
    const config = cloud.config() as { cloud: { auth: unknown } }
    config.cloud.auth = { agency: true }
    const [key] = cloud.emulator.ready.seed.accessKeys
    await cloud.drop(await cloud.issue())
    // The instance opens the outside without any credentials; the next invocation brings some.
    await onUpload({ Records: [record('state/shop.json')] }, platform(config))
    const event = { Records: [record('incoming/shop/fullchain.pem')] }
    const withAgency = {
      ...platform(config),
      getSecurityAccessKey: () => key!.id,
      getSecuritySecretKey: () => key!.secret,
    }
    expect(await onUpload(event, withAgency)).toMatchObject({ outcomes: [{ status: 'rotated' }] })
  })
})

describe('the initializer', () => {
  const initialized = (context: PlatformContext) =>
    new Promise<unknown>((resolve) => initializer(context, (error) => resolve(error)))

  it('opens the outside once, so that the first event finds it open', async () => {
    expect(await initialized(platform())).toBeNull()
    expect(await onTimer({ trigger_type: 'TIMER', trigger_name: 'tick' }, platform())).toMatchObject({
      status: 'done',
    })
  })

  it('does not fail over a wrong config: the event says what is wrong', async () => {
    const wrong = platform({ store: {} })
    expect(await initialized(wrong)).toBeNull()
    await expect(onUpload({ Records: [] }, wrong)).rejects.toThrow(/\[config\.invalid\]/)
  })
})
