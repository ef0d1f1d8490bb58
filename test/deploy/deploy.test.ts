import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { deploy, info, planRollback, remove } from '../../deploy/deployment.ts'
import { readService } from '../../deploy/desired.ts'
import { type DeploySession, openSession } from '../../deploy/session.ts'
import { type Emulator, startEmulator } from '../../emulator/emulator.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { credentials, serviceInput, smallArtifact } from './support.ts'

const seed = {
  project: { id: '0123456789abcdef0123456789abcdef' },
  agencies: [{ name: 'small' }],
}
let emulator: Emulator
let session: DeploySession | undefined
const said: string[] = []

beforeAll(async () => {
  emulator = await startEmulator({ seed })
})
afterAll(() => emulator.close())
beforeEach(async () => {
  await emulator.reset(seed)
  said.length = 0
})

type Options = Parameters<typeof serviceInput>

async function run(
  what: 'deploy' | 'remove' | 'info' | 'rollback',
  options: { fn?: Options[1]; provider?: Options[2]; artifact?: ReturnType<typeof smallArtifact> } = {},
) {
  const service = readService(serviceInput(emulator, options.fn, options.provider))
  session = await openSession(service, credentials(emulator))
  const parties = {
    functionGraph: session.functionGraph,
    clock: systemClock,
    say: (line: string) => void said.push(line),
  }
  try {
    if (what === 'deploy')
      await deploy(service, new Map([['one', options.artifact ?? smallArtifact()]]), parties)
    else if (what === 'rollback') for (const { apply } of await planRollback(service, parties)) await apply()
    else await (what === 'remove' ? remove : info)(service, parties)
    return session.functionGraph
  } finally {
    await session.close()
  }
}

const mutating = () => emulator.calls().filter((call) => call.mutating)

async function afterwards<T>(look: (graph: DeploySession['functionGraph']) => Promise<T>): Promise<T> {
  const service = readService(serviceInput(emulator))
  const own = await openSession(service, credentials(emulator))
  try {
    return await look(own.functionGraph)
  } finally {
    await own.close()
  }
}

describe('deploying', () => {
  it('creates the function with configuration, variables, asynchronous settings and trigger, and says so first', async () => {
    await run('deploy')
    const found = await afterwards((graph) => graph.show('small-test-one'))
    expect(found).toMatchObject({
      runtime: 'Node.js20.15',
      handler: 'index.handler',
      xrole: 'small',
      app_xrole: 'small',
      initializer_handler: 'index.initializer',
      initializer_timeout: 10,
    })
    expect(await afterwards((graph) => graph.asyncSettings('small-test-one'))).toEqual({
      retries: 2,
      maximumAge: 3600,
      failureTopic: '',
    })
    expect(said[1]).toContain('+ function small-test-one')
    expect(said.join('\n')).toContain('+ trigger TIMER: schedule_type Rate, schedule 30m')
  })

  it('does nothing and says so where nothing changed: no call that changes anything', async () => {
    await run('deploy')
    emulator.clearCalls()
    said.length = 0
    await run('deploy')
    expect(mutating()).toEqual([])
    expect(said).toEqual(['Nothing to do: 1 functions are as serverless.yml wants them.'])
  })

  it('uploads changed code, publishes a version of it and keeps as many as it is told', async () => {
    for (const text of ['a', 'b', 'c', 'd'])
      await run('deploy', { artifact: smallArtifact(text), provider: { keepVersions: 2 } })
    expect(await afterwards((graph) => graph.versions('small-test-one'))).toHaveLength(2)
    const answer = await afterwards((graph) => graph.invoke('small-test-one', {}))
    expect(JSON.parse(answer.result)).toMatchObject({ text: 'd' })
  })

  it('goes back to the version that was in service before, code and settings, and never to one it left', async () => {
    const text = async () =>
      JSON.parse((await afterwards((graph) => graph.invoke('small-test-one', {}))).result).text
    await run('deploy', { artifact: smallArtifact('a') })
    await expect(run('rollback')).rejects.toMatchObject({ code: 'deploy.no-version-before' })
    await run('deploy', { artifact: smallArtifact('b'), fn: { memorySize: 1024 } })
    await run('rollback')
    expect(await text()).toBe('a')
    expect(await afterwards((graph) => graph.show('small-test-one'))).toMatchObject({ memory_size: 256 })
    await expect(run('rollback')).rejects.toThrow('this is its first')
    await run('deploy', { artifact: smallArtifact('c') })
    await run('deploy', { artifact: smallArtifact('d') })
    await run('rollback')
    expect(await text()).toBe('c')
    // Not b, which is newer than a and was left.
    await run('rollback')
    expect(await text()).toBe('a')
    emulator.clearCalls()
    await run('deploy', { artifact: smallArtifact('a') })
    expect(mutating()).toEqual([])
  })

  it('tells a topic of a run whose last try failed, in the name of an agency that may', async () => {
    const failureTopic = `urn:smn:eu-de:${emulator.ready.seed.project.id}:alarm`
    const failing = smallArtifact('x', true)
    const fail = () => emulator.functions().fireTimer('small-test-one')
    await emulator.reset({ ...seed, topics: ['alarm'] })
    await run('deploy', { fn: { asyncRetries: 1 }, provider: { failureTopic }, artifact: failing })
    expect(said).toContain(`  + asynchronous runs: 1 retries within 3600 s; then ${failureTopic} is told`)
    await fail()
    expect(emulator.state().messages.map(({ topicUrn, message }) => ({ topicUrn, message }))).toEqual([
      { topicUrn: failureTopic, message: expect.stringContaining('asked to fail') },
    ])
    emulator.clearCalls()
    await run('deploy', { fn: { asyncRetries: 1 }, provider: { failureTopic }, artifact: failing })
    expect(mutating()).toEqual([])
    await emulator.reset({ ...seed, topics: ['alarm'], agencies: [{ name: 'small', actions: ['apig:*'] }] })
    await run('deploy', { fn: { asyncRetries: 1 }, provider: { failureTopic }, artifact: failing })
    await fail()
    expect(emulator.state().messages).toEqual([])
  })

  it('shows every difference of the configuration and changes only that', async () => {
    await run('deploy')
    emulator.clearCalls()
    said.length = 0
    await run('deploy', { fn: { memorySize: 1024, concurrency: 1, environment: { LOG_LEVEL: 'debug' } } })
    expect(said).toEqual([
      'small-test-one',
      '  ~ memory (MB): 256 → 1024',
      '  ~ instances at most: no limit → 1',
      '  + variable LOG_LEVEL: debug',
      'small-test-one: updated',
    ])
    expect(mutating().map((call) => call.route)).toEqual([
      'functiongraph.updateConfig',
      'functiongraph.createVersion',
    ])
  })

  it('notices a changed secret without being able to read the old one, and prints neither', async () => {
    await run('deploy')
    said.length = 0
    await run('deploy', { provider: { secrets: { TOKEN: 'another long and secret text' } } })
    expect(said).toContain('  ~ encrypted variables: TOKEN')
    expect(said.join('\n')).not.toContain('secret text')
    const found = await afterwards((graph) => graph.show('small-test-one'))
    expect(JSON.stringify(found)).not.toContain('secret text')
    const answer = await afterwards((graph) => graph.invoke('small-test-one', {}))
    expect(JSON.parse(answer.result)).toMatchObject({ secret: 28, agency: 'HSTA' })
  })

  it('replaces a trigger that differs, switches one whose status differs, and removes one that is not wanted', async () => {
    await run('deploy')
    const timer = (schedule: string, status = 'ACTIVE') => ({
      events: [
        { triggerTypeCode: 'TIMER', status, eventData: { name: 'tick', scheduleType: 'Rate', schedule } },
      ],
    })
    await run('deploy', { fn: timer('10m') })
    await run('deploy', { fn: timer('10m', 'DISABLED') })
    expect(said).toContain('  - trigger TIMER: schedule_type Rate, schedule 30m')
    expect(said).toContain('  + trigger TIMER: schedule_type Rate, schedule 10m')
    expect(said).toContain('  ~ trigger TIMER: ACTIVE → DISABLED')
    await run('deploy', { fn: { events: [] } })
    expect(await afterwards((graph) => graph.triggers('small-test-one'))).toEqual([])
  })

  it('uploads again what somebody changed by hand', async () => {
    await run('deploy')
    await afterwards((graph) => graph.updateCode('small-test-one', smallArtifact('by hand').zip))
    said.length = 0
    await run('deploy')
    expect(said[1]).toMatch(/~ code: not ours, or changed by hand → [0-9a-f]{16}/)
    const answer = await afterwards((graph) => graph.invoke('small-test-one', {}))
    expect(JSON.parse(answer.result)).toMatchObject({ text: 'hello' })
  })

  it('finishes what broke off between any two calls', async () => {
    await run('deploy')
    const calls = mutating().map((call) => call.route)
    expect(calls.length).toBeGreaterThan(3)
    for (const route of calls) {
      await emulator.reset()
      emulator.faults.add({
        route,
        times: 1,
        fault: { status: 403, errorCode: 'FSS.0403', message: 'not you' },
      })
      await expect(run('deploy'), route).rejects.toThrow(/not you/)
      await run('deploy')
      emulator.clearCalls()
      await run('deploy')
      expect(mutating(), route).toEqual([])
    }
  })

  it('asks for the type that has this Node.js, and for a log, which is off by default', async () => {
    await run('deploy')
    expect(await afterwards((graph) => graph.show('small-test-one'))).toMatchObject({
      type: 'v2',
      enable_lts_log: true,
    })
    await afterwards((graph) => graph.invoke('small-test-one', {}))
    const service = readService(serviceInput(emulator))
    const own = await openSession(service, credentials(emulator))
    expect((await own.logs('small-test-one', new Date(0))).join()).toContain('handled')
    // Somebody switched it off in the console.
    await own.functionGraph.updateConfig(
      'small-test-one',
      {
        runtime: 'Node.js20.15',
        timeout: 60,
        handler: 'index.handler',
        memory_size: 256,
        enable_lts_log: false,
      },
      [],
    )
    await expect(own.logs('small-test-one', new Date(0))).rejects.toMatchObject({
      code: 'deploy.no-log',
      next: expect.stringContaining('npm run deploy'),
    })
    await own.close()
    said.length = 0
    await run('deploy')
    expect(said).toContain('  ~ log in LTS: false → true')
  })

  it('says before it changes anything that a function of another type cannot become one of ours', async () => {
    const { zip } = smallArtifact()
    const body = { runtime: 'Node.js16.17', handler: 'index.handler', timeout: 30, memory_size: 128 }
    await expect(
      afterwards((graph) => graph.create('small-test-one', { ...body, type: 'v1' }, zip, [])),
    ).rejects.toThrow('not supported by functions of type v1')
    await afterwards((graph) =>
      graph.create('small-test-one', { ...body, runtime: 'Python3.9', type: 'v1' }, zip, []),
    )
    emulator.clearCalls()
    await expect(run('deploy')).rejects.toMatchObject({ code: 'deploy.function-type' })
    expect(mutating()).toEqual([])
  })

  it('keeps an OBS trigger whose events are read back shortened', async () => {
    const obs = {
      events: [
        {
          triggerTypeCode: 'OBS',
          eventData: {
            name: 'incoming',
            bucket: 'certificates',
            events: ['s3:ObjectCreated:*'],
            prefix: 'incoming/',
          },
        },
      ],
    }
    await run('deploy', { fn: obs })
    expect(await afterwards((graph) => graph.triggers('small-test-one'))).toMatchObject([
      { event_data: { events: ['ObjectCreated'] } },
    ])
    emulator.clearCalls()
    await run('deploy', { fn: obs })
    expect(mutating()).toEqual([])
  })

  it('removes functions with their triggers, and does not miss what is not there', async () => {
    await run('deploy')
    await run('remove')
    expect(await afterwards((graph) => graph.show('small-test-one'))).toBeUndefined()
    said.length = 0
    await run('remove')
    expect(said).toEqual(['small-test-one: is not there'])
  })

  it('shows what is deployed', async () => {
    await run('info')
    expect(said).toEqual(['small-test-one: not deployed'])
    await run('deploy')
    said.length = 0
    await run('info')
    expect(said.join('\n')).toMatch(/urn:fss:eu-de:.*\n.*Node\.js20\.15.*\n[\s\S]*TIMER ACTIVE/)
  })
})

describe('reading serverless.yml', () => {
  const read =
    (fn: object, provider: object = {}) =>
    () =>
      readService(serviceInput(emulator, fn as never, provider as never))

  it('names the field that is wrong', () => {
    expect(read({ memorySize: 64 })).toThrow(/functions\.one\.memorySize in serverless\.yml/)
    expect(read({ asyncRetries: 7 })).toThrow(/functions\.one\.asyncRetries/)
    expect(read({}, { region: 'Frankfurt!' })).toThrow(/provider\.region .* is not a region/)
    expect(read({ events: [{ triggerTypeCode: 'FAX', eventData: {} }] })).toThrow(
      /events\.0\.triggerTypeCode/,
    )
  })

  it('says what is missing where there are no credentials, and where the region has no FunctionGraph', async () => {
    const service = readService(serviceInput(emulator))
    await expect(openSession(service, { HW_ACCESS_KEY: 'x' })).rejects.toThrow('HW_SECRET_KEY is not set')
    const elsewhere = readService(serviceInput(emulator, {}, { region: 'eu-nl', endpoints: {} }))
    await expect(openSession(elsewhere, credentials(emulator))).rejects.toThrow('not offered in eu-nl')
  })
})
