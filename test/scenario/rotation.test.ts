import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { rootsFromPem } from '../../shared/certificate/trust.ts'
import type { Outcome } from '../../shared/rotation/record/state.ts'
import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { type Bundle, TestCloud } from '../support/cloud.ts'

/** One bundle in, every domain serves it: against the emulator, over real HTTP and real TLS handshakes. */
describe('a rotation', () => {
  let cloud: TestCloud
  let bundle: Bundle

  beforeEach(async () => {
    cloud = await TestCloud.start()
    bundle = await cloud.issue()
    await cloud.drop(bundle)
  })
  afterEach(() => cloud.close())

  async function rotate(config = cloud.config()): Promise<Outcome[]> {
    const wiring = await cloud.wire(config)
    return (await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })).outcomes
  }

  const push = [
    { service: 'ELB', project: 'eu-de' },
    { service: 'WAF', project: 'eu-de' },
  ]

  for (const [strategy, gateway, calls] of [
    [
      'rebind',
      {},
      {
        'apig.createCertificate': 1,
        'roma.createCertificate': 1,
        'apig.detachCertificate': 2,
        'apig.attachCertificate': 2,
        'roma.detachCertificate': 1,
        'roma.attachCertificate': 1,
      },
    ],
    ['update', { updateWithoutWayBack: true }, { 'apig.updateCertificate': 1, 'roma.updateCertificate': 1 }],
  ] as const) {
    it(`by strategy ${strategy} ends with every domain serving the new certificate, and each call made once`, async () => {
      const [outcome] = await rotate(cloud.config({ push }, { strategy, ...gateway }))
      expect(outcome).toMatchObject({ status: 'rotated', failures: [] })
      expect(outcome?.domains.map(({ status }) => status)).toEqual(['served', 'served', 'served'])
      expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
      expect(cloud.effects()).toEqual({ ...calls, 'scm.importCertificate': 1, 'scm.pushCertificate': 2 })
    })
  }

  it('by strategy add creates and binds in one call per domain', async () => {
    const [outcome] = await rotate(cloud.config({}, { strategy: 'add' }))
    expect(outcome).toMatchObject({ status: 'rotated' })
    expect(new Set(Object.values(cloud.served()))).toEqual(new Set([bundle.fingerprint]))
    expect(cloud.effects()).toEqual({
      'apig.detachCertificate': 2,
      'apig.addCertificate': 2,
      'roma.detachCertificate': 1,
      'roma.addCertificate': 1,
    })
  })

  it('of the same bundle delivered again makes no second change anywhere', async () => {
    await rotate(cloud.config({ push }))
    cloud.emulator.clearCalls()
    await cloud.drop(bundle)
    const [outcome] = await rotate(cloud.config({ push }))
    expect(outcome).toMatchObject({ status: 'already deployed' })
    expect(cloud.effects()).toEqual({})
    expect(await cloud.keys()).not.toContain('incoming/shop/privkey.pem')
  })

  it('with nothing in incoming/ says nothing and calls nobody', async () => {
    await cloud.store.delete('incoming/shop/fullchain.pem')
    await cloud.store.delete('incoming/shop/privkey.pem')
    expect(await rotate()).toEqual([])
    expect(cloud.emulator.calls()).toEqual([])
  })

  it('moves the bundle to deployed/ with a result beside it, and leaves nothing else behind', async () => {
    await rotate()
    const keys = await cloud.keys()
    expect(keys.map((key) => key.replace(/\d{4}-\d\d-\d\dT[\d-]+Z-[0-9a-f]{8}/, '<instant>'))).toEqual([
      'deployed/shop/<instant>/fullchain.pem',
      'deployed/shop/<instant>/privkey.pem',
      'deployed/shop/<instant>/result.json',
      'state/shop.json',
    ])
    const result = await cloud.store.get(keys.find((key) => key.endsWith('result.json'))!)
    expect(JSON.parse(new TextDecoder().decode(result?.bytes))).toMatchObject({
      certificate: 'shop',
      status: 'rotated',
      bundle: { fingerprint: bundle.fingerprint },
    })
  })

  it('keeps the client-verification flag and the CA of a domain that had them', async () => {
    const ca = (await cloud.emulator.root).certificatePem
    await cloud.close()
    cloud = await TestCloud.start({
      apig: ['mtls.shop.example'],
      roma: [],
      seed: {
        rules: { visibilityDelayMs: 0 },
        certificates: [
          {
            ref: 'old',
            scope: 'instance',
            trustedRootCa: 'seeded',
            generate: { names: ['mtls.shop.example'], notBefore: '-80d', notAfter: '+10d' },
          },
        ],
        instances: [
          {
            flavour: 'apig',
            id: 'f0fa1789-3b76-433b-a787-9892951c620e',
            groups: [
              { domains: [{ host: 'mtls.shop.example', certificate: 'old', clientVerification: true }] },
            ],
          },
        ],
      },
    })
    bundle = await cloud.issue()
    await cloud.drop(bundle)
    const [missing] = await rotate()
    expect(missing).toMatchObject({ status: 'failed', failures: [{ code: 'bundle.client-ca-missing' }] })
    expect(cloud.effects()).toEqual({})
    await cloud.store.put('incoming/shop/trusted-root-ca.pem', ca)
    const [outcome] = await rotate(cloud.config({ clientCa: rootsFromPem(ca)[0]!.fingerprint }))
    expect(outcome).toMatchObject({ status: 'rotated' })
    expect(cloud.emulator.state().bindings[0]).toMatchObject({ clientVerification: true })
    expect(
      cloud.emulator.state().certificates.find((one) => one.fingerprint === bundle.fingerprint),
    ).toMatchObject({ hasTrustedRootCa: true })
  })
})
