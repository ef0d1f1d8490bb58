import { mkdir, utimes, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { CreateBucketCommand, PutBucketVersioningCommand, S3Client } from '@aws-sdk/client-s3'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { hour, minute } from '../../shared/base/clock.ts'
import type { HealthCheck } from '../../shared/health/port.ts'
import { APIG, ROMA, TestCloud } from '../support/cloud.ts'
import { runCli } from '../support/terminal.ts'

// biome-ignore lint/suspicious/noExplicitAny: the tests break the config in ways its type forbids
type Config = any
type Change = (config: Config) => unknown

let cloud: TestCloud
let servers: Server[]
beforeEach(async () => {
  servers = []
  cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: ['erp.shop.example'] })
})
afterEach(async () => {
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
  await cloud.close()
})

/** The document of one run; whatever it found, nothing of it is left in the store and nothing changed in the cloud. */
async function doctor(change: Change = () => {}, ...args: string[]) {
  const config: Config = cloud.config()
  await change(config)
  const file = join(cloud.folder, 'rotation.yaml')
  await writeFile(file, JSON.stringify(config))
  const before = await cloud.keys()
  cloud.emulator.clearCalls()
  const { exitStatus, stdout, stderr } = await runCli('doctor', '--config', file, '--json', ...args)
  const document = JSON.parse(stdout)
  expect(document).toMatchObject({ command: 'doctor', exitStatus })
  expect(await cloud.keys()).toEqual(before)
  expect(cloud.effects()).toEqual({})
  const checks: HealthCheck[] = document.checks
  const lines = checks.map(({ group, about, result, message, next }) =>
    [`${group} ${marks[result]} ${about}: ${message}`, ...(next ? [`→ ${next}`] : [])].join(' '),
  )
  return { exitStatus, checks, lines, text: lines.join('\n'), stderr, document }
}
const marks = { passed: '✓', warning: '!', failed: '✗' }

/** Not one request that could change anything, whether or not it would have. */
const changing = () => cloud.emulator.calls().filter((call) => call.mutating && call.service !== 'obs')

async function serve(answer: (path: string) => unknown): Promise<{ url: string; hits: string[] }> {
  const hits: string[] = []
  const server = createServer((request, response) => {
    hits.push(`${request.method} ${request.url}`)
    request.resume()
    response.setHeader('content-type', 'application/json')
    response.end(JSON.stringify(answer(request.url ?? '')))
  })
  servers.push(server)
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, hits }
}

const noId = 'ffffffff-0000-4000-8000-000000000000'

describe('doctor, where all is well,', () => {
  it('says so of everything, leaves nothing behind and changes nothing', async () => {
    const { exitStatus, text, document } = await doctor()
    expect(exitStatus).toBe(0)
    expect(document).toMatchObject({ result: 'warning', readOnly: false })
    expect(text).toMatch(/^config ✓ rotation\.yaml: 1 certificate, 2 domains, 2 gateways$/m)
    expect(text).toMatch(
      /^credentials ✓ cloud\.auth\.accessKey .*: accepted, project \w{32} in eu-de; clock right$/m,
    )
    expect(text).toMatch(
      /^store ✓ directory .*: written, read back, listed and deleted in state\/, status\/, /m,
    )
    expect(text).toMatch(new RegExp(`^gateways ✓ apig:${APIG}: 1 of 1 domain found$`, 'm'))
    expect(text).toMatch(
      new RegExp(`^gateways ✓ roma:${ROMA}: 1 certificate; may read, delete, .*not proven: create, `, 'm'),
    )
    expect(text).toMatch(/^handshakes ✓ 2 of 2 names: served as expected$/m)
    expect(text).toMatch(/^alerts ! channels: none is configured.*→ Add alerts\.channels/m)
    expect(text).toMatch(/^leftovers ✓ /m)
  })

  it('with --read-only asks for nothing that could change anything, and writes nothing', async () => {
    const { exitStatus, text, document } = await doctor(() => {}, '--read-only')
    expect({ exitStatus, readOnly: document.readOnly }).toEqual({ exitStatus: 0, readOnly: true })
    expect(changing()).toEqual([])
    expect(text).toMatch(/^gateways ✓ .*may read; not proven: create, attach, detach, delete/m)
    expect(text).not.toContain('written')
  })

  it('knows what a rotation has proven', async () => {
    await cloud.drop(await cloud.issue())
    await writeFile(join(cloud.folder, 'rotation.yaml'), JSON.stringify(cloud.config()))
    expect((await runCli('rotate', '--config', join(cloud.folder, 'rotation.yaml'))).exitStatus).toBe(0)
    const { text } = await doctor()
    expect(text).toMatch(/^gateways ✓ .*creating, attaching and detaching worked 20\d\d-/m)
    expect(text).not.toContain('not proven')
  })

  it('prints one line each, the object first, in 80 columns', async () => {
    await writeFile(join(cloud.folder, 'rotation.yaml'), JSON.stringify(cloud.config()))
    const columns = Object.getOwnPropertyDescriptor(process.stdout, 'columns')
    Object.defineProperty(process.stdout, 'columns', { value: 80, configurable: true })
    try {
      const { stdout } = await runCli('doctor', '--config', join(cloud.folder, 'rotation.yaml'))
      expect(stdout.split('\n').filter((line) => [...line].length > 80)).toEqual([])
      expect(stdout).toMatch(/^store {7}✓ directory /m)
      expect(stdout).toMatch(/\n {14}→ Add alerts\.channels/)
      expect(stdout).toMatch(/1 thing to know · exit 0\n$/)
    } finally {
      Object.defineProperty(process.stdout, 'columns', columns ?? { value: undefined, configurable: true })
    }
  })
})

describe('doctor names', () => {
  it.each<[string, Change, RegExp[]]>([
    [
      'a wrong secret',
      ({ cloud: { auth } }) => Object.assign(auth.accessKey, { secret: 'wrong' }),
      [
        /^credentials ✗ cloud\.auth\.accessKey .* 401 .*→ Check cloud\.auth\.accessKey/m,
        /^gateways ✗ apig:/m,
      ],
    ],
    [
      'a wrong secret where the project is looked up',
      ({ cloud: own }) => {
        own.auth.accessKey.secret = 'wrong'
        delete own.projectId
      },
      [/^credentials ✗ cloud: .* 401 /m],
    ],
    [
      'a token that is none',
      ({ cloud: own }) => Object.assign(own, { auth: { token: 'not-a-token' } }),
      [/^credentials ✗ cloud\.auth\.token: .* 401 .*→ Check cloud\.auth\.token/m],
    ],
    [
      'an instance that is not there, and those that are',
      ({ certificates }) => Object.assign(certificates.shop.gateways[0], { instanceId: noId }),
      [new RegExp(`^gateways ✗ apig:${noId}: .*APIG\\.3030.*→ .*instanceId.* There are: .*${APIG}`, 'm')],
    ],
    [
      'a domain that is not there, and the nearest that is',
      ({ certificates }) => Object.assign(certificates.shop.gateways[0], { domains: ['api.shop.exmaple'] }),
      [/^gateways ✗ api\.shop\.exmaple: No API group .*→ .*the gateway has: api\.shop\.example/m],
    ],
    [
      'a folder of the store that is not there, and looks at the rest all the same',
      ({ store }) => Object.assign(store, { directory: './nowhere' }),
      [
        /^store ✗ .*There is no folder .*nowhere.*→ Create it/m,
        /^gateways ✓ apig:/m,
        /^handshakes ✓ 2 of 2/m,
      ],
    ],
    [
      'no way to a name',
      ({ certificates }) =>
        Object.assign(certificates.shop.gateways[0], { verify: { connect: '127.0.0.1:1' } }),
      [
        /^handshakes ✓ 1 of 2 names: /m,
        /^handshakes ! api\.shop\.example: no way to it from here: .*→ Correct verify/m,
      ],
    ],
    [
      'that nobody looks at any name',
      ({ certificates }) => {
        for (const gateway of certificates.shop.gateways) gateway.verify = false
      },
      [/^handshakes ! 2 names: nobody looks/m],
    ],
    [
      'a file with roots that is not there',
      ({ certificates }) => Object.assign(certificates.shop, { trust: { private: 'roots.pem' } }),
      [/^config ✗ shop: trust\.private names roots\.pem, which cannot be read.*→ /m],
    ],
    [
      'a config without a certificate',
      (config) => Object.assign(config, { certificates: {} }),
      [/^config ! rotation\.yaml: has no certificate.*→ List certificates/m],
    ],
    [
      'a temporary key',
      ({ cloud: { auth } }) => Object.assign(auth.accessKey, { securityToken: 'not-needed-here' }),
      [/^credentials ! .*is temporary.*nothing here renews it.*→ /m],
    ],
    [
      'a channel that leads to this machine',
      (config) => Object.assign(config, { alerts: { channels: [{ webhook: 'https://127.0.0.1:1/' }] } }),
      [/^alerts ✗ generic \w+: .*address of this machine.*→ Set allowPrivateAddress/m],
    ],
    [
      'a channel where nobody listens',
      (config) =>
        Object.assign(config, {
          alerts: { channels: [{ webhook: 'http://127.0.0.1:1/', allowPrivateAddress: true }] },
        }),
      [/^alerts ✗ generic \w+: Cannot reach 127\.0\.0\.1:1 .*ECONNREFUSED.*→ Correct this channel/m],
    ],
    [
      'a mail server where nobody listens',
      (config) =>
        Object.assign(config, {
          alerts: {
            channels: [{ smtp: { host: '127.0.0.1', port: 1, from: 'a@b.example', to: ['c@d.example'] } }],
          },
        }),
      [/^alerts ✗ smtp 127\.0\.0\.1 \w+: Cannot reach 127\.0\.0\.1:1/m],
    ],
  ])('%s', async (_case, change, says) => {
    const { exitStatus, text, stderr } = await doctor(change)
    for (const one of says) expect(text).toMatch(one)
    expect(exitStatus).toBe(text.includes(' ✗ ') ? 1 : 0)
    expect(stderr).not.toContain('defect')
  })

  it.each([
    ['apig.attachCertificate', 'apig:domains:bindCertificate'],
    ['apig.detachCertificate', 'apig:domains:unbindCertificate'],
    ['apig.deleteCertificate', 'apig:certificate:delete'],
    ['apig.listCertificates', 'apig:certificate:list'],
    ['apig.showCertificate', 'apig:certificate:get'],
    ['apig.listAttachedDomains', 'apig:certificate:listBoundDomain'],
  ])('a missing permission for %s', async (route, action) => {
    cloud.emulator.faults.add({ route, fault: { status: 403, errorCode: 'APIG.1005' } })
    const { exitStatus, text } = await doctor()
    expect(text).toMatch(
      new RegExp(`^gateways ✗ apig:${APIG}: .* 403 .*→ Allow the IAM action ${action}`, 'm'),
    )
    expect(exitStatus).toBe(1)
  })

  it.each([
    [
      20,
      /^credentials ✗ cloud\.auth\.accessKey .* 401 .*→ Set this machine's clock: it is 20 min behind APIG's/m,
    ],
    [5, /^credentials ! clock: of this machine is [45] minutes behind the cloud's → Set it/m],
  ])('a clock that is %i minutes off', async (minutes, says) => {
    cloud.emulator.clock.advance(minutes * minute)
    const { text } = await doctor()
    expect(text).toMatch(says)
  })

  it('a domain that is bare, and one with a certificate for another name', async () => {
    cloud.emulator.bind('api.shop.example', null)
    const { exitStatus, text } = await doctor()
    expect(text).toMatch(/^handshakes ✗ api\.shop\.example: no certificate is bound to it → Drop a bundle/m)
    expect(exitStatus).toBe(1)
  })

  it('how many certificates are left to the quota', async () => {
    const { text } = await doctor(({ certificates }) =>
      Object.assign(certificates.shop, { maxCertificates: 1 }),
    )
    expect(text).toMatch(/^gateways ! apig:\S+: 1 of 1 certificates used → Delete certificates/m)
  })
})

describe('doctor of a bucket', () => {
  const bucket = 'my-certificates'
  const inBucket: Change = async (config) => {
    config.store = { bucket, endpoint: cloud.emulator.url, pathStyle: true }
  }
  const client = () => {
    const [key] = cloud.emulator.ready.seed.accessKeys
    return new S3Client({
      endpoint: cloud.emulator.url,
      region: 'eu-de',
      forcePathStyle: true,
      credentials: { accessKeyId: key!.id, secretAccessKey: key!.secret },
    })
  }
  const objects = () => cloud.emulator.calls().filter((call) => /^obs\.(put|delete)Object$/.test(call.route))
  /** As `doctor`, for a store that the cloud counts as changed. */
  async function bucketDoctor(...args: string[]) {
    const file = join(cloud.folder, 'rotation.yaml')
    const config = cloud.config()
    await inBucket(config)
    await writeFile(file, JSON.stringify(config))
    cloud.emulator.clearCalls()
    const { exitStatus, stdout } = await runCli('doctor', '--config', file, '--json', ...args)
    const { checks } = JSON.parse(stdout) as { checks: HealthCheck[] }
    const text = checks
      .map(
        ({ group, about, result, message, next }) =>
          `${group} ${marks[result]} ${about}: ${message} → ${next}`,
      )
      .join('\n')
    return { exitStatus, text }
  }

  it('that is not there', async () => {
    const { exitStatus, text } = await bucketDoctor()
    expect(text).toMatch(/^store ✗ bucket my-certificates: .*NoSuchBucket.*→ Correct store\.bucket/m)
    expect(text).toMatch(/^gateways ✓ apig:/m)
    expect(exitStatus).toBe(1)
  })

  it('takes away what it wrote, also where reading it back is denied', async () => {
    await client().send(new CreateBucketCommand({ Bucket: bucket }))
    expect(await bucketDoctor()).toMatchObject({ exitStatus: 0 })
    const wrote = objects().filter(({ method }) => method === 'PUT')
    expect(wrote.map(({ path }) => path.split('/')[2]).sort()).toEqual([
      'deployed',
      'rejected',
      'state',
      'status',
    ])
    const denied = '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
    cloud.emulator.faults.add({
      route: 'obs.getObject',
      path: '*cert-rotation-doctor*',
      fault: { status: 403, reply: denied, effect: 'none' },
    })
    const { exitStatus, text } = await bucketDoctor()
    expect(exitStatus).toBe(1)
    expect(text).toMatch(/^store ✗ bucket my-certificates: The GET .* was denied .*AccessDenied/m)
    const deleted = objects().filter(({ method, effect }) => method === 'DELETE' && effect)
    expect(deleted.map(({ path }) => path).sort()).toEqual(
      objects()
        .filter(({ method }) => method === 'PUT')
        .map(({ path }) => path)
        .sort(),
    )
  })

  it('that may be written in one folder and not in another', async () => {
    await client().send(new CreateBucketCommand({ Bucket: bucket }))
    const denied = '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
    cloud.emulator.faults.add({
      route: 'obs.putObject',
      path: '*/deployed/*',
      fault: { status: 403, reply: denied, effect: 'none' },
    })
    const { text } = await bucketDoctor()
    expect(text).toMatch(/^store ✗ deployed\/: The PUT .* was denied/m)
    expect(text.match(/^store ✗/gm)).toHaveLength(1)
  })

  it('whose versioning may not be looked at', async () => {
    await client().send(new CreateBucketCommand({ Bucket: bucket }))
    const denied = '<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>'
    cloud.emulator.faults.add({
      route: 'obs.getBucketVersioning',
      fault: { status: 403, reply: denied, effect: 'none' },
    })
    const { exitStatus, text } = await bucketDoctor('--read-only')
    expect(text).toMatch(/^store ! .*GET of the versioning in bucket my-certificates was denied/m)
    expect(exitStatus).toBe(0)
  })

  it('that keeps old versions, and with them every private key', async () => {
    await client().send(new CreateBucketCommand({ Bucket: bucket }))
    await client().send(
      new PutBucketVersioningCommand({ Bucket: bucket, VersioningConfiguration: { Status: 'Enabled' } }),
    )
    const { exitStatus, text } = await bucketDoctor('--read-only')
    expect(text).toMatch(
      /^store ! bucket my-certificates: keeps old versions: a private key .*→ Switch versioning/m,
    )
    expect({ exitStatus, objects: objects() }).toEqual({ exitStatus: 0, objects: [] })
  })
})

describe('doctor and the alerts', () => {
  it('sends nothing without --send, and one message with it', async () => {
    const receiver = await serve(() => ({}))
    const change: Change = (config) =>
      Object.assign(config, { alerts: { channels: [{ webhook: receiver.url, allowPrivateAddress: true }] } })
    const quiet = await doctor(change)
    expect(quiet.text).toMatch(/^alerts ✓ generic \w+: can be reached; not proven: that it takes a message/m)
    expect(receiver.hits).toEqual([])
    const sent = await doctor(change, '--send')
    expect(sent.text).toMatch(/^alerts ✓ generic \w+: took a test message: 20\d/m)
    expect(receiver.hits).toEqual(['POST /'])
  })
})

describe('doctor and renewals', () => {
  const directory = (url: string, more = {}) => ({
    newNonce: `${url}/nonce`,
    newAccount: `${url}/account`,
    newOrder: `${url}/order`,
    ...more,
  })
  const renewing =
    (url: string, acme = {}, rest = {}): Change =>
    (config) => {
      config.certificates.shop.renew = { acme: { directory: `${url}/dir`, dns: 'otc', ...acme } }
      Object.assign(config, { accountKeySecret: 'a passphrase of the test', ...rest })
    }

  it.each<[string, object, object, object, RegExp]>([
    ['that answers', {}, {}, {}, /^renewal ✓ 127\.0\.0\.1:\d+: its directory answers$/m],
    [
      'without the profile that is wanted',
      { meta: { profiles: { classic: 'x' } } },
      { profile: 'short' },
      {},
      /^renewal ✗ 127\.0\.0\.1:\d+: has no profile short → .*write one of: classic/m,
    ],
    [
      'that takes no account without a binding',
      { meta: { externalAccountRequired: true } },
      {},
      {},
      /^renewal ✗ 127\.0\.0\.1:\d+: takes no account without .*→ Write renew\.acme\.externalAccount/m,
    ],
    [
      'whose keys have nothing to be encrypted with',
      {},
      {},
      { accountKeySecret: undefined },
      /^config ✗ accountKeySecret: is not set.*→ Write accountKeySecret/m,
    ],
    [
      'whose zone is not here',
      {},
      {},
      {},
      /^renewal ✗ api\.shop\.example: .*no active public zone.*→ Create the zone/m,
    ],
    [
      'whose root is not there',
      {},
      { ca: 'ca.pem' },
      {},
      /^renewal ✗ 127\.0\.0\.1:\d+: renew\.acme\.ca names ca\.pem/m,
    ],
  ])('a CA %s', async (_case, offers, acme, rest, says) => {
    const ca = await serve(() => directory('http://ca.example', offers))
    const { text } = await doctor(renewing(ca.url, acme, rest))
    expect(text).toMatch(says)
    expect(ca.hits.filter((hit) => !hit.startsWith('GET /dir'))).toEqual([])
  })

  it('a CA that nobody answers for', async () => {
    const { exitStatus, text } = await doctor(renewing('http://127.0.0.1:1'))
    expect(text).toMatch(/^renewal ✗ 127\.0\.0\.1:1: .*cannot be reached.*→ Check the directory/m)
    expect(exitStatus).toBe(1)
  })
})

describe('doctor finds what is left over:', () => {
  const state = (name: string) => ({
    schema: 1,
    name,
    created: [],
    outcomes: [
      {
        certificate: name,
        status: 'rotated',
        at: '2026-01-01T00:00:00.000Z',
        durationMs: 1,
        sentence: 'done',
        checks: [],
        repairs: [],
        domains: [{ gateway: 'apig:x', host: 'www.old.example', status: 'served' }],
        pushed: [],
        failures: [],
      },
    ],
  })

  it.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'a state that no certificate has',
      () => cloud.store.put('state/old.json', JSON.stringify(state('old'))),
      /^leftovers ! old: is not in rotation\.yaml, and state\/old\.json lies in the store; nobody watches www\.old\.example → Put it back/m,
    ],
    [
      'keys of a certificate that left',
      () => cloud.store.put('deployed/old/2026-01-01T00-00-00Z-00000000/privkey.pem', 'x'),
      /^leftovers ! old: is not in rotation\.yaml, and deployed\/old\/ lies in the store, with its private keys → /m,
    ],
    [
      'a state that was set aside',
      () => cloud.store.put('state/shop.broken-2026-01-01T00-00-00Z.json', 'x'),
      /^leftovers ! state\/shop\.broken-\S+: is a state file that did not parse/m,
    ],
    [
      'claims of dead runs',
      () => cloud.store.put(`state/shop.lease/${Date.now() - 3 * hour}-${'0'.repeat(24)}`, '{}'),
      /^leftovers ! state\/shop\.lease\/: has 1 claim of runs that ended/m,
    ],
  ])('%s', async (_case, prepare, says) => {
    await prepare()
    const { exitStatus, text } = await doctor()
    expect(text).toMatch(says)
    expect(exitStatus).toBe(0)
  })

  it('certificates under our names that no state knows', async () => {
    await cloud.drop(await cloud.issue())
    const file = join(cloud.folder, 'rotation.yaml')
    await writeFile(file, JSON.stringify(cloud.config()))
    expect((await runCli('rotate', '--config', file)).exitStatus).toBe(0)
    expect((await doctor()).text).toMatch(/^leftovers ✓ /m)
    await cloud.store.delete('state/shop.json')
    const { text } = await doctor()
    expect(text).toMatch(
      /^leftovers ! apig:\S+: has cr_shop_\w+ .*it is bound to api\.shop\.example → Another inst/m,
    )
  })

  it('the marks of a doctor that was killed, which it takes away; those of one at work stay', async () => {
    const marks = ['state/cert-rotation-doctor-old', 'state/cert-rotation-doctor-young']
    await mkdir(join(cloud.folder, 'bucket/state'), { recursive: true })
    for (const key of marks) await writeFile(join(cloud.folder, 'bucket', key), 'x')
    const past = (Date.now() - hour) / 1_000
    await utimes(join(cloud.folder, 'bucket', marks[0]!), past, past)
    await writeFile(join(cloud.folder, 'rotation.yaml'), JSON.stringify(cloud.config()))
    await runCli('doctor', '--quiet', '--config', join(cloud.folder, 'rotation.yaml'))
    expect(await cloud.keys()).toEqual([marks[1]])
  })
})
