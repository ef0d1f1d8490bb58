import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { startEmulator } from '../../emulator/emulator.ts'
import { runEmulator } from '../../emulator/main.ts'
import type { SeedInput } from '../../emulator/seed.ts'
import { APIG, apigw, call, seed, shakeHands, withEmulator } from './support.ts'

const path = (name: string) => fileURLToPath(new URL(`../../${name}`, import.meta.url))

describe('starting', () => {
  it('needs nothing at all', async () => {
    const emulator = await startEmulator()
    expect(emulator.ready).toMatchObject({
      ready: true,
      url: emulator.url,
      endpoints: {
        iam: emulator.url,
        apig: emulator.url,
        roma: emulator.url,
        scm: emulator.url,
        smn: emulator.url,
      },
    })
    await emulator.close()
  })

  it('listens on loopback only', async () => {
    await withEmulator({}, async (emulator) => {
      expect(emulator.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      expect(emulator.tls.host).toBe('127.0.0.1')
    })
  })

  it('says so where a port is taken', async () => {
    const blocker = createServer()
    await new Promise<void>((resolve) => blocker.listen(0, '127.0.0.1', resolve))
    const { port } = blocker.address() as { port: number }
    await expect(startEmulator({ port })).rejects.toMatchObject({
      code: 'emulator.port',
      message: expect.stringContaining('EADDRINUSE'),
    })
    await expect(startEmulator({ tlsPort: port })).rejects.toMatchObject({ code: 'emulator.port' })
    await new Promise((resolve) => blocker.close(resolve))
  })

  it('as a command prints one line of JSON, serves the example seed, and ends on SIGTERM', async () => {
    const script = `import { register } from 'tsx/esm/api'; register(); const { runEmulator } = await import(${JSON.stringify(path('emulator/main.ts'))}); process.exitCode = await runEmulator(process.argv.slice(1))`
    const args = [
      '--input-type=module',
      '-e',
      script,
      '--',
      '--port',
      '0',
      '--tls-port',
      '0',
      '--seed',
      path('emulator/seeds/small.json'),
    ]
    const child = spawn(process.execPath, args, { cwd: path('.'), stdio: ['ignore', 'pipe', 'inherit'] })
    const lines: string[] = []
    const reader = createInterface({ input: child.stdout })
    const line = await new Promise<string>((resolve) => {
      reader.on('line', (text) => {
        lines.push(text)
        resolve(text)
      })
    })
    const ready = JSON.parse(line) as Awaited<ReturnType<typeof startEmulator>>['ready']
    expect(ready.seed.instances.map((one) => one.flavour)).toEqual(['apig', 'roma'])
    const state = await (await fetch(`${ready.url}/__emulator/state`)).json()
    expect((state as { bindings: unknown[] }).bindings).toHaveLength(4)
    const ended = new Promise((resolve) => child.on('close', resolve))
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
    expect(lines).toHaveLength(1)
  })

  it.each([
    [['--port', 'x'], /not a port/],
    [['--prot', '1'], /--prot/],
    [['--seed', '/nowhere/seed.json'], /cannot be read/],
  ])('refuses the arguments %j', async (args, message) => {
    await expect(runEmulator(args)).rejects.toMatchObject({ message: expect.stringMatching(message) })
  })
})

describe('a seed', () => {
  const refused = async (more: Partial<SeedInput> | Record<string, unknown>) => {
    const error = await startEmulator({ seed: { ...seed(), ...more } as SeedInput }).then(
      () => undefined,
      (thrown: { code: string; message: string }) => thrown,
    )
    expect(error?.code).toBe('emulator.bad-input')
    return error!.message
  }
  const apig = (domains: unknown[]) => ({ instances: [{ flavour: 'apig', groups: [{ domains }] }] })

  it('with an unknown field is refused with its place and name', async () => {
    expect(await refused({ instnaces: [] })).toBe(
      'The seed is not valid: at the top there is no field "instnaces"',
    )
    expect(await refused(apig([{ host: 'a.example.com', certficate: 'old' }]))).toBe(
      'The seed is not valid: at instances[0].groups[0].domains[0] there is no field "certficate"',
    )
    expect(await refused({ rules: { attachOverOther: 'maybe' } })).toMatch(/at rules\.attachOverOther/)
  })

  it('that contradicts itself is refused', async () => {
    expect(await refused(apig([{ host: 'a.example.com', certificate: 'none' }]))).toMatch(
      /no certificate with the ref none/,
    )
    expect(await refused(apig([{ host: 'a.example.com', certificate: 'old' }]))).toMatch(
      /does not cover the domain a.example.com/,
    )
    expect(await refused(apig([{ host: 'a.example.com' }, { host: 'A.example.com' }]))).toMatch(/twice/)
    expect(await refused(apig([1, 2, 3, 4, 5, 6].map((n) => ({ host: `d${n}.example.com` }))))).toMatch(
      /5 are allowed/,
    )
    expect(
      await refused(apig([{ host: 'api.example.com', certificate: 'old', clientVerification: true }])),
    ).toMatch(/trustedRootCa/)
    expect(await refused({ certificates: [{ ref: 'x' }] })).toMatch(/either generate, or certificatePem/)
    expect(
      await refused({
        ...apig([{ host: 'a.example.com', certificate: 'x' }]),
        certificates: [{ ref: 'x', certificatePem: 'x', privateKeyPem: 'y' }],
      }),
    ).toMatch(/certificate x is not/)
    expect(await refused({ certificates: [{ ref: 'x', generate: { notAfter: 'tomorrow' } }] })).toMatch(
      /instant/,
    )
  })

  it('can ask for 500 domains in a word', async () => {
    await withEmulator({ instances: [{ flavour: 'apig', id: APIG, domains: 500 }] }, async (emulator) => {
      const { bindings } = emulator.state()
      expect(bindings).toHaveLength(500)
      expect(new Set(bindings.map((one) => one.groupId)).size).toBe(100)
      const groups = await call(emulator, 'GET', `${apigw}/instances/${APIG}/api-groups?limit=500`)
      expect(groups.body).toMatchObject({ total: 100 })
      const shaken = await shakeHands(emulator, 'd500.load.example')
      expect(shaken.fingerprint).toBe(bindings[499]!.certificates[0]!.fingerprint)
    })
  })

  it('takes certificates in PEM, and never gives a key back', async () => {
    const source = await startEmulator()
    const issued = await source.intermediate.issue({ names: ['pem.example.com'] })
    await source.close()
    const more: Partial<SeedInput> = {
      certificates: [
        { ref: 'pem', certificatePem: issued.fullchainPem, privateKeyPem: issued.privateKeyPem },
      ],
      instances: [
        { flavour: 'roma', groups: [{ domains: [{ host: 'pem.example.com', certificate: 'pem' }] }] },
      ],
    }
    await withEmulator(more, async (emulator) => {
      expect(emulator.state().bindings[0]!.certificates[0]!.fingerprint).toBe(issued.fingerprint)
      expect(JSON.stringify([emulator.ready, emulator.state()])).not.toContain('PRIVATE KEY')
    })
  })

  it('of the repository is valid', () => {
    expect(() => JSON.parse(readFileSync(path('emulator/seeds/small.json'), 'utf8'))).not.toThrow()
  })
})

describe('the admin routes', () => {
  const admin = (emulator: Parameters<typeof call>[0], method: string, route: string, body?: unknown) =>
    call(emulator, method, `/__emulator${route}`, body, {})

  it('move the clock, change rules and keep the others', async () => {
    await withEmulator({ rules: { latencyMs: 0, certificateQuota: 7 } }, async (emulator) => {
      const moved = await admin(emulator, 'POST', '/clock', { now: '2030-01-01T00:00:00Z' })
      expect(moved.body.now).toMatch(/^2030-01-01T00:00:0/)
      expect((await admin(emulator, 'POST', '/clock', { advanceMs: 86_400_000 })).body.now).toMatch(
        /^2030-01-02/,
      )
      const rules = await admin(emulator, 'PATCH', '/rules', { attachOverOther: 'replace' })
      expect(rules.body).toMatchObject({ attachOverOther: 'replace', certificateQuota: 7 })
      expect((await admin(emulator, 'PATCH', '/rules', { nonsense: 1 })).status).toBe(400)
      expect((await admin(emulator, 'PATCH', '/rules', { visibilityDelayMs: -1 })).status).toBe(400)
    })
  })

  it('change bindings and domains by hand', async () => {
    await withEmulator({}, async (emulator) => {
      const id = emulator.ready.seed.certificates.old![0]!.id
      expect(
        (await admin(emulator, 'POST', '/bind', { host: 'api.example.com', certificateId: null })).body
          .certificates,
      ).toEqual([])
      expect(
        (await admin(emulator, 'POST', '/bind', { host: 'api.example.com', certificateId: id })).body
          .certificates,
      ).toEqual([id])
      expect(
        (await admin(emulator, 'POST', '/bind', { host: 'x.example.com', certificateId: id })).status,
      ).toBe(404)
      expect(
        (await admin(emulator, 'POST', '/domains', { host: 'new.example.com', instanceId: APIG })).status,
      ).toBe(200)
      expect((await admin(emulator, 'DELETE', '/domains?host=new.example.com')).status).toBe(204)
      expect((await admin(emulator, 'DELETE', `/certificates?id=${id}`)).status).toBe(204)
      expect(emulator.state().certificates).toEqual([])
      expect(emulator.calls()).toEqual([])
    })
  })

  it('issue certificates, start over, and name the routes there are', async () => {
    await withEmulator({}, async (emulator) => {
      const issued = await admin(emulator, 'POST', '/issue', { names: ['a.example.com'], notAfter: '+47d' })
      expect(issued.body.fullchainPem).toMatch(/BEGIN CERTIFICATE/)
      expect((await admin(emulator, 'POST', '/reset', { seed: { region: 'eu-nl' } })).body.region).toBe(
        'eu-nl',
      )
      expect((await admin(emulator, 'POST', '/reset', { seed: { regoin: 'eu-nl' } })).body.error).toMatch(
        /regoin/,
      )
      const unknown = await admin(emulator, 'GET', '/nothing')
      expect([unknown.status, unknown.body.routes]).toEqual([
        404,
        expect.arrayContaining(['GET /__emulator/state']),
      ])
    })
  })
})
