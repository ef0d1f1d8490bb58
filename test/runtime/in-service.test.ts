import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { standingOf } from '../../shared/acme/incumbent.ts'
import { day } from '../../shared/base/clock.ts'
import { openJournal } from '../../shared/rotation/record/journal.ts'
import { bundlesOf, domainsSeen, gatewayLists, leafOf } from '../../shared/runtime/in-service.ts'
import { rotateUploads } from '../../shared/runtime/jobs.ts'
import { TestCloud } from '../support/cloud.ts'

const FORBIDDEN = { status: 403, errorCode: 'APIG.0005', message: 'no permission' }

describe('what is in service, as gateways and handshakes show it', () => {
  let cloud: TestCloud
  beforeEach(async () => {
    cloud = await TestCloud.start({
      apig: ['api.shop.example', '*.cdn.shop.example'],
      roma: ['erp.shop.example'],
    })
  })
  afterEach(() => cloud.close())

  async function look(config = cloud.config()) {
    const wiring = await cloud.wire(config)
    const parties = cloud.parties(wiring)
    const { state } = await openJournal('shop', parties)
    cloud.emulator.clearCalls()
    const domains = await domainsSeen(await wiring.job('shop', false), parties, state, gatewayLists(parties))
    const deployed = state.deployed && leafOf(state.deployed)
    return { domains, ...standingOf({ domains, deployed, earlier: bundlesOf(state).map(leafOf) }) }
  }
  async function deploy() {
    const bundle = await cloud.issue()
    await cloud.drop(bundle)
    const wiring = await cloud.wire()
    const { outcomes } = await rotateUploads(wiring, cloud.parties(wiring), { byPerson: false })
    expect(outcomes).toMatchObject([{ status: 'rotated' }])
    return bundle
  }
  /** Somebody's hand binds what was there before this tool came. */
  function putBack(host: string, { fingerprint }: { fingerprint: string }) {
    const { bindings, certificates } = cloud.emulator.state()
    const flavour = bindings.find((one) => one.host === host)?.flavour
    const old = certificates.find((one) => one.flavour === flavour && one.fingerprint !== fingerprint)
    cloud.emulator.bind(host, old?.id ?? '')
  }
  const calls = (route: string) => cloud.emulator.calls().filter((call) => call.route === route).length

  test('everywhere ours: the lists say so, and nobody has to shake hands', async () => {
    const bundle = await deploy()
    const { domains, inService } = await look()
    expect(domains.map(({ host }) => host).sort()).toEqual([...cloud.hosts].sort())
    expect(domains.every(({ served }) => served === undefined)).toBe(true)
    expect(inService).toMatchObject({
      fingerprint: bundle.fingerprint,
      by: 'list',
    })
    expect(calls('apig.listCertificates'), 'one list for all domains of a gateway').toBe(1)
  })

  test('nothing of ours yet: what is bound is known, with its beginning from a handshake', async () => {
    const { incumbent, inService } = await look()
    expect(incumbent).toBeUndefined()
    expect(inService).toMatchObject({ by: 'handshake' })
    const life = (inService?.notAfter.getTime() ?? 0) - (inService?.notBefore.getTime() ?? 0)
    expect(Math.round(life / day)).toBe(90)
  })

  test('somebody’s hand on one domain of three: its certificate ends first', async () => {
    const bundle = await deploy()
    putBack('api.shop.example', bundle)
    const { inService } = await look()
    expect(inService).toMatchObject({ host: 'api.shop.example', by: 'handshake' })
    const left = (inService?.notAfter.getTime() ?? 0) - cloud.emulator.clock.now().getTime()
    expect(left / day, 'the seeded one').toBeLessThan(11)
  })

  test('bare domains and such as the gateway does not have any more say nothing', async () => {
    const bundle = await deploy()
    for (const host of cloud.hosts) cloud.emulator.bind(host, null)
    const { domains, inService } = await look(
      cloud.config({}, { domains: ['api.shop.example', 'gone.shop.example'] }),
    )
    expect(domains).toMatchObject([{ host: 'api.shop.example', bound: [] }])
    expect(inService).toMatchObject({ fingerprint: bundle.fingerprint, by: 'deployed' })
  })

  test.each(['apig.listCertificates', 'apig.listGroups'])(
    'a list that cannot be read (%s): a handshake that shows ours counts, a stranger’s does not',
    async (route) => {
      const bundle = await deploy()
      cloud.emulator.faults.add({ route, fault: FORBIDDEN })
      cloud.emulator.faults.add({ route: route.replace('apig', 'roma'), fault: FORBIDDEN })
      expect((await look()).inService).toMatchObject({ fingerprint: bundle.fingerprint, by: 'handshake' })
      for (const host of cloud.hosts) putBack(host, bundle)
      const seen = await look()
      expect(seen.domains.map(({ served }) => served?.stranger)).toEqual([true, true, true])
      expect(seen.inService).toMatchObject({ fingerprint: bundle.fingerprint, by: 'deployed' })
    },
  )
})
