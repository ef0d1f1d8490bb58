import { Resolver } from 'node:dns/promises'
import { connect } from 'node:net'
import * as packet from 'dns-packet'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type DnsAnswers, startDnsAnswers } from '../../emulator/dns-answers.ts'
import { DnsZones, type Zone } from '../../emulator/dns-zones.ts'
import type { Placement } from '../../shared/acme/port.ts'
import { systemClock } from '../../shared/base/clock.ts'
import { silentLog } from '../../shared/base/log.ts'
import { createDns01Solver } from '../../shared/dns/dns-01.ts'
import { createDnsLookup } from '../../shared/dns/propagation.ts'
import { type DnsCloud, startDnsCloud, TestClock } from '../support/acme.ts'

const value = (letter: string) => letter.repeat(43)

describe('TXT records of the cloud’s DNS service', () => {
  let cloud: DnsCloud
  let zone: Zone
  let serial = 0
  let host: string
  beforeAll(async () => {
    cloud = await startDnsCloud(['shop.example', 'eu.shop.example', 'notshop.example', 'frozen.shop.example'])
    zone = cloud.zones.zoneFor('shop.example')!
    cloud.zones.zoneFor('frozen.shop.example')!.status = 'FREEZE'
    cloud.zones.addZone('private.shop.example', { zoneType: 'private' }).nameServers
  })
  afterAll(() => cloud?.close())
  beforeEach(() => {
    cloud.zones.rules.pendingMs = 20
    cloud.zones.rules.propagationMs = 0
    host = `h${++serial}.shop.example`
    cloud.emulator.clearCalls()
    cloud.emulator.faults.clear()
  })

  const placed = (identifier: string, letter: string): Promise<Placement> =>
    cloud.solver.prepare({ identifier, token: 't', value: value(letter) })
  const shown = (name = `_acme-challenge.${host}`) => cloud.zones.answers(name)?.get('TXT')?.records
  const visible = (placement: Placement) =>
    expect.poll(() => cloud.solver.ready(placement), { timeout: 5_000, interval: 20 }).toBe('ready')

  test.each([
    ['_acme-challenge.shop.example', 'shop.example'],
    ['_acme-challenge.a.b.shop.example', 'shop.example'],
    ['_acme-challenge.a.eu.shop.example', 'eu.shop.example'],
    ['_acme-challenge.notshop.example', 'notshop.example'],
    ['_acme-challenge.www.frozen.shop.example', 'shop.example'],
    ['_acme-challenge.private.shop.example', 'shop.example'],
  ])('%s belongs to the active public zone %s', async (name, expected) => {
    expect((await cloud.service.zoneFor(name)).name).toBe(expected)
  })

  test('a value is written quoted, waits until it is ACTIVE, and is seen by the authoritative servers', async () => {
    cloud.zones.rules.pendingMs = 150
    const placement = await placed(host, 'a')
    expect(await cloud.solver.ready(placement)).toBe('missing')
    await cloud.solver.present(placement)
    expect(await cloud.solver.ready(placement)).toBe('waiting')
    await visible(placement)
    expect(shown()).toEqual([`"${value('a')}"`])
  })

  test('ACTIVE is not enough: as long as a name server answers the old state, it waits', async () => {
    cloud.zones.rules.propagationMs = 200
    const placement = await placed(host, 'a')
    await cloud.solver.present(placement)
    await expect
      .poll(() => cloud.zones.sets(zone).map((set) => cloud.zones.statusOf(set)))
      .not.toContain('PENDING_CREATE')
    expect(await cloud.solver.ready(placement)).toBe('waiting')
    await visible(placement)
  })

  test('several challenges share one record set, and each takes only its own value away', async () => {
    const [apex, wildcard] = [await placed(host, 'a'), await placed(host, 'b')]
    await cloud.solver.present(apex)
    await cloud.solver.present(wildcard)
    await visible(apex)
    await visible(wildcard)
    expect(shown()).toEqual([`"${value('a')}"`, `"${value('b')}"`])
    expect(cloud.zones.sets(zone).filter(({ name }) => name.includes(host))).toHaveLength(1)
    await cloud.solver.cleanUp(apex)
    await expect.poll(() => shown()).toEqual([`"${value('b')}"`])
    await cloud.solver.cleanUp(wildcard)
    await expect.poll(() => shown()).toBeUndefined()
  })

  test('what others wrote into the record set stays', async () => {
    cloud.zones.addRecord(`_acme-challenge.${host}`, 'TXT', ['"somebody else\'s"'])
    const placement = await placed(host, 'a')
    await cloud.solver.present(placement)
    await visible(placement)
    await cloud.solver.cleanUp(placement)
    await expect.poll(() => shown()).toEqual(['"somebody else\'s"'])
  })

  test('presenting and cleaning up twice changes nothing the second time', async () => {
    const placement = await placed(host, 'a')
    await cloud.solver.present(placement)
    await visible(placement)
    cloud.emulator.clearCalls()
    await cloud.solver.present(placement)
    expect(cloud.emulator.calls().filter(({ mutating }) => mutating)).toEqual([])
    await cloud.solver.cleanUp(placement)
    cloud.emulator.clearCalls()
    await cloud.solver.cleanUp(placement)
    expect(cloud.emulator.calls().filter(({ mutating }) => mutating)).toEqual([])
  })

  test('two renewals that write the same record set at once both get their value in', async () => {
    const placements = await Promise.all(['a', 'b', 'c'].map((letter) => placed(host, letter)))
    // Each may overwrite what the other has just written; who finds its value gone presents it again.
    const insist = async (placement: Placement) => {
      for (;;) {
        await cloud.solver.present(placement)
        const state = await cloud.solver.ready(placement)
        if (state === 'ready') return
        await new Promise((resolve) => setTimeout(resolve, 10))
      }
    }
    for (let round = 0; round < 3; round++) await Promise.all(placements.map(insist))
    await Promise.all(placements.map(insist))
    expect(shown()?.toSorted()).toEqual(['a', 'b', 'c'].map((letter) => `"${value(letter)}"`))
    for (const placement of placements) await cloud.solver.cleanUp(placement)
    await expect.poll(() => shown()).toBeUndefined()
  })

  test('a reply that is lost leaves one record set with the value in it once', async () => {
    cloud.emulator.faults.add({ route: 'dns.createRecordSet', nth: 1, fault: { lose: 'reply' } })
    const placement = await placed(host, 'a')
    await expect(cloud.solver.present(placement)).rejects.toMatchObject({ kind: 'again', effect: 'unknown' })
    await cloud.solver.present(placement)
    await visible(placement)
    expect(shown()).toEqual([`"${value('a')}"`])
  })

  test.each([
    [403, 'DNS.0030', 'dns.forbidden'],
    [401, 'APIGW.0301', 'dns.unauthorized'],
    [403, 'DNS.0403', 'dns.quota'],
    [400, 'DNS.0308', 'dns.refused'],
  ])('a refusal %i %s is %s and keeps the service’s words', async (status, errorCode, code) => {
    const body = { code: errorCode, message: 'in its own words' }
    cloud.emulator.faults.add({ route: 'dns.createRecordSet', fault: { status, body } })
    const failure = await cloud.solver.present(await placed(host, 'a')).catch((thrown: unknown) => thrown)
    expect(failure).toMatchObject({ code, facts: { errorCode } })
    expect(String(failure)).toContain('in its own words')
  })

  test('a name in no zone of the project is said so, with what to do', async () => {
    await expect(placed('www.stranger.test', 'a')).rejects.toMatchObject({
      code: 'dns.zone-not-found',
      next: expect.stringContaining('delegate _acme-challenge.www.stranger.test by a CNAME'),
    })
  })

  test('a delegated _acme-challenge is followed over several CNAMEs, and a loop ends', async () => {
    cloud.zones.addRecord(`_acme-challenge.${host}`, 'CNAME', ['hop.shop.example.'])
    cloud.zones.addRecord('hop.shop.example', 'CNAME', ['target.eu.shop.example.'])
    expect(await placed(host, 'a')).toMatchObject({
      record: 'target.eu.shop.example',
      zone: 'eu.shop.example',
    })
    cloud.zones.addRecord('_acme-challenge.loop.shop.example', 'CNAME', [
      '_acme-challenge.loop.shop.example.',
    ])
    expect(await placed('loop.shop.example', 'a')).toMatchObject({ zone: 'shop.example' })
  })

  describe('where not every name server says the same', () => {
    let empty: DnsAnswers
    beforeAll(async () => {
      const others = new DnsZones(systemClock)
      others.addZone('shop.example')
      empty = await startDnsAnswers(others)
    })
    afterAll(() => empty.close())
    const [quick, behind, silent] = ['has it', 'lags', 'silent']

    test.each([
      [[quick], 0, 'ready'],
      [[quick, silent], 0, 'ready'],
      [[quick, behind], 0, 'waiting'],
      [[quick, behind], 119_000, 'waiting'],
      [[quick, behind], 120_000, 'ready'],
      [[quick, behind, silent], 120_000, 'ready'],
      [[behind], 600_000, 'waiting'],
      [[behind, silent], 600_000, 'waiting'],
      [[silent], 59_000, 'waiting'],
      [[silent], 60_000, 'ready'],
    ])('%j after %d ms: %s', async (which, shownForMs, expected) => {
      const ports = which.map((one) => (one === quick ? cloud.answers.port : one === behind ? empty.port : 9))
      const solver = createDns01Solver({
        id: 'dns-01:several',
        service: cloud.service,
        lookup: createDnsLookup({ servers: ports.map((port) => `127.0.0.1:${port}`), timeoutMs: 100 }),
        clock: new TestClock(),
        log: silentLog,
      })
      const placement = await solver.prepare({ identifier: host, token: 't', value: value('a') })
      await solver.present(placement)
      await visible(placement)
      expect(await solver.ready(placement, { shownForMs })).toBe(expected)
    })
  })

  test('an aborted wait ends at once', async () => {
    cloud.zones.rules.pendingMs = 60_000
    const placement = await placed(host, 'a')
    await cloud.solver.present(placement)
    const other = await placed(host, 'b')
    await expect(cloud.solver.present(other, AbortSignal.timeout(50))).rejects.toThrow()
  })
})

describe('the name servers of the emulated DNS', () => {
  let cloud: DnsCloud
  beforeAll(async () => {
    cloud = await startDnsCloud(['shop.example'])
    cloud.zones.addRecord('www.shop.example', 'A', ['192.0.2.1'])
    cloud.zones.addRecord('alias.shop.example', 'CNAME', ['www.shop.example.'])
    cloud.zones.addRecord(
      'big.shop.example',
      'TXT',
      Array.from({ length: 40 }, (_, index) => `"${String(index).padStart(100, '0')}"`),
    )
  })
  afterAll(() => cloud?.close())
  const resolver = () => {
    const made = new Resolver({ timeout: 2_000, tries: 1 })
    made.setServers([`127.0.0.1:${cloud.answers.port}`])
    return made
  }

  test('answer what is there, follow aliases, and tell "no such name" from "no such record"', async () => {
    expect(await resolver().resolve4('www.shop.example')).toEqual(['192.0.2.1'])
    expect(await resolver().resolve4('alias.shop.example')).toEqual(['192.0.2.1'])
    expect(await resolver().resolveNs('shop.example')).toHaveLength(2)
    expect((await resolver().resolveSoa('shop.example')).nsname).toBe('ns1.emulated-dns.example')
    await expect(resolver().resolveTxt('www.shop.example')).rejects.toMatchObject({ code: 'ENODATA' })
    await expect(resolver().resolveTxt('nobody.shop.example')).rejects.toMatchObject({ code: 'ENOTFOUND' })
    await expect(resolver().resolveTxt('www.stranger.test')).rejects.toMatchObject({ code: 'EREFUSED' })
  })

  test('answer over TCP what is too large for UDP', async () => {
    expect(await resolver().resolveTxt('big.shop.example')).toHaveLength(40)
    const query = packet.streamEncode({
      type: 'query',
      id: 7,
      questions: [{ type: 'TXT', name: 'big.shop.example', class: 'IN' }],
    })
    const reply = await new Promise<Buffer>((resolve, reject) => {
      const chunks: Buffer[] = []
      const socket = connect(cloud.answers.port, '127.0.0.1', () => socket.write(query))
      socket.on('error', reject)
      socket.on('data', (chunk) => {
        chunks.push(chunk)
        const all = Buffer.concat(chunks)
        if (all.length >= 2 && all.length >= 2 + all.readUInt16BE(0)) {
          socket.destroy()
          resolve(all)
        }
      })
    })
    expect(packet.streamDecode(reply)?.answers).toHaveLength(40)
  })
})
