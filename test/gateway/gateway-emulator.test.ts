import { afterAll, describe, expect, it } from 'vitest'
import type { Emulator } from '../../emulator/emulator.ts'
import { startEmulator } from '../../emulator/emulator.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { Failure } from '../../shared/base/failure.ts'
import { Secret } from '../../shared/base/secret.ts'
import { flavours } from '../../shared/gateway/flavours.ts'
import { createGateway } from '../../shared/gateway/http.ts'
import type { Flavour, Scope } from '../../shared/gateway/port.ts'
import type { Credentials } from '../../shared/http/auth.ts'
import { accessKeyCredentials, passwordCredentials } from '../../shared/http/auth.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import { gatewayContract } from '../contract/gateway.contract.ts'

const dispatcher = createDispatcher()
afterAll(() => dispatcher.destroy())

const host = 'api.shop.example'
const seed = (flavour: Flavour) => ({
  certificates: [
    { ref: 'old', scope: 'instance' as const, generate: { names: [host], key: 'P-256' as const } },
  ],
  instances: [
    { flavour, groups: [{ domains: [{ host, certificate: 'old' }, { host: 'other.shop.example' }] }] },
  ],
})

function gatewayAt(emulator: Emulator, flavour: Flavour, scope: Scope, auth: 'password' | 'access key') {
  const { project, users, accessKeys, instances } = emulator.ready.seed
  const [user] = users
  const [key] = accessKeys
  const [instance] = instances
  if (user === undefined || key === undefined || instance === undefined) throw new Error('the seed is empty')
  const credentials: Credentials =
    auth === 'password'
      ? passwordCredentials({
          endpoint: emulator.url,
          domain: user.domainName,
          user: user.name,
          password: new Secret(user.password),
          project: { id: project.id },
          clock: systemClock,
          timeoutMs: 5_000,
          dispatcher,
        })
      : accessKeyCredentials({ id: key.id, secret: new Secret(key.secret) }, systemClock)
  return createGateway({
    flavour,
    instanceId: instance.id,
    scope,
    projectId: project.id,
    http: createHttpClient({
      service: flavours[flavour].service,
      endpoint: emulator.url,
      credentials,
      clock: systemClock,
      timeoutMs: 5_000,
      dispatcher,
      projectId: project.id,
    }),
  })
}

async function materialOf(emulator: Emulator, names: string[]) {
  const issued = await emulator.intermediate.issue({ names })
  return {
    material: { certificatePem: issued.fullchainPem, privateKey: new Secret(issued.privateKeyPem) },
    serial: issued.serial,
    notAfter: issued.notAfter,
  }
}

for (const [flavour, scope, auth] of [
  ['apig', 'instance', 'password'],
  ['apig', 'global', 'access key'],
  ['roma', 'instance', 'access key'],
  ['roma', 'global', 'password'],
] as const) {
  gatewayContract(`${flavour}, scope ${scope}, by ${auth}, against the emulator`, async () => {
    const emulator = await startEmulator({ seed: seed(flavour) })
    return {
      gateway: gatewayAt(emulator, flavour, scope, auth),
      host,
      issue: (names) => materialOf(emulator, names),
      clientCa: emulator.root.certificatePem,
      close: () => emulator.close(),
    }
  })
}

describe('against the emulator', () => {
  it('renews a token that the service refuses, in the middle of the work', async () => {
    const emulator = await startEmulator({ seed: seed('apig') })
    const gateway = gatewayAt(emulator, 'apig', 'instance', 'password')
    const [domain] = await gateway.domains()
    emulator.expireTokens()
    await gateway.detach(domain!, domain!.certificates[0]!.id)
    expect((await gateway.domain(domain!))?.certificates).toEqual([])
    await emulator.close()
  })

  it('finds a global certificate also where the list of an instance leaves it out', async () => {
    const emulator = await startEmulator({ seed: seed('apig') })
    emulator.setRules({ listIncludesGlobal: false, listRequiresInstance: false })
    const gateway = gatewayAt(emulator, 'apig', 'global', 'access key')
    const { id } = await gateway.create('cr_shop_1', (await materialOf(emulator, [host])).material)
    expect((await gateway.certificates({ name: 'cr_shop_1' })).map((one) => one.id)).toEqual([id])
    emulator.setRules({ listRequiresInstance: true })
    expect(await gateway.certificates({ name: 'cr_shop_1' })).toEqual([])
    await emulator.close()
  })

  it.each(['apig', 'roma'] as const)(
    'pages through more groups and certificates than fit one page (%s)',
    async (flavour) => {
      const emulator = await startEmulator({
        seed: {
          instances: [
            { flavour, domains: 520, groups: Array.from({ length: 420 }, () => ({ domains: [] })) },
          ],
        },
      })
      const gateway = gatewayAt(emulator, flavour, 'instance', 'access key')
      const domains = await gateway.domains()
      expect(domains).toHaveLength(520)
      expect(new Set(domains.map((one) => one.host)).size).toBe(520)
      expect(domains.every((one) => one.certificates.length === 1)).toBe(true)
      await emulator.close()
    },
  )

  it('names the instance that does not exist and the permission that is missing', async () => {
    const emulator = await startEmulator({
      seed: {
        ...seed('apig'),
        region: 'cn-north-4',
        accessKeys: [{ actions: ['apig:groups:list', 'apig:instances:get'] }],
      },
    })
    const gateway = gatewayAt(emulator, 'apig', 'instance', 'access key')
    const forbidden = await gateway
      .create('cr_shop_1', (await materialOf(emulator, [host])).material)
      .catch((error: unknown) => error)
    expect(forbidden).toBeInstanceOf(Failure)
    expect(forbidden).toMatchObject({ code: 'gateway.forbidden' })
    expect((forbidden as Failure).next).toContain('apig:certificate:create')
    const elsewhere = createGateway({
      flavour: 'apig',
      instanceId: '00000000-0000-4000-8000-000000000000',
      scope: 'instance',
      projectId: emulator.ready.seed.project.id,
      http: createHttpClient({
        service: 'apig',
        endpoint: emulator.url,
        credentials: accessKeyCredentials(
          {
            id: emulator.ready.seed.accessKeys[0]!.id,
            secret: new Secret(emulator.ready.seed.accessKeys[0]!.secret),
          },
          systemClock,
        ),
        clock: systemClock,
        timeoutMs: 5_000,
        dispatcher,
      }),
    })
    await expect(elsewhere.domains()).rejects.toMatchObject({ code: 'gateway.unknown-instance' })
    await emulator.close()
  })
})
