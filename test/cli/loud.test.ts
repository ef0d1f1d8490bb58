import { spawn } from 'node:child_process'
import { mkdir, rename, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, resolve } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import { createLog, terminalDestination } from '../../shared/runtime/logger.ts'
import { TestCloud } from '../support/cloud.ts'
import { runCli } from '../support/terminal.ts'

/** With nothing in incoming/, whoever cannot do the work when it comes says so now. */

// Each command starts its own reader; on a busy machine that takes seconds.
vi.setConfig({ testTimeout: 90_000 })

// biome-ignore lint/suspicious/noExplicitAny: the tests break the config in ways its type forbids
type Config = any

let cloud: TestCloud
let file: string

beforeEach(async () => {
  cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: [] })
  file = join(cloud.folder, 'rotation.yaml')
})
afterEach(() => cloud.close())

async function configure(change: (config: Config) => void = () => {}): Promise<void> {
  const config: Config = cloud.config()
  change(config)
  await writeFile(file, JSON.stringify(config))
}

async function said(command: string, ...args: string[]) {
  const { exitStatus, stdout, stderr } = await runCli(command, '--config', file, ...args)
  return { exitStatus, stdout, all: `${stdout}${stderr}`.replace(/\s+/g, ' ') }
}

const endpoint = (url: string) => (config: Config) => {
  for (const name of Object.keys(config.cloud.endpoints)) config.cloud.endpoints[name] = url
}

/** Answers as it always will. */
const definite: [string, (config: Config) => void, RegExp][] = [
  [
    'a wrong secret',
    ({ cloud: { auth } }) => Object.assign(auth.accessKey, { secret: 'wrong' }),
    /401.*Check cloud\.auth\.accessKey/,
  ],
  [
    'a wrong token',
    ({ cloud: own }) => Object.assign(own, { auth: { token: 'no-token' } }),
    /401.*Check cloud\.auth\.token/,
  ],
  [
    'a wrong instance',
    ({ certificates }) =>
      Object.assign(certificates.shop.gateways[0], { instanceId: 'ffffffff-0000-4000-8000-000000000000' }),
    /APIG\.3030.*gateways\[\]\.instanceId/,
  ],
  ['a wrong endpoint', endpoint('http://apig.nowhere.invalid'), /no address in DNS.*Check cloud\.region/],
  [
    'a bucket that is not there',
    (config) => {
      config.store = {
        bucket: 'no-such-bucket',
        endpoint: config.cloud.endpoints.apig,
        pathStyle: true,
      }
    },
    /no bucket no-such-bucket.*create the bucket/,
  ],
  [
    'a wrong secret where things are only pushed',
    ({ cloud: { auth }, certificates }) => {
      Object.assign(auth.accessKey, { secret: 'wrong' })
      certificates.shop = { push: [{ service: 'ELB', project: 'eu-de' }] }
    },
    /(certificate manager|scm) .* 401 .*Check cloud\.auth\.accessKey/,
  ],
]

describe.each(definite)('%s', (_what, change, says) => {
  it.each(['tick', 'plan', 'status', 'watch'])('ends %s with 1 and what to do', async (command) => {
    await configure(change)
    // `watch` would go on for ever.
    const { exitStatus, all } = await said(command)
    expect(all).toMatch(says)
    expect(exitStatus).toBe(1)
  })
})

it('discover does not call a certificate manager well that refuses', async () => {
  await configure((config) => {
    config.discover = true
  })
  cloud.emulator.faults.add({
    route: 'scm.listCertificates',
    times: 100,
    fault: { status: 403, errorCode: 'SCM.4003' },
  })
  const { exitStatus, all } = await said('status')
  expect(all).toMatch(/✗ scm could not be read: .*403.*→ /)
  expect(exitStatus).toBe(1)
  expect(await said('tick')).toMatchObject({ exitStatus: 1 })
})

it('status says what is wrong also with --quiet', async () => {
  await configure(({ cloud: { auth } }) => Object.assign(auth.accessKey, { secret: 'wrong' }))
  expect((await said('status', '--quiet')).all).toMatch(/could not be read: .*401/)
})

describe('a network that fails', () => {
  it('ends the first tick with 3, the second in a row with 1, and is forgotten by one that goes well', async () => {
    const good = () => configure()
    const bad = () => configure(endpoint('http://127.0.0.1:1'))
    await good()
    expect(await said('tick')).toMatchObject({ exitStatus: 0 })
    await bad()
    const first = await said('tick')
    expect(first.all).toMatch(/! What is bound at apig:.*ECONNREFUSED.*may pass by itself/)
    expect(first.exitStatus).toBe(3)
    const second = await said('tick')
    expect(second.all).toMatch(/✗ What is bound at apig:.*ECONNREFUSED/)
    expect(second.exitStatus).toBe(1)
    await good()
    expect(await said('tick')).toMatchObject({ exitStatus: 0 })
    await bad()
    const { exitStatus, stdout } = await said('tick', '--json')
    expect(JSON.parse(stdout).failures).toMatchObject([{ code: 'gateway.unreachable', mayPass: true }])
    expect(exitStatus).toBe(3)
  })

  it('is no reason for watch to end, and is told with the time of day', async () => {
    await configure(endpoint('http://127.0.0.1:1'))
    const watch = await watching()
    await watch.says(/\d\d:\d\d:\d\d tick\n! What is bound at apig:.*ECONNREFUSED/)
    expect(await watch.stop()).toBe(0)
  })
})

it('watch tells a folder that has gone, once, and that it is back', async () => {
  await configure()
  const watch = await watching()
  await watch.says(/^· |Nothing to do/m)
  await rename(join(cloud.folder, 'bucket'), join(cloud.folder, 'elsewhere'))
  await watch.says(/\d\d:\d\d:\d\d error There is no folder .*\n +Create it/)
  await rename(join(cloud.folder, 'elsewhere'), join(cloud.folder, 'bucket'))
  await watch.says(/\d\d:\d\d:\d\d warn {2}directory .* can be read again/)
  await watch.stop()
  expect(watch.output().match(/There is no folder/g)).toHaveLength(1)
})

it('watch tells what waits when it comes, and not with every look', async () => {
  await configure()
  const watch = await watching()
  await watch.says(/Nothing to do/)
  const { fullchainPem } = await cloud.issue()
  await cloud.store.put('incoming/shop/fullchain.pem', fullchainPem)
  await watch.says(/… shop {2}waiting: .*private key.*fullchain\.pem\n/)
  // The looks until this one is told could say it again.
  await cloud.store.put('incoming/late.pem', 'late')
  await watch.says(/late\.pem lies in/)
  await watch.stop()
  expect(watch.output().match(/shop {2}waiting/g)).toHaveLength(1)
})

it('an alert channel that is dead beside one that works shows in tick, and is 1 with the second in a row', async () => {
  const receiver = createServer((_, response) => response.writeHead(404).end('no such hook'))
  await new Promise<void>((listening) => receiver.listen(0, '127.0.0.1', listening))
  try {
    const webhook = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/hook`
    await configure((config) => {
      config.alerts = {
        thresholds: ['30d'],
        channels: [{ console: true }, { webhook, allowPrivateAddress: true }],
      }
    })
    const first = await said('tick')
    expect(first.all).toMatch(/! The alert channel [^:]+ takes no messages: .*404/)
    expect(first.exitStatus).toBe(3)
    const second = await said('tick')
    expect(second.all).toMatch(/✗ The alert channel/)
    expect(second.exitStatus).toBe(1)
  } finally {
    await new Promise((closed) => receiver.close(closed))
  }
})

describe("a terminal's log", () => {
  const failure = new Failure({ code: 'x.y', kind: 'later', message: 'No way to it', next: 'Open the door.' })
  const logged = (reports: boolean) => {
    const lines: string[] = []
    const terminal = terminalDestination((text) => lines.push(text), false, reports)
    return { lines, terminal, log: createLog('warn', terminal) }
  }

  it('shows a failure at once, with what to do', () => {
    const { lines, log } = logged(false)
    log.warn('something failed', { failure })
    expect(lines.join('')).toMatch(/^\d\d:\d\d:\d\d warn {2}something failed\n +Open the door\.\n$/)
  })

  it('leaves to a report what it tells, however that is broken into lines, and tells the rest', () => {
    const { lines, terminal, log } = logged(true)
    log.error('told', { failure })
    log.warn('not told', { failure: new Failure({ ...failure, message: 'Another way', next: 'Wait.' }) })
    expect(lines).toEqual([])
    terminal.tellRest('✗ shop: No way\n  to it')
    expect(lines.join('')).toMatch(/^\S+ warn {2}not told\n +Wait\.\n$/)
    terminal.tellRest()
    expect(lines).toHaveLength(1)
  })
})

/** `watch`, as a process of its own. */
async function watching() {
  await mkdir(join(cloud.folder, 'bucket'), { recursive: true })
  const child = spawn(
    process.execPath,
    [resolve('bin/cert-rotation.js'), 'watch', '--config', file, '--poll', '50ms'],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, NO_COLOR: '1' } },
  )
  let output = ''
  const parts = new Set<() => void>()
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (part) => {
      output += part
      for (const look of parts) look()
    })
  const ended = new Promise<number | null>((close) => child.once('close', close))
  return {
    output: () => output,
    /** Ends with the process, so that what is missing is seen and not waited for. */
    says: async (text: RegExp) => {
      const seen = new Promise<void>((done) => {
        const look = () => text.test(output) && done()
        parts.add(look)
        look()
      })
      await Promise.race([seen, ended])
      expect(output).toMatch(text)
    },
    stop: () => {
      child.kill('SIGTERM')
      return ended
    },
  }
}
