import { generateKeyPairSync } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { createAuthority } from '../../emulator/authority.ts'
import { APIG, TestCloud } from '../support/cloud.ts'
import { type Printed, runCli } from '../support/terminal.ts'

interface Case {
  /** Changes to the config as an object. */
  config?: (config: Config) => unknown
  /** The text of the config as it is. */
  text?: string
  /** What lies in incoming/ instead of a good bundle. */
  files?: () => Promise<Record<string, string>>
  fault?: Parameters<TestCloud['emulator']['faults']['add']>[0]
  exitStatus: 1 | 2 | 3
  /** What the person must be told: what, where, what to do; the service's code. */
  says: RegExp[]
  /** The bundle is moved to rejected/; otherwise it stays in incoming/. */
  rejected?: true
}

// biome-ignore lint/suspicious/noExplicitAny: the tests break the config in ways its type forbids
type Config = any

let cloud: TestCloud
let garbage: Server

beforeAll(async () => {
  garbage = createServer((_, response) => response.end('<html>maintenance</html>'))
  await new Promise<void>((resolve) => garbage.listen(0, '127.0.0.1', resolve))
})
afterAll(() => garbage.close())
beforeEach(async () => {
  cloud = await TestCloud.start({ apig: ['api.shop.example'], roma: [] })
})
afterEach(() => cloud.close())

async function good(names = ['api.shop.example'], days = {}) {
  const { fullchainPem, privateKeyPem } = await cloud.issue(names, days)
  return { 'fullchain.pem': fullchainPem, 'privkey.pem': privateKeyPem }
}

async function encrypted() {
  const { privateKey } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
    privateKeyEncoding: { type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'correct horse' },
    publicKeyEncoding: { type: 'spki', format: 'pem' },
  })
  return { ...(await good()), 'privkey.pem': privateKey }
}

const gatewayFault = (route: string, status: number, errorCode?: string) => ({
  route,
  times: 1000,
  fault: { status, ...(errorCode ? { errorCode } : {}) },
})

const cases: Record<string, Case> = {
  'an unknown name in the config': {
    config: (config) => ({ ...config, certificats: {} }),
    exitStatus: 2,
    says: [/certificats/, /certificates/, /rotation\.yaml/],
  },
  'a variable that is not set': {
    text: 'store: { directory: ./bucket }\ncloud: { region: eu-de, auth: { token: "${NO_SUCH_TOKEN}" } }\n',
    exitStatus: 2,
    says: [/NO_SUCH_TOKEN/, /cloud\.auth\.token/, /line 2/],
  },
  'two kinds of credentials': {
    config: (config) => ({
      ...config,
      cloud: { ...config.cloud, auth: { ...config.cloud.auth, token: 'x' } },
    }),
    exitStatus: 2,
    says: [/cloud\.auth/, /one/],
  },
  'a file that is no PEM': {
    files: async () => ({ 'bundle.pem': 'hello, this is not a certificate' }),
    exitStatus: 1,
    says: [/bundle\.pem/],
    rejected: true,
  },
  'the key of another certificate': {
    files: async () => ({ ...(await good()), 'privkey.pem': (await good())['privkey.pem'] }),
    // Its own may be on its way: judged some minutes later.
    exitStatus: 3,
    says: [/key/, /does not (belong|match)|another/, /until 20\d\d-/],
  },
  'an encrypted key without a password': {
    files: encrypted,
    exitStatus: 1,
    says: [/encrypted|password/],
    rejected: true,
  },
  'an expired certificate': {
    files: () => good(undefined, { from: -90, to: -1 }),
    exitStatus: 1,
    says: [/expired|ended/],
    rejected: true,
  },
  'a certificate that does not cover a listed domain': {
    files: () => good(['other.example']),
    exitStatus: 1,
    says: [/api\.shop\.example/, /cover/],
    rejected: true,
  },
  'a domain that the gateway does not have': {
    config: (config) => {
      config.certificates.shop.gateways[0].domains = ['api.shop.exmaple']
      return config
    },
    files: () => good(['api.shop.exmaple']),
    exitStatus: 1,
    says: [/api\.shop\.exmaple/, /api\.shop\.example/],
  },
  'an instance that does not exist': {
    config: (config) => {
      config.certificates.shop.gateways[0].instanceId = 'ffffffff-0000-4000-8000-000000000000'
      return config
    },
    exitStatus: 1,
    says: [/ffffffff-0000/, /APIG\.3030/, /instanceId/, /request id/],
  },
  'credentials that are refused (401)': {
    config: (config) => ({ ...config, cloud: { ...config.cloud, auth: { token: 'not-a-token' } } }),
    exitStatus: 1,
    says: [/401/, /APIG\.1002/, /cloud\.auth\.token/],
  },
  'missing permissions (403)': {
    fault: gatewayFault('apig.createCertificate', 403, 'APIG.1005'),
    exitStatus: 1,
    says: [/403/, /APIG\.1005/, /apig:certificate:create/],
  },
  'something that is not there (404)': {
    fault: gatewayFault('apig.listGroups', 404, 'APIG.3030'),
    exitStatus: 1,
    says: [/APIG\.3030/],
  },
  'a conflict (409)': {
    fault: gatewayFault('apig.createCertificate', 409, 'APIG.3718'),
    exitStatus: 1,
    says: [/409/, /APIG\.3718/],
  },
  'throttling (429)': {
    fault: gatewayFault('apig.createCertificate', 429, 'APIGW.0308'),
    exitStatus: 1,
    says: [/APIGW\.0308/, /429/],
  },
  'throttling in disguise (500 with APIG.9008)': {
    fault: gatewayFault('apig.createCertificate', 500, 'APIG.9008'),
    exitStatus: 1,
    says: [/APIG\.9008/],
  },
  'a reply that is not JSON': {
    config: (config) => withEndpoint(config, `http://127.0.0.1:${(garbage.address() as AddressInfo).port}`),
    exitStatus: 1,
    says: [/JSON/, /127\.0\.0\.1/],
  },
  'a connection that is refused': {
    config: (config) => withEndpoint(config, 'http://127.0.0.1:1'),
    exitStatus: 1,
    says: [
      /127\.0\.0\.1:1/,
      /refuses connections/,
      /Is the embedded cloud running\?/,
      /cloud\.endpoints\.apig/,
    ],
  },
  'a host that does not resolve': {
    config: (config) => withEndpoint(config, 'http://apig.does-not-exist.invalid'),
    exitStatus: 1,
    says: [/apig\.does-not-exist\.invalid/, /region|endpoints/],
  },
  'an endpoint that does not answer in time': {
    config: (config) => ({ ...config, requestTimeout: '200ms' }),
    fault: { route: 'apig.listGroups', times: 1000, fault: { delayMs: 5_000 } },
    exitStatus: 1,
    says: [/200 ms|time/],
  },
}

function withEndpoint(config: Config, apig: string): Config {
  return { ...config, cloud: { ...config.cloud, endpoints: { ...config.cloud.endpoints, apig } } }
}

describe('rotate, given', () => {
  for (const [name, one] of Object.entries(cases))
    it(`${name}, says what, where and what to do next, and loses nothing`, async () => {
      const files = one.files ? await one.files() : await good()
      for (const [file, content] of Object.entries(files))
        await cloud.store.put(`incoming/shop/${file}`, content)
      const file = join(cloud.folder, 'rotation.yaml')
      const config = cloud.config({}, { instanceId: APIG })
      await writeFile(file, one.text ?? JSON.stringify(one.config ? one.config(config) : config, null, 1))
      if (one.fault) cloud.emulator.faults.add(one.fault)
      const printed = await runCli('rotate', '--config', file)
      const all = `${printed.stdout}\n${printed.stderr}`
      expect(printed.exitStatus, all).toBe(one.exitStatus)
      for (const pattern of one.says) expect(all).toMatch(pattern)
      expect(all).not.toMatch(/\n {4}at |undefined|\[object/)
      expectNoSecret(all, printed, files)
      const keys = await cloud.keys()
      if (one.rejected) {
        const folder = keys.find((key) => key.startsWith('rejected/shop/'))?.replace(/[^/]*$/, '')
        expect(printed.stdout).toContain(`The bundle lies in ${folder} now.`)
        const status = (await runCli('status', '--config', file)).stdout.replace(/\s+/g, ' ')
        expect(status).toContain(`→ Read README.txt in ${folder} and hand in another bundle.`)
        const [, title] = /refused: (.{20,60}?)[.\n]/.exec(printed.stdout) ?? []
        expect(status.split(`${title}`)).toHaveLength(2)
      }
      const places = Object.keys(files).map((key) =>
        keys.some(
          (k) => k.startsWith(one.rejected ? 'rejected/shop/' : 'incoming/shop/') && k.endsWith(`/${key}`),
        ),
      )
      expect(places, keys.join(', ')).toEqual(places.map(() => true))
      expect(cloud.emulator.state().domainsWithoutCertificate).toEqual([])
    })

  it('a command or option that does not exist, explains the usage and ends with 2', async () => {
    expect(await runCli('rotat')).toMatchObject({ exitStatus: 2 })
    expect((await runCli('rotate', '--confg', 'x')).stderr).toMatch(/--confg/)
    expect(await runCli('rotate', '--config', join(cloud.folder, 'none.yaml'))).toMatchObject({
      exitStatus: 2,
    })
  })
})

it.each([
  ['', 'none.yaml', /^"cert-rotation init" writes one; --config FILE names another\.$/m],
  [
    'rotation.yml',
    'rotation.yaml',
    /^Did you mean --config \S*\/rotation\.yml\? "cert-rotation init" writes one/m,
  ],
])('a missing config, beside %j, is told with the way to one', async (beside, name, says) => {
  if (beside) await writeFile(join(cloud.folder, beside), '')
  const { exitStatus, stderr } = await runCli('plan', '-c', join(cloud.folder, name))
  expect(stderr).toMatch(says)
  expect(exitStatus).toBe(2)
})

it.each(['rotate', 'status', 'plan', 'tick', 'watch'])(
  '%s names a folder that is not there and the config that says so',
  async (command) => {
    const file = join(cloud.folder, 'other.yaml')
    await writeFile(file, JSON.stringify({ ...cloud.config(), store: { directory: './nowhere' } }))
    const { exitStatus, stderr } = await runCli(command, '-c', file)
    expect(stderr).toContain(`There is no folder ${join(cloud.folder, 'nowhere')}\n`)
    expect(stderr).toContain(`correct store.directory in ${file}.`)
    expect(exitStatus).toBe(1)
  },
)

it.each(['rotate', 'plan', 'tick'])(
  '%s, from a bucket at an endpoint that is a web server, does not say that nothing lies there',
  async (command) => {
    const { port } = garbage.address() as AddressInfo
    const store = {
      bucket: 'my-certificates',
      endpoint: `http://127.0.0.1:${port}`,
      pathStyle: true,
      accessKey: { id: 'AK', secret: 'not-a-real-secret' },
    }
    const file = join(cloud.folder, 'rotation.yaml')
    await writeFile(file, JSON.stringify({ ...cloud.config(), store }))
    const { exitStatus, stdout, stderr } = await runCli(command, '--config', file)
    expect([exitStatus, stdout + stderr]).toEqual([
      1,
      expect.stringMatching(/bucket my-certificates.*no bucket listing/),
    ])
    expect(stdout + stderr).toMatch(/store\.endpoint/)
    expect(stdout + stderr).not.toMatch(/nothing (to do|lies)/i)
  },
)

/** Neither the key nor the credentials: not in what is printed, not in what is stored beside the bundle. */
function expectNoSecret(all: string, _printed: Printed, files: Record<string, string>): void {
  expect(all).not.toContain('PRIVATE KEY')
  expect(all).not.toContain('emulator-only-secret')
  for (const line of (files['privkey.pem'] ?? '').split('\n').slice(1, -2))
    if (line.length > 20) expect(all).not.toContain(line)
}

describe('the authority of the emulator', () => {
  it('is not needed for a bundle to be read: another CA will do', async () => {
    const authority = await createAuthority({ commonName: 'Another CA' })
    const { fullchainPem, privateKeyPem } = await authority.issue({ names: ['api.shop.example'] })
    // It signs directly: the root beside it says that nothing is missing.
    const all = fullchainPem + privateKeyPem + authority.certificatePem
    await cloud.store.put('incoming/shop/both.pem', all)
    const file = join(cloud.folder, 'rotation.yaml')
    await writeFile(file, JSON.stringify(cloud.config()))
    const { exitStatus, stdout } = await runCli('rotate', '--config', file, '--json')
    expect(exitStatus).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      command: 'rotate',
      exitStatus: 0,
      outcomes: [{ status: 'rotated' }],
    })
  })
})
