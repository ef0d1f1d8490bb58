import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Failure } from '../../shared/base/failure.ts'
import type { CertificateMaterial, DomainBinding, Gateway } from '../../shared/gateway/port.ts'

/** What an implementation brings to be held to the promises of `Gateway`. */
export interface GatewaySetup {
  gateway: Gateway
  /** A domain of the instance with one RSA or ECDSA P-256 certificate bound, client verification off. */
  host: string
  /** A certificate of the same algorithm as the one that is bound. */
  issue(names: string[]): Promise<{ material: CertificateMaterial; serial: string; notAfter: Date }>
  /** PEM of a CA for client certificates. */
  clientCa: string
  close(): Promise<void>
}

/** The promises of the port, for every adapter and every cloud that claims to keep them. */
export function gatewayContract(title: string, setUp: () => Promise<GatewaySetup>): void {
  describe(`${title} keeps the promises of a gateway`, () => {
    let setup: GatewaySetup
    let gateway: Gateway
    let name = 0
    const fresh = () => `cr_contract_${++name}`
    beforeAll(async () => {
      setup = await setUp()
      gateway = setup.gateway
    })
    afterAll(() => setup?.close())

    async function bindingNow(): Promise<DomainBinding> {
      const found = (await gateway.domains()).find(({ host }) => host === setup.host)
      if (found === undefined) throw new Error(`${setup.host} is not there`)
      expect(await gateway.domain(found)).toEqual(found)
      return found
    }

    async function boundId(): Promise<string> {
      const [certificate, ...others] = (await bindingNow()).certificates
      if (certificate === undefined || others.length > 0) throw new Error('expected exactly one certificate')
      return certificate.id
    }

    it('creates a certificate that look-ups find by exact name, id and serial number', async () => {
      const wanted = fresh()
      const { material, serial, notAfter } = await setup.issue([setup.host])
      const { id } = await gateway.create(wanted, material)
      await gateway.create(`${wanted}_other`, material)
      const found = await gateway.certificates({ name: wanted })
      expect(found.map((one) => one.id)).toEqual([id])
      expect(found[0]).toMatchObject({ name: wanted, scope: gateway.scope, notAfter, names: [setup.host] })
      expect(await gateway.certificate(id)).toMatchObject({ id, serial, scope: gateway.scope })
      expect(await gateway.attachedDomains(id)).toEqual([])
    })

    it('detaches the old certificate and attaches the new one', async () => {
      const { id } = await gateway.create(fresh(), (await setup.issue([setup.host])).material)
      const ref = await bindingNow()
      const old = await boundId()
      await gateway.detach(ref, old)
      expect((await bindingNow()).certificates).toEqual([])
      await gateway.attach(ref, id, false)
      expect(await boundId()).toBe(id)
      expect(await gateway.attachedDomains(id)).toMatchObject([{ host: setup.host, domainId: ref.domainId }])
      expect(await gateway.attachedDomains(old)).toEqual([])
    })

    it('attaches what is attached already, and sets the flag', async () => {
      if (gateway.scope !== 'instance') return
      const { material } = await setup.issue([setup.host])
      const { id } = await gateway.create(fresh(), { ...material, trustedRootCaPem: setup.clientCa })
      const ref = await bindingNow()
      await gateway.detach(ref, await boundId())
      for (const flag of [true, false, true, false]) {
        await gateway.attach(ref, id, flag)
        expect(await bindingNow()).toMatchObject({
          clientVerification: flag,
          hasTrustedRootCa: true,
          certificates: [{ id }],
        })
      }
    })

    it('says that something else is bound, and that something is not', async () => {
      const { id } = await gateway.create(fresh(), (await setup.issue([setup.host])).material)
      const ref = await bindingNow()
      await expect(gateway.attach(ref, id, false)).rejects.toMatchObject({
        code: 'gateway.occupied',
        effect: 'none',
      })
      await expect(gateway.detach(ref, id)).rejects.toMatchObject({
        code: 'gateway.not-bound',
        effect: 'none',
      })
    })

    it('updates in place: id and bindings stay', async () => {
      const { id } = await gateway.create(fresh(), (await setup.issue([setup.host])).material)
      const ref = await bindingNow()
      await gateway.detach(ref, await boundId())
      await gateway.attach(ref, id, false)
      const next = await setup.issue([setup.host])
      const renamed = fresh()
      await gateway.update(id, renamed, next.material)
      expect(await gateway.certificate(id)).toMatchObject({ id, name: renamed, serial: next.serial })
      expect(await boundId()).toBe(id)
    })

    it('adds a certificate to a domain in one call', async () => {
      const ref = await bindingNow()
      await gateway.detach(ref, await boundId())
      const { id } = await gateway.add(ref, fresh(), (await setup.issue([setup.host])).material)
      expect(await boundId()).toBe(id)
    })

    it('deletes what nothing is bound to, and what is not there', async () => {
      const { id } = await gateway.create(fresh(), (await setup.issue([setup.host])).material)
      await gateway.remove(id)
      expect(await gateway.certificate(id)).toBeUndefined()
      await gateway.remove(id)
    })

    it('refuses to delete what is bound', async () => {
      const id = await boundId()
      await expect(gateway.remove(id)).rejects.toMatchObject({ code: 'gateway.in-use' })
      expect(await gateway.certificate(id)).toBeDefined()
    })

    it('refuses a certificate that does not cover the domain, and a key of another one', async () => {
      const foreign = await setup.issue(['somewhere-else.example'])
      const { id } = await gateway.create(fresh(), foreign.material)
      const ref = await bindingNow()
      const old = await boundId()
      await gateway.detach(ref, old)
      const refused = await gateway.attach(ref, id, false).catch((error: unknown) => error)
      await gateway.attach(ref, old, false)
      expect(refused).toMatchObject({ code: 'gateway.refused', facts: { errorCode: 'APIG.2103' } })
      const other = await setup.issue([setup.host])
      const mixed = { ...foreign.material, privateKey: other.material.privateKey }
      await expect(gateway.create(fresh(), mixed)).rejects.toMatchObject({
        code: 'gateway.refused',
        facts: { errorCode: 'APIG.2101' },
      })
    })

    it('tells what is not there by undefined', async () => {
      const ref = await bindingNow()
      expect(await gateway.domain({ ...ref, domainId: '0'.repeat(32) })).toBeUndefined()
      expect(await gateway.domain({ groupId: '0'.repeat(32), domainId: ref.domainId })).toBeUndefined()
      expect(await gateway.certificate('0'.repeat(32))).toBeUndefined()
    })

    it('stops on a signal, with a Failure', async () => {
      const thrown = await gateway.domains(AbortSignal.abort()).catch((error: unknown) => error)
      expect(thrown).toBeInstanceOf(Failure)
      expect(thrown).toMatchObject({ code: 'gateway.aborted', kind: 'later' })
    })
  })
}
