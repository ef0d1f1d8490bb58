import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { tick } from '../../shared/runtime/tick.ts'
import { APIG, TestCloud } from '../support/cloud.ts'
import { runCli } from '../support/terminal.ts'

/** Every object of JavaScript has something under these names. */
const inherited = Object.getOwnPropertyNames(Object.prototype)

describe('names that JavaScript itself uses', () => {
  let cloud: TestCloud
  beforeEach(async () => {
    cloud = await TestCloud.start({ apig: ['a.shop.example', 'b.shop.example'], roma: [] })
  })
  afterEach(() => cloud.close())

  it('as folders of incoming/ are unknown certificates, and nobody else is held up by them', async () => {
    expect(inherited).toEqual(expect.arrayContaining(['constructor', 'toString', '__proto__']))
    const bundle = await cloud.issue()
    await cloud.drop(bundle)
    for (const name of inherited) await cloud.drop(bundle, name)
    const wiring = await cloud.wire()
    const report = await tick(wiring, cloud.parties(wiring))
    expect(report.outcomes.map(({ certificate, status }) => [certificate, status])).toEqual([
      ['shop', 'rotated'],
    ])
    expect(report.failures.map(({ failure }) => failure.code)).toEqual(
      report.failures.map(() => 'config.unknown-certificate'),
    )
    // The first are named one by one, the rest are counted in one sentence.
    const named = report.failures.flatMap(({ certificate }) => certificate ?? [])
    expect(inherited).toEqual(expect.arrayContaining(named))
    expect(named.length).toBeGreaterThan(0)
    expect(report.failures.filter(({ certificate }) => certificate === undefined)).toMatchObject([
      { failure: { facts: { folders: inherited.length - named.length } } },
    ])
    expect(report.status).toBeDefined()
    const left = (await cloud.keys()).filter((key) => key.startsWith('incoming/'))
    expect(left.length).toBe(inherited.length * 2)
  })

  it('at a terminal are unknown certificates, too', async () => {
    await writeFile(join(cloud.folder, 'rotation.yaml'), JSON.stringify(cloud.config()))
    for (const name of inherited)
      for (const command of ['rotate', 'plan']) {
        const printed = await runCli(command, name, '--config', join(cloud.folder, 'rotation.yaml'))
        expect([command, name, printed.exitStatus]).toEqual([command, name, 2])
        expect(printed.stderr).toContain(name)
      }
  })

  it('may be given to certificates and owners, which then work like any other', async () => {
    const { shop } = cloud.config().certificates
    const [gateway] = shop.gateways
    const own = (index: number) => ({
      gateways: [{ ...gateway, domains: [cloud.hosts[index]] }],
      owner: 'toString',
    })
    const certificates = { constructor: own(0), valueOf: own(1) }
    const wiring = await cloud.wire(cloud.config({}, {}, { certificates }))
    const bundles = [await cloud.issue(), await cloud.issue()]
    await cloud.drop(bundles[0]!, 'constructor')
    await cloud.drop(bundles[1]!, 'valueOf')
    const report = await tick(wiring, cloud.parties(wiring))
    expect(report.failures).toEqual([])
    expect(report.outcomes.map(({ certificate, status }) => [certificate, status]).sort()).toEqual([
      ['constructor', 'rotated'],
      ['valueOf', 'rotated'],
    ])
    expect(Object.values(cloud.bound()).flat()).toEqual(bundles.map(({ fingerprint }) => fingerprint))
  })
})

describe('a domain that two certificates list, under one of them by its ids', () => {
  let cloud: TestCloud
  beforeEach(async () => {
    cloud = await TestCloud.start({ apig: ['a.shop.example', 'b.shop.example'], roma: [] })
  })
  afterEach(() => cloud.close())
  const config = (blog: unknown) => {
    const { shop } = cloud.config().certificates
    return cloud.config(
      {},
      {},
      { certificates: { shop, blog: { gateways: [{ ...shop.gateways[0], domains: [blog] }] } } },
    )
  }
  const idsOf = (host: string) => {
    const { groupId, domainId } = cloud.emulator.state().bindings.find((one) => one.host === host)!
    return { groupId, domainId }
  }

  it('is refused for both before anything is touched, with both names', async () => {
    const wiring = await cloud.wire(config(idsOf('b.shop.example')))
    const before = cloud.bound()
    await cloud.drop(await cloud.issue(), 'shop')
    await cloud.drop(await cloud.issue(), 'blog')
    const report = await tick(wiring, cloud.parties(wiring))
    const told = report.outcomes.map(({ certificate, status, failures }) => ({
      certificate,
      status,
      code: failures[0]?.code,
      named: /b\.shop\.example.*(shop|blog)/.test(failures[0]?.message ?? ''),
    }))
    const code = 'config.shared-domain'
    expect(told.sort((a, b) => a.certificate.localeCompare(b.certificate))).toEqual([
      { certificate: 'blog', status: 'failed', code, named: true },
      { certificate: 'shop', status: 'failed', code, named: true },
    ])
    expect(cloud.bound()).toEqual(before)
    expect(Object.keys(cloud.effects())).toEqual([])
    expect((await cloud.keys()).filter((key) => key.startsWith('incoming/')).length).toBe(4)
  })

  it('is told by plan, too', async () => {
    await writeFile(join(cloud.folder, 'rotation.yaml'), JSON.stringify(config(idsOf('b.shop.example'))))
    await cloud.drop(await cloud.issue(), 'blog')
    const { exitStatus, stdout } = await runCli('plan', '--config', join(cloud.folder, 'rotation.yaml'))
    expect(exitStatus).toBe(1)
    expect(stdout).toMatch(/b\.shop\.example on apig .* is listed under certificate shop, too/)
    expect(stdout).toContain(APIG)
  })

  it('is no matter where the ids are those of another domain', async () => {
    const { shop } = cloud.config().certificates
    const other = { ...shop.gateways[0]!, domains: ['a.shop.example'] }
    const blog = { ...shop.gateways[0]!, domains: [idsOf('b.shop.example')] }
    const certificates = { shop: { gateways: [other] }, blog: { gateways: [blog] } }
    const wiring = await cloud.wire(cloud.config({}, {}, { certificates }))
    await cloud.drop(await cloud.issue(), 'blog')
    const { outcomes } = await tick(wiring, cloud.parties(wiring))
    expect(outcomes.map(({ status }) => status)).toEqual(['rotated'])
  })
})
