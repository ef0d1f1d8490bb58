import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, describe, expect, it } from 'vitest'
import { asciiHost } from '../../shared/base/host.ts'
import { tick } from '../../shared/runtime/tick.ts'
import { TestCloud } from '../support/cloud.ts'
import { runCli } from '../support/terminal.ts'

/** A gateway keeps a name as it was given; people write it as they like; a client asks for one form of it. */
describe('names that are written in another way', () => {
  let cloud: TestCloud
  afterEach(() => cloud.close())

  it.each([
    {
      what: 'with a final dot at the gateway',
      given: ['api.shop.example.', 'www.shop.example.'],
      listed: ['api.shop.example', 'www.shop.example'],
    },
    {
      what: 'with a final dot in the config',
      given: ['api.shop.example', '*.shop.example'],
      listed: ['api.shop.example.', '*.shop.example.'],
    },
    {
      what: 'with letters beyond ASCII in both, or in one of them',
      given: ['bücher.example', 'xn--mller-kva.example', '*.bücher.example'],
      listed: ['Bücher.example', 'müller.example', '*.xn--bcher-kva.example'],
    },
    {
      what: 'in capitals, with an underscore',
      given: ['API.Shop.example', 'a_b.shop.example'],
      listed: ['api.shop.EXAMPLE', 'A_B.shop.example'],
    },
    {
      what: 'twice at the gateway, with a final dot and without',
      given: ['api.shop.example', 'api.shop.example.', 'www.shop.example'],
      listed: ['api.shop.example', 'www.shop.example'],
    },
  ])('$what are rotated, watched and shown', async ({ given, listed }) => {
    cloud = await TestCloud.start({ apig: given, roma: [] })
    const config = cloud.config({}, { domains: listed })
    const bundle = await cloud.issue([...new Set(listed.map(asciiHost))])
    await cloud.drop(bundle)
    const wiring = await cloud.wire(config)
    const first = await tick(wiring, cloud.parties(wiring))
    expect(first.outcomes).toMatchObject([{ status: 'rotated', failures: [] }])
    expect(
      cloud.emulator
        .state()
        .bindings.map(({ host }) => host)
        .toSorted(),
    ).toEqual(given.toSorted())
    for (const { certificates, served } of cloud.emulator.state().bindings) {
      expect(certificates.map(({ fingerprint }) => fingerprint)).toEqual([bundle.fingerprint])
      expect(served.fingerprints).toEqual([bundle.fingerprint])
    }

    // Seen by the watch of a tick in which nothing is done.
    const { status, failures, outcomes } = await tick(wiring, cloud.parties(wiring))
    expect({ failures, outcomes }).toEqual({ failures: [], outcomes: [] })
    const [shop] = status!.certificates
    expect({ health: shop?.health, problems: shop?.problems }).toEqual({ health: 'ok', problems: [] })
    expect(shop?.domains.map(({ verdict }) => verdict)).toEqual(given.map(() => 'expected'))

    const file = join(cloud.folder, 'rotation.yaml')
    await writeFile(file, JSON.stringify(config))
    const printed = await runCli('status', '-c', file)
    expect(printed).toMatchObject({ exitStatus: 0, stderr: '' })
    expect(printed.stdout).toContain(`${given.length} of ${given.length} domains served as expected`)
    const doctor = await runCli('doctor', '-c', file, '--read-only')
    expect(doctor.stdout).not.toContain('✗')
  })
})
