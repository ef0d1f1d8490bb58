import { afterAll, afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { Emulator } from '../../emulator/emulator.ts'
import { startEmulator } from '../../emulator/emulator.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { Secret } from '../../shared/base/secret.ts'
import { accessKeyCredentials } from '../../shared/http/auth.ts'
import { createDispatcher, createHttpClient } from '../../shared/http/client.ts'
import type { Manager } from '../../shared/manager/port.ts'
import { createManager } from '../../shared/manager/scm.ts'

const dispatcher = createDispatcher()
afterAll(() => dispatcher.destroy())

describe('SCM against the emulator', () => {
  let emulator: Emulator
  let manager: Manager
  beforeEach(async () => {
    emulator = await startEmulator()
    const [key] = emulator.ready.seed.accessKeys
    const credentials = accessKeyCredentials({ id: key!.id, secret: new Secret(key!.secret) }, systemClock)
    manager = createManager({
      http: createHttpClient({
        service: 'scm',
        endpoint: emulator.url,
        credentials,
        clock: systemClock,
        timeoutMs: 5_000,
        dispatcher,
      }),
    })
  })
  afterEach(() => emulator.close())

  async function material() {
    const issued = await emulator.intermediate.issue({ names: ['api.shop.example'] })
    return { certificatePem: issued.fullchainPem, privateKey: new Secret(issued.privateKeyPem) }
  }

  it('imports, finds by exact name, pushes, tells what is pushed, and deletes', async () => {
    const { id, name } = await manager.import('cr_shop_1', await material())
    await manager.import('cr_shop_1_other', await material())
    expect(await manager.find('cr_shop_1')).toEqual([{ id, name }])
    expect(await manager.pushed(id, ['ELB', 'WAF', 'CDN'])).toEqual([])
    await manager.push(id, { service: 'ELB', project: 'eu-de' })
    await manager.push(id, { service: 'CDN', project: 'eu-de' })
    const pushed = await manager.pushed(id, ['ELB', 'WAF', 'CDN'])
    expect(pushed).toHaveLength(2)
    expect(pushed).toEqual(
      expect.arrayContaining([
        { service: 'ELB', project: 'eu-de' },
        { service: 'CDN', project: 'global' },
      ]),
    )
    const unused = await manager.import('cr_shop_2', await material())
    await manager.remove(unused.id)
    expect(await manager.find('cr_shop_2')).toEqual([])
    await manager.remove(unused.id)
  })

  it('finds among more certificates than fit one page', async () => {
    const { certificatePem, privateKey } = await material()
    const ids: string[] = []
    for (let i = 0; i < 56; i++)
      ids.push((await manager.import('cr_same', { certificatePem, privateKey })).id)
    expect((await manager.find('cr_same')).map(({ id }) => id)).toEqual([...ids].sort())
  })

  it('refuses a key of another certificate with the code of the service', async () => {
    const { certificatePem } = await material()
    const { privateKey } = await material()
    await expect(manager.import('cr_shop_1', { certificatePem, privateKey })).rejects.toMatchObject({
      code: 'manager.refused',
      facts: { errorCode: 'SCM.0014' },
    })
  })
})
