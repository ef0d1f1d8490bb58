import { afterEach, describe, expect, it } from 'vitest'
import type { FaultRequest } from '../../emulator/faults.ts'
import type { ProgressEvent } from '../../shared/rotation/progress.ts'
import { createLog } from '../../shared/runtime/logger.ts'
import { type Bundle, seedFor } from '../support/cloud.ts'
import { Story } from '../support/story.ts'

const TOKEN = 'MIIKnownTokenThatNobodyMaySee0123456789abcdefghijklmnopqrstuvwxyz'
const PASSWORD = 'known-password-that-nobody-may-see'
/** Every n-th combination only, for a quick run; 1 tries them all. */
const STEP = Number(process.env.FAULT_STEP ?? 3)
const hosts = ['a.shop.example', 'b.shop.example']
const push = [{ service: 'ELB', project: 'eu-de' }]

/** Everything that is printed, logged or stored, while one failure after another happens. */
describe('no private key, token or password is written anywhere', () => {
  let story: Story
  const written: string[] = []
  afterEach(() => story.close())

  const begin = async (auth: unknown, gateway: Record<string, unknown> = {}) => {
    written.length = 0
    const seed = seedFor(hosts, [])
    story = await Story.start({
      apig: hosts,
      roma: [],
      seed: {
        ...seed,
        tokens: [{ token: TOKEN }],
        users: [{ name: 'emulator', password: PASSWORD }],
      },
      certificate: { push },
      gateway,
      log: createLog('debug', { write: (line) => void written.push(line) }),
    })
    const config = story.cloud.config({ push }, gateway, { requestTimeout: '150ms' })
    story.wiring = await story.cloud.wire(
      { ...config, cloud: { ...config.cloud, auth } },
      {
        clock: story.clock.eager,
        log: createLog('debug', { write: (line) => void written.push(line) }),
      },
    )
    story.change = (parties) => ({
      ...parties,
      progress: (event: ProgressEvent) => void written.push(JSON.stringify(event)),
    })
  }

  const tick = async () => {
    try {
      written.push(JSON.stringify(await story.tick()))
    } catch (thrown) {
      const error = thrown as Error
      written.push(`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`)
    }
  }

  const secretsOf = (bundle: Bundle) => {
    const lines = bundle.privateKeyPem.split('\n').filter((line) => line && !line.startsWith('-----'))
    return [...lines, lines.join(''), 'BEGIN PRIVATE KEY', TOKEN, PASSWORD, 'emulator-only-secret']
  }

  const check = async (bundle: Bundle, where: string) => {
    for (const key of await story.cloud.keys())
      if (!/\.(pem|key)$/.test(key)) written.push(await story.text(key))
    expect(written.join('').length).toBeGreaterThan(500)
    for (const secret of secretsOf(bundle))
      expect(
        written.some((text) => text.includes(secret)),
        `${where}: ${secret.slice(0, 12)}…`,
      ).toBe(false)
  }

  const ways: Record<string, (bundle: Bundle) => FaultRequest['fault']> = {
    'a refusal that quotes the key': (bundle) => ({
      status: 400,
      errorCode: 'APIG.2106',
      message: `cannot read ${bundle.privateKeyPem}`,
    }),
    'a refusal that quotes one line of the key': (bundle) => ({
      status: 400,
      errorCode: 'APIG.2000',
      message: `cannot read ${bundle.privateKeyPem.split('\n')[1]}`,
    }),
    'a refusal that quotes the token': () => ({
      status: 403,
      errorCode: 'APIG.1005',
      message: `bad ${TOKEN}`,
    }),
    'a page that quotes the whole request': (bundle) => ({
      status: 502,
      reply: `<html>${JSON.stringify({ private_key: bundle.privateKeyPem, token: TOKEN })}</html>`,
      effect: 'none',
    }),
    'an answer with a field of the wrong type': (bundle) => ({
      status: 201,
      body: { id: { key: bundle.privateKeyPem } },
      effect: 'none',
    }),
    '401 with the token': () => ({ status: 401, errorCode: 'APIG.1002', message: TOKEN }),
    'a lost request': () => ({ lose: 'request' }),
    'half a reply': () => ({ lose: 'half-reply' }),
  }
  const auths: Record<string, unknown> = {
    token: { token: TOKEN },
    password: { password: { domain: 'emulator', user: 'emulator', password: PASSWORD } },
    'access key': { accessKey: { id: 'EMULATORKEY000000001', secret: 'emulator-only-secret' } },
  }

  for (const [name, auth] of Object.entries(auths))
    it(`whatever a gateway or SCM answers (credentials: ${name})`, async () => {
      await begin(auth)
      let n = 0
      for (const [way, fault] of Object.entries(ways))
        for (const route of [
          '*.createCertificate',
          '*.attachCertificate',
          'scm.*',
          'iam.*',
          'apig.listGroups',
        ]) {
          if (n++ % STEP !== 0) continue
          story.clock.advance(24 * 3_600_000)
          await story.cloud.startOver()
          const bundle = await story.cloud.issue()
          await story.cloud.drop(bundle)
          if (name === 'password') story.cloud.emulator.expireTokens()
          story.fault(route, fault(bundle), { times: 3 })
          written.length = 0
          await tick()
          await check(bundle, `${way} at ${route}`)
        }
    })

  for (const strategy of ['add', 'update'])
    it(`by strategy ${strategy}`, async () => {
      await begin(auths['access key'], { strategy, updateWithoutWayBack: true })
      for (const [way, fault] of Object.entries(ways)) {
        await story.cloud.startOver()
        const bundle = await story.cloud.issue()
        await story.cloud.drop(bundle)
        story.fault(strategy === 'add' ? '*.addCertificate' : '*.updateCertificate', fault(bundle), {
          times: 3,
        })
        written.length = 0
        await tick()
        await check(bundle, `${way} at ${strategy}`)
      }
    })

  it('of a bundle that is refused, whatever is wrong with it', async () => {
    await begin(auths['access key'])
    const bundle = await story.cloud.issue()
    const other = await story.cloud.issue()
    const lines = bundle.privateKeyPem.split('\n')
    const uploads: Record<string, string> = {
      'key of another certificate': other.fullchainPem + bundle.privateKeyPem,
      'key that is cut off': bundle.fullchainPem + lines.slice(0, 2).join('\n'),
      'key under a wrong label':
        bundle.fullchainPem + bundle.privateKeyPem.replaceAll('PRIVATE KEY', 'CERTIFICATE'),
      'key without its frame': bundle.fullchainPem + lines.slice(1, -2).join('\n'),
      'key only': bundle.privateKeyPem,
      'expired certificate':
        (await story.cloud.issue(hosts, { from: -9, to: -1 })).fullchainPem + bundle.privateKeyPem,
    }
    for (const [what, text] of Object.entries(uploads)) {
      await story.cloud.startOver()
      await story.cloud.store.put('incoming/shop/all.pem', text)
      written.length = 0
      await tick()
      written.push('x'.repeat(500))
      await check(bundle, what)
    }
  })

  it('when the store fails while it holds the key in its hands', async () => {
    await begin(auths['access key'])
    const bundle = await story.drop()
    const progress = story.change
    story.change = (parties) => {
      const changed = progress(parties)
      const put: typeof parties.store.put = async (key, bytes, options) => {
        if (key.startsWith('deployed/') && key.endsWith('.pem'))
          throw Object.assign(new Error(`cannot write ${key}`), { bytes, cause: new Error('disk full') })
        return parties.store.put(key, bytes, options)
      }
      return { ...changed, store: Object.assign(Object.create(changed.store), { put }) }
    }
    await tick()
    await check(bundle, 'store')
    expect(written.join('')).toContain('cannot write')
  })
})
